//! Builds the request that the Functions host sends for a message of a session.
//!
//! By the host's source (`ScriptInvocationContextExtensions`, with the binding data of the Service Bus extension): members
//! without a value are omitted, objects are objects, times are cut to seconds, and every other value is JSON in a string, so a
//! text has two pairs of quotes.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use devicestate_engine::function_app::{DataType, Function};
use serde::Serialize;
use serde_json::{Value, json};

use super::queue::Delivery;
use crate::envelope::{Retry, host_time, sys_metadata};

/// Returns the body of the request for a delivery from a namespace. `now_ms` is the time of the request in milliseconds since
/// 1970.
#[must_use]
pub fn request(
    function: &Function,
    namespace: &str,
    delivery: &Delivery,
    retry: Option<&Retry>,
    now_ms: i64,
) -> String {
    // A message without an expiry.
    const NEVER: &str = "9999-12-31T23:59:59";
    let message = &delivery.message;
    let enqueued = host_seconds(message.enqueued_ms);
    // The host renews the lock as long as it holds the session; a lock lasts a minute by default.
    let actions = json!({ "SessionLockedUntil": format!("{}+00:00", host_time(now_ms + 60_000)) });
    let mut metadata = json!({
        "MessageReceiver": actions,
        "MessageSession": actions,
        "MessageActions": actions,
        "SessionActions": actions,
        "ReceiveActions": {},
        "Client": {
            "FullyQualifiedNamespace": namespace,
            "IsClosed": false,
            "TransportType": 0,
            "Identifier": namespace,
        },
        "DeliveryCount": json_text(delivery.delivery_count),
        "LockToken": json_text(uuid::Uuid::new_v4().to_string()),
        "ExpiresAtUtc": NEVER,
        "ExpiresAt": format!("{NEVER}+00:00"),
        "EnqueuedTimeUtc": enqueued,
        "EnqueuedTime": format!("{enqueued}+00:00"),
        "MessageId": json_text(&message.message_id),
        "SequenceNumber": json_text(message.sequence_number),
        "ApplicationProperties": {},
        "UserProperties": {},
        "SessionId": json_text(&message.session_id),
        "sys": sys_metadata(&function.name, now_ms),
    });
    if let Some(content_type) = message.content_type {
        metadata["ContentType"] = json_text(content_type);
    }
    if let Some(retry) = retry {
        metadata["RetryContext"] = retry.context();
    }
    let body = match function.trigger.data_type() {
        DataType::Binary => Value::from(BASE64.encode(&message.body)),
        DataType::String | DataType::Json => json_text(String::from_utf8_lossy(&message.body)),
    };
    json!({ "Data": { function.trigger.name(): body }, "Metadata": metadata }).to_string()
}

/// Returns a value as JSON in a string.
fn json_text(value: impl Serialize) -> Value {
    serde_json::to_string(&value).expect("a text or a number is JSON").into()
}

/// Formats a UTC time without a zone, cut to seconds.
fn host_seconds(ms: i64) -> String {
    host_time(ms - ms.rem_euclid(1_000))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::sessions::queue;
    use devicestate_engine::{
        batch::{EventPosition, Message},
        function_app::{QueueOutput, ServiceBusTrigger, Trigger},
        invocation::Invocation,
    };

    fn function(data_type: Option<&str>) -> Function {
        let mut trigger = json!({ "name": "message", "queueName": "q", "connection": "c", "isSessionsEnabled": true });
        if let Some(data_type) = data_type {
            trigger["dataType"] = data_type.into();
        }
        let trigger: ServiceBusTrigger = serde_json::from_value(trigger).expect("a trigger");
        let trigger = Trigger::ServiceBus(trigger);
        Function { name: "Sessions".into(), trigger, dead_letters: QueueOutput::shipped(), retry: None }
    }

    fn delivery() -> Delivery {
        let message = queue::Message {
            session_id: "drone \"7\"".into(),
            message_id: "m-1".into(),
            sequence_number: 42,
            enqueued_ms: 1_732_093_200_987,
            body: br#"{"deviceId":"drone-7"}"#.to_vec(),
            content_type: Some("application/json"),
        };
        Delivery { message: Arc::new(message), delivery_count: 3 }
    }

    #[test]
    fn metadata_values_are_json_in_strings_and_times_are_cut_to_seconds() {
        let request = request(&function(Some("binary")), "ns", &delivery(), None, 1_732_093_201_500);
        let request: Value = serde_json::from_str(&request).expect("JSON");
        assert_eq!(request["Data"], json!({ "message": "eyJkZXZpY2VJZCI6ImRyb25lLTcifQ==" }));
        let metadata = &request["Metadata"];
        for (name, value) in [
            ("MessageId", r#""m-1""#),
            ("SessionId", r#""drone \"7\"""#),
            ("SequenceNumber", "42"),
            ("DeliveryCount", "3"),
            ("ContentType", r#""application/json""#),
            ("EnqueuedTimeUtc", "2024-11-20T09:00:00"),
            ("EnqueuedTime", "2024-11-20T09:00:00+00:00"),
        ] {
            assert_eq!(metadata[name], value, "{name}");
        }
        for absent in ["PartitionContext", "RetryContext", "PartitionKey", "CorrelationId", "ReplyTo"] {
            assert!(metadata.get(absent).is_none(), "{absent}");
        }
    }

    #[test]
    fn the_handler_reads_the_message_in_each_data_type() {
        for data_type in [Some("binary"), Some("string"), None] {
            let function = function(data_type);
            let request = request(&function, "ns", &delivery(), None, 1_732_093_201_500);
            let Invocation { batch, .. } = Invocation::read(&request.into(), &function.trigger).expect("a message");
            let [event] = &batch.events[..] else { panic!("one event: {batch:?}") };
            assert_eq!((&*event.body, &event.fault), (&*delivery().message.body, &None), "{data_type:?}");
            assert_eq!(event.position, Some(EventPosition { enqueued_ms: 1_732_093_200_000, sequence_number: 42 }));
            assert_eq!(event.content_type.as_deref(), Some("application/json"));
            let expected = Message { session_id: "drone \"7\"".into(), message_id: "m-1".into(), delivery_count: 3 };
            assert_eq!(batch.message, Some(expected));
        }
    }
}
