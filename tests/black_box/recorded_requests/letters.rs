//! The dead letters of a recorded request.

use devicestate_test_support::{Recording, Reply};
use serde_json::{Map, Value, json};

/// The namespace in the recordings of the Service Bus trigger. The host's request does not name the queue.
pub(super) const SERVICE_BUS_NAMESPACE: &str = "sbns.servicebus.windows.net";

pub(super) const SESSION_QUEUE: &str = "sessions";

/// The fields of the event that an outcome states. The others are as recorded, see [`assert_as_recorded`].
const STATED: [&str; 8] =
    ["Body", "PartitionKey", "SequenceNumber", "Offset", "EnqueuedTimeUtc", "SessionId", "MessageId", "DeliveryCount"];

/// Returns the fields of a dead letter that an outcome states.
pub(super) fn stated(letter: &Value) -> Value {
    let mut stated = Map::new();
    for name in ["Stage", "ErrorClass", "Issue", "DeviceId", "DeviceState"] {
        stated.insert(name.to_owned(), letter[name].clone());
    }
    let event = letter["EventData"].as_object().expect("an object");
    stated.extend(STATED.iter().filter_map(|name| Some(((*name).to_owned(), event.get(*name)?.clone()))));
    stated.into()
}

/// Checks the number of the attempt, and all other fields of the dead letters and their records, against the request.
#[track_caller]
pub(super) fn assert_as_recorded(recording: &Recording, reply: &Reply) {
    let metadata = &recording.envelope()["Metadata"];
    let is_session = recording.function().starts_with("servicebus-");
    let from_admin_endpoint = recording.name.contains("-admin-");
    let attempt = [&metadata["RetryContext"]["RetryCount"], &metadata["DeliveryCount"]];
    let attempt = match attempt.map(|count| count.as_i64().or_else(|| count.as_str()?.parse().ok())) {
        [Some(retries), _] => retries + 1,
        [None, deliveries] => deliveries.unwrap_or(1).max(1),
    };
    let invocation_id = recording.header("X-Azure-Functions-InvocationId").expect("an invocation id");
    assert_eq!(reply.batch["attempt"], attempt, "{}", recording.name);
    for (letter, record) in reply.dead_letters.iter().zip(&reply.records) {
        let event = &letter["EventData"];
        let what = format!("{}: {letter}", recording.name);
        assert_eq!(letter["Source"], source(metadata, is_session), "{what}");
        assert_eq!((&letter["InvocationId"], &letter["Attempt"]), (&json!(invocation_id), &json!(attempt)), "{what}");
        let index = index(metadata, &event["SequenceNumber"]);
        let (properties, system_properties) = match (is_session, from_admin_endpoint) {
            (true, _) => (metadata["ApplicationProperties"].clone(), set_by_sender(metadata)),
            (false, true) => (Value::Null, Value::Null),
            (false, false) => (cell(metadata, "Properties", index), cell(metadata, "SystemProperties", index)),
        };
        assert_eq!(event["Properties"], properties, "{what}");
        assert_eq!(event["SystemProperties"], system_properties, "{what}");
        assert_eq!(
            [&record["partitionKey"], &record["sequenceNumber"], &record["deadLetterId"]],
            [&event["PartitionKey"], &event["SequenceNumber"], &letter["Id"]],
            "{what}"
        );
    }
}

fn source(metadata: &Value, is_session: bool) -> Value {
    if is_session {
        return json!({"FullyQualifiedNamespace": SERVICE_BUS_NAMESPACE, "EventHubName": "", "ConsumerGroup": "",
                      "PartitionId": "", "SessionQueueName": SESSION_QUEUE});
    }
    let part = |name: &str| (name.to_owned(), json!(metadata["PartitionContext"][name].as_str().unwrap_or_default()));
    ["FullyQualifiedNamespace", "EventHubName", "ConsumerGroup", "PartitionId"]
        .map(part)
        .into_iter()
        .collect::<Map<_, _>>()
        .into()
}

/// Returns what the sender of a message set, by the names that it has in an event; null if it set nothing.
fn set_by_sender(metadata: &Value) -> Value {
    let names = [("content-type", "ContentType"), ("correlation-id", "CorrelationId")];
    let set = names.map(|(name, of_message)| Some((name.to_owned(), decoded(metadata[of_message].as_str()?))));
    let set: Map<_, _> = set.into_iter().flatten().collect();
    if set.is_empty() { Value::Null } else { set.into() }
}

/// Returns a text that the host wrote as JSON in a string.
fn decoded(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// Returns the index in the batch of the event with this sequence number.
fn index(metadata: &Value, sequence_number: &Value) -> usize {
    let Some(numbers) = metadata["SequenceNumberArray"].as_str() else { return 0 };
    let numbers: Vec<Value> = serde_json::from_str(numbers).expect("an array");
    numbers.iter().position(|number| number == sequence_number).expect("an event of the batch")
}

/// Returns an event's value of this name: one in an array, or the only one.
fn cell(metadata: &Value, name: &str, index: usize) -> Value {
    match metadata[format!("{name}Array")].as_str() {
        Some(array) => serde_json::from_str::<Value>(array).expect("an array")[index].clone(),
        None => metadata[name].clone(),
    }
}
