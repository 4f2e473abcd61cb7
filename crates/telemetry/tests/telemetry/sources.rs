//! Values from the metadata of an event.

use devicestate_engine::telemetry::Telemetry as _;
use serde_json::json;

use crate::{event_with, issue_of, telemetry, values};

#[test]
fn a_value_may_be_in_the_metadata() {
    let event = event_with(
        r#"{"x":1}"#,
        &json!({"site": "north", "count": 3}),
        &json!({"content-type": "application/json", "iothub-connection-device-id": "hub-1"}),
        "key-1",
    );
    let file = json!({"device": "partitionKey", "readings": {
        "site": "property:site", "count": "property:count", "hub": "iothub", "key": "partitionKey", "type": "contentType",
        "none": "property:none", "cloud": "cloudevent:source", "*": true
    }});
    let decoded = telemetry(&file).decode(&event).expect("a record");
    assert_eq!(decoded.device_id, "key-1");
    let expected =
        json!({"site": "north", "count": 3, "hub": "hub-1", "key": "key-1", "type": "application/json", "x": 1});
    assert_eq!(values(&decoded), expected);
    let by_property = telemetry(&json!({"device": ["/dev", "property:none", "property:count"]}));
    assert_eq!(by_property.decode(&event).expect("a record").device_id, "3");
    let by_hub = telemetry(&json!({"device": "iothub"}));
    assert_eq!(by_hub.decode(&event).expect("a record").device_id, "hub-1");
}

#[test]
fn a_number_in_the_metadata_may_be_a_text() {
    let event = event_with("{}", &json!({"n": "2.5", "i": "7", "b": "True", "s": "1"}), &json!({}), "k");
    let file = |kind: &str, property: &str| json!({"device": "partitionKey", "readings": {"r": {"from": format!("property:{property}"), "type": kind}}});
    for (kind, property, expected) in [
        ("number", "n", json!(2.5)),
        ("integer", "i", json!(7)),
        ("boolean", "b", json!(true)),
        ("string", "s", json!("1")),
    ] {
        let decoded = telemetry(&file(kind, property)).decode(&event).expect("a record");
        assert_eq!(values(&decoded), json!({"r": expected}), "{kind}");
    }
    for kind in ["number", "boolean"] {
        let issue =
            issue_of(telemetry(&file(kind, "none")).decode(&event_with("{}", &json!({"none": "x"}), &json!({}), "k")));
        assert!(issue.starts_with("the reading \"r\" at property:none must be "), "{issue}");
    }
    let named =
        json!({"device": "partitionKey", "readings": {"r": {"from": "property:s", "values": {"off": 0, "on": 1}}}});
    assert_eq!(values(&telemetry(&named).decode(&event).expect("a record")), json!({"r": 1}));
}

#[test]
fn an_attribute_of_a_cloud_event_may_be_around_the_telemetry_or_in_the_properties() {
    let file = json!({"device": "cloudevent:subject", "readings": {"source": "cloudevent:source", "*": true}});
    let structured = json!({
        "specversion": "1.0", "type": "t", "id": "1", "source": "/s", "subject": "a", "data": {"x": 1}
    });
    let structured =
        event_with(&structured.to_string(), &json!({}), &json!({"content-type": "application/cloudevents+json"}), "");
    let properties = json!({"cloudEvents:specversion": "1.0", "cloudEvents:source": "/s", "cloudEvents:subject": "a"});
    let binary = event_with(r#"{"x":1}"#, &properties, &json!({"content-type": "application/json"}), "");
    for event in [structured, binary] {
        let decoded = telemetry(&file).decode(&event).expect("a record");
        assert_eq!((decoded.device_id.as_str(), values(&decoded)), ("a", json!({"source": "/s", "x": 1})));
    }
}
