//! The oracle: the documents that a set of events adds up to, worked out from what the events say and nothing else.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Batch, Event, sha256};

/// Enqueued time, sequence number, source.
type Version = (i64, i64, u64);

/// For each device and field the newest value, by plain comparison of the events' places.
#[derive(Debug, Clone, Default)]
pub struct Fold(BTreeMap<String, BTreeMap<String, (Version, Value)>>);

impl Fold {
    /// Of the JSON events of these batches.
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
        let (enqueued_ms, sequence_number) = event.place();
        let version = (enqueued_ms, sequence_number, source(partition_id));
        let body: Map<String, Value> = serde_json::from_slice(event.body()).expect("a JSON event");
        let device = body["deviceId"].as_str().expect("a device");
        let document = self.0.entry(device.to_owned()).or_default();
        for (name, value) in body.iter().filter(|(name, _)| *name != "deviceId") {
            let fields = match value {
                // Position and health are groups on the wire only.
                Value::Object(group) => group.iter().collect(),
                value => vec![(name, value)],
            };
            for (name, value) in fields {
                let (first, rest) = name.split_at(1);
                let held = document.entry(first.to_uppercase() + rest).or_insert((version, value.clone()));
                if version > held.0 {
                    *held = (version, value.clone());
                }
            }
        }
    }

    /// The documents by their id, as they are to be stored.
    pub fn documents(&self) -> BTreeMap<String, Value> {
        let documents = self.0.iter().map(|(id, fields)| {
            let mut document = Map::from_iter([("id".to_owned(), json!(id))]);
            let versions: Map<_, _> =
                fields.iter().map(|(name, (version, _))| (name.clone(), json!(version))).collect();
            document.extend(fields.iter().map(|(name, (_, value))| (name.clone(), as_stored(value))));
            document.insert("Versions".to_owned(), Value::Object(versions));
            (id.clone(), Value::Object(document))
        });
        documents.collect()
    }
}

/// The last part of a version: the first 53 bits of a hash of namespace, hub and partition.
fn source(partition_id: &str) -> u64 {
    let name = format!("{}\0{}\0{partition_id}\0", super::NAMESPACE, super::EVENT_HUB);
    u64::from_str_radix(&sha256(name.as_bytes())[..16], 16).expect("hexadecimal digits") >> 11
}

/// A number without a fraction comes back from Cosmos DB as an integer.
fn as_stored(value: &Value) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "checked")]
    let whole = |number: f64| (number.fract() == 0.0 && number.abs() < 1e15).then_some(number as i64);
    value.as_f64().and_then(whole).map_or_else(|| value.clone(), Value::from)
}
