//! What the handler tells about its work: one JSON line each for a final reply, for an attempt that failed, for a dead
//! letter, for a look at their queue, for its own start. `docs/reference/records.md` and `docs/reference/record.schema.json` are what dashboards and alerts rest on.
//!
//! Those of a final reply go out in its `Logs`, which the host writes under the invocation. The host does not look into
//! the answer of an attempt that failed, so that one's line goes into the handler's own log, with the invocation's id;
//! it is in the answer, too, for `devicestate local`, which reads its figures from records as a dashboard would.

use serde::{Deserialize, Serialize};

use crate::{
    batch::{Message, Source},
    failure::{ErrorClass, Stage},
    store::Operations,
};

/// A line of a reply's `Logs`, or of the handler's own log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "camelCase")]
pub enum Record {
    /// A batch that was answered for good.
    Batch(BatchRecord),
    /// An attempt of a batch that was answered with 503. Its events are still to be counted, by the last attempt.
    FailedAttempt(FailedAttemptRecord),
    /// One of a batch's dead letters.
    DeadLetter(DeadLetterRecord),
    /// A look at the queue of the dead letters.
    DeadLetterQueue(DeadLetterQueueRecord),
    /// A handler that is ready for the host.
    Start(StartRecord),
}

/// A batch that was answered for good: applied, superseded and dead-lettered add up to its events.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BatchRecord {
    /// The attempt that did it.
    #[serde(flatten)]
    pub attempt: AttemptRecord,
    /// At least one reading was newer than the document.
    pub applied: u64,
    /// No reading was newer.
    pub superseded: u64,
    /// Could not be applied.
    pub dead_lettered: u64,
}

/// An attempt of a batch that is to be repeated.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FailedAttemptRecord {
    /// The attempt.
    #[serde(flatten)]
    pub attempt: AttemptRecord,
    /// How many events could not be settled.
    pub unresolved: u64,
    /// Why, for people.
    pub reason: String,
}

/// An attempt of a batch, however it was answered.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AttemptRecord {
    /// The host's id of the invocation, the same for each attempt; empty where it told none.
    pub invocation_id: String,
    /// Where the batch came from.
    #[serde(flatten)]
    pub source: SourceRecord,
    /// What Service Bus says of the message, where the batch is one.
    #[serde(flatten)]
    pub message: Option<Message>,
    /// The sequence number of its first event that has one.
    pub first_sequence_number: Option<i64>,
    /// The sequence number of its last event that has one.
    pub last_sequence_number: Option<i64>,
    /// Which attempt of the batch it was, from 1; for a message, which delivery.
    #[serde(rename = "attempt")]
    pub number: i64,
    /// How many events the batch has.
    pub events: u64,
    /// How many devices the decoded events belong to.
    pub devices: usize,
    /// What this attempt asked of the store, and what it cost.
    #[serde(flatten)]
    pub operations: Operations,
    /// Time for decoding, in milliseconds.
    pub decode_ms: f64,
    /// Time for reading and writing documents, in milliseconds.
    pub store_ms: f64,
    /// How far behind the partition is, in milliseconds: from enqueued to now, of the batch's last event when it is answered
    /// for good, and of its first while none of it is passed. `None` for events without a place.
    pub lag_ms: Option<i64>,
    /// Whether the enqueued times of the batch go back somewhere, which the service's times should not.
    pub enqueued_times_decrease: bool,
}

/// A dead letter, as the log tells of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterRecord {
    /// Its id.
    pub dead_letter_id: String,
    /// The host's id of the invocation; empty where it told none.
    pub invocation_id: String,
    /// Where the event came from.
    #[serde(flatten)]
    pub source: SourceRecord,
    /// What Service Bus says of the message, where the event was one.
    #[serde(flatten)]
    pub message: Option<Message>,
    /// The event's partition key.
    pub partition_key: Option<String>,
    /// The event's sequence number.
    pub sequence_number: Option<i64>,
    /// The device, as far as the event could be decoded.
    pub device_id: Option<String>,
    /// Where it failed.
    pub stage: Stage,
    /// Whose fault it was.
    pub error_class: ErrorClass,
    /// What happened.
    pub issue: String,
}

/// The queue of the dead letters, as a timer function found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterQueueRecord {
    /// Its name.
    pub queue_name: String,
    /// About how many messages it has, those included that somebody has received and not deleted.
    pub messages: u64,
    /// How old the oldest message is, in milliseconds, of the 32 at the front that nobody has received. `None` when none
    /// was seen.
    pub oldest_age_ms: Option<i64>,
    /// In how many milliseconds the queue forgets the first of them. `None` when none was seen, or none is ever forgotten.
    pub expires_in_ms: Option<i64>,
}

/// A handler that is ready. More than one of an instance of the function app are restarts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StartRecord {
    /// The handler's version.
    pub version: String,
    /// Its process id.
    pub process_id: u32,
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    /// Where the documents are: the setting `StateStore`.
    pub state_store: String,
}

/// Where something came from, in the log's words. A part that the host does not tell is empty.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SourceRecord {
    /// The namespace's host name: of two regions, it tells which.
    pub fully_qualified_namespace: String,
    /// The hub.
    pub event_hub_name: String,
    /// The consumer group.
    pub consumer_group: String,
    /// The partition.
    pub partition_id: String,
    /// The Service Bus queue with sessions, in place of hub, consumer group and partition.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub session_queue_name: String,
}

impl From<&Source> for SourceRecord {
    fn from(source: &Source) -> Self {
        let Source { fully_qualified_namespace, event_hub_name, consumer_group, partition_id, session_queue_name } =
            source.clone();
        Self { fully_qualified_namespace, event_hub_name, consumer_group, partition_id, session_queue_name }
    }
}

impl Record {
    /// The line.
    #[must_use]
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("a record is always JSON")
    }
}
