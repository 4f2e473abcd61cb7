//! Compression, text encodings, CloudEvents and the order of unwrapping.

mod cloud_events;
pub(crate) mod compression;
mod text;

use std::borrow::Cow;

use devicestate_engine::{
    function_app::{Cardinality, DataType, EventHubTrigger, Trigger},
    invocation::Invocation,
};
use devicestate_telemetry::{
    formats::Formats,
    unwrapping::{Content, unwrap},
};

use serde_json::{Value, json};

use crate::events::{event, fixture, issue, typed, value};

const BODY: &str = r#"{"deviceId":"pump-1","rpm":1200}"#;

#[test]
fn plain_json_is_not_copied() {
    let none = Formats::default();
    for body in [BODY, "[]", "{}", " {\"a\":1}\n{\"a\":2}", r#"[{"a":1},{"a":2}]"#, ""] {
        let event = event(body);
        let Content::Json(Cow::Borrowed(text)) = unwrap(&event, &none).expect("JSON").content else { panic!("{body}") };
        assert_eq!(text, body.as_bytes());
    }
}

#[test]
fn a_content_type_that_says_nothing_changes_nothing() {
    for content_type in
        ["application/json; charset=utf-8", "application%2Fjson", "text/plain", "application/octet-stream", ""]
    {
        let event = typed(content_type, BODY);
        let unwrapped = unwrap(&event, &Formats::default()).expect("JSON");
        assert!(matches!(unwrapped.content, Content::Json(Cow::Borrowed(_))), "{content_type}");
    }
}

/// Returns the values of the events of a request of the host in `tests/fixtures/cases`.
fn values_of_case(case: &str) -> Vec<Value> {
    let request = fixture(&format!("cases/{case}.json")).into();
    let trigger = Trigger::EventHub(EventHubTrigger {
        name: "messages".into(),
        event_hub_name: "telemetry".into(),
        consumer_group: "devicestate".into(),
        connection: "EventHubConnection".into(),
        cardinality: Cardinality::Many,
        data_type: DataType::Binary,
    });
    let invocation = Invocation::read(&request, &trigger).expect("a request of the host");
    invocation.batch.events.iter().map(|event| value(event, &Formats::default())).collect()
}

#[test]
fn the_bodies_of_the_cases_are_unwrapped() {
    for (case, expected) in [
        ("08-json-in-a-json-string", json!([{"deviceId": "drone-8", "battery": 0.5}])),
        ("10-gzip-body", json!([{"deviceId": "drone-10", "battery": 0.5}, {"deviceId": "drone-10", "battery": 0.5}])),
        ("26-content-type-encoded-twice", json!([{"deviceId": "drone-26", "battery": 0.5}])),
        ("28-kafka-headers-are-bytes", json!([{"deviceId": "drone-28", "battery": 0.5}])),
    ] {
        assert_eq!(Value::from(values_of_case(case)), expected, "{case}");
    }
}

#[test]
fn a_body_that_no_format_fits_is_described_with_what_would_read_it() {
    let none = Formats::default();
    for (body, expected) in [
        (&b"hello there"[..], "other text: send a JSON object"),
        (b"<telemetry/>", "it looks like XML, which is not supported"),
        (b"BZh91AY&SY", "it looks like bzip2, which is not supported"),
        (b"\xfd7zXZ\0\0\x04", "it looks like xz"),
        (b"\x0a\x07drone-7\x18\x00", "it looks like protobuf, which the telemetry file must describe: add `protobuf`"),
        (b"\x0a\x01d\x11\0\0\0\0\0\0\0\0", "it looks like protobuf"),
        (b"\x81\xa3\xff\xfe", "it is binary of an unknown format"),
        (b"\xc3\x01\x01\x02\x03\x04\x05\x06\x07\x08\x00", "CRC-64-AVRO fingerprint 0807060504030201"),
        (b"\0\0\0\0\x07\x0cpump-1", "the schema id 7 of a schema registry, which the telemetry file does not have"),
    ] {
        let issue = issue(&event(body), &none);
        assert!(issue.contains(expected), "{issue}");
        assert!(!issue.contains('\n') && !issue.contains("  "), "{issue}");
    }
}

#[test]
fn a_content_type_that_the_telemetry_file_does_not_describe_is_named() {
    for (content_type, expected) in [
        ("application/x-protobuf", "the content type says protobuf, which the telemetry file does not describe"),
        ("avro/binary", "the content type says Avro, but the telemetry file has no schema"),
        ("avro/binary+0123456789abcdef0123456789abcdef", "the schema id 0123456789abcdef0123456789abcdef"),
    ] {
        let issue = issue(&typed(content_type, BODY), &Formats::default());
        assert!(issue.contains(expected), "{issue}");
    }
}
