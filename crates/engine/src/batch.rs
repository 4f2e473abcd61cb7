//! The content of one invocation: a batch of events of one partition, with the host's metadata.

use std::sync::{Arc, OnceLock};

use arcstr::ArcStr;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::json::{Quotes, Raw, RequestValue};

/// An ordered batch of events of one partition.
#[derive(Debug, Default)]
pub struct Batch {
    /// The partition that the events come from.
    pub source: Source,
    /// The events, in the order of the partition.
    pub events: Vec<Event>,
    /// The host's metadata of each event.
    pub metadata: Arc<EventMetadata>,
    /// The metadata of the Service Bus message, if the batch is one.
    pub message: Option<Message>,
}

/// A message of a Service Bus session: a batch of one event, whose partition is the session.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// The session id, which should be the device id; empty if the request has none.
    pub session_id: String,
    /// The message id that the sender set; empty if the request has none.
    pub message_id: String,
    /// The number of the delivery, from 1; 0 if the request has none, as at the admin endpoint.
    pub delivery_count: i64,
}

impl Batch {
    /// Returns the key that identifies the batch in each of its attempts: the partition, the first sequence number and the
    /// invocation id, which the host keeps through all attempts.
    ///
    /// Without that id, all batches that begin with the same event would have one key: after a lost lease, or with a checkpoint
    /// that was set back, the same events come in other batches. The id is not used for a message, because each delivery is an
    /// invocation of its own. A batch without a position is from the admin endpoint, where each attempt may be one, too: its key
    /// is made from the bodies.
    #[must_use]
    pub fn key(&self, invocation_id: &str) -> String {
        let source = self.source.key();
        if let Some(position) = self.events.first().and_then(|event| event.position) {
            let invocation_id = if self.message.is_some() { "" } else { invocation_id };
            return format!("{source}@{}@{invocation_id}", position.sequence_number);
        }
        let mut hash = Sha256::new();
        for event in &self.events {
            hash.update(event.body.len().to_le_bytes());
            hash.update(&event.body);
        }
        format!("{source}#{:?}", hash.finalize())
    }
}

/// The partition that a batch comes from. A part that the request does not have is empty; at the admin endpoint all are.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Source {
    /// The namespace's host name, such as `ns.servicebus.windows.net`.
    #[serde(deserialize_with = "text_or_empty")]
    pub fully_qualified_namespace: String,
    /// The hub's name.
    #[serde(deserialize_with = "text_or_empty")]
    pub event_hub_name: String,
    /// The consumer group.
    #[serde(deserialize_with = "text_or_empty")]
    pub consumer_group: String,
    /// The partition id, a number as text.
    #[serde(deserialize_with = "text_or_empty")]
    pub partition_id: String,
    /// The Service Bus queue with sessions, instead of hub, consumer group and partition.
    #[serde(deserialize_with = "text_or_empty", skip_serializing_if = "String::is_empty")]
    pub session_queue_name: String,
}

/// Deserializes a part of a source. A part that is null or has another type does not invalidate the other parts.
fn text_or_empty<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    })
}

impl Source {
    /// Returns all parts as one text, which identifies the source.
    fn key(&self) -> String {
        let Self { fully_qualified_namespace, event_hub_name, consumer_group, partition_id, session_queue_name } = self;
        [fully_qualified_namespace, event_hub_name, consumer_group, partition_id, session_queue_name]
            .map(String::as_str)
            .join("\0")
    }

    /// Returns the name of the hub or of the queue with sessions. It is unique within the namespace.
    #[must_use]
    pub fn entity(&self) -> &str {
        if self.session_queue_name.is_empty() { &self.event_hub_name } else { &self.session_queue_name }
    }

    /// Returns a number made from namespace, hub and partition: the last part of a version. A queue with sessions has one
    /// number, because its sequence numbers count over the entire queue.
    ///
    /// It has 52 bits of a SHA-256, so that JSON parsers that use doubles do not change it; the lowest bit is 0, and versions of
    /// events that are ordered by time set it. The consumer group is not included: it identifies the reader, not the event.
    #[must_use]
    pub fn number(&self) -> u64 {
        let mut hash = Sha256::new();
        for part in [&self.fully_qualified_namespace, self.entity(), &self.partition_id] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let digest = hash.finalize();
        let first = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        first >> 12 << 1
    }
}

