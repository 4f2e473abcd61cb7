//! The oracle: the documents that a set of events adds up to, computed from the events alone.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Batch, Event, sha256};

/// The version of a reading. The order of the fields decides which version is newer, because the enqueued times of these
/// events do not decrease within a partition.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
struct Version {
    enqueued_ms: i64,
    source_hash: u64,
    sequence_number: i64,
}

/// The newest value of each device and field, by comparison of versions; also when the device was heard.
#[derive(Debug, Clone, Default)]
pub struct Fold(BTreeMap<String, BTreeMap<String, (Version, Value)>>);

impl Fold {
    /// Folds the JSON events of these batches.
    pub fn from_batches<'a>(batches: impl IntoIterator<Item = &'a Batch>) -> Self {
        let mut fold = Self::default();
        for batch in batches {
            for event in batch.events() {
                fold.add(batch.partition_id(), event);
            }
        }
        fold
    }

    fn add(&mut self, partition_id: &str, event: &Event) {
        let (enqueued_ms, sequence_number) = event.position();
        let version = Version { enqueued_ms, sequence_number, source_hash: source_hash(partition_id) };
        let body: Map<String, Value> = serde_json::from_slice(event.body()).expect("a JSON event");
        let device = body["deviceId"].as_str().expect("a device");
        let document = self.0.entry(device.to_owned()).or_default();
        // The newest event decides, as for a reading.
        let heard = jiff::Timestamp::from_millisecond(enqueued_ms).expect("a time");
        let heard = (version, heard.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string().into());
        let newest = document.entry("Heard".to_owned()).or_insert_with(|| heard.clone());
        if version > newest.0 {
            *newest = heard;
        }
        for (name, value) in body.iter().filter(|(name, _)| *name != "deviceId") {
            let fields = match value {
                // Position and health are groups in an event, and flat in a document.
                Value::Object(group) => group.iter().collect(),
                value => vec![(name, value)],
            };
            for (name, value) in fields {
                let (first, rest) = name.split_at(1);
                let newest = document.entry(first.to_uppercase() + rest).or_insert((version, value.clone()));
                if version > newest.0 {
                    *newest = (version, value.clone());
                }
            }
        }
    }

    /// Returns the documents by id, in their stored form.
    pub fn documents(&self) -> BTreeMap<String, Value> {
        let documents = self.0.iter().map(|(id, fields)| {
            let mut document = Map::from_iter([("id".to_owned(), json!(id))]);
            let versions: Map<_, _> =
                fields.iter().map(|(name, (version, _))| (name.clone(), version.to_json())).collect();
            document.extend(fields.iter().map(|(name, (_, value))| (name.clone(), as_stored(value))));
            document.insert("Versions".to_owned(), Value::Object(versions));
            (id.clone(), Value::Object(document))
        });
        documents.collect()
    }
}

impl Version {
    /// Returns the version in its stored form.
    fn to_json(self) -> Value {
        json!([self.enqueued_ms, self.sequence_number, self.source_hash])
    }
}

/// Returns the last part of a version: the first 52 bits of a hash of namespace, hub and partition, and a zero.
fn source_hash(partition_id: &str) -> u64 {
    let name = format!("{}\0{}\0{partition_id}\0", super::NAMESPACE, super::EVENT_HUB);
    u64::from_str_radix(&sha256(name.as_bytes())[..16], 16).expect("hexadecimal digits") >> 12 << 1
}

/// Returns the value in the form that Cosmos DB stores: a number without a fraction is an integer.
fn as_stored(value: &Value) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "checked")]
    let integer = |number: f64| (number.fract() == 0.0 && number.abs() < 1e15).then_some(number as i64);
    value.as_f64().and_then(integer).map_or_else(|| value.clone(), Value::from)
}
