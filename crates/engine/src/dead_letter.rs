//! The dead letter: one event that could not be applied, complete, with the cause and the origin.
//!
//! `Issue`, `EventData` and `DeviceState` are fields of the reference implementation. A final reply has exactly one dead
//! letter for each failed event. But the host's puts into the queue are not atomic, and replies can be repeated, so
//! duplicates are detected by the id.

mod fetch;
mod id;
mod overflow;
mod overflow_cache;
mod replay;
mod text;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use sha2::{Digest as _, Sha256};

use crate::{
    batch::{Batch, MetadataColumn, Source},
    failure::{ErrorClass, Failure, Stage},
    text::{MAX_TEXT_CHARS, first_chars, iso8601, truncated},
};

pub use fetch::{FetchError, event_body, fetch_complete};
pub use id::{ID_DIGITS, IdCheck, is_dead_letter_id};
pub use overflow::{Directory, Overflow, OverflowError, name_in_location, without_query};
pub use overflow_cache::OverflowCache;
pub use replay::Replay;
pub use text::with_members;

/// The maximum number of bytes of text in a message of a Storage queue: 64 KiB after base64.
pub const MAX_MESSAGE_BYTES: usize = 49_152;

/// The version of this handler, as written into dead letters.
pub const HANDLER_VERSION: &str = env!("CARGO_PKG_VERSION");

/// A dead letter, as the JSON of a queue message: see `docs/reference/dead-letter.schema.json`.
///
/// A dead letter that was parsed from a message is serialized to the same bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeadLetter {
    /// The id: 32 hexadecimal digits, the same for each repeat of the same event.
    pub id: String,
    /// A description of the failure.
    pub issue: String,
    /// The stage that failed.
    pub stage: Stage,
    /// The cause of the failure.
    pub error_class: ErrorClass,
    /// The device id, truncated, if it could be decoded. Messages without room for `device_state` have it as well; messages
    /// of earlier versions do not.
    #[serde(default)]
    pub device_id: Option<String>,
    /// The complete event.
    pub event_data: EventData,
    /// The decoded readings, or null.
    pub device_state: Option<Value>,
    /// The partition that the event comes from.
    pub source: Source,
    /// The host's id of the invocation.
    pub invocation_id: String,
    /// The number of the batch's attempt, from 1.
    pub attempt: i64,
    /// When it failed, in UTC.
    pub time: String,
    /// The version of the handler: [`HANDLER_VERSION`].
    pub handler_version: String,
    /// The value of the setting `Telemetry` with which the event was decoded; `None` in dead letters of earlier versions.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub telemetry: Option<String>,
    /// The location of the complete dead letter, if it did not fit into the queue.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub overflow: Option<Pointer>,
    /// The last replay, if the dead letter was replayed and failed again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub replay: Option<Replay>,
}

/// The event of a dead letter. Fields that the request did not have are null; JSON values are unchanged.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EventData {
    /// The exact bytes, as base64; null if they are in the overflow.
    pub body: Option<String>,
    /// The length and the hash of the complete body, if it was truncated: `body` is then only its beginning.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub body_cut: Option<Fingerprint>,
    /// Whether the properties were too large and were left out.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub properties_cut: bool,
    /// The session id of a Service Bus message.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub session_id: Option<String>,
    /// The id of a Service Bus message.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message_id: Option<String>,
    /// The number of the failed delivery of a Service Bus message, from 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub delivery_count: Option<i64>,
    /// The partition key.
    pub partition_key: Option<Box<RawValue>>,
    /// The sequence number.
    pub sequence_number: Option<Box<RawValue>>,
    /// The offset.
    pub offset: Option<Box<RawValue>>,
    /// When the service enqueued the event.
    pub enqueued_time_utc: Option<Box<RawValue>>,
    /// The application properties.
    pub properties: Option<Box<RawValue>>,
    /// The system properties.
    pub system_properties: Option<Box<RawValue>>,
}

/// The length and the hash of some bytes, to verify what is stored elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Fingerprint {
    /// The length in bytes.
    pub length: usize,
    /// The SHA-256, in hexadecimal digits.
    pub sha256: String,
}

/// A pointer to a dead letter in the overflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Pointer {
    /// A file's path or a blob's address.
    pub location: String,
    /// The fingerprint of what was stored there.
    #[serde(flatten)]
    pub fingerprint: Fingerprint,
}

/// The attempt in which an event failed.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// The host's id of the invocation, the same for each attempt of a batch.
    pub invocation_id: &'a str,
    /// The number of the attempt, from 1.
    pub number: i64,
    /// When the attempt failed, in milliseconds since 1970, UTC.
    pub time_ms: i64,
    /// The value of the setting `Telemetry`.
    pub telemetry: &'a str,
}

/// The maximum number of characters of a source's part in a shortened message. Azure's names are not longer.
const MAX_NAME_CHARS: usize = 256;

