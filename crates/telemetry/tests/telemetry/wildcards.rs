//! The rule `*`: readings by the names in the record.

use devicestate_engine::telemetry::{DecodedRecord, RecordTime};
use serde_json::{Value, json};

use crate::{issue, readings, records, values};

/// Returns the readings of this rule.
#[expect(clippy::needless_pass_by_value, reason = "it is called with literals")]
#[track_caller]
fn by(rule: Value, body: &str) -> Value {
    readings(&json!({"device": "/id", "readings": {"*": rule}}), body)
}

#[test]
fn the_members_of_an_object_are_readings() {
    let body = r#"{"id":"a","x":1,"data":{"t":2,"o":{"p":3}}}"#;
    for rule in [json!(true), json!(""), json!({}), json!({"from": ""})] {
        assert_eq!(by(rule, body), json!({"x": 1, "data.t": 2, "data.o.p": 3}));
    }
    for rule in [json!("/data"), json!({"from": "/data"})] {
        assert_eq!(by(rule, body), json!({"t": 2, "o.p": 3}));
    }
    assert_eq!(by(json!("/data/o"), body), json!({"p": 3}));
    assert_eq!(by(json!({"from": "/data", "prefix": "d."}), body), json!({"d.t": 2, "d.o.p": 3}));
    for absent in [r#"{"id":"a"}"#, r#"{"id":"a","data":null}"#, r#"{"id":"a","data":{}}"#] {
        assert_eq!(by(json!("/data"), absent), json!({}), "{absent}");
    }
}

#[test]
fn names_are_included_and_excluded_by_patterns() {
    let body = r#"{"id":"a","temp":1,"temp2":2,"debugA":3,"motor":{"temp":4,"rpm":5,"deep":{"x":6}}}"#;
    for (include, exclude, expected) in [
        (json!(["temp"]), json!([]), json!({"temp": 1})),
        (json!(["temp*"]), json!([]), json!({"temp": 1, "temp2": 2})),
        (json!(["motor"]), json!([]), json!({"motor.temp": 4, "motor.rpm": 5, "motor.deep.x": 6})),
        (json!(["motor.deep", "motor.r*"]), json!([]), json!({"motor.rpm": 5, "motor.deep.x": 6})),
        (json!(["*"]), json!(["motor", "debug*"]), json!({"temp": 1, "temp2": 2})),
        (
            json!(["temp*", "mot*"]),
            json!(["temp2", "motor.deep.*"]),
            json!({"temp": 1, "motor.temp": 4, "motor.rpm": 5}),
        ),
        (json!([]), json!([]), json!({})),
    ] {
        let rule = json!({"include": include, "exclude": exclude, "prefix": ""});
        assert_eq!(by(rule.clone(), body), expected, "{rule}");
    }
    assert_eq!(
        by(json!({"include": ["temp"], "prefix": "p."}), body),
        json!({"p.temp": 1}),
        "the patterns are without prefix"
    );
}

#[test]
fn the_value_may_be_within_each_member() {
    let body = r#"{"id":"a","payload":{"t":{"Value":1,"Unit":"C"},"o":{"Value":{"x":2}},"n":{"Value":null},"bare":3,"none":{}}}"#;
    assert_eq!(by(json!({"from": "/payload", "value": "/Value"}), body), json!({"t": 1, "o.x": 2}));
}

#[test]
fn an_array_may_have_names_and_values() {
    let rule = || json!({"from": "/metrics", "name": "/name", "value": "/v/0"});
    let body =
        r#"{"id":"a","metrics":[{"name":"t","v":[1]},{"name":"o","v":[{"x":2}]},{"name":"n","v":[]}],"other":1}"#;
    assert_eq!(by(rule(), body), json!({"t": 1, "o.x": 2}));
    for (metrics, expected) in [
        (r#"[{"v":[1]}]"#, "element 0 of /metrics must have its name at /name, a text, found nothing"),
        (r#"[{"name":"t","v":[1]},{"name":3}]"#, "element 1 of /metrics must have its name at /name, a text, found 3"),
        (r#"[{"name":"t","v":[1]},{"name":"t","v":[2]}]"#, "the reading \"t\" is given twice"),
        (r#"{"v":[1]}"#, "the object at /metrics must have its name at /name, a text, found nothing"),
        ("5", "the readings at /metrics must be an array or an object, found 5"),
    ] {
        let file = json!({"readings": {"*": rule()}});
        assert_eq!(issue(&file, format!(r#"{{"id":"a","metrics":{metrics}}}"#)), expected);
    }
    let no_object = issue(&json!({"readings": {"*": "/data"}}), r#"{"id":"a","data":[1]}"#);
    assert_eq!(no_object, "the readings at /data must be an object, found an array of 1 element");
}

#[test]
fn a_record_may_be_one_name_with_its_value() {
    let file = json!({"readings": {"*": {"name": "/tag", "value": "/val"}}});
    assert_eq!(readings(&file, r#"{"id":"a","tag":"temp","val":21.5,"unit":"C"}"#), json!({"temp": 21.5}));
    assert_eq!(readings(&file, r#"{"id":"a","tag":"temp"}"#), json!({}));
    let metrics = json!({"device": "body:/id", "records": "/metrics", "time": {"from": "/ts", "format": "unix_ms", "newest": "device"},
        "readings": {"*": {"name": "/name", "value": "/value"}}});
    let body =
        r#"{"id":"a","metrics":[{"name":"t","ts":1700000000000,"value":1},{"name":"t","ts":1700000001000,"value":2}]}"#;
    let times: Vec<_> = records(&metrics, body)
        .into_iter()
        .map(|record| match record {
            DecodedRecord::Valid(decoded) => (decoded.time, values(&decoded)),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = |ms, value: i32| (RecordTime::Device(ms), json!({"t": value}));
    assert_eq!(times, [expected(1_700_000_000_000, 1), expected(1_700_000_001_000, 2)]);
}

#[test]
fn members_that_are_used_elsewhere_are_not_taken_again() {
    let file = json!({
        "device": ["/meta/serial", "/mac"], "time": {"from": ["/ts", "/meta/at"]},
        "readings": {"speed": ["/rpm", "/motor/rpm"], "health": "/health", "unit": "/meta/units/0", "*": true}
    });
    let body = r#"{"meta":{"serial":"s","at":1,"units":["C"],"fw":2},"mac":"m","ts":3,"rpm":4,"motor":{"rpm":5,"t":6},"health":{"x":7},"z":8}"#;
    let expected =
        json!({"meta.fw": 2, "meta.units": ["C"], "speed": 4, "motor.t": 6, "health": {"x": 7}, "unit": "C", "z": 8});
    assert_eq!(readings(&file, body), expected);
}

#[test]
fn objects_may_be_kept_whole() {
    let body = r#"{"id":"a","o":{"p":1,"q":{"r":null}},"e":{},"n":null}"#;
    assert_eq!(readings(&json!({"objects": "whole"}), body), json!({"o": {"p": 1, "q": {"r": null}}, "e": {}}));
    assert_eq!(readings(&json!({"objects": "flatten"}), body), json!({"o.p": 1}));
}
