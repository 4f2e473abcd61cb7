//! What one invocation brings: a batch of events of one partition, and everything that the host says about them.

use std::sync::OnceLock;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::json::{Kept, Quotes, Raw};

/// An ordered batch of events of one partition.
#[derive(Debug, Default)]
pub struct Batch {
    /// Where the events come from.
    pub source: Source,
    /// The events, in the order in which the partition holds them.
    pub events: Vec<Event>,
    /// What the host says of each event and only a dead letter needs.
    pub metadata: EventMetadata,
    /// What Service Bus says of the message, where the batch is one.
    pub message: Option<Message>,
}

/// A message of a Service Bus session: a batch of one event, whose partition is the session.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// The session, which is the device for whoever sends as this product asks; empty when the host tells none.
    pub session_id: String,
    /// The id that the sender gave it; empty when the host tells none.
    pub message_id: String,
    /// Which delivery this is, from 1; 0 when the host tells none, as at the admin endpoint.
    pub delivery_count: i64,
}

impl Batch {
    /// By what the batch is known when it comes again: partition and first sequence number. Where it has no place, by its
    /// bodies, and not by the invocation: at the admin endpoint each attempt is an invocation of its own.
    #[must_use]
    pub fn key(&self) -> String {
        if let Some(position) = self.events.first().and_then(|event| event.position) {
            return format!("{}@{}", self.source.key(), position.sequence_number);
        }
        let mut hash = Sha256::new();
        for event in &self.events {
            hash.update(event.body.len().to_le_bytes());
            hash.update(&event.body);
        }
        format!("{}#{:?}", self.source.key(), hash.finalize())
    }
}

/// Where a batch comes from. A part that the host does not tell is empty: the admin endpoint tells none.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Source {
    /// The namespace's host name, such as `ns.servicebus.windows.net`.
    #[serde(deserialize_with = "text")]
    pub fully_qualified_namespace: String,
    /// The hub's name.
    #[serde(deserialize_with = "text")]
    pub event_hub_name: String,
    /// The consumer group.
    #[serde(deserialize_with = "text")]
    pub consumer_group: String,
    /// The partition id, a number as text.
    #[serde(deserialize_with = "text")]
    pub partition_id: String,
    /// The Service Bus queue with sessions, in place of hub, consumer group and partition.
    #[serde(deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub session_queue_name: String,
}

/// A part of a source. What the host does not know is null or absent, and spoils no other part.
fn text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    })
}

impl Source {
    /// All that is told of it as one text.
    fn key(&self) -> String {
        let Self { fully_qualified_namespace, event_hub_name, consumer_group, partition_id, session_queue_name } = self;
        [fully_qualified_namespace, event_hub_name, consumer_group, partition_id, session_queue_name]
            .map(String::as_str)
            .join("\0")
    }

    /// The hub, or the queue with sessions: names that one namespace never has twice.
    #[must_use]
    pub fn entity(&self) -> &str {
        if self.session_queue_name.is_empty() { &self.event_hub_name } else { &self.session_queue_name }
    }

    /// A number made from namespace, hub and partition: the last part of a version. A queue with sessions has just one,
    /// since its sequence numbers are of the whole queue.
    ///
    /// 53 bits of a SHA-256, so that it survives readers that keep numbers as doubles. The consumer group is no part
    /// of it: it says who reads, not what was sent.
    #[must_use]
    pub fn number(&self) -> u64 {
        let mut hash = Sha256::new();
        for part in [&self.fully_qualified_namespace, self.entity(), &self.partition_id] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let digest = hash.finalize();
        let first = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        first >> 11
    }
}

/// One event, with what its decoding and its version need.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Event {
    /// The body, byte for byte as it was sent. Those of a batch mostly lie in one piece of memory, which each keeps.
    pub body: Bytes,
    /// The event's place in its partition; `None` when the host told none that is usable.
    pub position: Option<EventPosition>,
    /// The `content-type` that the sender set.
    pub content_type: Option<String>,
    /// The device that IoT Hub authenticated as the sender.
    pub iot_hub_device_id: Option<String>,
    /// Why this event cannot be taken from the envelope, where that is so.
    pub fault: Option<String>,
}

