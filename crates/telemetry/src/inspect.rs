//! Shows what a telemetry makes of events: each record with its readings and where they come from, and in sum what is never
//! used.

mod fields;
mod issues;
mod readings;
mod report;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
};

use devicestate_engine::{
    batch::Event,
    device_state::Reading,
    failure::Failure,
    processor::{InspectedRecord, inspect},
    telemetry::{RecordTime, Telemetry},
    text::{first_chars, iso8601},
};
use serde_json::Value;

use fields::{Fields, Origins};
pub use issues::without_values;
use readings::Readings;
pub use report::{
    EventReport, Issue, Outcome, ReadingReport, ReadingSummary, RecordReport, Summary, TimeReport, UnusedField,
};

/// The most different issues that are counted apart. The others are counted together.
const MAX_ISSUES: usize = 100;

/// The most characters of a body that are kept as an example.
const MAX_EXAMPLE_CHARS: usize = 300;

/// The most devices that are counted.
const MAX_DEVICES: usize = 1_000_000;

/// Decodes as the handler does.
struct Decoder {
    telemetry: Arc<dyn Telemetry>,
    max_readings: usize,
}

impl Decoder {
    fn inspect(&self, event: &Event) -> Vec<InspectedRecord> {
        inspect(&*self.telemetry, event, self.max_readings)
    }
}

/// Inspects events, one after the other.
pub struct Inspector {
    decoder: Decoder,
    /// The names of readings in the telemetry file that no record had so far.
    missing: BTreeSet<String>,
    fields: Fields,
    readings: Readings,
    summary: Summary,
    /// By what is the same in issues that differ only by values.
    issues: BTreeMap<String, Issue>,
    /// Hashes of the device ids.
    devices: HashSet<u64>,
    hasher: RandomState,
}

impl Inspector {
    /// Starts to inspect. `max_readings` is the setting `MaxReadings`; `reading_names` are the names of readings that the
    /// telemetry file has.
    #[must_use]
    pub fn new(telemetry: Arc<dyn Telemetry>, max_readings: usize, reading_names: BTreeSet<String>) -> Self {
        Self {
            decoder: Decoder { telemetry, max_readings },
            missing: reading_names,
            fields: Fields::default(),
            readings: Readings::default(),
            summary: Summary::default(),
            issues: BTreeMap::new(),
            devices: HashSet::new(),
            hasher: RandomState::new(),
        }
    }

    /// Inspects the next event. The report of it is returned if it is wanted.
    pub fn add(&mut self, event: &Event, line: Option<u64>, is_wanted: bool) -> Option<EventReport> {
        let records = self.decoder.inspect(event);
        self.summary.events += 1;
        let number = self.summary.events;
        let outcome = Outcome::of_event(&records);
        *match outcome {
            Outcome::Decoded => &mut self.summary.decoded,
            Outcome::Unrecognized => &mut self.summary.unrecognized,
            Outcome::Ignored => &mut self.summary.ignored,
            Outcome::DeadLettered => &mut self.summary.dead_lettered,
        } += 1;
        for record in &records {
            self.count_record(record, event, number);
        }
        let origins = self.fields.add(&self.decoder, event, &records, is_wanted);
        let report = |(index, record)| record_report(record, event, origins.get(index));
        is_wanted.then(|| EventReport {
            event: number,
            line,
            outcome,
            records: records.iter().enumerate().map(report).collect(),
        })
    }

