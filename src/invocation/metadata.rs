//! What the host says about the events of a request, next to them.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{is_array, unquoted};
use crate::batch::{Column, Details, Event, Message, Place, Source};

/// The metadata of a request: JSON values by name, read one by one when they are needed.
pub(super) struct Metadata<'a>(BTreeMap<Cow<'a, str>, &'a RawValue>);

/// A time before 2000 is none: what is not set is year 1 in .NET.
const YEAR_2000_MS: i64 = 946_684_800_000;

impl<'a> Metadata<'a> {
    pub(super) fn new(values: BTreeMap<Cow<'a, str>, &'a RawValue>) -> Self {
        Self(values)
    }

    /// A nested object, also where it is held in a string. What cannot be read counts as absent.
    pub(super) fn nested<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let text = unquoted(self.0.get(name)?.get()).ok().filter(|text| !is_array(text.as_bytes()))?;
        serde_json::from_str(&text).ok()
    }

    pub(super) fn source(&self) -> Source {
        self.nested("PartitionContext").or_else(|| self.nested("TriggerPartitionContext")).unwrap_or_default()
    }

    /// What the host says of each of so many events.
    pub(super) fn details(&self, count: usize) -> Details {
        Details {
            sequence_numbers: self.column(&["SequenceNumber"], count),
            enqueued_times: self.column(&["EnqueuedTimeUtc"], count),
            partition_keys: self.column(&["PartitionKey"], count),
            offsets: self.column(&["OffsetString", "Offset"], count),
            properties: self.column(&["Properties"], count),
            system_properties: self.column(&["SystemProperties"], count),
        }
    }

    /// What the host says of a message of Service Bus. What its sender set stands under the names that it has in an event.
    pub(super) fn details_of_a_message(&self) -> Details {
        let set = [("content-type", "ContentType"), ("correlation-id", "CorrelationId")];
        let set = set.into_iter().filter_map(|(of_an_event, name)| Some((of_an_event, self.text(name)?)));
        let set: serde_json::Map<_, _> = set.map(|(name, value)| (name.to_owned(), value.into())).collect();
        let cell = |value: serde_json::Value| Column::new(serde_json::Value::Array(vec![value]).to_string(), 1);
        Details {
            sequence_numbers: self.column(&["SequenceNumber"], 1),
            // In whole seconds: the host writes a single time without its fraction. The sequence number does the rest.
            enqueued_times: self.column(&["EnqueuedTimeUtc"], 1),
            partition_keys: self.text("PartitionKey").map(|key| cell(key.into())).unwrap_or_default(),
            properties: self.column(&["ApplicationProperties", "UserProperties"], 1),
            system_properties: if set.is_empty() { Column::default() } else { cell(set.into()) },
            ..Details::default()
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
        let value = unquoted(self.0.get(name)?.get()).ok().filter(|value| value != "null")?;
        unquoted(&value).ok().map(Cow::into_owned)
    }

    /// The column under the first of these names that is there: as an array, or as the one value of a single event.
    fn column(&self, names: &[&str], count: usize) -> Column {
        for name in names {
            let array = self.0.get(format!("{name}Array").as_str());
            if let Some(text) = array.and_then(|value| unquoted(value.get()).ok()).filter(|text| text != "null") {
                return Column::new(text.into_owned(), count);
            }
            // A single event has singular keys; what is held in them may be a string around JSON, too.
            if let Some(value) = self.0.get(*name).filter(|_| count == 1) {
                let is_object = |text: &Cow<str>| text.starts_with('{');
                let value = unquoted(value.get()).ok().filter(is_object).unwrap_or(Cow::Borrowed(value.get()));
                return Column::new(format!("[{value}]"), count);
            }
        }
        Column::default()
    }
}

/// Tells each event its place, content type and device.
pub(super) fn attach(events: &mut [Event], details: &Details) {
    attach_system_properties(events, &details.system_properties);
    attach_places(events, details);
}

