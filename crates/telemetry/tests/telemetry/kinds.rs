//! Several kinds of events in one stream, and which one applies.

use devicestate_engine::telemetry::{DecodedRecord, RecordTime, Telemetry as _};
use serde_json::{Value, json};

use crate::{event_with, issue, readings, record, records, telemetry, values};

#[test]
fn the_first_kind_that_applies_is_used_with_its_own_members_or_the_defaults() {
    let file = json!({
        "device": "/dev", "null": "clear", "time": {"from": "/ts", "format": "unix", "newest": "device"},
        "kinds": [
            {"name": "status", "when": {"from": "/type", "equals": "status"}, "readings": {"up": "/up"}, "null": "ignore"},
            {"when": {"from": "/type", "exists": true}, "device": "/type", "objects": "whole"},
            {"readings": {"other": {"value": true}}}
        ]
    });
    let status = record(&file, r#"{"dev":"a","type":"status","ts":1700000000,"up":null,"x":1}"#);
    assert_eq!((values(&status), status.time), (json!({}), RecordTime::Device(1_700_000_000_000)));
    let whole = record(&file, r#"{"dev":"a","type":"t","o":{"x":1},"n":null}"#);
    assert_eq!((whole.device_id.as_str(), values(&whole)), ("t", json!({"dev": "a", "o": {"x": 1}, "n": null})));
    assert_eq!(readings(&file, r#"{"dev":"a","n":null}"#), json!({"other": true}));
}

#[test]
fn an_event_to_which_no_kind_applies_is_rejected() {
    let expected = "no kind of the telemetry file applies: no `when` holds; found 2 at /v";
    let condition = json!({"from": "/v", "equals": 1});
    for file in [json!({"when": condition}), json!({"kinds": [{"when": condition}]})] {
        assert_eq!(issue(&file, r#"{"id":"a","v":2}"#), expected);
        assert_eq!(readings(&file, r#"{"id":"a","v":1.0}"#), json!({"v": 1.0}));
    }
}

#[test]
fn the_values_that_the_conditions_of_the_kinds_found_are_in_the_issue() {
    let kind = |from: Value| json!({"when": {"from": from, "equals": "x"}});
    let long = format!("/{}", "n".repeat(500));
    let kinds = json!({"kinds": [kind(json!("/type")), kind(json!(["/type", "/t", &long])), kind(json!("property:k")), kind(json!("/o"))]});
    let body = json!({"id": "a", "type": "v".repeat(1000), "o": {"x": 1}}).to_string();
    assert_eq!(
        issue(&kinds, body),
        format!(
            "no kind of the telemetry file applies: no `when` holds; found \"{}…\" at /type, nothing at /t, nothing at /{}…, \
             nothing at property:k, an object at /o",
            "v".repeat(64),
            "n".repeat(63)
        )
    );
    let many: Vec<_> = (0..100).map(|n| kind(json!(format!("/{n}")))).collect();
    assert!(issue(&json!({"kinds": many}), r#"{"id":"a"}"#).ends_with(", nothing at /4, …"));
}

#[test]
fn conditions_are_for_values_of_the_event() {
    let holds = |when: &Value| {
        let event = event_with(
            r#"{"id":"a","text":"on","number":1,"null":null,"object":{"x":[true]}}"#,
            &json!({"kind": "telemetry", "n": 5}),
            &json!({"content-type": "Application/JSON; charset=utf-8"}),
            "key-1",
        );
        telemetry(&json!({"when": when})).decode(&event).is_ok()
    };
    for (when, expected) in [
        (json!({"from": "/text", "exists": true}), true),
        (json!({"from": "/text", "exists": false}), false),
        (json!({"from": "/null", "exists": true}), false),
        (json!({"from": "/null", "equals": null}), true),
        (json!({"from": "/absent", "equals": null}), false),
        (json!({"from": "/absent", "exists": false}), true),
        (json!({"from": ["/absent", "/text"], "equals": "on"}), true),
        (json!({"from": "/text", "equals": ["off", "on"]}), true),
        (json!({"from": "/text", "equals": "ON"}), false),
        (json!({"from": "/number", "equals": 1.0}), true),
        (json!({"from": "/number", "equals": "1"}), false),
        (json!({"from": "/object/x/0", "equals": true}), true),
        (json!({"from": "/text", "startsWith": "o"}), true),
        (json!({"from": "/text", "startsWith": "x"}), false),
        (json!({"from": "/number", "startsWith": "1"}), false),
        (json!({"from": "property:kind", "equals": "telemetry", "startsWith": "tele"}), true),
        (json!({"from": "property:kind", "equals": "telemetry", "startsWith": "x"}), false),
        (json!({"from": "property:n", "equals": 5}), true),
        (json!({"from": "property:none", "exists": false}), true),
        (json!({"from": "contentType", "equals": "application/json"}), true),
        (json!({"from": "contentType", "equals": "Application/Json"}), true),
        (json!({"from": "contentType", "startsWith": "application/"}), true),
        (json!({"from": "partitionKey", "equals": "key-1"}), true),
        (json!({"from": "iothub", "exists": false}), true),
        (json!({"from": "body:/text", "equals": "on"}), true),
        (json!([{"from": "/text", "exists": true}, {"from": "/number", "equals": [2, 3]}]), false),
    ] {
        assert_eq!(holds(&when), expected, "{when}");
    }
}

#[test]
fn each_kind_may_have_its_records_elsewhere() {
    let file = json!({"ignore": [{"from": "/skip", "equals": true}], "kinds": [
        {"when": {"from": "/readings", "exists": true}, "records": "/readings", "device": "body:/gw"},
        {"when": {"from": "/id", "exists": true}}
    ]});
    let body = r#"[{"gw":"g","readings":[{"x":1},{"skip":true},{"x":2}]},{"id":"a","y":3},{"id":"b","skip":true},{"skip":true},{}]"#;
    let described: Vec<_> = records(&file, body)
        .into_iter()
        .map(|record| match record {
            DecodedRecord::Valid(decoded) => json!([decoded.device_id, values(&decoded)]),
            DecodedRecord::Failed { .. } => json!("failed"),
            DecodedRecord::Ignored => Value::Null,
        })
        .collect();
    let expected = [
        json!(["g", {"x": 1}]),
        Value::Null,
        json!(["g", {"x": 2}]),
        json!(["a", {"y": 3}]),
        Value::Null,
        Value::Null,
        json!("failed"),
    ];
    assert_eq!(described, expected);
}
