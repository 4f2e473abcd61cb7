//! Builds the request that the Functions host sends for a message of a session.

use std::sync::LazyLock;

use devicestate_engine::function_app::Function;
use serde::Serialize;

use super::queue::Delivery;
use crate::envelope::{
    Empty, Retry, RetryContext, Sys, envelope, host_time,
    single::{self, Metadata, host_seconds},
};

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
    let (message, trigger) = (&delivery.message, &function.trigger);
    let enqueued = host_seconds(message.enqueued_ms);
    // The host renews the lock as long as it holds the session; a lock lasts a minute by default.
    let actions = Actions { session_locked_until: format!("{}+00:00", host_time(now_ms + 60_000)) };
    let mut metadata = Metadata::new();
    for name in ["MessageReceiver", "MessageSession", "MessageActions", "SessionActions"] {
        metadata.set(name, &actions);
    }
    metadata.set("ReceiveActions", &Empty {});
    metadata.set("Client", &Client::new(namespace));
    metadata.set_text("DeliveryCount", Some(delivery.delivery_count));
    metadata.set_text("LockToken", Some(lock_token(delivery)));
    metadata.set("ExpiresAtUtc", NEVER);
    metadata.set("ExpiresAt", &format!("{NEVER}+00:00"));
    metadata.set("EnqueuedTimeUtc", &enqueued);
    metadata.set("EnqueuedTime", &format!("{enqueued}+00:00"));
    metadata.set_text("MessageId", Some(&message.message_id));
    metadata.set_text("ContentType", message.content_type.as_deref());
    metadata.set_text("SequenceNumber", Some(message.sequence_number));
    metadata.set("ApplicationProperties", &Empty {});
    metadata.set("UserProperties", &Empty {});
    metadata.set_text("SessionId", Some(&message.session_id));
    let retry = retry.map(|retry| RetryContext::new(retry, &function.name));
    metadata.complete(&Sys::new(&function.name, now_ms), &message.body, trigger.data_type(), retry.as_ref());
    envelope(trigger.name(), &single::body(trigger.data_type(), &message.body), &metadata)
}

/// Identifies the host's client, and is in its lock tokens.
static CLIENT_ID: LazyLock<uuid::Uuid> = LazyLock::new(uuid::Uuid::new_v4);

/// Returns an id of the delivery, which is the same in each of its attempts under a retry policy.
fn lock_token(delivery: &Delivery) -> String {
    let (high, low) = CLIENT_ID.as_u64_pair();
    let number = delivery.message.sequence_number.cast_unsigned();
    uuid::Uuid::from_u64_pair(high ^ number, low ^ u64::from(delivery.delivery_count)).to_string()
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Actions {
    session_locked_until: String,
}

/// The host's client of the namespace.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Client<'a> {
    fully_qualified_namespace: &'a str,
    is_closed: bool,
    transport_type: u32,
    identifier: String,
}

impl<'a> Client<'a> {
    fn new(namespace: &'a str) -> Self {
        let identifier = format!("{namespace}-{}", *CLIENT_ID);
        Self { fully_qualified_namespace: namespace, is_closed: false, transport_type: 0, identifier }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

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
            content_type: Some("application/json".into()),
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
    fn attempts_of_a_delivery_have_the_same_lock_token_and_other_deliveries_another_one() {
        let lock_token = |delivery_count| {
            let delivery = Delivery { delivery_count, ..delivery() };
            let request = request(&function(Some("binary")), "ns", &delivery, None, 0);
            serde_json::from_str::<Value>(&request).expect("JSON")["Metadata"]["LockToken"].clone()
        };
        assert_eq!(lock_token(3), lock_token(3));
        assert_ne!(lock_token(3), lock_token(4));
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
