//! Compares the driver's requests with those of the stand-in host.

use std::sync::Arc;

use devicestate_engine::batch::Source;
use devicestate_local::{
    envelope::{self, Retry},
    hub::{HubEvent, Sent},
};
use serde_json::Value;

use crate::requests::{function, sent};

/// Returns the stand-in host's request for two events.
fn host_request(content_type: Option<&'static str>) -> Value {
    let events = [1_i64, 2].map(|sequence_number| {
        let sent =
            Sent { body: b"{}".to_vec(), partition_key: Some("drone-01".into()), content_type, ..Sent::default() };
        Arc::new(HubEvent {
            sent,
            sequence_number,
            offset: 416 * sequence_number,
            enqueued_ms: 1_732_094_047_123,
            iot_hub_enqueued_ms: None,
        })
    });
    let retry = Retry { max_count: -1, ..Retry::default() };
    let request = envelope::request(&function(), &Source::default(), &events, Some(&retry), 1_732_094_047_200);
    serde_json::from_str(&request.expect("a request")).expect("JSON")
}

/// Returns the JSON with each value replaced by its type. A metadata column is an array in a string; its cells are replaced.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), shape(value))).collect(),
        Value::Array(cells) => cells.iter().map(shape).collect(),
        Value::String(text) => match serde_json::from_str(text) {
            Ok(column @ Value::Array(_)) => shape(&column),
            _ => "text".into(),
        },
        Value::Number(_) => "number".into(),
        Value::Bool(_) => "boolean".into(),
        Value::Null => Value::Null,
    }
}

#[test]
fn a_request_has_the_same_members_and_value_types_as_the_stand_in_hosts() {
    for (content_type, options) in
        [(None, &[][..]), (Some("application/json"), &["--content-type", "application/json"])]
    {
        let options = [&["--connections", "1", "--batches", "1"], options].concat();
        let [request] = &sent(2, &options)[..] else { panic!("one batch") };
        let request: Value = serde_json::from_slice(&request.body).expect("JSON");
        let host = host_request(content_type);
        assert_eq!(shape(&request), shape(&host), "{request}\n{host}");
        let columns = &request["Metadata"]["SystemPropertiesArray"];
        let cells: Vec<Value> = serde_json::from_str(columns.as_str().expect("a column")).expect("an array");
        assert!(cells.iter().all(|cell| cell.get("content-type").and_then(Value::as_str) == content_type), "{columns}");
    }
}
