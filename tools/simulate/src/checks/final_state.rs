//! Checks the final state: each event is accounted for exactly once, and the documents equal the fold of all events.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use devicestate_engine::{
    device_state::{Document, Version},
    text::iso8601,
};
use devicestate_local::hub::HubEvent;
use serde_json::{Map, Value, json};

use super::{
    dead_letter::DeadLetter,
    order::{EventOrder, MINUTE_MS, is_newer, of_event, of_record, of_version},
};
use crate::{
    World,
    expected::{ExpectedEffect, ExpectedEvent, ExpectedRecord},
    hub::Partition,
    metrics::Count,
};

/// The expected documents, by id.
type Fold = BTreeMap<String, Expected>;

/// An expected document.
#[derive(Default)]
struct Expected {
    /// Whether an event of it is valid; otherwise there is no document.
    is_valid: bool,
    heard: Field,
    /// The positions of all its events, by their numbers in their source.
    positions: BTreeMap<(u64, i64), EventOrder>,
    fields: BTreeMap<&'static str, Field>,
}

/// The events of a field.
#[derive(Default)]
struct Field {
    /// The newest valid event. `None` if all events were rejected.
    newest: Option<FieldEvent>,
    /// All valid events, by source, sequence number and record.
    valid: BTreeMap<(u64, i64, u32), FieldEvent>,
    sources: BTreeMap<u64, Times>,
    /// Whether the times of a source that is ordered by sequence number step back.
    has_steps: bool,
}

/// A valid event of a field.
#[derive(Clone)]
struct FieldEvent {
    /// Its order, with the latest time of its source up to it.
    order: EventOrder,
    /// Its own time.
    time_ms: i64,
    value: Value,
}

/// The times of a source's events of a field.
#[derive(Default)]
struct Times {
    latest: Option<i64>,
    /// The latest time before the hub was created again.
    before_restart: Option<i64>,
    /// Whether there are events since.
    has_restarted: bool,
    /// The time of the last valid event since.
    last_since: Option<i64>,
}

impl Times {
    /// Returns whether the events since the hub was created again are not certain to be newer than those before. One before may
    /// arrive again, and is newer than those up to a minute later. Its version has the later time, so that it may be newer than
    /// those of another minute, and nothing is newer than it for one more.
    fn is_restarting(&self) -> bool {
        let is_newer = |before: i64| self.last_since.is_some_and(|last| last > before + 3 * MINUTE_MS);
        self.has_restarted && self.before_restart.is_some_and(|before| !is_newer(before))
    }
}

impl Field {
    /// Adds an event with its order. Events are added in the order of their partition.
    fn add(&mut self, order: EventOrder, is_valid: bool, value: &Value, is_after_restart: bool) {
        let (time_ms, source, sequence_number, record) = order;
        let times = self.sources.entry(source).or_default();
        if source.is_multiple_of(2) {
            self.has_steps |= Some(time_ms) < times.latest;
            times.latest = times.latest.max(Some(time_ms));
            if is_after_restart {
                times.has_restarted = true;
                times.last_since = Some(time_ms).filter(|_| is_valid).or(times.last_since);
            } else {
                times.before_restart = times.latest;
            }
        }
        if !is_valid {
            return;
        }
        let order = (times.latest.unwrap_or(time_ms), source, sequence_number, record);
        let event = FieldEvent { order, time_ms, value: value.clone() };
        self.valid.insert((source, sequence_number, record), event.clone());
        if self.newest.as_ref().is_none_or(|newest| order > newest.order) {
            self.newest = Some(event);
        }
    }

    fn is_restarting(&self) -> bool {
        self.sources.values().any(Times::is_restarting)
    }

    /// Returns whether the order in which the events arrive may decide the value.
    fn is_unordered(&self) -> bool {
        (self.has_steps && self.sources.len() > 1) || self.is_restarting()
    }

    /// Returns the value and the version that the document must have. Where the order of arrival may decide, they are those of
    /// any valid event, and the time may be any between that of the event and the latest before it.
    fn expected(&self, found: Option<Version>) -> Option<(Value, EventOrder)> {
        let is_unordered = self.is_unordered();
        let of_found = |found: Version| self.valid.get(&(found.source, found.sequence_number, found.record));
        let event = found.filter(|_| is_unordered).and_then(of_found).or(self.newest.as_ref())?;
        let (latest, source, sequence_number, record) = event.order;
        let latest = latest + if self.is_restarting() { 2 * MINUTE_MS } else { 0 };
        let time_ms = found.map_or(latest, |found| found.time_ms.clamp(event.time_ms, latest));
        Some((event.value.clone(), (time_ms, source, sequence_number, record)))
    }
}

