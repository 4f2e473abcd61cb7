//! What the handler tells about its work: one JSON line for each final reply and for each dead letter.
//!
//! They go out in the reply's `Logs`, which the host writes under the invocation; dead letters also into the handler's
//! own log. An attempt that is to be repeated has its line in the answer's `Logs`, too; the host does not look there, and
//! the handler's own log tells the same. `devicestate local` reads its figures from them, as a dashboard would.

use serde::{Deserialize, Serialize};

use crate::{
    batch::Source,
    dead_letter::{ErrorClass, Stage},
    processor::Operations,
};

/// A line of a reply's `Logs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "camelCase")]
pub enum Record {
    /// A batch that was answered for good.
    Batch(BatchRecord),
    /// An attempt of a batch that was answered with 503. Its events are still to be counted, by the last attempt.
    FailedAttempt(BatchRecord),
    /// One of its dead letters.
    DeadLetter(DeadLetterRecord),
}

/// An attempt of a batch. Answered for good, its applied, superseded and dead-lettered add up to the events.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BatchRecord {
    /// Where it came from.
    #[serde(flatten)]
    pub source: SourceRecord,
    /// The attempt that was answered, from 1.
    pub attempt: i64,
    /// How many events it had.
    pub events: u64,
    /// At least one reading was newer than the document.
    pub applied: u64,
    /// No reading was newer.
    pub superseded: u64,
    /// Could not be applied.
    pub dead_lettered: u64,
    /// How many devices the decoded events belong to.
    pub devices: usize,
    /// What this attempt asked of the store, and what it cost.
    #[serde(flatten)]
    pub operations: Operations,
    /// Time for decoding, in milliseconds.
    pub decode_ms: f64,
    /// Time for reading and writing documents, in milliseconds.
    pub store_ms: f64,
    /// How old the batch's last event was, from enqueued to answered, in milliseconds.
    pub lag_ms: Option<i64>,
    /// Whether the enqueued times of the batch go back somewhere, which the service's times should not.
    pub times_go_back: bool,
}

/// A dead letter, as the log tells of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterRecord {
    /// Its id.
    pub dead_letter_id: String,
    /// Where the event came from.
    #[serde(flatten)]
    pub source: SourceRecord,
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

/// Where something came from, in the log's words.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SourceRecord {
    /// The hub.
    pub event_hub_name: String,
    /// The partition.
    pub partition_id: String,
}

impl From<&Source> for SourceRecord {
    fn from(source: &Source) -> Self {
        Self { event_hub_name: source.event_hub_name.clone(), partition_id: source.partition_id.clone() }
    }
}

impl Record {
    /// The line.
    #[must_use]
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("a record is always JSON")
    }
}