    fn count_record(&mut self, record: &InspectedRecord, event: &Event, number: u64) {
        self.summary.records += 1;
        match record {
            InspectedRecord::Decoded(decoded) => {
                if self.devices.len() < MAX_DEVICES {
                    self.devices.insert(self.hasher.hash_one(&decoded.device_id));
                }
                self.readings.add(&decoded.readings);
                self.summary.unusable_times += u64::from(decoded.time == RecordTime::Unusable);
                if !self.missing.is_empty() {
                    for reading in &decoded.readings {
                        self.missing.remove(reading.name.as_str());
                    }
                }
            }
            InspectedRecord::Failed(failure) => {
                let mut key = without_values(&failure.issue);
                let mut issue = failure.issue.as_str();
                if !self.issues.contains_key(&key) && self.issues.len() >= MAX_ISSUES {
                    (key, issue) = (String::new(), "other issues");
                }
                let new = || Issue {
                    issue: issue.to_owned(),
                    records: 0,
                    first_event: number,
                    example: first_chars(&String::from_utf8_lossy(&event.body), MAX_EXAMPLE_CHARS),
                };
                self.issues.entry(key).or_insert_with(new).records += 1;
            }
            InspectedRecord::Unrecognized(_) | InspectedRecord::Ignored => {}
        }
    }

    /// Ends the inspection.
    #[must_use]
    pub fn finish(self) -> Summary {
        let mut issues: Vec<_> = self.issues.into_values().collect();
        issues.sort_by_key(|issue| (std::cmp::Reverse(issue.records), issue.first_event));
        let (readings, other_readings) = self.readings.finish();
        Summary {
            readings,
            other_readings,
            devices: self.devices.len() as u64,
            issues,
            unused_fields: self.fields.unused(),
            unused_readings: self.missing.into_iter().collect(),
            ..self.summary
        }
    }
}

/// Returns the names of readings in the text of a telemetry file, those of all kinds. Empty if it is not valid.
#[must_use]
pub fn reading_names(file: &str) -> BTreeSet<String> {
    let Ok(file) = serde_json::from_str::<Value>(file.trim_start_matches('\u{feff}')) else { return BTreeSet::new() };
    let kinds = file.get("kinds").and_then(Value::as_array).into_iter().flatten();
    let readings = kinds.chain([&file]).filter_map(|mapping| mapping.get("readings")?.as_object());
    readings.flat_map(|readings| readings.keys()).filter(|name| *name != "*").cloned().collect()
}

fn record_report(record: &InspectedRecord, event: &Event, origins: Option<&Origins>) -> RecordReport {
    let outcome = Outcome::of_record(record);
    let none = Origins::default();
    let origins = origins.unwrap_or(&none);
    match record {
        InspectedRecord::Decoded(decoded) | InspectedRecord::Unrecognized(decoded) => {
            let reading = |reading: &Reading| ReadingReport {
                name: reading.name.to_string(),
                value: reading.value.clone(),
                from: origins.readings.get(reading.name.as_str()).cloned(),
            };
            RecordReport {
                outcome,
                device: Some(decoded.device_id.clone()),
                device_from: origins.device.clone(),
                time: Some(time_report(decoded.time, event)),
                readings: decoded.readings.iter().map(reading).collect(),
                skipped: decoded.skipped.clone(),
                stage: None,
                issue: None,
            }
        }
        InspectedRecord::Ignored => RecordReport::empty(outcome),
        InspectedRecord::Failed(Failure { stage, issue, device_id, .. }) => RecordReport {
            device: device_id.clone(),
            stage: Some(stage.to_string()),
            issue: Some(issue.clone()),
            ..RecordReport::empty(outcome)
        },
    }
}

/// Returns the time that orders a record. The service's is known only if the file has it.
fn time_report(time: RecordTime, event: &Event) -> TimeReport {
    let enqueued_ms = event.time_ms.or_else(|| event.position.map(|position| position.enqueued_ms));
    let (from, ms) = match time {
        RecordTime::Service => ("service", enqueued_ms),
        RecordTime::Device(ms) => match enqueued_ms.filter(|enqueued_ms| *enqueued_ms < ms) {
            Some(enqueued_ms) => ("future", Some(enqueued_ms)),
            None => ("device", Some(ms)),
        },
        RecordTime::Enqueued => ("enqueued", enqueued_ms),
        RecordTime::Unusable => ("unusable", enqueued_ms),
    };
    TimeReport { from, utc: ms.map(iso8601), enqueued_is_known: enqueued_ms.is_some() }
}
