//! Readings that have a name in the telemetry file.

use serde_json::{Value, json};

use crate::{issue, readings, record};

/// Returns what a reading with this rule becomes of a value.
#[track_caller]
fn stored(rule: &Value, value: &str) -> Value {
    readings(&json!({"readings": {"r": rule}}), format!(r#"{{"id":"a","v":{value}}}"#))["r"].take()
}

/// Returns what a value must be by a rule that it does not satisfy.
#[track_caller]
fn expected(rule: &Value, value: &str) -> String {
    let issue = issue(&json!({"readings": {"r": rule}}), format!(r#"{{"id":"a","v":{value}}}"#));
    issue.trim_start_matches("the reading \"r\" at /v must be ").to_owned()
}

#[test]
fn a_type_decides_what_is_accepted_and_stored() {
    let typed = |name: &str| json!({"from": "/v", "type": name});
    for (name, value, expected) in [
        ("any", "5", json!(5)),
        ("any", "\"x\"", json!("x")),
        ("any", "{\"x\":[1]}", json!({"x": [1]})),
        ("number", "5", json!(5.0)),
        ("number", "-0.0", json!(-0.0)),
        ("number", "2.5", json!(2.5)),
        ("integer", "3", json!(3)),
        ("integer", "3.0", json!(3)),
        ("integer", "-1e3", json!(-1000)),
        ("integer", "18446744073709551615", json!(u64::MAX)),
        ("string", "\"\"", json!("")),
        ("boolean", "false", json!(false)),
        ("time", "\"2026-11-30T14:00:00.1234+02:00\"", json!("2026-11-30T12:00:00.123Z")),
    ] {
        let value = stored(&typed(name), value);
        assert_eq!(value, expected, "{name}");
        assert_eq!(value.is_f64(), expected.is_f64(), "{name}");
    }
    for (name, value, message) in [
        ("number", "\"5\"", "a number, found \"5\""),
        ("number", "true", "a number, found true"),
        ("number", "[5]", "a number, found an array of 1 element"),
        ("integer", "2.5", "an integer, found 2.5"),
        ("integer", "1e300", "an integer, found 1e+300"),
        ("string", "5", "a text, found 5"),
        ("boolean", "0", "true or false, found 0"),
        ("boolean", "\"true\"", "true or false, found \"true\""),
    ] {
        assert_eq!(expected(&typed(name), value), message, "{name}");
    }
}

#[test]
fn a_range_is_that_of_the_stored_number() {
    let rule = |range: Value| json!({"from": "/v", "range": range});
    for (range, value) in
        [(json!([0, 100]), "0"), (json!([0, 100]), "100"), (json!([null, 1]), "-5"), (json!([1, null]), "1e9")]
    {
        assert!(stored(&rule(range), value).is_f64());
    }
    assert_eq!(expected(&rule(json!([0, 100])), "101"), "from 0 to 100, found 101");
    assert_eq!(expected(&rule(json!([0, 100])), "-0.5"), "from 0 to 100, found -0.5");
    assert_eq!(expected(&rule(json!([0.5, null])), "0"), "at least 0.5, found 0");
    assert_eq!(expected(&rule(json!([null, -1])), "0"), "at most -1, found 0");
    assert_eq!(expected(&json!({"from": "/v", "type": "integer", "range": [0, 3]}), "4.0"), "from 0 to 3, found 4.0");
    let scaled = json!({"from": "/v", "scale": 0.1, "range": [0, 10]});
    assert_eq!(stored(&scaled, "99"), json!(9.9));
    assert_eq!(expected(&scaled, "101"), "from 0 to 10, found 101");
}

#[test]
fn a_number_may_be_scaled_and_shifted() {
    assert_eq!(stored(&json!({"from": "/v", "scale": 0.01}), "2150"), json!(21.5));
    assert_eq!(stored(&json!({"from": "/v", "scale": 1.8, "offset": 32}), "100"), json!(212.0));
    assert_eq!(stored(&json!({"from": "/v", "offset": -273.15}), "273.15"), json!(0.0));
    let message = expected(&json!({"from": "/v", "scale": 1e300}), "1e300");
    assert_eq!(message, "a number that is within a double when it is scaled, found 1e+300");
}

#[test]
fn named_values_are_stored_as_numbers_or_names() {
    let values = json!({"off": 0, "On": 1, "half": 0.5});
    let (numbers, names) =
        (json!({"from": "/v", "values": values}), json!({"from": "/v", "values": values, "type": "string"}));
    for (value, number, name) in
        [("\"off\"", json!(0), "off"), ("\"ON\"", json!(1), "On"), ("1.0", json!(1), "On"), ("0.5", json!(0.5), "half")]
    {
        assert_eq!((stored(&numbers, value), stored(&names, value)), (number, json!(name)), "{value}");
    }
    for value in ["2", "\"0\"", "\"of\"", "true", "[]"] {
        assert!(expected(&numbers, value).starts_with("one of On (1), half (0.5), off (0), found "), "{value}");
    }
}

#[test]
fn a_constant_is_stored_with_each_record() {
    let file = json!({"readings": {"unit": {"value": "bar"}, "limits": {"value": [1, 2]}}});
    assert_eq!(readings(&file, r#"{"id":"a"}"#), json!({"unit": "bar", "limits": [1, 2]}));
}

#[test]
fn the_first_source_that_has_a_value_is_used() {
    let file = json!({"readings": {"t": ["/a", "/b/0", "/c~1d"]}});
    for (body, expected) in [
        (r#"{"id":"x","a":1,"b":[2]}"#, json!({"t": 1})),
        (r#"{"id":"x","a":null,"b":[2]}"#, json!({"t": 2})),
        (r#"{"id":"x","b":[],"c/d":3}"#, json!({"t": 3})),
        (r#"{"id":"x","a":null,"b":7}"#, json!({})),
    ] {
        assert_eq!(readings(&file, body), expected, "{body}");
    }
}

#[test]
fn a_required_reading_must_be_there() {
    let file = json!({"readings": {"t": {"from": ["/motor/t", "/t"], "required": true}}});
    assert_eq!(readings(&file, r#"{"id":"a","t":1}"#), json!({"t": 1}));
    for body in [r#"{"id":"a"}"#, r#"{"id":"a","t":null}"#, r#"{"id":"a","motor":5}"#] {
        assert_eq!(issue(&file, body), "the reading \"t\" is required, but nothing is at /motor/t or /t", "{body}");
    }
}

#[test]
fn a_null_clears_a_reading_only_if_the_file_says_so() {
    let body = r#"{"id":"a","t":null,"u":null,"o":{"p":null,"q":1}}"#;
    let file = |rule: &str| json!({"null": rule, "readings": {"temp": {"from": "/t", "type": "number", "required": true}, "*": true}});
    assert_eq!(readings(&file("clear"), body), json!({"temp": null, "u": null, "o.p": null, "o.q": 1}));
    assert!(issue(&file("ignore"), body).contains("\"temp\" is required"));
    assert_eq!(readings(&json!({"null": "clear"}), body), json!({"t": null, "u": null, "o.p": null, "o.q": 1}));
    assert_eq!(readings(&json!({}), body), json!({"o.q": 1}));
}

#[test]
fn a_record_whose_members_are_all_skipped_is_unrecognized() {
    let file = json!({"readings": {"temp": "/motor/temp"}, "time": {"from": "/ts"}});
    let skipped = |body: &str| record(&file, body).skipped;
    assert_eq!(skipped(r#"{"id":"a","tmp":1,"motor":{"rpm":2,"temp":null}}"#), ["motor.rpm", "tmp"]);
    assert_eq!(skipped(r#"{"id":"a","ts":1,"motor":{}}"#), [""; 0], "only what is used");
    assert_eq!(skipped(r#"{"id":"a","motor":null,"deviceId":""}"#), [""; 0]);
    assert_eq!(skipped(r#"{"id":"a","motor":5}"#), ["motor"]);
    assert_eq!(skipped(r#"{"id":"a","x":{},"y":null}"#), ["x", "y"]);
    assert_eq!(skipped(r#"{"id":"a","tmp":1,"motor":{"temp":1}}"#), [""; 0], "it has a reading");
    let deliberate = json!({"readings": {"*": {"include": ["a", "b"], "exclude": ["b*"]}}});
    assert_eq!(record(&deliberate, r#"{"id":"a","a":null,"b":1,"c":2}"#).skipped, ["c"]);
    assert_eq!(record(&json!({}), r#"{"id":"a","x":null,"y":{}}"#).skipped, [""; 0]);
}

#[test]
fn a_time_is_stored_only_if_rfc_3339_can_represent_it() {
    let (text, unix) = (json!({"from": "/v", "type": "time"}), json!({"from": "/v", "format": "unix"}));
    assert_eq!(stored(&text, "\"0000-01-01T00:00:00Z\""), json!("0000-01-01T00:00:00.000Z"));
    assert_eq!(stored(&unix, "-62167219200"), json!("0000-01-01T00:00:00.000Z"));
    assert!(expected(&text, "\"0000-01-01T00:00:00+01:00\"").starts_with("a time as 2026-01-31T12:00:00Z"));
    assert!(expected(&unix, "-62167219201").starts_with("a number of seconds since 1970"));
}