impl DeadLetter {
    /// Creates the dead letter of one event of a batch.
    ///
    /// # Panics
    ///
    /// Panics if the batch has no event with this index.
    #[must_use]
    pub fn new(batch: &Batch, index: usize, failure: &Failure, attempt: Attempt) -> Self {
        let (event, metadata) = (&batch.events[index], &batch.metadata);
        let cell = |column: &MetadataColumn| column.cell(index).map(ToOwned::to_owned);
        Self {
            id: id::dead_letter_id(batch, index),
            issue: truncated(&failure.issue),
            stage: failure.stage,
            error_class: failure.class,
            device_id: failure.device_id.as_deref().map(truncated),
            event_data: EventData {
                body: Some(BASE64.encode(&event.body)),
                body_cut: None,
                properties_cut: false,
                session_id: batch.message.as_ref().map(|message| message.session_id.clone()),
                message_id: batch.message.as_ref().map(|message| message.message_id.clone()),
                delivery_count: batch.message.as_ref().map(|message| message.delivery_count),
                partition_key: cell(&metadata.partition_keys),
                sequence_number: cell(&metadata.sequence_numbers),
                offset: cell(&metadata.offsets),
                enqueued_time_utc: cell(&metadata.enqueued_times),
                properties: cell(&metadata.properties),
                system_properties: cell(&metadata.system_properties),
            },
            device_state: failure.device_state.clone(),
            source: batch.source.clone(),
            invocation_id: attempt.invocation_id.to_owned(),
            attempt: attempt.number,
            time: iso8601(attempt.time_ms),
            handler_version: HANDLER_VERSION.to_owned(),
            telemetry: Some(attempt.telemetry.to_owned()),
            overflow: None,
            replay: None,
        }
    }

    /// Returns the message's text, or `None` if it does not fit into the queue.
    #[must_use]
    pub fn message(&self) -> Option<String> {
        Some(self.to_json()).filter(|text| text.len() <= MAX_MESSAGE_BYTES)
    }

    /// Returns the message's text, whatever its size.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings, numbers and JSON values are always JSON")
    }

    /// Returns the message for a dead letter that did not fit and was stored in the overflow: it points to the location.
    #[must_use]
    pub fn message_with_pointer(&self, pointer: Pointer) -> String {
        Self { overflow: Some(pointer), ..self.shortened() }.to_json()
    }

    /// Returns the message for a dead letter that did not fit and could not be stored in the overflow: the body is
    /// truncated and marked as truncated.
    #[must_use]
    pub fn truncated_message(&self) -> String {
        let body = self.event_data.body.as_deref().unwrap_or_default();
        let bytes = BASE64.decode(body).unwrap_or_default();
        let mut truncated = self.shortened();
        let EventData { properties, system_properties, .. } = &self.event_data;
        truncated.event_data.properties_cut = properties.is_some() || system_properties.is_some();
        truncated.event_data.body_cut = Some(Fingerprint::of_bytes(&bytes));
        let room = MAX_MESSAGE_BYTES.saturating_sub(truncated.to_json().len());
        if body.len() <= room {
            truncated.event_data.body_cut = None;
        }
        // Only complete groups of four characters, so that the truncated body is still valid base64.
        truncated.event_data.body = Some(body[..body.len().min(room / 4 * 4)].to_owned());
        truncated.to_json()
    }

    /// Returns a copy without the body and without any other value of unlimited size, so that it always fits.
    fn shortened(&self) -> Self {
        let cell = |cell: &Option<Box<RawValue>>| cell.clone().filter(|value| value.get().len() <= MAX_TEXT_CHARS);
        let name = |name: &String| first_chars(name, MAX_NAME_CHARS);
        Self {
            id: self.id.clone(),
            issue: self.issue.clone(),
            stage: self.stage,
            error_class: self.error_class,
            device_id: self.device_id.clone(),
            event_data: EventData {
                body: None,
                body_cut: None,
                properties_cut: false,
                session_id: self.event_data.session_id.as_ref().map(name),
                message_id: self.event_data.message_id.as_ref().map(name),
                delivery_count: self.event_data.delivery_count,
                partition_key: cell(&self.event_data.partition_key),
                sequence_number: cell(&self.event_data.sequence_number),
                offset: cell(&self.event_data.offset),
                enqueued_time_utc: cell(&self.event_data.enqueued_time_utc),
                properties: None,
                system_properties: None,
            },
            device_state: None,
            source: Source {
                fully_qualified_namespace: name(&self.source.fully_qualified_namespace),
                event_hub_name: name(&self.source.event_hub_name),
                consumer_group: name(&self.source.consumer_group),
                partition_id: name(&self.source.partition_id),
                session_queue_name: name(&self.source.session_queue_name),
            },
            invocation_id: truncated(&self.invocation_id),
            attempt: self.attempt,
            time: self.time.clone(),
            handler_version: self.handler_version.clone(),
            telemetry: self.telemetry.clone(),
            overflow: None,
            replay: self.replay.clone(),
        }
    }
}

impl Fingerprint {
    /// Computes the fingerprint of some bytes.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self { length: bytes.len(), sha256: hex(&Sha256::digest(bytes)) }
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
