//! The records that the handler logs: one JSON line for a completed batch, a failed attempt, a dead letter, a check of the
//! dead-letter queue, a silent device, a run of the silence watch and the handler's start. `docs/reference/records.md` and `docs/reference/record.schema.json` describe
//! them; dashboards and alerts use them.
//!
//! The records of a final reply are in its `Logs`, which the host logs under the invocation. The host does not read the
//! reply of a failed attempt, so that record is written to the handler's own log, with the invocation id. It is also in the
//! reply, for `devicestate local`, which reads its figures from records as a dashboard does.

use serde::{Deserialize, Serialize};

use crate::{
    batch::{Message, Source},
    failure::{ErrorClass, Stage},
    store::Operations,
    text::escape_json,
};

/// A line of a reply's `Logs`, or of the handler's own log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "camelCase")]
pub enum Record {
    /// A completed batch.
    Batch(BatchRecord),
    /// An attempt of a batch with the response 503. Its events are counted only in the last attempt.
    FailedAttempt(FailedAttemptRecord),
    /// One of a batch's dead letters.
    DeadLetter(DeadLetterRecord),
    /// The state of the dead-letter queue.
    DeadLetterQueue(DeadLetterQueueRecord),
    /// The start of a handler.
    Start(StartRecord),
    /// A device that has fallen silent.
    DeviceSilent(DeviceSilentRecord),
    /// A device that was silent and is back.
    DeviceBack(DeviceBackRecord),
    /// A run of the silence watch.
    SilenceWatch(SilenceWatchRecord),
}

/// A completed batch: applied, superseded, dead-lettered, unrecognized and ignored events add up to its events.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BatchRecord {
    /// The attempt that completed it.
    #[serde(flatten)]
    pub attempt: AttemptRecord,
    /// The number of events with at least one reading newer than the document.
    pub applied: u64,
    /// The number of events without a newer reading.
    pub superseded: u64,
    /// The number of events that could not be applied.
    pub dead_lettered: u64,
    /// The number of events that have fields, but no reading. Nothing of them is stored.
    pub unrecognized: u64,
    /// The number of events that are not telemetry: IoT Hub reports a change of a device, or the telemetry file ignores them.
    pub ignored: u64,
    /// The number of records that are ordered by the time at which they were enqueued, because the clock of the device cannot
    /// be right.
    pub unusable_device_times: usize,
}

/// A failed attempt of a batch, which the host sends again.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FailedAttemptRecord {
    /// The attempt.
    #[serde(flatten)]
    pub attempt: AttemptRecord,
    /// The number of unresolved events.
    pub unresolved: u64,
    /// Why the attempt failed.
    pub reason: String,
}

/// An attempt of a batch, completed or failed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AttemptRecord {
    /// The host's id of the invocation, the same for each attempt; empty if the request had none.
    pub invocation_id: String,
    /// The partition that the batch came from.
    #[serde(flatten)]
    pub source: SourceRecord,
    /// The metadata of the Service Bus message, if the batch is one.
    #[serde(flatten)]
    pub message: Option<Message>,
    /// The sequence number of its first event that has one.
    pub first_sequence_number: Option<i64>,
    /// The sequence number of its last event that has one.
    pub last_sequence_number: Option<i64>,
    /// The number of the batch's attempt, from 1; for a message, the number of the delivery.
    #[serde(rename = "attempt")]
    pub number: i64,
    /// The number of events in the batch.
    pub events: u64,
    /// The number of records in its events. An event that is not decoded counts as one.
    pub records: usize,
    /// The number of devices that the decoded events belong to.
    pub devices: usize,
    /// The operations on the store in this attempt, and their cost.
    #[serde(flatten)]
    pub operations: Operations,
    /// The time for decoding, in milliseconds.
    pub decode_ms: f64,
    /// The time for reading and writing documents, in milliseconds.
    pub store_ms: f64,
    /// The lag of the partition, in milliseconds: the time since the batch's last event was enqueued if the batch is
    /// completed, and since its first event if the attempt failed. `None` for events without a position.
    pub lag_ms: Option<i64>,
}

/// A dead letter, as it is logged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterRecord {
    /// The id of the dead letter.
    pub dead_letter_id: String,
    /// The host's id of the invocation; empty if the request had none.
    pub invocation_id: String,
    /// The partition that the event came from.
    #[serde(flatten)]
    pub source: SourceRecord,
    /// The metadata of the Service Bus message, if the event was one.
    #[serde(flatten)]
    pub message: Option<Message>,
    /// The event's partition key.
    pub partition_key: Option<String>,
    /// The event's sequence number.
    pub sequence_number: Option<i64>,
    /// The device id, if it could be decoded.
    pub device_id: Option<String>,
    /// The stage that failed.
    pub stage: Stage,
    /// The cause of the failure.
    pub error_class: ErrorClass,
    /// A description of the failure.
    pub issue: String,
}

/// The dead-letter queue, as a timer function observed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterQueueRecord {
    /// The name of the queue.
    pub queue_name: String,
    /// The approximate number of messages, including those that are received and not deleted.
    pub messages: u64,
    /// The age of the oldest of the first 32 visible messages, in milliseconds. `None` if no message was visible.
    pub oldest_age_ms: Option<i64>,
    /// The time until the first of them expires, in milliseconds. `None` if no message was visible or none expires.
    pub expires_in_ms: Option<i64>,
}

/// A handler that is ready. More than one record per instance of the function app shows restarts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StartRecord {
    /// The handler's version.
    pub version: String,
    /// The process id.
    pub process_id: u32,
    /// The port on 127.0.0.1 on which it listens.
    pub port: u16,
    /// The store of the documents: the setting `StateStore`.
    pub state_store: String,
    /// How events are decoded, for people: `any JSON`, the path of the telemetry file, or `drone`.
    pub telemetry: String,
}

/// A device that has fallen silent. It is recorded at least once, before its document is marked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceSilentRecord {
    /// The device id.
    pub device_id: String,
    /// When the device was last heard, as its document says.
    pub silent_since: String,
    /// The time since then, in milliseconds.
    pub silent_ms: i64,
}

/// A device that was silent and is back. It is recorded at least once, before the mark of its document is removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceBackRecord {
    /// The device id.
    pub device_id: String,
    /// When the device was last heard before it was silent.
    pub silent_since: String,
    /// When the device was last heard.
    pub heard: String,
    /// The time between them, in milliseconds.
    pub silent_ms: i64,
}

/// A run of the silence watch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SilenceWatchRecord {
    /// The number of documents that were read.
    pub examined: u64,
    /// The number of devices that have fallen silent.
    pub silent: u64,
    /// The number of devices that are back.
    pub back: u64,
    /// The number of documents that the store did not let the watch change.
    pub rejected: u64,
    /// Whether all documents that are due were examined. The next run continues.
    pub is_complete: bool,
    /// The cost of all operations, in request units; 0 for a store without request units.
    pub request_units: f64,
}

/// The partition that something came from, as it is logged. A part that the request does not have is empty.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SourceRecord {
    /// The namespace's host name, which distinguishes the regions.
    pub fully_qualified_namespace: String,
    /// The hub.
    pub event_hub_name: String,
    /// The consumer group.
    pub consumer_group: String,
    /// The partition.
    pub partition_id: String,
    /// The Service Bus queue with sessions, instead of hub, consumer group and partition.
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
    /// Returns the record as one line of JSON, in which hidden characters are escaped: consoles show it.
    #[must_use]
    pub fn to_line(&self) -> String {
        escape_json(&serde_json::to_string(self).expect("a record is always JSON")).into_owned()
    }
}
