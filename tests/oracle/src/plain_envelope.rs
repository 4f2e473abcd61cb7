//! A second reader of the host's envelope, with the same rules and without regard for speed. The engine's reader is compared
//! to it, with generated requests in `crates/engine/tests/properties` and by the fuzzer.
//!
//! It works on owned texts and parses a column once for each event. The rules are in `crates/engine/src/invocation.rs`.

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

/// The content of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Namespace, hub, consumer group, partition.
    pub source: [String; 4],
    pub events: Vec<Event>,
    /// The retries so far, and the most retries.
    pub retry: Option<(i64, i64)>,
}

/// One event of a request, with its metadata.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    pub body: Vec<u8>,
    pub content_type: Option<String>,
    pub iot_hub_device_id: Option<String>,
    /// When IoT Hub accepted the message, and when the device created it, in milliseconds.
    pub iot_hub_times: [Option<i64>; 2],
    pub iot_hub_message_source: Option<String>,
    /// Enqueued time in milliseconds, and sequence number.
    pub position: Option<(i64, i64)>,
    pub is_faulty: bool,
    /// The event's cell in each column, and its text if it is a string.
    pub cells: [Option<(String, Option<String>)>; COLUMNS],
}

const COLUMNS: usize = 6;
const SEQUENCE_NUMBERS: usize = 0;
const ENQUEUED_TIMES: usize = 1;
const PROPERTIES: usize = 4;
const SYSTEM_PROPERTIES: usize = 5;

/// Why a request is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidRequest {
    /// It is not a JSON object with `Data`.
    Envelope,
    /// `Data` does not have a member with the trigger's name.
    Binding,
    /// That member does not contain events.
    Events,
}

