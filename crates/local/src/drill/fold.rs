//! What the events of some hubs come to, folded one after the other as plainly as it can be said: of each reading, the one
//! that is newest by time, sequence number and source. It shares with the engine what an event says, and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use devicestate_engine::{
    batch::{Event, Source},
    device_state::{Document, Version, document_id},
    telemetry::{Telemetry as _, drone::Drone},
};
use serde::Deserialize;
use serde_json::Value;

use crate::hub::HubEvent;

/// When a reading was made: enqueued time, sequence number, source.
type Moment = (i64, i64, u64);

/// Where an event is: namespace, partition, sequence number.
type Place = (String, String, i64);

/// The fold of some events.
pub(super) struct Fold {
    telemetry: Drone,
    /// By document and reading.
    documents: BTreeMap<String, BTreeMap<String, (Moment, Value)>>,
    bad: BTreeSet<Place>,
}

/// As much of a dead letter as says which event it is.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Letter {
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
        Self { telemetry, documents: BTreeMap::new(), bad: BTreeSet::new() }
    }

    /// Adds the events of a partition.
    pub(super) fn add(&mut self, source: &Source, partition: usize, events: &[Arc<HubEvent>]) {
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
                self.bad.insert((namespace, source.partition_id.clone(), event.sequence_number));
                continue;
            };
            let moment = (event.enqueued_ms, event.sequence_number, number);
            let document = self.documents.entry(document_id(&decoded.device_id).into_owned()).or_default();
            for reading in decoded.readings.into_iter().filter(|reading| !reading.value.is_null()) {
                let is_newer = document.get(reading.name.as_ref()).is_none_or(|(held, _)| *held < moment);
                if is_newer {
                    document.insert(reading.name.into_owned(), (moment, reading.value));
                }
            }
        }
    }

    /// How many devices have sent.
    pub(super) fn devices(&self) -> usize {
        self.documents.len()
    }

    /// How many bad events there are, of which no dead letter was found so far.
    pub(super) fn bad_events(&self) -> usize {
        self.bad.len()
    }

    /// Strikes out the bad events that these messages have. What is no dead letter is none of them.
    pub(super) fn strike_out(&mut self, messages: &[Vec<u8>]) {
        let letters = messages.iter().filter_map(|message| serde_json::from_slice(message).ok());
        for Letter { source, event_data } in letters {
            let EventData { sequence_number } = event_data;
            self.bad.remove(&(source.fully_qualified_namespace, source.partition_id, sequence_number));
        }
    }

    /// How the documents that are there differ from the fold, a line for each document that does.
    pub(super) fn differences(&self, found: &[Document]) -> Vec<String> {
        let found: BTreeMap<&str, &Document> = found.iter().map(|document| (document.id.as_str(), document)).collect();
        let unknown = found.keys().filter(|id| !self.documents.contains_key(**id));
        let mut differences: Vec<_> = unknown.map(|id| format!("{id}: nobody has sent that")).collect();
        for (id, expected) in &self.documents {
            let Some(document) = found.get(id.as_str()) else {
                differences.push(format!("{id}: there is no document"));
                continue;
            };
            let wrong = expected.iter().find(|(name, (moment, value))| {
                let held = document
                    .version(name)
                    .map(|version| (version.enqueued_ms, version.sequence_number, version.source));
                held != Some(*moment) || document.get(name) != Some(value)
            });
            if let Some((name, (moment, value))) = wrong {
                let held = document.get(name).map_or_else(|| "nothing".to_owned(), ToString::to_string);
                let as_stored = |version: Option<Version>| serde_json::json!(version);
                let version = as_stored(document.version(name));
                let (enqueued_ms, sequence_number, source) = *moment;
                let moment = as_stored(Some(Version { enqueued_ms, sequence_number, source }));
                differences.push(format!("{id}: {name} is {held} of {version}, and should be {value} of {moment}"));
            } else if let Some((name, _)) = document.readings().find(|(name, _)| !expected.contains_key(*name)) {
                differences.push(format!("{id}: nobody has sent {name}"));
            }
        }
        differences
    }
}
