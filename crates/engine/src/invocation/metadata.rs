//! What the host says about the events of a request, next to them.

mod time;

use std::borrow::Cow;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::is_array;
use crate::{
    batch::{Event, EventMetadata, EventPosition, Message, MetadataColumn, Source},
    json::{Members, Quotes, Raw, elements, object, value},
};
use time::Times;

/// The metadata of a request: JSON values by name, read one by one when they are needed.
pub(super) struct Metadata<'a> {
    pub(super) request: &'a Bytes,
    pub(super) values: Members<'a>,
}

/// The names of a column: of the array, and of the one value of a single event.
type Names = (&'static str, &'static str);

const SEQUENCE_NUMBERS: [Names; 1] = [("SequenceNumberArray", "SequenceNumber")];
const ENQUEUED_TIMES: [Names; 1] = [("EnqueuedTimeUtcArray", "EnqueuedTimeUtc")];

/// A time before 2000 is none: what is not set is year 1 in .NET.
const YEAR_2000_MS: i64 = 946_684_800_000;

impl<'a> Metadata<'a> {
    fn get(&self, name: &str) -> Option<Raw<'a>> {
        self.values.iter().rfind(|(known, _)| **known == *name.as_bytes()).map(|(_, value)| *value)
    }

    /// A nested object, also where it is held in a string. What cannot be read counts as absent.
    pub(super) fn nested<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let text = self.get(name)?.unquoted().filter(|text| !is_array(text))?;
        serde_json::from_slice(&text).ok()
    }

    pub(super) fn source(&self) -> Source {
        self.nested("PartitionContext").or_else(|| self.nested("TriggerPartitionContext")).unwrap_or_default()
    }

    /// What the host says of each of so many events.
    pub(super) fn event_metadata(&self, count: usize) -> EventMetadata {
        EventMetadata {
            sequence_numbers: self.column(&SEQUENCE_NUMBERS, count),
            enqueued_times: self.column(&ENQUEUED_TIMES, count),
            partition_keys: self.column(&[("PartitionKeyArray", "PartitionKey")], count),
            offsets: self.column(&[("OffsetStringArray", "OffsetString"), ("OffsetArray", "Offset")], count),
            properties: self.column(&[("PropertiesArray", "Properties")], count),
            system_properties: self.column(&[("SystemPropertiesArray", "SystemProperties")], count),
        }
    }

    /// What the host says of a message of Service Bus. What its sender set stands under the names that it has in an event.
    pub(super) fn message_metadata(&self) -> EventMetadata {
        let set = [("content-type", "ContentType"), ("correlation-id", "CorrelationId")];
        let set = set.into_iter().filter_map(|(of_an_event, name)| Some((of_an_event, self.text(name)?)));
        let set: serde_json::Map<_, _> = set.map(|(name, value)| (name.to_owned(), value.into())).collect();
        let cell = |value: serde_json::Value| MetadataColumn::new(serde_json::Value::Array(vec![value]).to_string(), 1);
        EventMetadata {
            sequence_numbers: self.column(&SEQUENCE_NUMBERS, 1),
            // In whole seconds: the host writes a single time without its fraction. The sequence number does the rest.
            enqueued_times: self.column(&ENQUEUED_TIMES, 1),
            partition_keys: self.text("PartitionKey").map(|key| cell(key.into())).unwrap_or_default(),
            properties: self.column(
                &[("ApplicationPropertiesArray", "ApplicationProperties"), ("UserPropertiesArray", "UserProperties")],
                1,
            ),
            system_properties: if set.is_empty() { MetadataColumn::default() } else { cell(set.into()) },
            ..EventMetadata::default()
        }
    }

    /// What Service Bus says of a message.
    pub(super) fn message(&self) -> Message {
        Message {
            session_id: self.text("SessionId").unwrap_or_default(),
            message_id: self.text("MessageId").unwrap_or_default(),
            delivery_count: self.text("DeliveryCount").and_then(|count| count.parse().ok()).unwrap_or_default(),
        }
    }

    /// A single value as text. The host writes each of them as JSON into a string, and so a text in two pairs of quotes.
    fn text(&self, name: &str) -> Option<String> {
        let value = self.get(name)?.unquoted().filter(|value| **value != *b"null")?;
        let text = if value.starts_with(b"\"") { Raw::of(&value)?.unquoted()? } else { Cow::Borrowed(&*value) };
        String::from_utf8(text.into_owned()).ok()
    }

    /// The column under the first of these names that is there: as an array, or as the one value of a single event.
    fn column(&self, names: &[Names], count: usize) -> MetadataColumn {
        for (array, single) in names {
            if let Some(array) = self.get(array).filter(|array| is_there(*array)) {
                return MetadataColumn::of_request(self.request, array, count);
            }
            // A single event has singular keys; what is held in them may be a string around JSON, too.
            if let Some(value) = self.get(single).filter(|_| count == 1) {
                let object = value.unquoted().filter(|text| text.starts_with(b"{"));
                let value = String::from_utf8_lossy(object.as_deref().unwrap_or(value.text));
                return MetadataColumn::new(format!("[{value}]"), count);
            }
        }
        MetadataColumn::default()
    }
}