/// The cells of a column, one for each event; an error when there is a column, but not one that fits the events.
fn cells<'c>(column: &'c Column, name: &str, count: usize) -> Result<Option<Vec<&'c RawValue>>, String> {
    let Some(text) = column.text() else { return Ok(None) };
    let cells: Vec<&RawValue> =
        serde_json::from_str(text).map_err(|error| format!("the metadata {name} cannot be read: {error}"))?;
    if cells.len() == count {
        Ok(Some(cells))
    } else {
        Err(format!("the metadata {name} has {} entries for {count} events", cells.len()))
    }
}

#[derive(Deserialize)]
struct SystemProperties<'a> {
    #[serde(borrow, default, rename = "content-type")]
    content_type: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "iothub-connection-device-id")]
    iot_hub_device_id: Option<Cow<'a, str>>,
}

fn attach_system_properties(events: &mut [Event], column: &Column) {
    // Most senders set neither, and reading the column is most of the work of reading an envelope. Where a character is
    // written by its number, a name may be there that cannot be seen.
    let wanted =
        |text: &str| ["content-type", "iothub-connection-device-id", "\\u"].iter().any(|part| text.contains(part));
    if !column.text().is_some_and(wanted) {
        return;
    }
    // Where the column does not fit, the body alone must tell what it is and whose: it is decided without it.
    let Ok(Some(cells)) = cells(column, "SystemPropertiesArray", events.len()) else { return };
    for (event, cell) in events.iter_mut().zip(cells) {
        if is_array(cell.get().as_bytes()) {
            continue;
        }
        if let Ok(properties) = serde_json::from_str::<SystemProperties>(cell.get()) {
            event.content_type = properties.content_type.map(Cow::into_owned);
            event.iot_hub_device_id = properties.iot_hub_device_id.map(Cow::into_owned);
        }
    }
}

/// Tells each event its place. Where the arrays do not fit the events, no event can be told its own: each is at fault,
/// since the time of arrival in place of a real one could put an old reading over a newer one.
fn attach_places(events: &mut [Event], details: &Details) {
    let count = events.len();
    let numbers = cells(&details.sequence_numbers, "SequenceNumberArray", count);
    let times = cells(&details.enqueued_times, "EnqueuedTimeUtcArray", count);
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
    for ((event, number), time) in events.iter_mut().zip(numbers).zip(times) {
        match place(number.get(), time.get()) {
            Ok(place) => event.place = place,
            Err(fault) => {
                event.fault.get_or_insert(fault);
            }
        }
    }
}

/// An event's place; `None` where the host tells none or one that cannot be, as the admin endpoint does.
fn place(number: &str, time: &str) -> Result<Option<Place>, String> {
    // In quotes or not: the host writes some values of a single event as text.
    let (number, time) = (number.trim_matches('"'), time.trim_matches(['"', '\\']));
    if number == "null" || time == "null" {
        return Ok(None);
    }
    let sequence_number =
        number.parse().map_err(|_| format!("its sequence number {number:?} in the metadata cannot be read"))?;
    let enqueued_ms =
        milliseconds(time).ok_or_else(|| format!("its enqueued time {time:?} in the metadata cannot be read"))?;
    let usable = enqueued_ms >= YEAR_2000_MS && sequence_number >= 0;
    Ok(usable.then_some(Place { enqueued_ms, sequence_number }))
}

/// A time as the host writes it: ISO 8601 in UTC, mostly without a zone, the fraction without trailing zeros.
fn milliseconds(text: &str) -> Option<i64> {
    let timestamp = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let civil: jiff::civil::DateTime = text.parse().ok()?;
        civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    })?;
    Some(timestamp.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::milliseconds;

    #[test]
    fn times_are_utc_with_and_without_a_zone_and_with_any_fraction() {
        let expected = Some(1_714_564_800_120);
        for text in [
            "2024-05-01T12:00:00.12",
            "2024-05-01T12:00:00.120",
            "2024-05-01T12:00:00.1200009",
            "2024-05-01T12:00:00.12Z",
            "2024-05-01T12:00:00.12+00:00",
            "2024-05-01T14:00:00.12+02:00",
        ] {
            assert_eq!(milliseconds(text), expected, "{text}");
        }
        assert_eq!(milliseconds("2024-05-01T12:00:00"), Some(1_714_564_800_000));
        assert!(milliseconds("0001-01-01T00:00:00").is_some_and(|ms| ms < 0));
        assert_eq!(milliseconds("yesterday"), None);
    }
}
