//! Checks the final state: each event is accounted for exactly once, and the documents equal the fold of all events.

use std::collections::{BTreeMap, BTreeSet};

use devicestate_local::hub::HubEvent;
use serde_json::{Map, Value, json};

use super::dead_letter::DeadLetter;
use crate::{World, fleet::ExpectedEffect, hub::Partition};

/// Enqueued time, sequence number, source.
type Version = (i64, i64, u64);

/// The newest value of each field of each document.
type Fold = BTreeMap<String, BTreeMap<&'static str, (Version, Value)>>;

/// Checks the documents and the dead letters after all events are processed.
pub(crate) fn check(world: &World) {
    let fold = fold(world);
    check_documents(world, &fold);
    check_order(world);
    check_dead_letters(world, &fold);
}

fn for_each_event(world: &World, mut visit: impl FnMut(&Partition, &HubEvent, &ExpectedEffect, u64)) {
    for partition in world.hubs.iter().flat_map(|hub| &hub.partitions) {
        partition.for_each_event(|event, expected, order| visit(partition, event, expected, order));
    }
}

/// Folds all valid events in the order of time, sequence number and source.
fn fold(world: &World) -> Fold {
    let mut fold = Fold::new();
    for_each_event(world, |partition, event, expected, _| {
        let ExpectedEffect::Valid { id, readings } = expected else {
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

/// Checks that the documents equal the fold.
fn check_documents(world: &World, fold: &Fold) {
    let expected: BTreeMap<_, _> = fold.iter().map(|(id, fields)| (id.clone(), document(id, fields))).collect();
    let found: BTreeMap<_, _> =
        world.store.documents().iter().map(|stored| (stored.document.id.clone(), json!(stored.document))).collect();
    let ids: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    for id in ids {
        if expected.get(id) != found.get(id) {
            let text = |document: Option<&Value>| document.map_or("missing".to_owned(), Value::to_string);
            world.clock.record_violation(&format!(
                "the document {id:?} is\n  {}\nbut the fold of all events is\n  {}",
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

/// Checks that a document holds what its device sent last. This applies only where the platform keeps the events in order:
/// they have a partition key, and the clocks of the partitions agree.
fn check_order(world: &World) {
    if world.schedule.has_clock_skew {
        return;
    }
    let mut last: BTreeMap<(String, &str), (u64, Value)> = BTreeMap::new();
    for_each_event(world, |_, _, expected, order| {
        let ExpectedEffect::Valid { id, readings } = expected else {
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
            world.clock.record_violation(&format!("{name} of {id:?} is not {value}, which its device sent last"));
        }
    }
}

/// Checks that the queue holds each poison event and each event that the store rejected, with its own bytes, and nothing
/// else. A rejected event may be missing only if its device's document is newer. Messages of one event have the same id.
fn check_dead_letters(world: &World, fold: &Fold) {
    let mut remaining: BTreeMap<(String, String, i64), (String, Vec<u8>)> = BTreeMap::new();
    for body in world.queue.bodies() {
        let dead_letter = match DeadLetter::read(world, &body) {
            Ok(dead_letter) => dead_letter,
            Err(error) => {
                world.clock.record_violation(&format!("a remaining dead letter cannot be read: {error}"));
                continue;
            }
        };
        let DeadLetter { id, namespace, partition, sequence_number, body } = dead_letter;
        let position = (namespace, partition, sequence_number);
        let first = remaining.entry(position.clone()).or_insert_with(|| (id.clone(), body.clone()));
        if *first != (id, body) {
            world.clock.record_violation(&format!(
                "the dead letters of the event at {position:?} have different ids or bodies"
            ));
        }
    }
    for_each_event(world, |partition, event, expected, _| {
        let source = &partition.source;
        let position = (source.fully_qualified_namespace.clone(), source.partition_id.clone(), event.sequence_number);
        let is_superseded = |id: &str, name: &str| {
            let version = (event.enqueued_ms, event.sequence_number, partition.number);
            fold.get(id).and_then(|fields| fields.get(name)).is_some_and(|(newest, _)| *newest > version)
        };
        let violation = |what: &str| world.clock.record_violation(&format!("the event at {position:?} {what}"));
        match (expected, remaining.remove(&position)) {
            (ExpectedEffect::Poison, None) => violation("is poison, but its dead letter is missing"),
            (ExpectedEffect::Rejected { id, readings }, None)
                if !readings.iter().all(|(name, _)| is_superseded(id, name)) =>
            {
                violation("was rejected, but its dead letter is missing");
            }
            (ExpectedEffect::Valid { .. }, Some(_)) => violation("is valid, but still a dead letter"),
            (ExpectedEffect::Unrecognized | ExpectedEffect::Ignored, Some(_)) => {
                violation("is no telemetry of a drone, but a dead letter");
            }
            (_, Some((_, body))) if body != event.sent.body => violation("has a dead letter with other bytes"),
            (ExpectedEffect::Poison | ExpectedEffect::Rejected { .. }, _) | (_, None) => {}
        }
    });
    for position in remaining.into_keys() {
        world.clock.record_violation(&format!("a dead letter belongs to no event: {position:?}"));
    }
}
