//! Reads the metadata of a single event: of a function with `cardinality: one`, from the admin endpoint, or of a Service Bus
//! message.
//!
//! The host writes each of these values as JSON in a string, and times without their fraction. `SystemProperties` has the same
//! values typed and exact, if the event is of a hub.
//!
//! With another `dataType` than binary the host also copies members of the body into the metadata, over values of the same
//! name. So the handler does not start with such a function.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{Metadata, parse_integer};
use crate::{
    batch::{EventMetadata, Message, MetadataColumn},
    json::{Members, Raw, parse_members},
};

/// Returns the metadata of an event of a hub.
///
/// # Errors
///
/// Returns a description if the system properties are not an object. The position is then unknown.
pub(super) fn event_metadata(metadata: &Metadata) -> Result<EventMetadata, String> {
    let system_properties = object(metadata, "SystemProperties")?;
    let members = system_properties.as_ref().and_then(|object| parse_members(object.as_bytes()));
    let properties = Properties(members.map(|(members, _)| members).unwrap_or_default());
    let exact = |names: &[&str]| names.iter().find_map(|name| properties.get(name));
    let text = |name| text(metadata, name);
    let sequence_number = exact(&["SequenceNumber", "x-opt-sequence-number"]).or_else(|| number(metadata));
    if is_unknown(sequence_number.as_deref()) {
        return Ok(EventMetadata::default());
    }
    let offset = exact(&["OffsetString", "x-opt-offset"]).or_else(|| text("OffsetString")).or_else(|| text("Offset"));
    Ok(EventMetadata {
        sequence_numbers: column(sequence_number),
        enqueued_times: column(exact(&["EnqueuedTimeUtc"]).or_else(|| text("EnqueuedTimeUtc"))),
        partition_keys: column(exact(&["PartitionKey", "x-opt-partition-key"]).or_else(|| text("PartitionKey"))),
        offsets: column(offset),
        properties: column(object(metadata, "Properties").unwrap_or_default()),
        system_properties: column(system_properties),
    })
}

/// Returns the metadata of a Service Bus message. Properties that the sender set get the names that they have in an event.
pub(super) fn message_metadata(metadata: &Metadata) -> EventMetadata {
    let names_set_by_sender = [("content-type", "ContentType"), ("correlation-id", "CorrelationId")];
    let set_by_sender: Map<_, _> = names_set_by_sender
        .into_iter()
        .filter_map(|(event_name, name)| Some((event_name.to_owned(), metadata.text(name)?.into())))
        .collect();
    let sequence_number = number(metadata);
    let is_unknown = is_unknown(sequence_number.as_deref());
    let position = |cell: Option<String>| column(cell.filter(|_| !is_unknown));
    let properties = ["ApplicationProperties", "UserProperties"];
    EventMetadata {
        sequence_numbers: position(sequence_number),
        // In full seconds, and nothing is more exact. Within a second the sequence number decides.
        enqueued_times: position(text(metadata, "EnqueuedTimeUtc")),
        partition_keys: column(text(metadata, "PartitionKey")),
        properties: column(properties.into_iter().find_map(|name| object(metadata, name).unwrap_or_default())),
        system_properties: column((!set_by_sender.is_empty()).then(|| Value::Object(set_by_sender).to_string())),
        ..EventMetadata::default()
    }
}

/// Returns the Service Bus fields of a message.
pub(super) fn message(metadata: &Metadata) -> Message {
    Message {
        session_id: metadata.text("SessionId").unwrap_or_default(),
        message_id: metadata.text("MessageId").unwrap_or_default(),
        delivery_count: metadata.text("DeliveryCount").and_then(|count| count.parse().ok()).unwrap_or_default(),
    }
}

/// The system properties of an event.
struct Properties<'a>(Members<'a>);

impl Properties<'_> {
    /// Returns the JSON of a property, which may be null; `None` if it is absent.
    fn get(&self, name: &str) -> Option<String> {
        let (_, value) = self.0.iter().rfind(|(known, _)| **known == *name.as_bytes())?;
        String::from_utf8(value.text.to_vec()).ok()
    }
}

impl Metadata<'_> {
    /// Returns a single value as text. The host writes each value as JSON in a string, so a text has two pairs of quotes.
    fn text(&self, name: &str) -> Option<String> {
        let value = self.get(name)?.unquoted().filter(|value| **value != *b"null")?;
        let text = if value.starts_with(b"\"") { Raw::parse(&value)?.unquoted()? } else { Cow::Borrowed(&*value) };
        String::from_utf8(text.into_owned()).ok()
    }
}

/// Returns the JSON of an object, which may be in a string; `None` if it is absent or null.
///
/// # Errors
///
/// Returns a description if the value is something else.
fn object(metadata: &Metadata, name: &str) -> Result<Option<String>, String> {
    let Some(value) = metadata.get(name).filter(|value| value.text != b"null") else { return Ok(None) };
    let object = || {
        let text = value.unquoted()?;
        let object = Raw::parse(&text)?.text;
        parse_members(object)?;
        String::from_utf8(object.to_vec()).ok()
    };
    let fault = || format!("the metadata {name} is not an object, so the position of the event is unknown");
    object().map(Some).ok_or_else(fault)
}

/// Returns a single value as the JSON of a text; as it is if it is null or cannot be decoded.
fn text(metadata: &Metadata, name: &str) -> Option<String> {
    let value = metadata.get(name)?;
    let undecoded = || String::from_utf8_lossy(value.text).into_owned();
    Some(metadata.text(name).map_or_else(undecoded, |text| Value::String(text).to_string()))
}

/// Returns the JSON of the sequence number: a number, although the host writes it as text.
fn number(metadata: &Metadata) -> Option<String> {
    let number = metadata.text("SequenceNumber").and_then(|text| parse_integer(text.as_bytes()));
    number.map(|number| number.to_string()).or_else(|| text(metadata, "SequenceNumber"))
}

/// Returns true for the sequence number of an invocation by the admin endpoint, which knows nothing of an event except its body:
/// its other values, such as the year 1, are impossible too.
fn is_unknown(sequence_number: Option<&str>) -> bool {
    sequence_number.is_some_and(|number| parse_integer(number.as_bytes()).is_some_and(|number| number < 0))
}

/// Creates a column of one cell.
fn column(cell: Option<String>) -> MetadataColumn {
    cell.map(|cell| MetadataColumn::new(format!("[{cell}]"), 1)).unwrap_or_default()
}
