//! Requests for a message of a session: the same deliveries give the recorded bodies.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use devicestate_engine::function_app::{ServiceBusTrigger, Trigger};
use devicestate_local::sessions::{
    envelope,
    queue::{Delivery, Message},
};
use serde_json::{Value, json};

use crate::{
    events::milliseconds,
    recording::{Recording, function},
};

/// The recordings that this file compares.
pub(crate) const NAMES: &[&str] = &[
    "servicebus-binary-one-503-delivery-1",
    "servicebus-binary-one-503-delivery-2",
    "servicebus-binary-one-503-delivery-3",
    "servicebus-binary-one-array",
    "servicebus-binary-one-empty-body",
    "servicebus-binary-one-not-json",
    "servicebus-binary-one-not-utf-8",
    "servicebus-binary-one-number",
    "servicebus-binary-one-plain",
    "servicebus-binary-one-retry-delivery-1-attempt-1",
    "servicebus-binary-one-retry-delivery-1-attempt-2",
    "servicebus-binary-one-retry-delivery-1-attempt-3",
    "servicebus-binary-one-retry-delivery-2-attempt-1",
    "servicebus-binary-one-utf-8",
    "servicebus-string-one-array",
    "servicebus-string-one-empty-body",
    "servicebus-string-one-not-json",
    "servicebus-string-one-not-utf-8",
    "servicebus-string-one-number",
    "servicebus-string-one-plain",
    "servicebus-string-one-utf-8",
    "servicebus-unset-one-array",
    "servicebus-unset-one-empty-body",
    "servicebus-unset-one-not-json",
    "servicebus-unset-one-not-utf-8",
    "servicebus-unset-one-number",
    "servicebus-unset-one-plain",
    "servicebus-unset-one-utf-8",
];

fn trigger(recording: &Recording) -> Trigger {
    let trigger = json!({ "name": "message", "queueName": "q", "connection": "c", "isSessionsEnabled": true });
    let trigger: ServiceBusTrigger = serde_json::from_value(trigger).expect("a trigger");
    Trigger::ServiceBus(ServiceBusTrigger { data_type: recording.data_type(), ..trigger })
}

/// Returns the body of the message, from the recording with `dataType` binary, which alone has the exact bytes.
fn body(recording: &Recording) -> Vec<u8> {
    let name = recording.name.replacen("-string-", "-binary-", 1).replacen("-unset-", "-binary-", 1);
    let data = Recording::read(&name).envelope()["Data"]["message"].as_str().expect("a text").to_owned();
    BASE64.decode(data).expect("base64")
}

fn delivery(recording: &Recording, metadata: &Value) -> Delivery {
    let decoded = |name: &str| -> Option<Value> {
        metadata[name].as_str().map(|text| serde_json::from_str(text).expect("JSON in a text"))
    };
    let text = |name: &str| decoded(name).and_then(|value| value.as_str().map(str::to_owned));
    let number = |name: &str| decoded(name).and_then(|value| value.as_i64()).expect("a number");
    let message = Message {
        session_id: text("SessionId").expect("a session id"),
        message_id: text("MessageId").expect("a message id"),
        sequence_number: number("SequenceNumber"),
        enqueued_ms: milliseconds(metadata["EnqueuedTimeUtc"].as_str().expect("a time")),
        body: body(recording),
        content_type: text("ContentType").map(Into::into),
    };
    let delivery_count = u32::try_from(number("DeliveryCount")).expect("a small number");
    Delivery { message: Arc::new(message), delivery_count }
}

#[test]
fn the_same_deliveries_give_the_recorded_bodies() {
    for recording in NAMES.iter().map(|name| Recording::read(name)) {
        let function = function(recording.function(), trigger(&recording));
        let metadata = &recording.envelope()["Metadata"];
        let namespace = metadata["Client"]["FullyQualifiedNamespace"].as_str().expect("a namespace");
        let delivery = delivery(&recording, metadata);
        let body = envelope::request(&function, namespace, &delivery, recording.retry().as_ref(), 0);
        recording.assert_same(&body);
    }
}
