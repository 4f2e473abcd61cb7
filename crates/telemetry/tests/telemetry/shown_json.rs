//! An event as JSON, for display and editing: it decodes to the same records.

use devicestate_engine::{batch::Event, telemetry::Telemetry as _};
use serde_json::{Value, json};

use crate::{event, event_with, telemetry};

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
