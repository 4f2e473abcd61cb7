//! Avro files of Event Hubs Capture.

use std::io::BufRead;

use apache_avro::{Reader, Schema, types::Value as Avro};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use devicestate_engine::text::error_message;
use jiff::civil::DateTime;
use serde_json::{Map, Value};

use crate::event::FileEvent;

/// The fields of a captured event: <https://learn.microsoft.com/azure/event-hubs/explore-captured-avro-files>.
const FIELDS: [&str; 6] = ["SequenceNumber", "Offset", "EnqueuedTimeUtc", "SystemProperties", "Properties", "Body"];

/// A Capture file.
pub(crate) struct Capture {
    records: Reader<'static, Box<dyn BufRead + Send>>,
    read: u64,
}

impl Capture {
    pub(crate) fn new(reader: Box<dyn BufRead + Send>) -> Result<Self, String> {
        let records = Reader::new(reader).map_err(|error| format!("it is a damaged Avro file: {error}"))?;
        check_schema(records.writer_schema())?;
        Ok(Self { records, read: 0 })
    }

    pub(crate) fn next_event(&mut self) -> Result<Option<FileEvent>, String> {
        let Some(record) = self.records.next() else { return Ok(None) };
        let record = record.map_err(|error| format!("after event {}: {}", self.read, error_message(&error)))?;
        self.read += 1;
        Ok(Some(to_event(record)))
    }
}

/// Checks that the records are captured events.
fn check_schema(schema: &Schema) -> Result<(), String> {
    const ADVICE: &str = "convert it to one JSON event per line, for example with `avro-tools tojson`";
    let Schema::Record(record) = schema else {
        return Err(format!("it is an Avro file, but not of Event Hubs Capture: its values are no records; {ADVICE}"));
    };
    let is_capture = FIELDS.iter().all(|name| record.fields.iter().any(|field| field.name == *name));
    if is_capture {
        return Ok(());
    }
    let names: Vec<_> = record.fields.iter().take(10).map(|field| format!("`{}`", field.name)).collect();
    Err(format!(
        "it is an Avro file, but not of Event Hubs Capture: it contains records `{}` with {}; {ADVICE}",
        record.name.name,
        names.join(", ")
    ))
}

fn to_event(record: Avro) -> FileEvent {
    let mut event = FileEvent::default();
    let Avro::Record(fields) = record else { return event };
    for (name, value) in fields {
        match (name.as_str(), without_union(value)) {
            ("SequenceNumber", Avro::Long(number)) => event.sequence_number = Some(number),
            ("EnqueuedTimeUtc", Avro::String(time)) => event.enqueued_time = Some(host_time(&time)),
            ("SystemProperties", Avro::Map(values)) => event.system_properties = to_json(values),
            ("Properties", Avro::Map(values)) => event.properties = to_json(values),
            ("Body", Avro::Bytes(body)) => event.body = body,
            ("Body", Avro::String(body)) => event.body = body.into_bytes(),
            _ => {}
        }
    }
    let key = event.system_properties.get("x-opt-partition-key").and_then(Value::as_str);
    event.partition_key = key.map(str::to_owned);
    event
}

fn without_union(value: Avro) -> Avro {
    match value {
        Avro::Union(_, value) => *value,
        value => value,
    }
}

/// Returns properties as the host writes them, sorted by name: an Avro map has no order. Bytes are base64.
fn to_json(values: impl IntoIterator<Item = (String, Avro)>) -> Map<String, Value> {
    let mut members: Vec<_> =
        values.into_iter().map(|(name, value)| (name, json_value(without_union(value)))).collect();
    members.sort_by(|(one, _), (other, _)| one.cmp(other));
    members.into_iter().collect()
}

fn json_value(value: Avro) -> Value {
    match value {
        Avro::Long(number) => number.into(),
        Avro::Int(number) => number.into(),
        Avro::Double(number) => number.into(),
        Avro::Boolean(value) => value.into(),
        Avro::String(text) => text.into(),
        Avro::Bytes(bytes) => BASE64.encode(bytes).into(),
        _ => Value::Null,
    }
}

/// Returns a time of Capture, such as `5/1/2026 12:00:00 PM`, as the host writes it. Another text is returned unchanged.
fn host_time(time: &str) -> String {
    DateTime::strptime("%m/%d/%Y %I:%M:%S %p", time).map_or_else(|_| time.to_owned(), |time| time.to_string())
}
