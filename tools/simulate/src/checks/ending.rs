//! The end: each event is in the account just once, and the documents are what all events come to.

use std::collections::{BTreeMap, BTreeSet};

use devicestate_local::hub::HubEvent;
use serde_json::{Map, Value, json};

use super::letter::Letter;
use crate::{World, fleet::Meaning, hub::Partition};

/// Enqueued time, sequence number, source.
type Version = (i64, i64, u64);

/// For each document and field the newest value.
type Fold = BTreeMap<String, BTreeMap<&'static str, (Version, Value)>>;

/// Judges what is left when everything is done with.
pub(crate) fn check(world: &World) {
    let fold = fold(world);
    check_documents(world, &fold);
    check_order(world);
    check_dead_letters(world, &fold);
}

fn each(world: &World, mut see: impl FnMut(&Partition, &HubEvent, &Meaning, u64)) {
    for partition in world.hubs.iter().flat_map(|hub| &hub.partitions) {
        partition.each(|event, meaning, order| see(partition, event, meaning, order));
    }
}

/// A plain fold of all good events, in the order of time, sequence number and source.
fn fold(world: &World) -> Fold {
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
    fold
}

/// The documents equal the fold.
fn check_documents(world: &World, fold: &Fold) {
    let expected: BTreeMap<_, _> = fold.iter().map(|(id, fields)| (id.clone(), document(id, fields))).collect();
    let found: BTreeMap<_, _> =
        world.store.documents().iter().map(|stored| (stored.document.id.clone(), json!(stored.document))).collect();
    let ids: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    for id in ids {
        if expected.get(id) != found.get(id) {
            let text = |document: Option<&Value>| document.map_or("none".to_owned(), Value::to_string);
            world.clock.violation(&format!(
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
            world.clock.violation(&format!("{name} of {id:?} is not {value}, which its device sent last"));
        }
    }
}

/// What is left in the queue is each poison event and each that the store refused, with its own bytes, and nothing else. One
/// that was refused may be nowhere only when its device's document has something newer. Messages of one event have one id.
fn check_dead_letters(world: &World, fold: &Fold) {
    let mut left: BTreeMap<(String, String, i64), (String, Vec<u8>)> = BTreeMap::new();
    for text in world.queue.texts() {
        let letter = match Letter::read(world, &text) {
            Ok(letter) => letter,
            Err(error) => {
                world.clock.violation(&format!("a dead letter that is left cannot be read: {error}"));
                continue;
            }
        };
        let Letter { id, namespace, partition, sequence_number, body } = letter;
        let position = (namespace, partition, sequence_number);
        let first = left.entry(position.clone()).or_insert_with(|| (id.clone(), body.clone()));
        if *first != (id, body) {
            world.clock.violation(&format!("the dead letters of the event at {position:?} have two ids or bodies"));
        }
    }
    each(world, |partition, event, meaning, _| {
        let source = &partition.source;
        let position = (source.fully_qualified_namespace.clone(), source.partition_id.clone(), event.sequence_number);
        let is_overtaken = |id: &str, name: &str| {
            let version = (event.enqueued_ms, event.sequence_number, partition.number);
            fold.get(id).and_then(|fields| fields.get(name)).is_some_and(|(newest, _)| *newest > version)
        };
        let violation = |what: &str| world.clock.violation(&format!("the event at {position:?} {what}"));
        match (meaning, left.remove(&position)) {
            (Meaning::Poison, None) => violation("is poison, and is nowhere"),
            (Meaning::Refused { id, readings }, None) if !readings.iter().all(|(name, _)| is_overtaken(id, name)) => {
                violation("was refused, and is nowhere");
            }
            (Meaning::Good { .. }, Some(_)) => violation("is good, and still a dead letter"),
            (_, Some((_, body))) if body != event.sent.body => violation("has a dead letter with other bytes"),
            (Meaning::Poison | Meaning::Refused { .. }, _) | (Meaning::Good { .. }, None) => {}
        }
    });
    for position in left.into_keys() {
        world.clock.violation(&format!("a dead letter is of no event: {position:?}"));
    }
}
