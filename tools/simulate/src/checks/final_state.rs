//! Checks the final state: each event is accounted for exactly once, and the documents equal the fold of all events.

use std::collections::{BTreeMap, BTreeSet};

use devicestate_local::hub::HubEvent;
use serde_json::{Map, Value, json};

use super::{
    dead_letter::DeadLetter,
    order::{EventOrder, is_newer, of_event},
};
use crate::{World, fleet::ExpectedEffect, hub::Partition, metrics::Count};

/// The expected documents, by id.
type Fold = BTreeMap<String, Expected>;

/// An expected document.
#[derive(Default)]
struct Expected {
    /// Whether an event of it is valid; otherwise there is no document.
    is_valid: bool,
    fields: BTreeMap<&'static str, Newest>,
}

/// The newest value of a field.
#[derive(Default)]
struct Newest {
    /// The value, and the event that it is from, with the time of its version. `None` if all events were rejected.
    event: Option<(EventOrder, Value)>,
    sources: BTreeSet<u64>,
    /// Whether the times of a source that is ordered by sequence number step back.
    has_steps: bool,
}

impl Newest {
    /// Returns whether the order in which the events of several sources arrive may decide the value.
    fn is_unordered(&self) -> bool {
        self.has_steps && self.sources.len() > 1
    }
}

/// Checks the documents and the dead letters after all events are processed.
pub(crate) fn check(world: &World) {
    let fold = fold(world);
    check_documents(world, &fold);
    check_order(world, &fold);
    check_dead_letters(world, &fold);
}

fn for_each_event(world: &World, mut visit: impl FnMut(&Partition, &HubEvent, &ExpectedEffect, u64)) {
    for partition in world.hubs.iter().flat_map(|hub| &hub.partitions) {
        partition.for_each_event(|event, expected, order| visit(partition, event, expected, order));
    }
}

/// Folds all valid events. Within a source that is ordered by sequence number, an event counts as no earlier than those before
/// it, including the rejected ones, which are superseded in the end.
fn fold(world: &World) -> Fold {
    let mut fold = Fold::new();
    let mut latest_ms: BTreeMap<(String, &str, u64), i64> = BTreeMap::new();
    for_each_event(world, |partition, event, expected, _| {
        let Some((id, readings)) = expected.decoded() else { return };
        let (time_ms, source, sequence_number) = of_event(partition, event);
        let is_valid = matches!(expected, ExpectedEffect::Valid { .. });
        let document = fold.entry(id.to_owned()).or_default();
        document.is_valid |= is_valid;
        for (name, value) in readings {
            let latest_ms = latest_ms.entry((id.to_owned(), name, source)).or_insert(time_ms);
            let is_step = source % 2 == 0 && time_ms < *latest_ms;
            *latest_ms = if source % 2 == 0 { time_ms.max(*latest_ms) } else { time_ms };
            let order = (*latest_ms, source, sequence_number);
            let newest = document.fields.entry(name).or_default();
            newest.sources.insert(source);
            newest.has_steps |= is_step;
            if is_valid && newest.event.as_ref().is_none_or(|(newest, _)| order > *newest) {
                newest.event = Some((order, value.clone()));
            }
        }
    });
    fold
}

/// Checks that the documents equal the fold.
fn check_documents(world: &World, fold: &Fold) {
    let found: BTreeMap<_, _> =
        world.store.documents().iter().map(|stored| (stored.document.id.clone(), json!(stored.document))).collect();
    let valid = fold.iter().filter(|(_, expected)| expected.is_valid);
    let expected: BTreeMap<_, _> =
        valid.map(|(id, expected)| (id.clone(), document(world, id, &expected.fields, found.get(id)))).collect();
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

/// Returns the expected document. Fields that the order of arrival may decide are those of the document that was found.
fn document(world: &World, id: &str, fields: &BTreeMap<&str, Newest>, found: Option<&Value>) -> Value {
    let mut document = Map::from_iter([("id".to_owned(), json!(id))]);
    let mut versions = Map::new();
    for (name, newest) in fields {
        let Some(((time_ms, source, sequence_number), value)) = newest.event.clone() else { continue };
        world.clock.metrics.count(Count::Readings, 1);
        let (mut value, mut version) = (value, version(time_ms, sequence_number, source));
        if let Some(found) = found.filter(|_| newest.is_unordered()) {
            world.clock.metrics.count(Count::UnorderedReadings, 1);
            (value, version) = (found[*name].clone(), found["Versions"][*name].clone());
        }
        document.insert((*name).to_owned(), value);
        versions.insert((*name).to_owned(), version);
    }
    document.insert("Versions".to_owned(), Value::Object(versions));
    Value::Object(document)
}

/// Returns a version as it is stored: a sequence number that the store would round is a string.
fn version(time_ms: i64, sequence_number: i64, source: u64) -> Value {
    if sequence_number > 1 << 53 {
        return json!([time_ms, sequence_number.to_string(), source]);
    }
    json!([time_ms, sequence_number, source])
}

/// Checks that a document holds what its device sent last. This applies only where the platform keeps the events in order:
/// they have a partition key, and are in one partition or in partitions whose clocks agree.
fn check_order(world: &World, fold: &Fold) {
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
    let do_clocks_agree = !world.schedule.has_clock_skew && !world.schedule.has_clock_steps;
    let is_in_order = |id: &str, name: &str| {
        let sources =
            fold.get(id).and_then(|document| document.fields.get(name)).map_or(0, |newest| newest.sources.len());
        world.is_keyed(id) && (do_clocks_agree || sources == 1 || world.schedule.has_iot_hub)
    };
    for ((id, name), (_, value)) in last.into_iter().filter(|((id, name), _)| is_in_order(id, name)) {
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
            let newest = fold.get(id).and_then(|document| document.fields.get(name)?.event.as_ref());
            newest.is_some_and(|(newest, _)| is_newer(*newest, of_event(partition, event)))
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
                violation("is not telemetry of a drone, but a dead letter");
            }
            (_, Some((_, body))) if body != event.sent.body => violation("has a dead letter with other bytes"),
            (ExpectedEffect::Poison | ExpectedEffect::Rejected { .. }, _) | (_, None) => {}
        }
    });
    for position in remaining.into_keys() {
        world.clock.record_violation(&format!("a dead letter belongs to no event: {position:?}"));
    }
}
