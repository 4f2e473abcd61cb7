//! A second reader of the host's envelope, by the same rules and with no regard for speed: what the real one is held
//! against, by made-up requests in `crates/engine/tests/properties` and by the fuzzer.
//!
//! It works on owned texts and goes through a column once for each event. The rules are in
//! `crates/engine/src/invocation.rs`.

use std::collections::BTreeMap;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use devicestate_engine::{
    batch::MetadataColumn,
    function_app::{Cardinality, DataType, EventHubTrigger, Trigger},
    invocation::{EnvelopeError, Invocation},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};

/// What a request says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Namespace, hub, consumer group, partition.
    pub source: [String; 4],
    pub events: Vec<Event>,
    /// How often it was sent before and how often at most.
    pub retry: Option<(i64, i64)>,
}

/// What a request says of one event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    pub body: Vec<u8>,
    pub content_type: Option<String>,
    pub iot_hub_device_id: Option<String>,
    /// Enqueued time in milliseconds, and sequence number.
    pub position: Option<(i64, i64)>,
    pub is_faulty: bool,
    /// The event's cell in each column, and what it says if it is a string.
    pub cells: [Option<(String, Option<String>)>; COLUMNS],
}

const COLUMNS: usize = 6;
const SEQUENCE_NUMBERS: usize = 0;
const ENQUEUED_TIMES: usize = 1;
const SYSTEM_PROPERTIES: usize = 5;

/// Why a request cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// It is no JSON object with `Data`.
    Envelope,
    /// `Data` does not have the trigger's name.
    Binding,
    /// What stands under that holds no events.
    Events,
}

/// The request as the real reader reads it.
pub fn really_read(request: &[u8], trigger: &EventHubTrigger) -> Result<Request, Unreadable> {
    let trigger = Trigger::EventHub(trigger.clone());
    let request = Bytes::copy_from_slice(request);
    let Invocation { batch, retry } = Invocation::read(&request, &trigger).map_err(|error| match error {
        EnvelopeError::NotAnInvocation(_) => Unreadable::Envelope,
        EnvelopeError::MissingBinding { .. } => Unreadable::Binding,
        EnvelopeError::InvalidEvents { .. } => Unreadable::Events,
    })?;
    let metadata = &batch.metadata;
    let columns: [&MetadataColumn; COLUMNS] = [
        &metadata.sequence_numbers,
        &metadata.enqueued_times,
        &metadata.partition_keys,
        &metadata.offsets,
        &metadata.properties,
        &metadata.system_properties,
    ];
    assert!(columns.iter().all(|column| column.cell(batch.events.len()).is_none()), "a cell of no event");
    let event = |(index, event): (usize, &devicestate_engine::batch::Event)| Event {
        body: event.body.to_vec(),
        content_type: event.content_type.clone(),
        iot_hub_device_id: event.iot_hub_device_id.clone(),
        position: event.position.map(|position| (position.enqueued_ms, position.sequence_number)),
        is_faulty: event.fault.is_some(),
        cells: columns.map(|column| Some((column.cell(index)?.get().to_owned(), column.string(index)))),
    };
    let source = &batch.source;
    Ok(Request {
        source: [
            &source.fully_qualified_namespace,
            &source.event_hub_name,
            &source.consumer_group,
            &source.partition_id,
        ]
        .map(Clone::clone),
        events: batch.events.iter().enumerate().map(event).collect(),
        retry: retry.map(|retry| (retry.retry_count, retry.max_retry_count)),
    })
}

type Json = Box<RawValue>;
type Object = BTreeMap<String, Json>;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope {
    data: Object,
    #[serde(default)]
    metadata: Option<Object>,
}

/// The request as it is to be read.
pub fn read(request: &[u8], trigger: &EventHubTrigger) -> Result<Request, Unreadable> {
    // JSON is UTF-8, also where nobody reads it.
    let request = str::from_utf8(request).map_err(|_| Unreadable::Envelope)?.as_bytes();
    let Envelope { data, metadata } = object(request).ok_or(Unreadable::Envelope)?;
    let data = data.get(&trigger.name).ok_or(Unreadable::Binding)?;
    let mut events = events(data.get(), trigger).ok_or(Unreadable::Events)?;
    let metadata = metadata.unwrap_or_default();
    attach(&mut events, &metadata);
    Ok(Request { source: source(&metadata), events, retry: retry(&metadata) })
}

/// Only what is an object; serde takes an array for a struct, too.
fn object<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    json.trim_ascii_start().starts_with(b"{").then(|| serde_json::from_slice(json).ok())?
}

/// The text in a string, or any other JSON as it is; `None` for a string that is none.
fn unquoted(json: &str) -> Option<String> {
    if json.starts_with('"') { serde_json::from_str(json).ok() } else { Some(json.to_owned()) }
}

fn elements(text: &str) -> Option<Vec<Json>> {
    serde_json::from_str(text).ok()
}

fn events(data: &str, trigger: &EventHubTrigger) -> Option<Vec<Event>> {
    let text = unquoted(data)?;
    if trigger.cardinality == Cardinality::Many {
        return Some(elements(&text)?.iter().map(|element| event(element.get(), trigger.data_type)).collect());
    }
    // A string in the string is unquoted; what is not one after all is the body.
    let body = unquoted(&text).unwrap_or(text);
    Some(vec![match trigger.data_type {
        DataType::Binary => from_base64(&body),
        DataType::String | DataType::Json => Event { body: body.into_bytes(), ..Event::default() },
    }])
}

