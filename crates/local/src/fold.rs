//! The expected documents: a plain fold of the events that hubs received, computed without the handler. For each reading the
//! newest event wins, by the rule in `docs/reference/state-document.md`. The fold shares with the engine only how an event is
//! decoded.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use devicestate_engine::{
    batch::{Event, Source},
    device_state::{Document, Version, document_id},
    telemetry::{Telemetry as _, drone::Drone},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::hub::HubEvent;

/// Enqueued time, source and sequence number of the event that a reading is from.
type VersionKey = (i64, u64, i64, u32);

/// Namespace, partition and sequence number of an event.
type EventKey = (String, String, i64);

/// The fold of the events of one or more hubs.
pub(super) struct Fold {
    telemetry: Drone,
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
    pub(super) fn new(telemetry: Drone) -> Self {
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
            let content_type = event.sent.content_type.map(str::to_owned);
            let decoded = self.telemetry.decode(&Event {
                body: event.sent.body.clone().into(),
                content_type,
                ..Event::default()
            });
            let Ok(decoded) = decoded else {
                let namespace = source.fully_qualified_namespace.clone();
                self.invalid.insert((namespace, source.partition_id.clone(), event.sequence_number));
                continue;
            };
            if decoded.is_unrecognized() {
                continue;
            }
            let version = (event.enqueued_ms, number, event.sequence_number, 0);
            let document = self.documents.entry(document_id(&decoded.device_id).into_owned()).or_default();
            for reading in decoded.readings.into_iter().filter(|reading| !reading.value.is_null()) {
                match document.get_mut(reading.name.as_str()) {
                    Some(held) => replace_older(held, version, reading.value),
                    None => drop(document.insert(reading.name.to_string(), (version, reading.value))),
                }
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

/// Replaces a reading if the event is newer.
fn replace_older(held: &mut (VersionKey, Value), event: VersionKey, value: Value) {
    const MINUTE_MS: u64 = 60_000;
    let ((held_ms, held_source, held_number, held_record), (event_ms, source, number, record)) = (held.0, event);
    // The times of a run are those of an earlier run or earlier ones, if its events are backdated.
    if source == held_source && event_ms.abs_diff(held_ms) <= MINUTE_MS {
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
