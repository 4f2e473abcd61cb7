//! The expected documents: a plain fold of the events that hubs received, computed without the handler. For each reading the
//! newest event wins, by the rule in `docs/reference/state-document.md`. The fold shares with the engine only how an event is
//! decoded and checked.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use devicestate_engine::{
    batch::Source,
    device_state::{Document, Version, document_id},
    processor::{InspectedRecord, inspect},
    telemetry::{Decoded, RecordTime, Telemetry},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{envelope, hub::HubEvent};

/// Time, source and sequence number of the event that a reading is from, and the index of its record.
type VersionKey = (i64, u64, i64, u32);

/// Namespace, partition and sequence number of an event.
type EventKey = (String, String, i64);

/// The fold of the events of one or more hubs.
pub(super) struct Fold {
    telemetry: Arc<dyn Telemetry>,
    /// The setting `HeardEvery`.
    heard_every: Duration,
    /// The setting `MaxReadings`.
    max_readings: usize,
    /// The expected documents by id.
    documents: BTreeMap<String, Expected>,
    /// Events of which a record cannot be decoded or does not fit into its document, and whose dead letter has not been found.
    invalid: BTreeSet<EventKey>,
}

/// An expected document.
#[derive(Default)]
struct Expected {
    /// The position of the newest event.
    heard: Option<VersionKey>,
    /// The readings by name.
    readings: BTreeMap<String, (VersionKey, Value)>,
}

/// A document that differs from the fold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The document's id.
    pub document: String,
    /// The stored and the expected values.
    pub detail: String,
}

/// The part of a dead-letter message that identifies its event.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DeadLetter {
    source: Source,
    event_data: EventData,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EventData {
    sequence_number: i64,
}

impl Fold {
    pub(super) fn new(telemetry: Arc<dyn Telemetry>, heard_every: Duration, max_readings: usize) -> Self {
        Self { telemetry, heard_every, max_readings, documents: BTreeMap::new(), invalid: BTreeSet::new() }
    }

    /// Adds the documents that the store holds before the first event.
    pub(super) fn add_documents(&mut self, stored: &[Document]) {
        for document in stored {
            let readings = document.readings().filter_map(|(name, value)| {
                Some((name.to_owned(), (version_key(document.version(name)?), value.clone())))
            });
            let expected = self.documents.entry(document.id.clone()).or_default();
            expected.readings.extend(readings);
            expected.heard = document.heard().map(version_key);
        }
    }

    /// Adds the events of a partition.
    pub(super) fn add_events(&mut self, source: &Source, partition: usize, events: &[Arc<HubEvent>]) {
        let source = Source { partition_id: partition.to_string(), ..source.clone() };
        let number = source.number();
        for event in events {
            let records = inspect(&*self.telemetry, &envelope::event(event), self.max_readings);
            for (index, record) in (0..).zip(records) {
                let is_added = match record {
                    InspectedRecord::Decoded(decoded) => self.add_record(event, number, index, decoded),
                    InspectedRecord::Failed(_) => false,
                    InspectedRecord::Unrecognized(_) | InspectedRecord::Ignored => true,
                };
                if !is_added {
                    let namespace = source.fully_qualified_namespace.clone();
                    self.invalid.insert((namespace, source.partition_id.clone(), event.sequence_number));
                }
            }
        }
    }

    /// Adds the record with this index of an event of the source with this number. Returns false if its readings do not fit into
    /// the document.
    fn add_record(&mut self, event: &HubEvent, source: u64, index: u32, decoded: Decoded) -> bool {
        let HubEvent { enqueued_ms, sequence_number, .. } = *event;
        let position = (enqueued_ms, source, sequence_number, 0);
        let version = match decoded.time {
            RecordTime::Service => (enqueued_ms, source, sequence_number, index),
            RecordTime::Device(time_ms) => (time_ms.min(enqueued_ms), source | 1, sequence_number, index),
            RecordTime::Enqueued | RecordTime::Unusable => (enqueued_ms, source | 1, sequence_number, index),
        };
        let document = self.documents.entry(document_id(&decoded.device_id).into_owned()).or_default();
        let new =
            decoded.readings.iter().filter(|reading| !document.readings.contains_key(reading.name.as_str())).count();
        if new > 0 && document.readings.len() + new > self.max_readings {
            return false;
        }
        document.heard = Some(document.heard.map_or(position, |held| newer(held, position).unwrap_or(held)));
        for reading in decoded.readings {
            match document.readings.get_mut(reading.name.as_str()) {
                Some(held) => {
                    if let Some(version) = newer(held.0, version) {
                        *held = (version, reading.value);
                    }
                }
                None => drop(document.readings.insert(reading.name.to_string(), (version, reading.value))),
            }
        }
        true
    }