/// One event, with the metadata that its decoding and its version need.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Event {
    /// The body, byte for byte as it was sent. The bodies of a batch mostly share one buffer.
    pub body: Bytes,
    /// The event's position in its partition; `None` if the request has no usable one.
    pub position: Option<EventPosition>,
    /// The `content-type` that the sender set. The events of a batch mostly have the same, and share its memory.
    pub content_type: Option<ArcStr>,
    /// The device that IoT Hub authenticated as the sender.
    pub iot_hub_device_id: Option<String>,
    /// The time that orders the event within its source instead of the sequence number, in milliseconds since 1970, UTC; `None`
    /// if the sequence number does. It is the time at which IoT Hub accepted the message: if it sends a message again, that
    /// keeps this time, and gets a new position.
    pub time_ms: Option<i64>,
    /// When the device created the message, by the device's clock, in milliseconds since 1970, UTC: the application property
    /// `iothub-creation-time-utc`.
    pub created_ms: Option<i64>,
    /// What IoT Hub says the event is: `Telemetry`, or for example `twinChangeEvents`.
    pub iot_hub_message_source: Option<String>,
    /// Why this event could not be read from the envelope; `None` if it could.
    pub fault: Option<String>,
    /// The cells of the host's metadata, which are read only if the telemetry needs them.
    pub cells: EventCells,
}

/// The cells of one event in the host's metadata.
#[derive(Debug, Default, Clone)]
pub struct EventCells(Option<(Arc<EventMetadata>, usize)>);

impl EventCells {
    /// Returns the cells of the event with this index.
    pub(crate) fn new(metadata: Arc<EventMetadata>, index: usize) -> Self {
        Self(Some((metadata, index)))
    }

    /// Returns the application properties by name; empty if the event has no properties.
    #[must_use]
    pub fn properties(&self) -> serde_json::Map<String, serde_json::Value> {
        let object = self.get(|metadata, index| serde_json::from_str(metadata.properties.cell(index)?.get()).ok());
        object.unwrap_or_default()
    }

    /// Returns how the sender says that the body is encoded: the system property or application property `content-encoding`
    /// or `contentEncoding`.
    #[must_use]
    pub fn content_encoding(&self) -> Option<String> {
        let is_name = |name: &str| name.replace('-', "").eq_ignore_ascii_case("contentencoding");
        let property = |column: &MetadataColumn, index: usize| {
            let text = column.cell(index)?.get();
            // Most events have none: their properties are not parsed.
            memchr::memmem::find(text.as_bytes(), b"ncoding")?;
            let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).ok()?;
            let (_, value) = object.into_iter().find(|(name, _)| is_name(name))?;
            value.as_str().map(str::to_owned)
        };
        self.get(|metadata, index| {
            property(&metadata.system_properties, index).or_else(|| property(&metadata.properties, index))
        })
    }

    /// Returns the partition key.
    #[must_use]
    pub fn partition_key(&self) -> Option<String> {
        self.get(|metadata, index| metadata.partition_keys.string(index))
    }

    fn get<T>(&self, cell: impl FnOnce(&EventMetadata, usize) -> Option<T>) -> Option<T> {
        let Self(Some((metadata, index))) = self else { return None };
        cell(metadata, *index)
    }
}

/// Events are equal if the cells that they may be decoded from are.
impl PartialEq for EventCells {
    fn eq(&self, other: &Self) -> bool {
        self.properties() == other.properties() && self.partition_key() == other.partition_key()
    }
}

impl Eq for EventCells {}

/// The position of an event in its partition, as the service assigned it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventPosition {
    /// When the service enqueued the event, in milliseconds since 1970, UTC.
    pub enqueued_ms: i64,
    /// The sequence number within the partition.
    pub sequence_number: i64,
}

