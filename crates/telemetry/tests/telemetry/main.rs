//! Tests the telemetry of any device: what events become by a telemetry file, and which files are refused.

mod any_json;
mod avro;
mod avro_files;
mod drone_json;
mod events;
mod file_mistakes;
mod generated;
mod inspected;
mod invalid_events;
mod kinds;
mod loading;
mod named_readings;
mod protobuf;
mod records;
mod schema;
mod shown_json;
mod sources;
mod times;
mod unwrapping;
mod wildcards;

use devicestate_engine::{
    batch::{Event, EventMetadata, MetadataColumn, Source},
    invocation::attach_metadata,
    telemetry::{Decoded, DecodedRecord, Poison, Telemetry as _},
};
use devicestate_telemetry::{AnyTelemetry, file::TelemetryFile, formats::Formats};
use serde_json::{Map, Value, json};

/// Returns the telemetry that a telemetry file describes.
#[track_caller]
fn telemetry(file: &Value) -> AnyTelemetry {
    let file = TelemetryFile::parse(file.to_string().as_bytes()).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    AnyTelemetry::new(file.mapping, Formats::default())
}

fn event(body: impl Into<Vec<u8>>) -> Event {
    Event { body: body.into().into(), ..Event::default() }
}

/// Returns an event with application properties, system properties and a partition key.
fn event_with(body: &str, properties: &Value, system_properties: &Value, partition_key: &str) -> Event {
    let column = |cell: &Value| MetadataColumn::new(json!([cell]).to_string(), 1);
    let metadata = EventMetadata {
        properties: column(properties),
        system_properties: column(system_properties),
        partition_keys: column(&partition_key.into()),
        ..EventMetadata::default()
    };
    attach_metadata(Source::default(), vec![event(body)], metadata).events.remove(0)
}

/// Returns the records of a body.
#[track_caller]
fn records(file: &Value, body: impl Into<Vec<u8>>) -> Vec<DecodedRecord> {
    telemetry(file).decode_records(&event(body)).unwrap_or_else(|poison| panic!("{poison}"))
}

/// Returns the only record of a body.
#[track_caller]
fn record(file: &Value, body: impl Into<Vec<u8>>) -> Decoded {
    telemetry(file).decode(&event(body)).unwrap_or_else(|poison| panic!("{poison}"))
}

/// Returns the readings of the only record of a body.
#[track_caller]
fn readings(file: &Value, body: impl Into<Vec<u8>>) -> Value {
    values(&record(file, body))
}

fn values(record: &Decoded) -> Value {
    let names: Vec<_> = record.readings.iter().map(|reading| &reading.name).collect();
    assert!(names.is_sorted(), "{names:?}");
    record
        .readings
        .iter()
        .map(|reading| (reading.name.to_string(), reading.value.clone()))
        .collect::<Map<_, _>>()
        .into()
}

/// Returns the issue of a body that is not valid. Its length is bounded.
#[track_caller]
fn issue(file: &Value, body: impl Into<Vec<u8>>) -> String {
    issue_of(telemetry(file).decode(&event(body)))
}

#[track_caller]
fn issue_of(result: Result<Decoded, Poison>) -> String {
    let issue = result.expect_err("it is not valid").to_string();
    assert!(issue.len() < 1_000, "{issue}");
    issue
}