/// Reads a request with the engine.
pub fn read_with_engine(request: &[u8], trigger: &EventHubTrigger) -> Result<Request, InvalidRequest> {
    let trigger = Trigger::EventHub(trigger.clone());
    let request = Bytes::copy_from_slice(request);
    let Invocation { batch, retry } = Invocation::read(&request, &trigger).map_err(|error| match error {
        EnvelopeError::NotAnInvocation(_) => InvalidRequest::Envelope,
        EnvelopeError::MissingBinding { .. } => InvalidRequest::Binding,
        EnvelopeError::InvalidEvents { .. } => InvalidRequest::Events,
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
    assert!(columns.iter().all(|column| column.cell(batch.events.len()).is_none()), "a cell without an event");
    let event = |(index, event): (usize, &devicestate_engine::batch::Event)| Event {
        body: event.body.to_vec(),
        content_type: event.content_type.as_deref().map(str::to_owned),
        iot_hub_device_id: event.iot_hub_device_id.clone(),
        iot_hub_times: [event.time_ms, event.created_ms],
        iot_hub_message_source: event.iot_hub_message_source.clone(),
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

/// Reads a request with the plain reader.
pub fn read(request: &[u8], trigger: &EventHubTrigger) -> Result<Request, InvalidRequest> {
    // JSON must be UTF-8, even in parts that are not used.
    let request = str::from_utf8(request).map_err(|_| InvalidRequest::Envelope)?.as_bytes();
    let Envelope { data, metadata } = object(request).ok_or(InvalidRequest::Envelope)?;
    let data = data.get(&trigger.name).ok_or(InvalidRequest::Binding)?;
    let mut events = events(data.get(), trigger).ok_or(InvalidRequest::Events)?;
    let metadata = metadata.unwrap_or_default();
    match columns(&metadata, trigger.cardinality, events.len()) {
        Some(columns) => attach(&mut events, &columns),
        None => events.iter_mut().for_each(|event| event.is_faulty = true),
    }
    Ok(Request { source: source(&metadata), events, retry: retry(&metadata) })
}

/// Parses an object only; serde would also accept an array for a struct.
fn object<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    json.trim_ascii_start().starts_with(b"{").then(|| serde_json::from_slice(json).ok())?
}

/// Returns the content of a string, or any other JSON unchanged; `None` for an invalid string.
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
    // A string in the string is unescaped; any other text is the body.
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

/// Decodes base64 with or without padding. Invalid base64 remains unchanged, as the body of a faulty event.
fn from_base64(text: &str) -> Event {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    match GeneralPurpose::new(&alphabet::STANDARD, config).decode(text) {
        Ok(body) => Event { body, ..Event::default() },
        Err(_) => Event { body: text.into(), is_faulty: true, ..Event::default() },
    }
}

/// Parses a nested object, which may be in a string.
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

/// The text of the array of each column, if there is one.
type Columns = [Option<String>; COLUMNS];

/// Returns the metadata of the events; `None` if their positions are unknown.
fn columns(metadata: &Object, cardinality: Cardinality, events: usize) -> Option<Columns> {
    let array = |name: &str| unquoted(metadata.get(&format!("{name}Array"))?.get()).filter(|text| text != "null");
    let names: [&[&str]; COLUMNS] = [
        &["SequenceNumber"],
        &["EnqueuedTimeUtc"],
        &["PartitionKey"],
        &["OffsetString", "Offset"],
        &["Properties"],
        &["SystemProperties"],
    ];
    let arrays = names.map(|names| names.iter().find_map(|name| array(name)));
    if cardinality == Cardinality::Many && (events != 1 || arrays.iter().any(Option::is_some)) {
        return Some(arrays);
    }
    Some(single(metadata)?.map(|cell| cell.map(|cell| format!("[{cell}]"))))
}

/// Returns the cells of an event that is alone: from the system properties and, if they do not have it, from the metadata.
/// `None` if the system properties are not an object.
fn single(metadata: &Object) -> Option<[Option<String>; COLUMNS]> {
    let object_text = |name: &str| {
        let text = unquoted(metadata.get(name)?.get())?.trim_ascii().to_owned();
        object::<Object>(text.as_bytes()).map(|_| text)
    };
    let system_properties = object_text("SystemProperties");
    let is_null = || metadata.get("SystemProperties").is_none_or(|value| value.get() == "null");
    if system_properties.is_none() && !is_null() {
        return None;
    }
    let exact: Object = system_properties.as_deref().and_then(|text| object(text.as_bytes())).unwrap_or_default();
    let decoded = |name: &str| {
        let value = metadata.get(name)?.get();
        let once = unquoted(value).filter(|text| text != "null");
        let twice =
            once.and_then(|text| if text.starts_with('"') { serde_json::from_str(&text).ok() } else { Some(text) });
        Some(twice.map_or_else(|| value.to_owned(), |text: String| Value::String(text).to_string()))
    };
    let cell = |exact_names: &[&str], names: &[&str]| {
        let exact = exact_names.iter().find_map(|name| exact.get(*name)).map(|value| value.get().to_owned());
        exact.or_else(|| names.iter().find_map(|name| decoded(name)))
    };
    let is_exact = ["SequenceNumber", "x-opt-sequence-number"].iter().any(|name| exact.contains_key(*name));
    let mut number = cell(&["SequenceNumber", "x-opt-sequence-number"], &["SequenceNumber"]);
    if let Some(decoded) = number.as_mut().filter(|_| !is_exact) {
        // The host writes this number as text.
        let text = serde_json::from_str(decoded).ok();
        if let Some(integer) = text.and_then(|text: String| text.parse::<i64>().ok()) {
            *decoded = integer.to_string();
        }
    }
    if number.as_deref().and_then(|number| number.parse::<i64>().ok()).is_some_and(|number| number < 0) {
        return Some(Default::default());
    }
    Some([
        number,
        cell(&["EnqueuedTimeUtc"], &["EnqueuedTimeUtc"]),
        cell(&["PartitionKey", "x-opt-partition-key"], &["PartitionKey"]),
        cell(&["OffsetString", "x-opt-offset"], &["OffsetString", "Offset"]),
        object_text("Properties"),
        system_properties,
    ])
}

#[derive(Deserialize)]
struct SystemProperties {
    #[serde(rename = "content-type")]
    content_type: Option<String>,
    #[serde(rename = "iothub-connection-device-id")]
    iot_hub_device_id: Option<String>,
    #[serde(rename = "iothub-enqueuedtime")]
    enqueued_time: Option<String>,
    #[serde(rename = "iothub-message-source")]
    iot_hub_message_source: Option<String>,
}

#[derive(Deserialize)]
struct Properties {
    #[serde(rename = "iothub-creation-time-utc")]
    creation_time: Option<String>,
}

fn attach(events: &mut [Event], columns: &Columns) {
    let count = events.len();
    let cells = |number: usize| elements(columns[number].as_deref()?).filter(|cells| cells.len() == count);
    for (index, event) in events.iter_mut().enumerate() {
        for number in 0..COLUMNS {
            let cell = cells(number).map(|cells| cells[index].get().to_owned()).filter(|cell| cell != "null");
            event.cells[number] = cell.map(|cell| (cell.clone(), serde_json::from_str(&cell).ok()));
        }
        let system_properties: Option<SystemProperties> =
            cells(SYSTEM_PROPERTIES).and_then(|cells| object(cells[index].get().as_bytes()));
        if let Some(properties) = system_properties {
            (event.content_type, event.iot_hub_device_id) = (properties.content_type, properties.iot_hub_device_id);
            event.iot_hub_message_source = properties.iot_hub_message_source;
            event.iot_hub_times[0] = properties.enqueued_time.and_then(|time| time_ms(&time));
        }
        let properties = cells(PROPERTIES).and_then(|cells| object(cells[index].get().as_bytes()));
        event.iot_hub_times[1] =
            properties.and_then(|Properties { creation_time }| creation_time).and_then(|time| time_ms(&time));
        let (numbers, times) = (&columns[SEQUENCE_NUMBERS], &columns[ENQUEUED_TIMES]);
        let position = match (cells(SEQUENCE_NUMBERS), cells(ENQUEUED_TIMES)) {
            (Some(numbers), Some(times)) => position(numbers[index].get(), times[index].get()),
            _ if numbers.is_none() && times.is_none() => Position::Absent,
            // It is unknown which entry belongs to which event.
            _ => Position::Invalid,
        };
        match position {
            Position::Known(time, number) => event.position = Some((time, number)),
            Position::Absent => {}
            Position::Invalid => event.is_faulty = true,
        }
        // More than a minute later than the stream's own time: not IoT Hub's.
        if let (Some(accepted), Some((enqueued, _))) = (event.iot_hub_times[0], event.position)
            && accepted > enqueued + 60_000
        {
            event.iot_hub_times[0] = None;
        }
    }
}

/// The position of an event in the metadata.
enum Position {
    /// Enqueued time in milliseconds, and sequence number.
    Known(i64, i64),
    /// Null, or before 2000.
    Absent,
    Invalid,
}

fn position(number: &str, time: &str) -> Position {
    let (number, time) = (number.trim_matches('"'), time.trim_matches(['"', '\\']));
    if number == "null" || time == "null" {
        return Position::Absent;
    }
    let (Ok(number), Some(time)) = (number.parse::<i64>(), any_time_ms(time)) else { return Position::Invalid };
    if time >= YEAR_2000_MS && number >= 0 { Position::Known(time, number) } else { Position::Absent }
}

const YEAR_2000_MS: i64 = 946_684_800_000;

/// Parses a time; `None` if it is invalid, or before 2000.
fn time_ms(time: &str) -> Option<i64> {
    any_time_ms(time).filter(|time| *time >= YEAR_2000_MS)
}

fn any_time_ms(time: &str) -> Option<i64> {
    let civil = || time.parse::<jiff::civil::DateTime>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
    let time = time.parse::<jiff::Timestamp>().ok().or_else(|| Some(civil()?.timestamp()))?;
    Some(time.as_millisecond())
}
