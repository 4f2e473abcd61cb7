//! An event as JSON, for display and editing: it decodes to the same records.

use std::io::Write as _;

use devicestate_engine::{batch::Event, telemetry::Telemetry as _};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use crate::{
    event, event_with,
    events::{fixture, with_properties},
    telemetry,
};

/// Returns an event with system properties.
fn attach(body: impl Into<Vec<u8>>, system_properties: &Value) -> Event {
    with_properties(event(body), system_properties, &json!({}))
}

#[track_caller]
fn shown(file: &Value, event: &Event) -> Option<Value> {
    let telemetry = telemetry(file);
    let shown = telemetry.to_json(event);
    if let Some(shown) = &shown {
        let edited =
            Event { body: shown.to_string().into(), content_type: Some("application/json".into()), ..event.clone() };
        assert_eq!(telemetry.decode_records(&edited), telemetry.decode_records(event));
    }
    shown
}

#[test]
fn a_body_is_shown_as_it_is() {
    for body in [r#"{"id":"a","x":{"y":null}}"#, r#"[{"id":"a"},{"x":1}]"#, r#"{"x":1}"#, "5", "[]"] {
        let value: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(shown(&json!({}), &event(body)), Some(value), "{body}");
    }
}

#[test]
fn several_values_are_shown_as_an_array_if_that_is_the_same() {
    let body = "{\"id\":\"a\"}\n[{\"id\":\"b\"},{}]\n{\"id\":\"c\"}";
    let array = json!([{"id": "a"}, {"id": "b"}, {}, {"id": "c"}]);
    assert_eq!(shown(&json!({}), &event(body)), Some(array.clone()));
    assert_eq!(shown(&json!({"device": "body:/id"}), &event(body)), None, "the body is another one");
}

#[test]
fn a_body_that_would_decode_differently_is_not_shown() {
    for body in ["", "hello", r#"{"id":"a"} x"#, r#"{"id":"a","id":"b"}"#, r#"{"id":"a","x":1e999}"#] {
        assert_eq!(shown(&json!({}), &event(body)), None, "{body}");
    }
    let by_type = json!({"when": {"from": "contentType", "equals": "text/plain"}});
    let event = event_with(r#"{"id":"a"}"#, &json!({}), &json!({"content-type": "text/plain"}), "");
    assert_eq!(shown(&by_type, &event), None);
    assert_eq!(telemetry(&by_type).rejected_device_id(&event), None);
}

#[test]
fn a_body_in_another_form_is_shown_as_its_telemetry() {
    let object = json!({"id": "a", "x": 1});
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(object.to_string().as_bytes()).expect("memory");
    let packed = packed.finish().expect("memory");
    let encoded = attach(packed.clone(), &json!({"content-encoding": "gzip"}));
    for event in [
        event(packed),
        encoded,
        event(json!(object.to_string()).to_string()),
        event(format!("\u{feff}{object}")),
        event(object.to_string().encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()),
    ] {
        assert_eq!(shown(&json!({}), &event), Some(object.clone()), "{event:?}");
    }
}

#[test]
fn a_cloud_event_is_shown_with_its_attributes() {
    let cloud_event = |subject: &str| json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "subject": subject, "data": {"x": 1}});
    let file = json!({"device": "cloudevent:subject"});
    let one = cloud_event("a");
    let system = json!({"content-type": "application/cloudevents+json"});
    assert_eq!(shown(&file, &attach(one.to_string(), &system)), Some(one));
    let batch = json!([cloud_event("a"), cloud_event("b")]);
    let system = json!({"content-type": "application/cloudevents-batch+json"});
    assert_eq!(shown(&file, &attach(batch.to_string(), &system)), Some(batch));
}

#[test]
fn the_datums_of_an_avro_file_are_shown_as_an_array() {
    let avro = fixture("avro/null.avro");
    let records = telemetry(&json!({})).decode_records(&event(avro.clone())).expect("records");
    assert!(records.len() > 1);
    let shown = shown(&json!({}), &event(avro)).expect("JSON");
    assert_eq!(shown.as_array().map(Vec::len), Some(records.len()));
}