fn event(element: &str, data_type: DataType) -> Event {
    let string: Option<String> = serde_json::from_str(element).ok();
    match (data_type, string) {
        _ if element == "null" => Event::default(),
        (DataType::Binary, Some(text)) => from_base64(&text),
        (DataType::Binary, None) => Event { body: element.into(), is_faulty: true, ..Event::default() },
        (DataType::String, Some(text)) => Event { body: text.into_bytes(), ..Event::default() },
        (DataType::String, None) | (DataType::Json, _) => Event { body: element.into(), ..Event::default() },
    }
}

/// Padding may be there or not. What is no base64 is kept as it is.
fn from_base64(text: &str) -> Event {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    match GeneralPurpose::new(&alphabet::STANDARD, config).decode(text) {
        Ok(body) => Event { body, ..Event::default() },
        Err(_) => Event { body: text.into(), is_faulty: true, ..Event::default() },
    }
}

/// A nested object, also in a string.
fn nested<T: DeserializeOwned>(metadata: &Object, name: &str) -> Option<T> {
    object(unquoted(metadata.get(name)?.get())?.as_bytes())
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Context {
    fully_qualified_namespace: Value,
    event_hub_name: Value,
    consumer_group: Value,
    partition_id: Value,
}

fn source(metadata: &Object) -> [String; 4] {
    let context = nested(metadata, "PartitionContext").or_else(|| nested(metadata, "TriggerPartitionContext"));
    let Context { fully_qualified_namespace, event_hub_name, consumer_group, partition_id } =
        context.unwrap_or_default();
    [fully_qualified_namespace, event_hub_name, consumer_group, partition_id].map(|part| match part {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Retry {
    retry_count: i64,
    max_retry_count: i64,
}

fn retry(metadata: &Object) -> Option<(i64, i64)> {
    nested(metadata, "RetryContext").map(|Retry { retry_count, max_retry_count }| (retry_count, max_retry_count))
}

/// The text of an array with what the host says of each event, under the first of these names that is there.
fn column(metadata: &Object, names: &[&str], events: usize) -> Option<String> {
    names.iter().find_map(|name| {
        let array = metadata.get(&format!("{name}Array")).and_then(|array| unquoted(array.get()));
        array.filter(|text| text != "null").or_else(|| {
            let value = metadata.get(*name).filter(|_| events == 1)?.get();
            let held = unquoted(value).filter(|text| text.starts_with('{'));
            Some(format!("[{}]", held.as_deref().unwrap_or(value)))
        })
    })
}

#[derive(Deserialize)]
struct SystemProperties {
    #[serde(rename = "content-type")]
    content_type: Option<String>,
    #[serde(rename = "iothub-connection-device-id")]
    iot_hub_device_id: Option<String>,
}

fn attach(events: &mut [Event], metadata: &Object) {
    let count = events.len();
    let columns = [
        ["SequenceNumber"].as_slice(),
        &["EnqueuedTimeUtc"],
        &["PartitionKey"],
        &["OffsetString", "Offset"],
        &["Properties"],
        &["SystemProperties"],
    ]
    .map(|names| column(metadata, names, count));
    let cells = |number: usize| elements(columns[number].as_deref()?).filter(|cells| cells.len() == count);
    for (index, event) in events.iter_mut().enumerate() {
        for number in 0..COLUMNS {
            let cell = cells(number).map(|cells| cells[index].get().to_owned()).filter(|cell| cell != "null");
            event.cells[number] = cell.map(|cell| (cell.clone(), serde_json::from_str(&cell).ok()));
        }
        let system_properties = cells(SYSTEM_PROPERTIES).and_then(|cells| object(cells[index].get().as_bytes()));
        if let Some(SystemProperties { content_type, iot_hub_device_id }) = system_properties {
            (event.content_type, event.iot_hub_device_id) = (content_type, iot_hub_device_id);
        }
        let (numbers, times) = (&columns[SEQUENCE_NUMBERS], &columns[ENQUEUED_TIMES]);
        let position = match (cells(SEQUENCE_NUMBERS), cells(ENQUEUED_TIMES)) {
            (Some(numbers), Some(times)) => position(numbers[index].get(), times[index].get()),
            _ if numbers.is_none() && times.is_none() => Some(None),
            // Which of them is whose is not known.
            _ => None,
        };
        match position {
            Some(position) => event.position = position,
            None => event.is_faulty = true,
        }
    }
}

/// A place; `Some(None)` where there is none that counts, `None` where what is said cannot be read.
#[expect(clippy::option_option, reason = "these are just the three that there are")]
fn position(number: &str, time: &str) -> Option<Option<(i64, i64)>> {
    const YEAR_2000_MS: i64 = 946_684_800_000;
    let (number, time) = (number.trim_matches('"'), time.trim_matches(['"', '\\']));
    if number == "null" || time == "null" {
        return Some(None);
    }
    let number: i64 = number.parse().ok()?;
    let civil = || time.parse::<jiff::civil::DateTime>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
    let time = time.parse::<jiff::Timestamp>().ok().or_else(|| Some(civil()?.timestamp()))?.as_millisecond();
    Some(Some((time, number)).filter(|_| time >= YEAR_2000_MS && number >= 0))
}
