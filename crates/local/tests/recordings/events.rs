//! Requests for events of a hub: the same events through the stand-in's envelope give the recorded bodies.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use devicestate_engine::{
    batch::Source,
    function_app::{Cardinality, DataType, EventHubTrigger, Function, Trigger},
};
use devicestate_local::{
    envelope,
    hub::{HubEvent, Property, Sent},
};
use serde_json::Value;

use crate::recording::{Recording, function, path};

/// The recordings that this file compares.
pub(crate) const NAMES: &[&str] = &[
    "binary-many-byte-order-mark-without-retry",
    "binary-many-empty-body-attempt-1",
    "binary-many-empty-body-attempt-2",
    "binary-many-hundred-attempt-1",
    "binary-many-hundred-attempt-2",
    "binary-many-json-attempt-1",
    "binary-many-json-attempt-2",
    "binary-many-json-without-retry",
    "binary-many-no-key-attempt-1",
    "binary-many-no-key-attempt-2",
    "binary-many-not-json-without-retry",
    "binary-many-not-utf-8-attempt-1",
    "binary-many-not-utf-8-attempt-2",
    "binary-many-null-body-without-retry",
    "binary-many-numbers-kept-attempt-1",
    "binary-many-numbers-kept-attempt-2",
    "binary-many-properties-attempt-1",
    "binary-many-properties-attempt-2",
    "binary-one-byte-order-mark",
    "binary-one-empty-body",
    "binary-one-json-1",
    "binary-one-json-2",
    "binary-one-no-key-array",
    "binary-one-no-key-number",
    "binary-one-no-key-object",
    "binary-one-no-key-text",
    "binary-one-not-json",
    "binary-one-not-utf-8",
    "binary-one-null-body",
    "binary-one-numbers-kept",
    "binary-one-properties",
    "string-many-byte-order-mark-without-retry",
    "string-many-empty-body-attempt-1",
    "string-many-empty-body-attempt-2",
    "string-many-hundred-attempt-1",
    "string-many-hundred-attempt-2",
    "string-many-json-attempt-1",
    "string-many-json-attempt-2",
    "string-many-json-without-retry",
    "string-many-no-key-attempt-1",
    "string-many-no-key-attempt-2",
    "string-many-not-json-without-retry",
    "string-many-not-utf-8-attempt-1",
    "string-many-not-utf-8-attempt-2",
    "string-many-null-body-without-retry",
    "string-many-numbers-kept-attempt-1",
    "string-many-numbers-kept-attempt-2",
    "string-many-properties-attempt-1",
    "string-many-properties-attempt-2",
    "string-one-byte-order-mark",
    "string-one-empty-body",
    "string-one-json-1",
    "string-one-json-2",
    "string-one-no-key-array",
    "string-one-no-key-number",
    "string-one-no-key-object",
    "string-one-no-key-text",
    "string-one-not-json",
    "string-one-not-utf-8",
    "string-one-null-body",
    "string-one-numbers-kept",
    "string-one-properties",
    "unset-many-empty-body",
    "unset-many-json",
    "unset-many-no-key",
    "unset-many-null-body",
    "unset-many-numbers-kept",
    "unset-many-properties",
    "unset-one-byte-order-mark",
    "unset-one-empty-body",
    "unset-one-json-1",
    "unset-one-json-2",
    "unset-one-no-key-array",
    "unset-one-no-key-number",
    "unset-one-no-key-object",
    "unset-one-no-key-text",
    "unset-one-not-json",
    "unset-one-not-utf-8",
    "unset-one-null-body",
    "unset-one-numbers-kept",
    "unset-one-properties",
];

/// The bodies for which the host calls no function with `cardinality` many and no `dataType`.
const NOT_JSON: &[&str] = &["not-json", "not-utf-8", "byte-order-mark"];

fn trigger(recording: &Recording) -> Trigger {
    Trigger::EventHub(EventHubTrigger {
        name: "messages".into(),
        event_hub_name: "telemetry".into(),
        consumer_group: "devicestate".into(),
        connection: "EventHubConnection".into(),
        cardinality: if recording.name.contains("-many-") { Cardinality::Many } else { Cardinality::One },
        data_type: recording.data_type(),
    })
}

fn source(metadata: &Value) -> Source {
    let text = |name: &str| metadata["PartitionContext"][name].as_str().expect("a text").to_owned();
    Source {
        fully_qualified_namespace: text("FullyQualifiedNamespace"),
        event_hub_name: text("EventHubName"),
        consumer_group: text("ConsumerGroup"),
        partition_id: text("PartitionId"),
        ..Source::default()
    }
}

