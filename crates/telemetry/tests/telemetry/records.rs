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
