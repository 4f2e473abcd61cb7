//! The end: each event is in the account just once, and the documents are what all events come to.

use std::collections::{BTreeMap, BTreeSet};

use devicestate::local::hub::HubEvent;
use serde_json::{Map, Value, json};

use super::letter::Letter;
use crate::world::{World, fleet::Meaning, hub::Partition};

/// Enqueued time, sequence number, source.
type Version = (i64, i64, u64);

/// For each document and field the newest value.
type Fold = BTreeMap<String, BTreeMap<&'static str, (Version, Value)>>;

/// Judges what is left when everything is done with.
pub(crate) fn check(world: &World) {
    check_documents(world);
    check_order(world);
    check_dead_letters(world);
}

fn each(world: &World, mut see: impl FnMut(&Partition, &HubEvent, &Meaning, u64)) {
    for partition in world.hubs.iter().flat_map(|hub| &hub.partitions) {
        partition.each(|event, meaning, order| see(partition, event, meaning, order));
    }
}

/// The documents equal a plain fold of all good events, in the order of time, sequence number and source.
fn check_documents(world: &World) {
    let mut fold = Fold::new();
    each(world, |partition, event, meaning, _| {
        let Meaning::Good { id, readings } = meaning else {
            return;
        };
        let version = (event.enqueued_ms, event.sequence_number, partition.number);
        let document = fold.entry(id.clone()).or_default();
        for (name, value) in readings {
            let held = document.entry(name).or_insert_with(|| (version, value.clone()));
            if version > held.0 {
                *held = (version, value.clone());
            }
        }
    });
    let expected: BTreeMap<_, _> = fold.into_iter().map(|(id, fields)| (id.clone(), document(&id, &fields))).collect();
    let found: BTreeMap<_, _> =
        world.store.documents().iter().map(|stored| (stored.document.id.clone(), json!(stored.document))).collect();
    let ids: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    for id in ids {
        if expected.get(id) != found.get(id) {
            let text = |document: Option<&Value>| document.map_or("none".to_owned(), Value::to_string);
            world.surroundings.violation(&format!(
                "the document {id:?} is\n  {}\nand all events come to\n  {}",
                text(found.get(id)),
                text(expected.get(id))
            ));
        }
    }
}

fn document(id: &str, fields: &BTreeMap<&str, (Version, Value)>) -> Value {
    let mut document = Map::from_iter([("id".to_owned(), json!(id))]);
    document.extend(fields.iter().map(|(name, (_, value))| ((*name).to_owned(), value.clone())));
    let versions: Map<_, _> = fields.iter().map(|(name, (version, _))| ((*name).to_owned(), json!(version))).collect();
    document.insert("Versions".to_owned(), Value::Object(versions));
    Value::Object(document)
}

/// What a device sent last is what its document says, where the platform keeps its events in order: they have one key,
/// and the clocks of the partitions agree.
fn check_order(world: &World) {
    if world.plan.skewed {
        return;
    }
    let mut last: BTreeMap<(String, &str), (u64, Value)> = BTreeMap::new();
    each(world, |_, _, meaning, order| {
        let Meaning::Good { id, readings } = meaning else {
            return;
        };
        for (name, value) in readings {
            let held = last.entry((id.clone(), name)).or_insert_with(|| (order, value.clone()));
            if order > held.0 {
                *held = (order, value.clone());
            }
        }
    });
    for ((id, name), (_, value)) in last.into_iter().filter(|((id, _), _)| world.is_keyed(id)) {
        let stored = world.store.document(&id);
        if stored.as_ref().and_then(|stored| stored.document.get(name)) != Some(&value) {
            world.surroundings.violation(&format!("{name} of {id:?} is not {value}, which its device sent last"));
        }
    }
}

/// What is left in the queue is poison, each of it, and nothing else but what the store refused. Two messages of one
/// event have one id.
fn check_dead_letters(world: &World) {
    let mut left: BTreeMap<(String, String, i64), String> = BTreeMap::new();
    for text in world.queue.texts() {
        let letter = match Letter::read(world, &text) {
            Ok(letter) => letter,
            Err(error) => {
                world.surroundings.violation(&format!("a dead letter that is left cannot be read: {error}"));
                continue;
            }
        };
        let Letter { id, namespace, partition, sequence_number, .. } = letter;
        let place = (namespace, partition, sequence_number);
        let first = left.entry(place.clone()).or_insert_with(|| id.clone());
        if *first != id {
            world.surroundings.violation(&format!("the event at {place:?} has dead letters with two ids"));
        }
    }
    each(world, |partition, event, meaning, _| {
        let source = &partition.source;
        let place = (source.fully_qualified_namespace.clone(), source.partition_id.clone(), event.sequence_number);
        match (meaning, left.remove(&place)) {
            (Meaning::Poison, None) => {
                world.surroundings.violation(&format!("the event at {place:?} is poison, and is nowhere"));
            }
            (Meaning::Good { .. }, Some(id)) => {
                world.surroundings.violation(&format!("the event at {place:?} is good, and still a dead letter: {id}"));
            }
            (Meaning::Poison, Some(_)) | (Meaning::Good { .. }, None) | (Meaning::Refused { .. }, _) => {}
        }
    });
    for place in left.into_keys() {
        world.surroundings.violation(&format!("a dead letter is of no event: {place:?}"));
    }
}
