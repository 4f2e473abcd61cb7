//! Events that are not valid, or larger than telemetry is.

use devicestate_engine::telemetry::Telemetry as _;
use serde_json::json;

use crate::{event, issue, issue_of, readings, record, records, telemetry};

#[test]
fn a_body_without_a_record_is_rejected() {
    for body in ["", " ", "\r\n\t"] {
        assert_eq!(issue(&json!({}), body), "the body has no record: it is empty");
    }
    for body in ["[]", " [ ]\n"] {
        assert_eq!(issue(&json!({}), body), "there is no record: the body is an empty array");
    }
}

#[test]
fn a_body_that_is_not_valid_json_is_rejected_entirely() {
    for (body, expected) in [
        (r#"{"id":"a","x":NaN}"#, "expected value at line 1 column 15"),
        (r#"{"id":"a","x":-Infinity}"#, "invalid number at line 1 column 16"),
        (r#"{"id":"a","x":1e999}"#, "number out of range at line 1 column 19"),
        (r#"{"id":"a","x":{"y":1,"y":1}}"#, "the member \"y\" is given twice at line 1 column 24"),
        (r#"[{"id":"a"},{"id":"b","id":"c"}]"#, "the member \"id\" is given twice at line 1 column 26"),
        ("{\"id\":\"a\u{1}\"}", "control character"),
    ] {
        let issue = issue(&json!({}), body);
        assert!(issue.starts_with("the body is not valid JSON: ") && issue.contains(expected), "{body}: {issue}");
    }
    assert!(
        issue_of(telemetry(&json!({})).decode(&event(*b"{\"id\":\"\xff\"}"))).contains("invalid unicode code point")
    );
}

#[test]
fn a_body_may_be_nested_only_to_a_limit() {
    let nested = |levels: usize| format!(r#"{{"id":"a","x":{}1{}}}"#, "[".repeat(levels), "]".repeat(levels));
    assert!(readings(&json!({}), nested(126))["x"].is_array());
    for levels in [127, 1000, 500_000] {
        assert!(issue(&json!({}), nested(levels)).contains("recursion limit exceeded"), "{levels}");
    }
    let nested =
        |levels: usize| format!(r#"{{"id":"a",{}1{}"#, r#""x":{"#.repeat(levels) + r#""y":"#, "}".repeat(levels + 1));
    assert_eq!(readings(&json!({}), nested(2)), json!({"x.x.y": 1}));
    assert!(issue(&json!({}), nested(1000)).contains("recursion limit exceeded"));
}

#[test]
fn an_event_may_have_only_so_many_records() {
    let many = |count: usize| format!("[{}]", vec![r#"{"id":"a"}"#; count].join(","));
    let lines = |count: usize| vec![r#"{"id":"a"}"#; count].join("\n");
    let inner = |count: usize| format!(r#"[{{"list":{}}}]"#, many(count));
    let refused = "the event has more than 4096 records: send several events";
    let from_list = json!({"records": "/list"});
    assert_eq!(records(&json!({}), many(4096)).len(), 4096);
    assert_eq!(records(&json!({}), lines(4096)).len(), 4096);
    assert_eq!(records(&from_list, inner(4096)).len(), 4096);
    for count in [4097, 10_000] {
        assert_eq!(issue_of(telemetry(&json!({})).decode(&event(many(count)))), refused);
        assert_eq!(issue(&json!({}), lines(count)), refused);
        assert_eq!(issue(&from_list, inner(count)), refused);
    }
}

#[test]
fn many_members_are_many_readings() {
    let members: Vec<_> = (0..100_000).map(|n| format!(r#""m{n}":{n}"#)).collect();
    let readings = readings(&json!({}), format!(r#"{{"id":"a",{}}}"#, members.join(",")));
    assert_eq!(readings.as_object().map(serde_json::Map::len), Some(100_000));
    assert_eq!(readings["m99999"], 99_999);
}

#[test]
fn a_very_long_name_is_rejected_with_its_beginning() {
    let name = "n".repeat(1_000_000);
    let first = "n".repeat(64);
    for body in [format!(r#"{{"id":"a","{name}":1}}"#), format!(r#"{{"id":"a","{name}":{{"x":1,"y":2}}}}"#)] {
        let issue = issue(&json!({}), body);
        assert!(issue.starts_with(&format!("the name \"{first}…\" of a reading has 100000")), "{issue}");
    }
    let twice = issue(&json!({}), format!(r#"{{"{name}":1,"{name}":1}}"#));
    assert!(twice.contains(&format!("the member \"{first}…\" is given twice")), "{twice}");
    let value =
        issue(&json!({"readings": {"x": {"from": "/x", "type": "number"}}}), format!(r#"{{"id":"a","x":"{name}"}}"#));
    assert_eq!(value, format!("the reading \"x\" at /x must be a number, found \"{first}…\""));
}

#[test]
fn a_long_integer_is_the_nearest_double() {
    let body = r#"{"id":"a","big":18446744073709551616,"unsigned":18446744073709551615,"signed":-9223372036854775808}"#;
    let expected = json!({"big": 18_446_744_073_709_551_616_f64, "unsigned": u64::MAX, "signed": i64::MIN});
    assert_eq!(readings(&json!({}), body), expected);
}

#[test]
fn a_body_has_a_limit_of_values() {
    let body = |array: &str| format!(r#"{{"deviceId":"a","x":{array}}}"#);
    let issue = issue(&json!({}), body(&format!("[{}0]", "{},".repeat(999_999))));
    assert_eq!(issue, "the body has more than 1000000 values: send several events");
    let text = format!(r#""\"{}""#, ",[{".repeat(1_000_000));
    assert_eq!(record(&json!({}), body(&text)).readings.len(), 1);
}

#[test]
fn a_record_that_is_one_reading_must_fit_in_a_document() {
    let nested = |levels: usize| format!(r#"{{"deviceId":"a","x":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
    let file = json!({"readings": {"all": ""}});
    assert_eq!(record(&file, nested(125)).readings.len(), 1);
    assert_eq!(issue(&file, nested(126)), r#"the reading "all" is nested more deeply than 126 levels"#);
}