/// An event's place in its partition, as the service gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventPosition {
    /// When the service enqueued the event, in milliseconds since 1970.
    pub enqueued_ms: i64,
    /// The sequence number within the partition.
    pub sequence_number: i64,
}

/// The host's metadata arrays. Those that only a dead letter asks for stay in the request until one does.
#[derive(Debug, Default)]
pub struct EventMetadata {
    /// `SequenceNumberArray`.
    pub sequence_numbers: MetadataColumn,
    /// `EnqueuedTimeUtcArray`.
    pub enqueued_times: MetadataColumn,
    /// `PartitionKeyArray`.
    pub partition_keys: MetadataColumn,
    /// `OffsetStringArray`, or `OffsetArray` where the extension is older.
    pub offsets: MetadataColumn,
    /// `PropertiesArray`.
    pub properties: MetadataColumn,
    /// `SystemPropertiesArray`.
    pub system_properties: MetadataColumn,
}

/// One metadata array: the text of a JSON array with a cell for each event.
///
/// Most are never asked for. So one that a request holds stays a part of the request, in which it may be a string, until
/// it is.
#[derive(Debug, Default)]
pub struct MetadataColumn {
    held: Held,
    events: usize,
    cells: OnceLock<Vec<Box<RawValue>>>,
}

#[derive(Debug, Default)]
enum Held {
    #[default]
    Nowhere,
    Text(String),
    Request {
        value: Kept,
        text: OnceLock<Option<String>>,
    },
}

impl MetadataColumn {
    /// A column from the text of a JSON array, for a batch of so many events.
    #[must_use]
    pub fn new(text: String, events: usize) -> Self {
        Self { held: Held::Text(text), events, cells: OnceLock::new() }
    }

    /// A column from a JSON value in a request: the array, or a string that holds it.
    pub(crate) fn of_request(request: &Bytes, value: Raw<'_>, events: usize) -> Self {
        let held = Held::Request { value: value.kept(request), text: OnceLock::new() };
        Self { held, events, cells: OnceLock::new() }
    }

    /// The array's text, or `None` when the host sent no such array.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.held {
            Held::Nowhere => None,
            Held::Text(text) => Some(text),
            Held::Request { value, text } => {
                let unquoted = || String::from_utf8(value.raw().unquoted()?.into_owned()).ok();
                text.get_or_init(unquoted).as_deref()
            }
        }
    }

    /// The array, to be read as it stands, without making its text; `None` where that is needed, or there is none.
    pub(crate) fn as_it_stands(&self) -> Option<(&[u8], Quotes)> {
        match &self.held {
            Held::Nowhere => None,
            Held::Text(text) => Some((text.as_bytes(), Quotes::Plain)),
            Held::Request { value, .. } => value.raw().held(),
        }
    }

    /// Whether one of these may stand in the column, also where a letter is written by its number; quickly, and without
    /// making its text.
    pub(crate) fn may_have(&self, parts: &[&str]) -> bool {
        let has = |text: &[u8]| parts.iter().any(|part| memchr::memmem::find(text, part.as_bytes()).is_some());
        match &self.held {
            Held::Request { value, .. } if !value.raw().may_hide_letters() => has(value.raw().text),
            _ => self.text().is_some_and(|text| has(text.as_bytes()) || text.contains("\\u")),
        }
    }

    /// The JSON text of one event's cell, byte for byte; `None` where there is none or it is `null`, and when the array
    /// has not just one cell for each event: then nobody knows which is whose.
    #[must_use]
    pub fn cell(&self, index: usize) -> Option<&RawValue> {
        let text = self.text()?;
        let fits = |cells: &Vec<_>| cells.len() == self.events;
        let cells = self.cells.get_or_init(|| serde_json::from_str(text).ok().filter(fits).unwrap_or_default());
        cells.get(index).map(AsRef::as_ref).filter(|cell| cell.get() != "null")
    }

    /// One event's cell as text, when it is a JSON string.
    #[must_use]
    pub fn string(&self, index: usize) -> Option<String> {
        serde_json::from_str(self.cell(index)?.get()).ok()
    }
}
