//! Reads the metadata of the events of a request.

mod properties;
mod single;
mod time;

use std::borrow::Cow;

use arcstr::ArcStr;
use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::is_array;
use crate::{
    batch::{Event, EventMetadata, EventPosition, Message, MetadataColumn, Source},
    device_state::MAX_CLOCK_STEP_MS,
    function_app::Cardinality,
    json::{Members, Quotes, Raw, parse_elements, parse_value},
};
use properties::properties;
use time::TimeParser;

/// The metadata of a request: unparsed JSON values by name, read one by one when they are needed.
pub(super) struct Metadata<'a> {
    pub(super) request: &'a Bytes,
    pub(super) values: Members<'a>,
}

/// The names of the metadata arrays of a batch.
const ARRAYS: [&str; 7] = [
    "SequenceNumberArray",
    "EnqueuedTimeUtcArray",
    "PartitionKeyArray",
    "OffsetStringArray",
    "OffsetArray",
    "PropertiesArray",
    "SystemPropertiesArray",
];

/// An earlier enqueued time counts as absent: an unset time is the year 1 in .NET.
const YEAR_2000_MS: i64 = 946_684_800_000;

impl<'a> Metadata<'a> {
    fn get(&self, name: &str) -> Option<Raw<'a>> {
        self.values.iter().rfind(|(known, _)| **known == *name.as_bytes()).map(|(_, value)| *value)
    }

    /// Returns a nested object, which may be a JSON string. An invalid one counts as absent.
    pub(super) fn nested<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let text = self.get(name)?.unquoted().filter(|text| !is_array(text))?;
        serde_json::from_slice(&text).ok()
    }

    pub(super) fn source(&self) -> Source {
        self.nested("PartitionContext").or_else(|| self.nested("TriggerPartitionContext")).unwrap_or_default()
    }

    /// Returns the metadata of the events: arrays for a batch, single values for an event that is alone.
    ///
    /// # Errors
    ///
    /// Returns a description if it is unknown which position an event has.
    pub(super) fn event_metadata(&self, cardinality: Cardinality, events: usize) -> Result<EventMetadata, String> {
        let is_batch = || ARRAYS.iter().any(|name| self.array(name).is_some());
        if cardinality == Cardinality::One || events == 1 && !is_batch() {
            return single::event_metadata(self);
        }
        let [numbers, times, keys, offset_strings, offsets, properties, system_properties] = ARRAYS;
        let column = |names: &[&str]| {
            let array = names.iter().find_map(|name| self.array(name));
            array.map(|array| MetadataColumn::from_request(self.request, array, events)).unwrap_or_default()
        };
        Ok(EventMetadata {
            sequence_numbers: column(&[numbers]),
            enqueued_times: column(&[times]),
            partition_keys: column(&[keys]),
            offsets: column(&[offset_strings, offsets]),
            properties: column(&[properties]),
            system_properties: column(&[system_properties]),
        })
    }

    /// Returns the metadata of a Service Bus message, and its Service Bus fields.
    pub(super) fn message_metadata(&self) -> (EventMetadata, Message) {
        (single::message_metadata(self), single::message(self))
    }

    /// Returns the array with this name, unless it is absent or null.
    fn array(&self, name: &str) -> Option<Raw<'a>> {
        self.get(name).filter(|array| is_present(*array))
    }
}

/// Returns true if a column's value is neither `null` nor the string `"null"`, and can be unescaped.
fn is_present(value: Raw<'_>) -> bool {
    if value.may_have_unicode_escapes() {
        value.unquoted().is_some_and(|text| *text != *b"null")
    } else {
        value.in_quotes().unwrap_or(value.text) != b"null"
    }
}

/// Sets what the metadata contains of each event: the position, the times, the content type and the device.
pub(super) fn attach(events: &mut [Event], metadata: &EventMetadata) {
    // Positions limit the times of IoT Hub.
    attach_positions(events, metadata);
    attach_system_properties(events, &metadata.system_properties);
    attach_creation_times(events, &metadata.properties);
}