impl Expected {
    /// Returns the position that the document must have as the one at which the device was heard: that of the newest event, or
    /// one that is older by less than `HeardEvery` and not older than the event of a reading. An event that the store rejected
    /// may count.
    fn heard(&self, found: Option<&Document>, heard_every: Duration) -> Option<EventOrder> {
        let newest = self.heard.newest.as_ref()?.order;
        let Some(heard) = found.and_then(Document::heard).map(of_version) else { return Some(newest) };
        let (time_ms, source, sequence_number, record) = heard;
        let Some(event) = self.positions.get(&(source | 1, sequence_number)) else { return Some(newest) };
        // Within a source that is ordered by sequence number, a newer event keeps a later time of those before it.
        let latest = self.heard.sources.get(&source).and_then(|times| times.latest).unwrap_or(event.0);
        let is_its_position = (source, record) == (event.1, 0) && (event.0..=latest).contains(&time_ms);
        let is_older = |position: EventOrder| is_newer(position, heard);
        let is_too_old = is_older(newest) && i128::from(newest.0 - time_ms) >= heard_every.as_millis().cast_signed();
        let versions = found.into_iter().flat_map(|found| found.readings().filter_map(|(name, _)| found.version(name)));
        let is_older_than_reading = { versions }.any(|version| {
            let position = self.positions.get(&(version.source | 1, version.sequence_number));
            position.is_some_and(|position| is_older(*position))
        });
        let is_wrong = !self.heard.is_unordered() && (is_too_old || is_older_than_reading);
        Some(if is_its_position && !is_wrong { heard } else { newest })
    }
}

/// Checks the documents and the dead letters after all events are processed.
pub(crate) fn check(world: &World) {
    let fold = fold(world);
    check_documents(world, &fold);
    check_order(world, &fold);
    check_dead_letters(world, &fold);
}

fn for_each_event(world: &World, mut visit: impl FnMut(&Partition, &HubEvent, &ExpectedEvent, u64)) {
    for partition in world.hubs.iter().flat_map(|hub| &hub.partitions) {
        partition.for_each_event(|event, expected, order| visit(partition, event, expected, order));
    }
}

/// Folds all valid events. Within a source that is ordered by sequence number, an event counts as no earlier than those before
/// it.
fn fold(world: &World) -> Fold {
    let mut fold = Fold::new();
    for_each_event(world, |partition, event, expected, _| {
        for (index, effect) in (0..).zip(&expected.0) {
            let Some(ExpectedRecord { id, time, readings }) = effect.decoded() else { continue };
            let is_valid = matches!(effect, ExpectedEffect::Valid(_));
            let order = of_record(partition.number, event, index, *time);
            let document = fold.entry(id.clone()).or_default();
            document.is_valid |= is_valid;
            let position = of_event(partition.number, event);
            document.heard.add(position, is_valid, &Value::Null, partition.is_after_restart(event));
            document.positions.insert((position.1 | 1, position.2), position);
            for (name, value) in readings {
                let field = document.fields.entry(name).or_default();
                field.add(order, is_valid, value, partition.is_after_restart(event));
            }
        }
    });
    fold
}

/// Checks that the documents equal the fold.
fn check_documents(world: &World, fold: &Fold) {
    let found: BTreeMap<_, _> =
        world.store.documents().into_iter().map(|stored| (stored.document.id.clone(), stored)).collect();
    let valid = fold.iter().filter(|(_, expected)| expected.is_valid);
    let expected: BTreeMap<_, _> = valid
        .map(|(id, expected)| (id, document(world, id, expected, found.get(id).map(|found| &found.document))))
        .collect();
    let ids: BTreeSet<_> = expected.keys().copied().chain(found.keys()).collect();
    for id in ids {
        let found = found.get(id).map(|stored| json!(stored.document));
        if expected.get(id) != found.as_ref() {
            let text = |document: Option<&Value>| document.map_or("missing".to_owned(), Value::to_string);
            world.clock.record_violation(&format!(
                "the document {id:?} is\n  {}\nbut the fold of all events is\n  {}",
                text(found.as_ref()),
                text(expected.get(id))
            ));
        }
    }
}