/// Whether a column's value says something: it is not null, also not in a string, and no text that is none.
fn is_there(value: Raw<'_>) -> bool {
    if value.may_hide_letters() {
        value.unquoted().is_some_and(|text| *text != *b"null")
    } else {
        value.in_quotes().unwrap_or(value.text) != b"null"
    }
}

/// Tells each event its place, content type and device.
pub(super) fn attach(events: &mut [Event], metadata: &EventMetadata) {
    attach_system_properties(events, &metadata.system_properties);
    attach_positions(events, metadata);
}

/// The cells of a column, one for each event; an error when there is a column, but not one that fits the events. `cell`
/// makes one of the text that begins with it, and gives back the text behind it as well.
fn cells<'c, T>(
    column: &'c MetadataColumn,
    name: &str,
    count: usize,
    cell: impl Fn(&'c [u8], Quotes) -> Option<(T, &'c [u8])>,
) -> Result<Option<Vec<T>>, String> {
    let of = |text, quotes| elements(text, |text| cell(text, quotes));
    let cells = match column.as_it_stands() {
        Some((text, Quotes::Plain)) => of(text, Quotes::Plain),
        Some((text, quotes)) => of(text, quotes).or_else(|| of(column.text()?.as_bytes(), Quotes::Plain)),
        None => match column.text() {
            Some(text) => of(text.as_bytes(), Quotes::Plain),
            None => return Ok(None),
        },
    };
    let cells = cells.ok_or_else(|| {
        let text = column.text().unwrap_or_default();
        format!("the metadata {name} cannot be read: {}", super::no_array(text.as_bytes()))
    })?;
    if cells.len() == count {
        Ok(Some(cells))
    } else {
        Err(format!("the metadata {name} has {} entries for {count} events", cells.len()))
    }
}

/// What an event needs of its system properties.
#[derive(Default)]
struct SystemProperties {
    content_type: Option<String>,
    iot_hub_device_id: Option<String>,
}

const CONTENT_TYPE: &str = "content-type";
const IOT_HUB_DEVICE_ID: &str = "iothub-connection-device-id";

/// The system properties with which the text begins, and the text behind them. Where they are no object, say one of these
/// twice, or say it by no text, they say neither.
fn system_properties(text: &[u8], quotes: Quotes) -> Option<(SystemProperties, &[u8])> {
    if !text.starts_with(b"{") {
        return value(text, quotes).map(|(_, rest)| (SystemProperties::default(), rest));
    }
    let (mut content_type, mut iot_hub_device_id, mut is_clear) = (None, None, true);
    let rest = object(text, quotes, |name, text| {
        let (value, rest) = value(text, quotes)?;
        let said = match name.unquoted() {
            Some(name) if *name == *CONTENT_TYPE.as_bytes() => content_type.replace(value),
            Some(name) if *name == *IOT_HUB_DEVICE_ID.as_bytes() => iot_hub_device_id.replace(value),
            Some(_) => None,
            None => Some(value),
        };
        is_clear &= said.is_none();
        Some(rest)
    })?;
    let properties = match (text_of(content_type), text_of(iot_hub_device_id)) {
        (Ok(content_type), Ok(iot_hub_device_id)) if is_clear => SystemProperties { content_type, iot_hub_device_id },
        _ => SystemProperties::default(),
    };
    Some((properties, rest))
}