/// Returns the bodies of a recording's events: from the recording of the same events with `dataType` binary, which alone has
/// the exact bytes.
fn bodies(recording: &Recording) -> Vec<Vec<u8>> {
    let (_, rest) = recording.name.split_once('-').expect("a name");
    let events = ["-attempt-1", "-attempt-2", "-without-retry"]
        .iter()
        .find_map(|ending| rest.strip_suffix(ending))
        .unwrap_or(rest);
    let endings = ["", "-attempt-1", "-without-retry"];
    let names = endings.map(|ending| format!("binary-{events}{ending}"));
    let name = names.iter().find(|name| path(&format!("{name}.http")).exists()).expect("a recording with base64");
    let data = Recording::read(name).envelope()["Data"]["messages"].as_str().expect("a text").to_owned();
    let texts = serde_json::from_str::<Vec<String>>(&data).unwrap_or_else(|_| vec![data]);
    texts.iter().map(|text| BASE64.decode(text).expect("base64")).collect()
}

/// Returns the properties of the events whose name is `properties`, in the order in which the producer set them.
fn properties(recording: &Recording) -> Vec<(String, Property)> {
    if !recording.name.contains("-properties") {
        return Vec::new();
    }
    let properties = [
        ("text", Property::Text("x".into())),
        ("int", Property::Integer(1)),
        ("neg", Property::Integer(-5)),
        ("float", Property::Float(1.5)),
        ("bool", Property::Boolean(true)),
        ("date", Property::Time(milliseconds("2026-01-02T03:04:05.678"))),
        ("bytes", Property::Bytes(vec![1, 2, 255])),
        ("nul", Property::Null),
        ("Ö", Property::Text("ü".into())),
    ];
    properties.map(|(name, value)| (name.to_owned(), value)).to_vec()
}

/// Parses a UTC time without a zone.
pub(crate) fn milliseconds(time: &str) -> i64 {
    format!("{time}Z").parse::<jiff::Timestamp>().expect("a time").as_millisecond()
}

/// Returns the events of a recording.
fn events(recording: &Recording) -> Vec<Arc<HubEvent>> {
    let metadata = recording.envelope()["Metadata"].clone();
    let all = metadata["SystemPropertiesArray"].as_str().map(|text| serde_json::from_str(text).expect("an array"));
    let all: Vec<Value> = all.unwrap_or_else(|| vec![metadata["SystemProperties"].clone()]);
    let event = |(system, body): (&Value, Vec<u8>)| {
        let text = |name: &str| system[name].as_str().map(str::to_owned);
        let sent = Sent {
            body,
            partition_key: text("x-opt-partition-key"),
            content_type: text("content-type").map(|kind| &*kind.leak()),
            message_id: text("message-id"),
            correlation_id: text("correlation-id"),
            properties: properties(recording),
            ..Sent::default()
        };
        Arc::new(HubEvent {
            sent,
            sequence_number: system["x-opt-sequence-number"].as_i64().expect("a number"),
            offset: system["Offset"].as_i64().expect("a number"),
            enqueued_ms: milliseconds(system["EnqueuedTimeUtc"].as_str().expect("a text")),
            iot_hub_enqueued_ms: None,
        })
    };
    all.iter().zip(bodies(recording)).map(event).collect()
}

fn request(recording: &Recording, function: &Function) -> Result<String, String> {
    let source = source(&recording.envelope()["Metadata"]);
    envelope::request(function, &source, &events(recording), recording.retry().as_ref(), 0)
}

#[test]
fn the_same_events_give_the_recorded_bodies() {
    for recording in NAMES.iter().map(|name| Recording::read(name)) {
        let function = function(recording.function(), trigger(&recording));
        let body = request(&recording, &function).unwrap_or_else(|error| panic!("{}: {error}", recording.name));
        recording.assert_same(&body);
    }
}

#[test]
fn a_body_that_is_not_json_fails_the_batch_without_data_type_before_the_handler_is_called() {
    for name in NOT_JSON {
        let names = ["-attempt-1", "-without-retry"].map(|ending| format!("binary-many-{name}{ending}"));
        let name = names.iter().find(|name| path(&format!("{name}.http")).exists()).expect("a recording");
        let recording = Recording::read(name);
        let with = |data_type| match trigger(&recording) {
            Trigger::EventHub(trigger) => {
                request(&recording, &function("f", Trigger::EventHub(EventHubTrigger { data_type, ..trigger })))
            }
            Trigger::ServiceBus(_) => unreachable!(),
        };
        assert!(with(DataType::String).is_ok(), "{name}");
        let error = with(DataType::Json).expect_err("it is not JSON");
        assert!(error.contains("fails the entire batch"), "{error}");
    }
}
