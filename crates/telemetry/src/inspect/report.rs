//! The results of an inspection, as `devicestate telemetry check` prints them.

use devicestate_engine::processor::InspectedRecord;
use serde::Serialize;
use serde_json::Value;

/// What becomes of an event or a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It is merged into documents.
    Decoded,
    /// It has fields, but no reading, so nothing of it is stored.
    Unrecognized,
    /// It is not telemetry.
    Ignored,
    /// The event becomes a dead letter.
    DeadLettered,
}

impl Outcome {
    pub(super) fn of_record(record: &InspectedRecord) -> Self {
        match record {
            InspectedRecord::Decoded(_) => Self::Decoded,
            InspectedRecord::Unrecognized(_) => Self::Unrecognized,
            InspectedRecord::Ignored => Self::Ignored,
            InspectedRecord::Failed(_) => Self::DeadLettered,
        }
    }

    /// Returns the outcome of an event: a record that fails decides, then one that is stored.
    pub(super) fn of_event(records: &[InspectedRecord]) -> Self {
        let outcomes: Vec<_> = records.iter().map(Self::of_record).collect();
        let order = [Self::DeadLettered, Self::Decoded, Self::Unrecognized];
        order.into_iter().find(|outcome| outcomes.contains(outcome)).unwrap_or(Self::Ignored)
    }
}

/// An event and its records.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventReport {
    /// The number of the event in the file, from 1.
    pub event: u64,
    /// The line on which it begins.
    pub line: Option<u64>,
    /// What becomes of it.
    pub outcome: Outcome,
    /// Its records.
    pub records: Vec<RecordReport>,
}

/// A record of an event.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordReport {
    /// What becomes of it.
    pub outcome: Outcome,
    /// The device id, if it is known.
    pub device: Option<String>,
    /// The JSON Pointer to the device id, if it is in the body.
    pub device_from: Option<String>,
    /// The time that orders it.
    pub time: Option<TimeReport>,
    /// The readings.
    pub readings: Vec<ReadingReport>,
    /// The first fields that the telemetry does not have, if there are no readings.
    pub skipped: Vec<String>,
    /// The stage that fails.
    pub stage: Option<String>,
    /// Why it fails.
    pub issue: Option<String>,
}

impl RecordReport {
    pub(super) fn empty(outcome: Outcome) -> Self {
        Self {
            outcome,
            device: None,
            device_from: None,
            time: None,
            readings: Vec::new(),
            skipped: Vec::new(),
            stage: None,
            issue: None,
        }
    }
}

/// The time that orders a record among those of its device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TimeReport {
    /// `service` (the position), `device`, or the enqueued time: `enqueued` (the device sent no time), `future` (that of the device
    /// is later) or `unusable` (so early that it cannot be right).
    pub from: &'static str,
    /// The time in UTC, if the file has it.
    pub utc: Option<String>,
    /// Whether the file has the enqueued time.
    #[serde(skip)]
    pub enqueued_is_known: bool,
}

/// A reading.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadingReport {
    /// The name.
    pub name: String,
    /// The value.
    pub value: Value,
    /// The JSON Pointer to its source in the body, if it has one source there.
    pub from: Option<String>,
}

/// The summary of all events.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The number of events.
    pub events: u64,
    /// Events of which all records are stored or ignored.
    pub decoded: u64,
    /// Events without a reading, although they have fields.
    pub unrecognized: u64,
    /// Events that are not telemetry.
    pub ignored: u64,
    /// Events that would become dead letters.
    pub dead_lettered: u64,
    /// The number of records. An event that cannot be decoded counts as one.
    pub records: u64,
    /// Records whose device time is too early to be right.
    pub unusable_times: u64,
    /// The number of devices.
    pub devices: u64,
    /// Why records fail, the most frequent first.
    pub issues: Vec<Issue>,
    /// Fields of the events that have no effect.
    pub unused_fields: Vec<UnusedField>,
    /// Readings of the telemetry file that no record has.
    pub unused_readings: Vec<String>,
    /// The readings of all records, the most frequent first.
    #[serde(skip)]
    pub readings: Vec<ReadingSummary>,
    /// Readings of further names, which are not in the list because there are too many.
    #[serde(skip)]
    pub other_readings: u64,
}

/// A reading in all records.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadingSummary {
    /// The name.
    pub name: String,
    /// How many records have it.
    pub records: u64,
    /// The JSON types of its values, with `text` for a string.
    pub types: Vec<&'static str>,
    /// The least and the greatest number, if it has numbers.
    pub range: Option<(f64, f64)>,
    /// The first value as JSON, cut if it is long.
    pub example: String,
}

/// A reason why records fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Issue {
    /// The reason, with the values of the first record.
    pub issue: String,
    /// How many records.
    pub records: u64,
    /// The first event.
    pub first_event: u64,
    /// The start of the first event's body.
    #[serde(skip)]
    pub example: String,
}

/// A field that has no effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UnusedField {
    /// A JSON Pointer in the body; `*` is any index of an array.
    pub pointer: String,
    /// How often it occurs.
    pub count: u64,
}