/// Returns the cells of a column, one for each event; `None` if the column is absent. `cell` parses one cell and returns it
/// with the text after it.
///
/// # Errors
///
/// Returns a description if the column is invalid or does not have exactly `count` cells.
fn read_cells<'c, T>(
    column: &'c MetadataColumn,
    name: &str,
    count: usize,
    cell: impl Fn(&'c [u8], Quotes) -> Option<(T, &'c [u8])>,
) -> Result<Option<Vec<T>>, String> {
    let parse = |text, quotes| parse_elements(text, |text| cell(text, quotes));
    let cells = match column.unparsed() {
        Some((text, Quotes::Plain)) => parse(text, Quotes::Plain),
        Some((text, quotes)) => parse(text, quotes).or_else(|| parse(column.text()?.as_bytes(), Quotes::Plain)),
        None => match column.text() {
            Some(text) => parse(text.as_bytes(), Quotes::Plain),
            None => return Ok(None),
        },
    };
    let cells = cells.ok_or_else(|| {
        let text = column.text().unwrap_or_default();
        format!("the metadata {name} cannot be read: {}", super::array_error(text.as_bytes()))
    })?;
    if cells.len() == count {
        Ok(Some(cells))
    } else {
        Err(format!("the metadata {name} has {} entries for {count} events", cells.len()))
    }
}

const CONTENT_TYPE: &str = "content-type";
const IOT_HUB_DEVICE_ID: &str = "iothub-connection-device-id";
const IOT_HUB_ENQUEUED_TIME: &str = "iothub-enqueuedtime";
const IOT_HUB_MESSAGE_SOURCE: &str = "iothub-message-source";

/// An application property that the SDKs for devices set.
const CREATION_TIME: &str = "iothub-creation-time-utc";

fn attach_system_properties(events: &mut [Event], column: &MetadataColumn) {
    // Most senders set none of these properties, and this column is most of an envelope. "con" is in the first name, and in no
    // property that Event Hubs sets.
    let has_content_type = || column.may_contain(&["con"]) && column.may_contain(&[CONTENT_TYPE]);
    if !column.may_contain(&["iothub-"]) && !has_content_type() {
        return;
    }
    // If the column does not match the events, they are decoded without these properties.
    let names = [CONTENT_TYPE, IOT_HUB_DEVICE_ID, IOT_HUB_ENQUEUED_TIME, IOT_HUB_MESSAGE_SOURCE];
    let cells =
        read_cells(column, "SystemPropertiesArray", events.len(), |text, quotes| properties(text, quotes, names));
    let mut time_parser = TimeParser::default();
    let mut shared: Option<ArcStr> = None;
    for (event, cell) in events.iter_mut().zip(cells.ok().flatten().unwrap_or_default()) {
        let [content_type, iot_hub_device_id, enqueued_time, message_source] = cell;
        if shared.as_deref() != content_type.as_deref() {
            shared = content_type.map(|text| (*text).into());
        }
        event.content_type.clone_from(&shared);
        event.iot_hub_device_id = iot_hub_device_id.map(Cow::into_owned);
        event.iot_hub_message_source = message_source.map(Cow::into_owned);
        let time_ms = enqueued_time.and_then(|time| usable_time(&time, &mut time_parser));
        event.time_ms = time_ms.filter(|time_ms| can_be_of_iot_hub(*time_ms, event.position));
    }
}

/// Returns true if IoT Hub can have accepted an event at this time: before its stream did, by clocks that differ a little. Event Hubs
/// keeps what a sender sets as a system property. So without this limit, one event of the year 9999 would hold off all others of
/// its device.
fn can_be_of_iot_hub(time_ms: i64, position: Option<EventPosition>) -> bool {
    position.is_none_or(|position| time_ms.saturating_sub(position.enqueued_ms) <= MAX_CLOCK_STEP_MS)
}

