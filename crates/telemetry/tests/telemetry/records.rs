//! Several records in an event.

use devicestate_engine::telemetry::DecodedRecord;
use serde_json::{Value, json};

use crate::{records, values};

/// Returns each record in a short form: its device with its readings, its issue, or null if it is ignored.
#[track_caller]
fn described(file: &Value, body: &str) -> Vec<Value> {
    let describe = |record| match record {
        DecodedRecord::Valid(decoded) => json!([decoded.device_id, values(&decoded)]),
        DecodedRecord::Failed { poison, .. } => json!(poison.to_string()),
        DecodedRecord::Ignored => Value::Null,
    };
    records(file, body).into_iter().map(describe).collect()
}

#[test]
fn records_are_the_elements_of_an_array_in_the_body() {
    let file = json!({"device": "body:/gateway", "records": "/data/samples"});
    let body = r#"{"gateway":"g","x":0,"data":{"samples":[{"t":1},{"t":2,"u":3}]}}"#;
    assert_eq!(described(&file, body), [json!(["g", {"t": 1}]), json!(["g", {"t": 2, "u": 3}])]);
    let one = r#"{"gateway":"g","data":{"samples":{"t":1}}}"#;
    assert_eq!(described(&file, one), [json!(["g", {"t": 1}])], "an object is one record");
}

