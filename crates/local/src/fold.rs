//! The expected documents: a plain fold of the events that hubs received, computed without the handler. For each reading the
//! newest event wins, by the rule in `docs/reference/state-document.md`. The fold shares with the engine only how an event is
//! decoded.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use devicestate_engine::{
    batch::Source,
    device_state::{Document, Version, document_id},
    telemetry::{Decoded, DecodedRecord, RecordTime, Telemetry},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{envelope, hub::HubEvent};

/// Enqueued time, source and sequence number of the event that a reading is from.
type VersionKey = (i64, u64, i64, u32);

/// Namespace, partition and sequence number of an event.
type EventKey = (String, String, i64);

/// The fold of the events of one or more hubs.
pub(super) struct Fold {
    telemetry: Arc<dyn Telemetry>,
    /// Readings by document id and name.
    documents: BTreeMap<String, BTreeMap<String, (VersionKey, Value)>>,
    /// Events that cannot be decoded and whose dead letter has not been found.
    invalid: BTreeSet<EventKey>,
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
    pub(super) fn new(telemetry: Arc<dyn Telemetry>) -> Self {
        Self { telemetry, documents: BTreeMap::new(), invalid: BTreeSet::new() }
    }

    /// Adds the documents that the store holds before the first event.
    pub(super) fn add_documents(&mut self, stored: &[Document]) {
        for document in stored {
            let readings = document.readings().filter_map(|(name, value)| {
                Some((name.to_owned(), (version_key(document.version(name)?), value.clone())))
            });
            self.documents.entry(document.id.clone()).or_default().extend(readings);
        }
    }

    /// Adds the events of a partition.
    pub(super) fn add_events(&mut self, source: &Source, partition: usize, events: &[Arc<HubEvent>]) {
        let source = Source { partition_id: partition.to_string(), ..source.clone() };
        let number = source.number();
        for event in events {
            let decoded = envelope::event(event);
            if decoded.iot_hub_message_source.as_deref().is_some_and(|source| !source.eq_ignore_ascii_case("telemetry"))
            {
                continue;
            }
            let records = self.telemetry.decode_records(&decoded);
            let is_failed = |record: &DecodedRecord| matches!(record, DecodedRecord::Failed { .. });
            if records.as_ref().map_or(true, |records| records.iter().any(is_failed)) {
                let namespace = source.fully_qualified_namespace.clone();
                self.invalid.insert((namespace, source.partition_id.clone(), event.sequence_number));
            }
            for (index, record) in (0..).zip(records.unwrap_or_default()) {
                if let DecodedRecord::Valid(decoded) = record
                    && !decoded.is_unrecognized()
                {
                    let (time_ms, source) = order(decoded.time, event.enqueued_ms, number);
                    self.add_record(decoded, (time_ms, source, event.sequence_number, index));
                }
            }
        }
    }

    fn add_record(&mut self, decoded: Decoded, version: VersionKey) {
        let document = self.documents.entry(document_id(&decoded.device_id).into_owned()).or_default();
        for reading in decoded.readings {
            match document.get_mut(reading.name.as_str()) {
                Some(held) => replace_older(held, version, reading.value),
                None => drop(document.insert(reading.name.to_string(), (version, reading.value))),
            }
        }
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
            let different = expected.iter().find(|(name, (version, value))| {
                document.version(name).map(version_key) != Some(*version) || document.get(name) != Some(value)
            });
            if let Some((name, (version, value))) = different {
                let held = document.get(name).map_or_else(|| "missing".to_owned(), ToString::to_string);
                let held_version = json!(document.version(name));
                let (time_ms, source, sequence_number, record) = version;
                let version = json!(Version {
                    time_ms: *time_ms,
                    sequence_number: *sequence_number,
                    source: *source,
                    record: *record
                });
                let detail = format!("{name} is {held} (version {held_version}); expected {value} (version {version})");
                differences.push(difference(id, detail));
            } else if let Some((name, _)) = document.readings().find(|(name, _)| !expected.contains_key(*name)) {
                differences.push(difference(id, format!("{name} was not in any event")));
            }
        }
        differences
    }
}

/// The bit of a source's number in versions that the time orders.
const ORDERED_BY_TIME: u64 = 1;

/// Returns the time and the source of a record's version, for the source's number.
fn order(time: RecordTime, enqueued_ms: i64, source: u64) -> (i64, u64) {
    match time {
        RecordTime::Service => (enqueued_ms, source),
        RecordTime::Device(time_ms) => (time_ms.min(enqueued_ms), source | ORDERED_BY_TIME),
        RecordTime::Enqueued | RecordTime::Unusable => (enqueued_ms, source | ORDERED_BY_TIME),
    }
}

/// Replaces a reading if the event is newer.
fn replace_older(held: &mut (VersionKey, Value), event: VersionKey, value: Value) {
    const MINUTE_MS: u64 = 60_000;
    let ((held_ms, held_source, held_number, held_record), (event_ms, source, number, record)) = (held.0, event);
    // The times of a run are those of an earlier run or earlier ones, if its events are backdated.
    if source == held_source && source & ORDERED_BY_TIME == 0 && event_ms.abs_diff(held_ms) <= MINUTE_MS {
        if (number, record) > (held_number, held_record) {
            *held = ((event_ms.max(held_ms), source, number, record), value);
        }
    } else if event > held.0 {
        *held = (event, value);
    }
}

fn version_key(Version { time_ms, sequence_number, source, record }: Version) -> VersionKey {
    (time_ms, source, sequence_number, record)
}

#[cfg(test)]
mod tests {
    use devicestate_engine::{
        device_state::Reading,
        telemetry::{Poison, Records},
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
        let events = bodies.iter().zip(0..).map(|(body, sequence_number)| {
            let sent = Sent { body: body.to_string().into_bytes(), ..Sent::default() };
            let enqueued_ms = 1_000 + sequence_number;
            Arc::new(HubEvent { sent, sequence_number, offset: 0, enqueued_ms, iot_hub_enqueued_ms: None })
        });
        let mut fold = Fold::new(Arc::new(Timed));
        fold.add_events(&Source::default(), 0, &events.collect::<Vec<_>>());
        fold
    }

    #[track_caller]
    fn assert_newest(bodies: &[Value], time_ms: i64, sequence_number: i64, record: u32, value: &Value) {
        let fold = fold(bodies);
        let ((time, source, number, index), held) = &fold.documents["a"]["x"];
        assert_eq!((*time, *number, *index, held), (time_ms, sequence_number, record, value), "{bodies:?}");
        assert_eq!(source & ORDERED_BY_TIME, 1);
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
    fn an_event_with_an_invalid_record_is_expected_once_as_a_dead_letter() {
        let bodies = [json!([[500, 1], [], [600, 2], []])];
        assert_newest(&bodies, 600, 0, 2, &json!(2));
        assert_eq!(fold(&bodies).invalid_event_count(), 1);
    }
}