    /// Returns the number of expected documents.
    pub(super) fn document_count(&self) -> usize {
        self.documents.len()
    }

    /// Returns the number of invalid events whose dead letter has not been found.
    pub(super) fn invalid_event_count(&self) -> usize {
        self.invalid.len()
    }

    /// Removes the invalid events that these messages are dead letters of. Other messages are ignored.
    pub(super) fn remove_dead_lettered(&mut self, messages: &[Vec<u8>]) {
        let dead_letters = messages.iter().filter_map(|message| serde_json::from_slice(message).ok());
        for DeadLetter { source, event_data } in dead_letters {
            let EventData { sequence_number } = event_data;
            self.invalid.remove(&(source.fully_qualified_namespace, source.partition_id, sequence_number));
        }
    }

    /// Compares the stored documents with the fold. Returns one difference for each document that differs.
    pub(super) fn differences(&self, stored: &[Document]) -> Vec<Difference> {
        let stored: BTreeMap<&str, &Document> =
            stored.iter().map(|document| (document.id.as_str(), document)).collect();
        let difference = |id: &str, detail| Difference { document: id.to_owned(), detail };
        let unexpected = stored.keys().filter(|id| !self.documents.contains_key(**id));
        let mut differences: Vec<_> =
            unexpected.map(|id| difference(id, "no event of this device was sent".to_owned())).collect();
        for (id, expected) in &self.documents {
            let Some(document) = stored.get(id.as_str()) else {
                differences.push(difference(id, "the document is missing".to_owned()));
                continue;
            };
            let different = expected.readings.iter().find(|(name, (version, value))| {
                document.version(name).map(version_key) != Some(*version) || document.get(name) != Some(value)
            });
            if let Some((name, (version, value))) = different {
                let held = document.get(name).map_or_else(|| "missing".to_owned(), ToString::to_string);
                let held_version = json!(document.version(name));
                let version = json!(as_version(*version));
                let detail = format!("{name} is {held} (version {held_version}); expected {value} (version {version})");
                differences.push(difference(id, detail));
            } else if let Some((name, _)) = document.readings().find(|(name, _)| !expected.readings.contains_key(*name))
            {
                differences.push(difference(id, format!("{name} was not in any event")));
            } else if let Some(detail) = self.heard_difference(document, expected.heard) {
                differences.push(difference(id, detail));
            }
        }
        differences
    }

    /// Describes the difference if the document does not say when its device was last heard: at the position of the newest event,
    /// or of one that is older by less than the setting `HeardEvery`.
    fn heard_difference(&self, document: &Document, newest: Option<VersionKey>) -> Option<String> {
        let newest = newest?;
        let held = document.heard().map(version_key);
        let is_recent = |held: VersionKey| {
            let age_ms = newest.0.abs_diff(held.0);
            held <= newest && (held == newest || u128::from(age_ms) < self.heard_every.as_millis())
        };
        let heard = json!(document.heard());
        let newest_version = json!(as_version(newest));
        (!held.is_some_and(is_recent)).then(|| format!("Heard is {heard}; expected {newest_version} or a little older"))
    }
}

/// Returns the version of a stored reading after an event replaces it; `None` if the event is not newer.
fn newer(held: VersionKey, event: VersionKey) -> Option<VersionKey> {
    const MINUTE_MS: u64 = 60_000;
    let ((held_ms, held_source, held_number, held_record), (event_ms, source, number, record)) = (held, event);
    // The times of a run are those of an earlier run or earlier ones, if its events are backdated.
    if source == held_source && source.is_multiple_of(2) && event_ms.abs_diff(held_ms) <= MINUTE_MS {
        let is_newer = (number, record) > (held_number, held_record);
        return is_newer.then_some((event_ms.max(held_ms), source, number, record));
    }
    (event > held).then_some(event)
}

fn version_key(Version { time_ms, sequence_number, source, record }: Version) -> VersionKey {
    (time_ms, source, sequence_number, record)
}

fn as_version((time_ms, source, sequence_number, record): VersionKey) -> Version {
    Version { time_ms, sequence_number, source, record }
}

#[cfg(test)]
mod tests {
    use devicestate_engine::{
        batch::Event,
        device_state::Reading,
        telemetry::{Poison, Records, drone::Drone},
    };