#[test]
fn outer_members_are_in_reach() {
    let file = json!({
        "device": ["/id", "body:/gateway/id"], "records": "/list",
        "readings": {"site": "body:/gateway/site", "first": "body:/list/0/t", "*": true}
    });
    let body = r#"{"gateway":{"id":"g","site":"s"},"list":[{"t":1},{"id":"d","t":2}]}"#;
    let expected = [json!(["g", {"first": 1, "site": "s"}]), json!(["d", {"first": 1, "site": "s", "t": 2}])];
    assert_eq!(described(&file, body), expected);
    let elements = json!({"device": "body:/0/id"});
    assert_eq!(
        described(&elements, r#"[{"id":"a","x":1},{"x":2}]"#),
        [json!(["a", {"x": 1}]), json!(["a", {"x": 2}])],
        "the body of an element is the array"
    );
}

#[test]
fn without_a_split_the_body_is_the_record() {
    let file = json!({"device": "body:/gw", "readings": {"*": true}});
    assert_eq!(described(&file, r#"{"gw":"g","x":1}"#), [json!(["g", {"x": 1}])]);
    assert_eq!(described(&file, "{\"gw\":\"g\",\"x\":1}\n{\"gw\":\"h\"}"), [json!(["g", {"x": 1}]), json!(["h", {}])]);
}

#[test]
fn each_value_of_the_body_may_contain_records() {
    let file = json!({"records": "/list"});
    let expected = [json!(["a", {}]), json!(["b", {}]), json!(["c", {}])];
    let (first, second) = (r#"{"list":[{"id":"a"},{"id":"b"}]}"#, r#"{"list":[{"id":"c"}]}"#);
    for body in [format!("{first}\n{second}"), format!("[{first},{second}]")] {
        assert_eq!(described(&file, &body), expected, "{body}");
    }
    for whole in ["lines", ""] {
        let file = json!({"records": whole});
        assert_eq!(described(&file, r#"[{"id":"a"},{"id":"b"}]"#), expected[..2]);
        assert_eq!(described(&file, "{\"id\":\"a\"}\n{\"id\":\"b\"}"), expected[..2]);
    }
}

#[test]
fn records_that_are_not_there_fail() {
    let file = json!({"records": "/list"});
    for (body, expected) in [
        (r#"{"id":"a"}"#, "the records at /list must be an array, found nothing"),
        (r#"{"list":null}"#, "the records at /list must be an array, found null"),
        (r#"{"list":"x"}"#, "the records at /list must be an array, found \"x\""),
        (r#"{"list":[]}"#, "there is no record: the array at /list is empty"),
    ] {
        assert_eq!(described(&file, body), [json!(expected)]);
    }
    let mixed = described(&file, "{\"list\":[{\"id\":\"a\"}]}\n{}");
    assert_eq!(mixed, [json!(["a", {}]), json!("the records at /list must be an array, found nothing")]);
}

#[test]
fn an_ignored_record_is_not_telemetry() {
    let file = json!({"records": "/list", "ignore": [
        {"from": "body:/kind", "equals": ["hello", "bye"]},
        [{"from": "/t", "exists": false}, {"from": "/log", "exists": true}]
    ]});
    for (body, expected) in [
        (r#"{"kind":"hello"}"#, vec![Value::Null]),
        (r#"{"kind":"bye","list":[{"id":"a"},{"id":"b"}]}"#, vec![Value::Null]),
        (
            r#"{"list":[{"id":"a","t":1,"log":2},{"log":1},{"id":"b"}]}"#,
            vec![json!(["a", {"t": 1, "log": 2}]), Value::Null, json!(["b", {}])],
        ),
    ] {
        assert_eq!(described(&file, body), expected, "{body}");
    }
}

#[test]
fn the_records_have_only_so_much_from_outside_of_them() {
    let file =
        |name: &str| json!({"records": "/list", "device": "body:/id", "readings": {name: format!("body:/{name}")}});
    let body = |bytes: usize| {
        let (text, list) = ("g".repeat(bytes), vec!["{}"; 4096].join(","));
        format!(r#"{{"id":"a","site":"{text}","list":[{list}]}}"#)
    };
    let valid =
        |records: Vec<DecodedRecord>| records.iter().filter(|record| matches!(record, DecodedRecord::Valid(_))).count();
    assert_eq!(valid(records(&file("site"), body(4_000))), 4096);
    let some = records(&file("site"), body(100_000));
    let Some(DecodedRecord::Failed { poison, .. }) = some.last() else { panic!("{:?}", some.last()) };
    assert_eq!(
        poison.to_string(),
        "the records have more than 16777216 bytes of values from outside of them: send fewer in an event"
    );
    assert_eq!(valid(some), 167);
    let id = json!({"records": "/list", "device": "body:/site"});
    let DecodedRecord::Failed { poison, .. } = &records(&id, body(1_024))[0] else { panic!("it is too long") };
    assert!(poison.to_string().ends_with("at body:/site has 1024 bytes: 1023 are allowed"), "{poison}");
}

#[test]
fn a_device_id_outside_of_the_records_is_pointed_out() {
    assert_eq!(
        described(&json!({"records": "/list"}), r#"{"deviceId":"a","list":[{"x":1},{"deviceId":"b","x":1}]}"#),
        [
            json!(
                "the device id is missing or empty: nothing is at /deviceId or /DeviceId or /device_id or /id; outside of the \
                 records there is `body:/deviceId`: name its place with `device` in the telemetry file"
            ),
            json!(["b", {"x": 1}]),
        ]
    );
}

#[test]
fn of_json_lines_one_that_is_not_valid_fails_alone() {
    let body = "{\"id\":\"a\",\"x\":1}\n{\"id\":\"b\",\"x\":1e400}\r\n\n{\"id\":\"c\",\"x\":3}\n{\"id\":\"d\",\"x\":4";
    let described = described(&json!({}), body);
    assert_eq!([&described[0], &described[2]], [&json!(["a", {"x": 1}]), &json!(["c", {"x": 3}])]);
    assert_eq!(described[1], "line 2 of the body is not valid JSON: number out of range at column 19");
    assert_eq!(described[3], "line 5 of the body is not valid JSON: EOF while parsing an object at column 15");
}

#[test]
fn an_object_on_several_lines_that_is_not_valid_is_one_event() {
    let issue = crate::issue(&json!({}), "{\n\"id\":\"a\",\n\"x\":}\n");
    assert!(issue.starts_with("the body is not valid JSON: expected value at line 3"), "{issue}");
}