/// A property is no text.
struct NoText;

/// The text of a property, which may also be absent or null.
fn text_of(property: Option<Raw<'_>>) -> Result<Option<String>, NoText> {
    let Some(value) = property.filter(|value| value.text != b"null") else { return Ok(None) };
    let text = value.in_quotes().and_then(|_| value.unquoted()).ok_or(NoText)?;
    String::from_utf8(text.into_owned()).map(Some).map_err(|_| NoText)
}

fn attach_system_properties(events: &mut [Event], column: &MetadataColumn) {
    // Many senders set neither, and the column is most of an envelope. The first is what the names have in common, and
    // nothing does that Event Hubs itself sets: then that is all there is to look for.
    if !column.may_have(&["con"]) || !column.may_have(&[CONTENT_TYPE, IOT_HUB_DEVICE_ID]) {
        return;
    }
    // Where the column does not fit, the body alone must tell what it is and whose: it is decided without it.
    let cells = cells(column, "SystemPropertiesArray", events.len(), system_properties);
    for (event, cell) in events.iter_mut().zip(cells.ok().flatten().unwrap_or_default()) {
        event.content_type = cell.content_type;
        event.iot_hub_device_id = cell.iot_hub_device_id;
    }
}

/// Tells each event its place. Where the arrays do not fit the events, no event can be told its own: each is at fault,
/// since the time of arrival in place of a real one could put an old reading over a newer one.
fn attach_positions(events: &mut [Event], metadata: &EventMetadata) {
    let count = events.len();
    let numbers = cells(&metadata.sequence_numbers, "SequenceNumberArray", count, value);
    let times = cells(&metadata.enqueued_times, "EnqueuedTimeUtcArray", count, value);
    let (numbers, times) = match (numbers, times) {
        (Ok(Some(numbers)), Ok(Some(times))) => (numbers, times),
        (Ok(None), Ok(None)) => return,
        (numbers, times) => {
            let fault = numbers.err().or(times.err()).unwrap_or_else(|| {
                "of the metadata SequenceNumberArray and EnqueuedTimeUtcArray only one is there".into()
            });
            for event in events {
                event.fault.get_or_insert_with(|| format!("{fault}, so that no event can be told its place"));
            }
            return;
        }
    };
    let mut reader = Times::default();
    for ((event, number), time) in events.iter_mut().zip(numbers).zip(times) {
        match position(number, time, &mut reader) {
            Ok(position) => event.position = position,
            Err(fault) => {
                event.fault.get_or_insert(fault);
            }
        }
    }
}

/// An event's place; `None` where the host tells none or one that cannot be, as the admin endpoint does.
fn position(number: Raw<'_>, time: Raw<'_>, times: &mut Times) -> Result<Option<EventPosition>, String> {
    // In quotes or not: the host writes some values of a single event as text, and a time in two pairs of quotes.
    let [number, time] = [number, time].map(|cell| cell.in_quotes().unwrap_or(cell.text));
    let (number, time) = (trimmed(number, b"\""), trimmed(time, b"\"\\"));
    if number == b"null" || time == b"null" {
        return Ok(None);
    }
    let sequence_number = whole(number).ok_or_else(|| {
        format!("its sequence number {:?} in the metadata cannot be read", String::from_utf8_lossy(number))
    })?;
    let enqueued_ms = times.milliseconds(time).ok_or_else(|| {
        format!("its enqueued time {:?} in the metadata cannot be read", String::from_utf8_lossy(time))
    })?;
    let usable = enqueued_ms >= YEAR_2000_MS && sequence_number >= 0;
    Ok(usable.then_some(EventPosition { enqueued_ms, sequence_number }))
}

fn trimmed<'t>(mut text: &'t [u8], of: &[u8]) -> &'t [u8] {
    while let Some((first, rest)) = text.split_first()
        && of.contains(first)
    {
        text = rest;
    }
    while let Some((last, rest)) = text.split_last()
        && of.contains(last)
    {
        text = rest;
    }
    text
}

fn whole(text: &[u8]) -> Option<i64> {
    str::from_utf8(text).ok()?.parse().ok()
}