    use super::*;
    use crate::hub::Sent;

    /// Bodies are arrays of records `[device time or null, value]` of the device `a`; a record without a value is not valid.
    struct Timed;

    impl Telemetry for Timed {
        fn decode_into<'e>(&self, event: &'e Event, records: &mut Records<'_, 'e>) -> Result<(), Poison> {
            let bodies: Vec<Vec<Value>> = serde_json::from_slice(&event.body).expect("the test's own JSON");
            for record in bodies {
                let [time, value] = &record[..] else {
                    records.fail(None, Poison::Invalid("no value".to_owned()));
                    continue;
                };
                records.push(Reading { name: "x".into(), value: value.clone() });
                records.finish("a", time.as_i64().map_or(RecordTime::Enqueued, RecordTime::Device));
            }
            Ok(())
        }
    }

    /// Returns the fold of events of one partition, which are enqueued at the times 1000, 1001 and so on.
    fn fold(bodies: &[Value]) -> Fold {
        fold_with(Arc::new(Timed), 1_000, bodies)
    }

    fn fold_with(telemetry: Arc<dyn Telemetry>, max_readings: usize, bodies: &[Value]) -> Fold {
        let events = bodies.iter().zip(0..).map(|(body, sequence_number)| {
            let sent = Sent { body: body.to_string().into_bytes(), ..Sent::default() };
            let enqueued_ms = 1_000 + sequence_number;
            Arc::new(HubEvent { sent, sequence_number, offset: 0, enqueued_ms, iot_hub_enqueued_ms: None })
        });
        let mut fold = Fold::new(telemetry, Duration::ZERO, max_readings);
        fold.add_events(&Source::default(), 0, &events.collect::<Vec<_>>());
        fold
    }

    #[track_caller]
    fn assert_newest(bodies: &[Value], time_ms: i64, sequence_number: i64, record: u32, value: &Value) {
        let fold = fold(bodies);
        let ((time, source, number, index), held) = &fold.documents["a"].readings["x"];
        assert_eq!((*time, *number, *index, held), (time_ms, sequence_number, record, value), "{bodies:?}");
        assert_eq!(source & 1, 1);
    }

    #[test]
    fn the_device_time_decides_but_is_at_most_the_enqueued_time() {
        assert_newest(&[json!([[500, 1]]), json!([[400, 2]])], 500, 0, 0, &json!(1));
        assert_newest(&[json!([[9_999, 1]]), json!([[9_999, 2]])], 1_001, 1, 0, &json!(2));
        assert_newest(&[json!([[500, 1]]), json!([[null, 2]]), json!([[600, 3]])], 1_001, 1, 0, &json!(2));
    }

    #[test]
    fn of_records_with_the_same_time_the_later_one_in_the_event_is_newer() {
        assert_newest(&[json!([[500, 1], [500, 2], [400, 3]])], 500, 0, 1, &json!(2));
    }

    #[test]
    fn a_null_clears_a_reading_and_an_older_record_does_not_bring_it_back() {
        assert_newest(&[json!([[500, null]]), json!([[400, 2]])], 500, 0, 0, &Value::Null);
    }

    #[test]
    fn a_record_that_the_handler_refuses_is_expected_as_a_dead_letter_and_not_in_its_document() {
        let events = [
            json!({ "deviceId": "a", "battery": 0.5, "flightMode": 1 }),
            json!({ "deviceId": "a", "battery": 0.4, "position": { "altitude": 1.0 } }),
            json!({ "deviceId": "a", "flightMode": 2 }),
            json!({ "deviceId": "b", "battery": 0.5, "flightMode": 1, "position": { "altitude": 1.0 } }),
            json!({ "deviceId": "c".repeat(1_024), "battery": 0.5 }),
        ];
        let fold = fold_with(Arc::new(Drone::default()), 2, &events);
        let values: Vec<_> = fold.documents["a"].readings.values().map(|(_, value)| value.clone()).collect();
        assert_eq!((values, fold.document_count()), (vec![json!(0.5), json!(2)], 1));
        assert_eq!(fold.invalid.iter().map(|(_, _, number)| *number).collect::<Vec<_>>(), [1, 3, 4]);
    }

    #[test]
    fn an_event_with_an_invalid_record_is_expected_once_as_a_dead_letter() {
        let bodies = [json!([[500, 1], [], [600, 2], []])];
        assert_newest(&bodies, 600, 0, 2, &json!(2));
        assert_eq!(fold(&bodies).invalid_event_count(), 1);
    }
}