fn attach_creation_times(events: &mut [Event], column: &MetadataColumn) {
    if !column.may_contain(&[CREATION_TIME]) {
        return;
    }
    let cell = |text, quotes| properties(text, quotes, [CREATION_TIME]);
    let cells = read_cells(column, "PropertiesArray", events.len(), cell);
    let mut time_parser = TimeParser::default();
    for (event, [time]) in events.iter_mut().zip(cells.ok().flatten().unwrap_or_default()) {
        event.created_ms = time.and_then(|time| usable_time(&time, &mut time_parser));
    }
}

/// Returns a time in milliseconds since 1970; `None` if the text is not a time or an unset one.
fn usable_time(text: &str, time_parser: &mut TimeParser) -> Option<i64> {
    time_parser.parse_ms(text.as_bytes()).filter(|time_ms| *time_ms >= YEAR_2000_MS)
}

/// Sets the position of each event. If the arrays do not match the events, the positions are unknown and each event gets a
/// fault: with the arrival time instead of the enqueued time, an old reading could overwrite a newer one.
fn attach_positions(events: &mut [Event], metadata: &EventMetadata) {
    let count = events.len();
    let numbers = read_cells(&metadata.sequence_numbers, "SequenceNumberArray", count, parse_value);
    let times = read_cells(&metadata.enqueued_times, "EnqueuedTimeUtcArray", count, parse_value);
    let (numbers, times) = match (numbers, times) {
        (Ok(Some(numbers)), Ok(Some(times))) => (numbers, times),
        (Ok(None), Ok(None)) => return,
        (numbers, times) => {
            let fault = numbers.err().or(times.err()).unwrap_or_else(|| {
                "the metadata must have both or neither of SequenceNumberArray and EnqueuedTimeUtcArray, and has only one".into()
            });
            for event in events {
                event.fault.get_or_insert_with(|| format!("{fault}, so the position of each event is unknown"));
            }
            return;
        }
    };
    let mut time_parser = TimeParser::default();
    for ((event, number), time) in events.iter_mut().zip(numbers).zip(times) {
        match position(number, time, &mut time_parser) {
            Ok(position) => event.position = position,
            Err(fault) => {
                event.fault.get_or_insert(fault);
            }
        }
    }
}

/// Parses an event's position; `None` if it is null or impossible, as at the admin endpoint.
fn position(number: Raw<'_>, time: Raw<'_>, time_parser: &mut TimeParser) -> Result<Option<EventPosition>, String> {
    // With or without quotes: dead letters of earlier versions have numbers as text, and a time in two pairs of quotes.
    let [number, time] = [number, time].map(|cell| cell.in_quotes().unwrap_or(cell.text));
    let (number, time) = (trim_bytes(number, b"\""), trim_bytes(time, b"\"\\"));
    if number == b"null" || time == b"null" {
        return Ok(None);
    }
    let sequence_number = parse_integer(number).ok_or_else(|| {
        format!(
            "the event's sequence number {:?} in the metadata is not a valid integer",
            String::from_utf8_lossy(number)
        )
    })?;
    let enqueued_ms = time_parser.parse_ms(time).ok_or_else(|| {
        format!("the event's enqueued time {:?} in the metadata is not a valid time", String::from_utf8_lossy(time))
    })?;
    let is_usable = enqueued_ms >= YEAR_2000_MS && sequence_number >= 0;
    Ok(is_usable.then_some(EventPosition { enqueued_ms, sequence_number }))
}

/// Removes these bytes from both ends of the text.
fn trim_bytes<'t>(mut text: &'t [u8], removed: &[u8]) -> &'t [u8] {
    while let Some((first, rest)) = text.split_first()
        && removed.contains(first)
    {
        text = rest;
    }
    while let Some((last, rest)) = text.split_last()
        && removed.contains(last)
    {
        text = rest;
    }
    text
}

fn parse_integer(text: &[u8]) -> Option<i64> {
    str::from_utf8(text).ok()?.parse().ok()
}