/// Returns the expected document.
fn document(world: &World, id: &str, expected: &Expected, found: Option<&Document>) -> Value {
    let mut document = Map::from_iter([("id".to_owned(), json!(id))]);
    let mut versions = Map::new();
    if let Some(heard) = expected.heard(found, world.schedule.heard_every) {
        document.insert("Heard".to_owned(), json!(iso8601(heard.0)));
        versions.insert("Heard".to_owned(), version(heard));
    }
    for (name, field) in &expected.fields {
        let found = found.and_then(|found| found.version(name));
        let Some((value, order)) = field.expected(found) else { continue };
        world.clock.metrics.count(Count::Readings, 1);
        world.clock.metrics.count(Count::UnorderedReadings, u64::from(field.is_unordered()));
        document.insert((*name).to_owned(), value);
        versions.insert((*name).to_owned(), version(order));
    }
    document.insert("Versions".to_owned(), Value::Object(versions));
    Value::Object(document)
}

/// Returns a version as it is stored: a sequence number that the store would round is a string.
fn version((time_ms, source, sequence_number, record): EventOrder) -> Value {
    let is_exact = sequence_number <= 1 << 53;
    let number = if is_exact { json!(sequence_number) } else { json!(sequence_number.to_string()) };
    match record {
        0 => json!([time_ms, number, source]),
        _ => json!([time_ms, number, source, record]),
    }
}

/// Checks that a document holds what its device sent last. This applies only where the platform keeps the events in order:
/// they have a partition key, and are in one partition or in partitions whose clocks agree, and a hub that was created again
/// has existed for some minutes.
fn check_order(world: &World, fold: &Fold) {
    if world.schedule.kind.has_device_times() {
        return;
    }
    let mut last: BTreeMap<(String, &str), (u64, Value)> = BTreeMap::new();
    for_each_event(world, |_, _, expected, order| {
        for effect in &expected.0 {
            let ExpectedEffect::Valid(ExpectedRecord { id, readings, .. }) = effect else { continue };
            for (name, value) in readings {
                let held = last.entry((id.clone(), name)).or_insert_with(|| (order, value.clone()));
                if order > held.0 {
                    *held = (order, value.clone());
                }
            }
        }
    });
    let do_clocks_agree = !world.schedule.has_clock_skew && !world.schedule.has_clock_steps;
    let is_in_order = |id: &str, name: &str| {
        let field = fold.get(id).and_then(|document| document.fields.get(name));
        let is_ordered = |field: &Field| {
            !field.is_restarting() && (do_clocks_agree || field.sources.len() == 1 || world.schedule.has_iot_hub)
        };
        world.is_keyed(id) && field.is_some_and(is_ordered)
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
        let violation = |what: &str| world.clock.record_violation(&format!("the event at {position:?} {what}"));
        let rejected = (0..).zip(&expected.0).filter_map(|(index, effect)| match effect {
            ExpectedEffect::Rejected(record) => Some((of_record(partition.number, event, index, record.time), record)),
            _ => None,
        });
        let is_superseded = |(order, ExpectedRecord { id, readings, .. }): (EventOrder, &ExpectedRecord)| {
            readings.iter().all(|(name, _)| {
                let field = fold.get(id).and_then(|document| document.fields.get(name));
                // Where the order of arrival decides, any of them may have been in the document.
                let is_overtaken = |valid: &FieldEvent| is_newer(valid.order, order);
                field.is_some_and(|field| field.is_restarting() || field.valid.values().any(is_overtaken))
            })
        };
        match remaining.remove(&position) {
            None if expected.has_poison() => violation("has poison, but its dead letter is missing"),
            None if !{ rejected }.all(is_superseded) => violation("was rejected, but its dead letter is missing"),
            Some(_) if expected.is_valid() => violation("is valid, but still a dead letter"),
            Some(_) if expected.is_unrecognized() || expected.is_ignored() => {
                violation("is not telemetry, but a dead letter");
            }
            Some((_, body)) if body != event.sent.body => violation("has a dead letter with other bytes"),
            _ => {}
        }
    });
    for position in remaining.into_keys() {
        world.clock.record_violation(&format!("a dead letter belongs to no event: {position:?}"));
    }
}