/// The host's metadata arrays. They stay unparsed in the request until they are needed. Most are needed only for a dead
/// letter.
#[derive(Debug, Default)]
pub struct EventMetadata {
    /// `SequenceNumberArray`.
    pub sequence_numbers: MetadataColumn,
    /// `EnqueuedTimeUtcArray`.
    pub enqueued_times: MetadataColumn,
    /// `PartitionKeyArray`.
    pub partition_keys: MetadataColumn,
    /// `OffsetStringArray`, or `OffsetArray` from older versions of the extension.
    pub offsets: MetadataColumn,
    /// `PropertiesArray`.
    pub properties: MetadataColumn,
    /// `SystemPropertiesArray`.
    pub system_properties: MetadataColumn,
}

/// One metadata array: the text of a JSON array with one cell per event.
///
/// Most columns are never read, so a column remains an unparsed slice of the request, where it may be a JSON string, until
/// it is read.
#[derive(Debug, Default)]
pub struct MetadataColumn {
    array: ArrayText,
    events: usize,
    cells: OnceLock<Vec<Box<RawValue>>>,
}

#[derive(Debug, Default)]
enum ArrayText {
    #[default]
    Absent,
    Text(String),
    Request {
        value: RequestValue,
        text: OnceLock<Option<String>>,
    },
}

impl MetadataColumn {
    /// Creates a column from the text of a JSON array, for a batch of `events` events.
    #[must_use]
    pub fn new(text: String, events: usize) -> Self {
        Self { array: ArrayText::Text(text), events, cells: OnceLock::new() }
    }

    /// Creates a column from a JSON value in a request: the array, or a string that contains it.
    pub(crate) fn from_request(request: &Bytes, value: Raw<'_>, events: usize) -> Self {
        let array = ArrayText::Request { value: value.in_request(request), text: OnceLock::new() };
        Self { array, events, cells: OnceLock::new() }
    }

    /// Returns the array's text, or `None` if the request has no such array.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.array {
            ArrayText::Absent => None,
            ArrayText::Text(text) => Some(text),
            ArrayText::Request { value, text } => {
                let unquoted = || String::from_utf8(value.raw().unquoted()?.into_owned()).ok();
                text.get_or_init(unquoted).as_deref()
            }
        }
    }

    /// Returns the array in its form in the request, without copying it. `None` if it must be unescaped first (see
    /// [`MetadataColumn::text`]) or is absent.
    pub(crate) fn unparsed(&self) -> Option<(&[u8], Quotes)> {
        match &self.array {
            ArrayText::Absent => None,
            ArrayText::Text(text) => Some((text.as_bytes(), Quotes::Plain)),
            ArrayText::Request { value, .. } => value.raw().contained_json(),
        }
    }

    /// Returns false if the column certainly contains none of these texts. This is fast and copies nothing; a text written
    /// with `\u` escapes counts as possible.
    pub(crate) fn may_contain(&self, parts: &[&str]) -> bool {
        let has = |text: &[u8]| parts.iter().any(|part| memchr::memmem::find(text, part.as_bytes()).is_some());
        match &self.array {
            ArrayText::Request { value, .. } if !value.raw().may_have_unicode_escapes() => has(value.raw().text),
            _ => self.text().is_some_and(|text| has(text.as_bytes()) || text.contains("\\u")),
        }
    }

    /// Returns the JSON text of one event's cell, byte for byte. `None` if the cell is absent or `null`, and if the number
    /// of cells is not the number of events, because then it is unknown which cell belongs to which event.
    #[must_use]
    pub fn cell(&self, index: usize) -> Option<&RawValue> {
        let text = self.text()?;
        let fits = |cells: &Vec<_>| cells.len() == self.events;
        let cells = self.cells.get_or_init(|| serde_json::from_str(text).ok().filter(fits).unwrap_or_default());
        cells.get(index).map(AsRef::as_ref).filter(|cell| cell.get() != "null")
    }

    /// Returns one event's cell as text, if it is a JSON string.
    #[must_use]
    pub fn string(&self, index: usize) -> Option<String> {
        serde_json::from_str(self.cell(index)?.get()).ok()
    }
}
