//! Generates the events of a device and how they are delivered, for the properties of the merge.

use devicestate_engine::device_state::{MAX_CLOCK_STEP_MS, Reading, Version};
use proptest::{
    collection::{btree_map, vec},
    prelude::*,
    sample::{select, subsequence},
};
use serde_json::{Map, Value, json};

pub(super) const FIELDS: [&str; 4] = ["Altitude", "Battery", "FlightMode", "GyrometerOK"];

/// A field of the document that no event writes.
pub(super) const NOTE: &str = "Note";

/// The records of a device's events. The numbers of sources are even if sequence numbers order their events, and odd if times do.
pub(super) type History = Vec<(Version, Vec<Reading>)>;

/// The source of the records that are ordered by the times of their device.
const BY_DEVICE_TIME: u64 = 9;

pub(super) fn version(time_ms: i64, sequence_number: i64, source: u64) -> Version {
    Version { time_ms, sequence_number, source, record: 0 }
}

/// Returns the position of the event that a record is from. The service enqueues an event after the time of its device.
pub(super) fn position(record: Version) -> Version {
    let Version { time_ms, sequence_number, source, .. } = record;
    if source == BY_DEVICE_TIME {
        return version(10 + 40_000 * sequence_number, sequence_number, BY_DEVICE_TIME - 1);
    }
    version(time_ms, sequence_number, source)
}

/// Generates events that may arrive in any order.
pub(super) fn history() -> impl Strategy<Value = History> {
    prop_oneof![without_steps(), one_source_with_steps()]
}

/// Generates events of up to four sources. In each the times do not decrease, or order the events.
fn without_steps() -> impl Strategy<Value = History> {
    let part = |source| events(select(vec![0, 0, 1, 30_000, 70_000]), 4).prop_map(move |e| with_steps(source, e));
    let by_time = |source| {
        let key = (0..3_i64, 0..3_i64, 0..2_u32);
        btree_map(key, readings(), 0..4).prop_map(move |records| {
            let record =
                |((time, number, record), readings)| (Version { record, ..version(time, number, source) }, readings);
            records.into_iter().map(record).collect::<History>()
        })
    };
    (part(2), part(4), by_time(3), by_time(BY_DEVICE_TIME))
        .prop_map(|(one, other, by_time, by_device)| [one, other, by_time, by_device].concat())
}

/// Generates records: how much the event's time differs from the latest so far, the readings, and whether the record is the next
/// one of the event before.
fn events(steps: impl Strategy<Value = i64>, count: usize) -> impl Strategy<Value = Vec<(i64, Vec<Reading>, bool)>> {
    vec((steps, readings(), select(vec![false, false, true])), 0..count)
}

/// Generates events of one source whose times step back by up to the limit.
fn one_source_with_steps() -> impl Strategy<Value = History> {
    events(steps(), 10).prop_map(|events| with_steps(2, events))
}

/// Generates how much an event's time is before or after the latest so far.
fn steps() -> impl Strategy<Value = i64> {
    select(vec![-MAX_CLOCK_STEP_MS, -100, -1, 0, 1, 100, 2 * MAX_CLOCK_STEP_MS])
}

fn with_steps(source: u64, events: Vec<(i64, Vec<Reading>, bool)>) -> History {
    let (mut latest, mut history) = (0, History::new());
    for (step, readings, is_next_record) in events {
        let version = match history.last() {
            Some((last, _)) if is_next_record => Version { record: last.record + 1, ..*last },
            last => version(latest + step, last.map_or(0, |(last, _)| last.sequence_number + 1), source),
        };
        latest = latest.max(version.time_ms);
        history.push((version, readings));
    }
    history
}

/// Events in groups, each of which becomes one update.
pub(super) type Groups = Vec<History>;

/// Generates the readings of one event; many are equal to those of other events, or null.
fn readings() -> impl Strategy<Value = Vec<Reading>> {
    let values = vec![Value::Null, json!(0), json!(1), json!(0.5), json!(true), json!("x"), json!([])];
    btree_map(select(&FIELDS[..]), select(values), 0..4)
        .prop_map(|fields| fields.into_iter().map(|(name, value)| Reading { name: name.into(), value }).collect())
}

/// Generates fields without versions, which another program wrote.
pub(super) fn foreign() -> impl Strategy<Value = Map<String, Value>> {
    let name = prop_oneof![select(&FIELDS[..]), Just(NOTE)];
    btree_map(name, select(vec![json!(null), json!(7), json!("by hand")]), 0..3)
        .prop_map(|fields| fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// Generates the events in any order, some of them twice, in any groups.
fn deliveries(events: &[(Version, Vec<Reading>)]) -> impl Strategy<Value = Groups> + use<> {
    let events = events.to_vec();
    let count = events.len();
    let order = subsequence(events.clone(), 0..=count)
        .prop_flat_map(move |repeated| Just([events.clone(), repeated].concat()).prop_shuffle());
    (order, vec(any::<bool>(), 2 * count)).prop_map(|(order, begins_group)| {
        let mut groups = vec![Vec::new()];
        for (event, begins_group) in order.into_iter().zip(begins_group) {
            if begins_group {
                groups.push(Vec::new());
            }
            groups.last_mut().expect("there is a group").push(event);
        }
        groups
    })
}

/// Generates events and how they are delivered.
pub(super) fn delivered() -> impl Strategy<Value = (History, Groups)> {
    history().prop_flat_map(|events| (Just(events.clone()), deliveries(&events)))
}

/// Generates two parts of one history, which may overlap.
pub(super) fn two_parts() -> impl Strategy<Value = (History, History)> {
    history().prop_flat_map(|events| {
        let part = || subsequence(events.clone(), 0..=events.len());
        (part(), part())
    })
}

/// Generates several sources whose times step back. Each is delivered in its order, in groups, and again from earlier places.
pub(super) fn in_order_of_each_source() -> impl Strategy<Value = (History, Groups)> {
    let source = |number| events(steps(), 5).prop_map(move |events| with_steps(number, events));
    let sources = (source(2), source(4), source(6)).prop_map(|(one, two, three)| [one, two, three]);
    let choices = vec((0..3_usize, 1..4_usize, any::<prop::sample::Index>()), 0..12);
    (sources, choices).prop_map(|(sources, choices)| {
        let (mut places, mut groups) = ([0; 3], Groups::new());
        let finish = (0..3).map(|index| (index, usize::MAX, None));
        for (index, count, from) in choices.into_iter().map(|(i, count, from)| (i, count, Some(from))).chain(finish) {
            let (events, place) = (&sources[index], &mut places[index]);
            // From the first that is new, or from an earlier one.
            let from = from.map_or(*place, |from| from.index(*place + 1));
            let to = from.saturating_add(count).min(events.len());
            groups.push(events[from..to].to_vec());
            *place = to.max(*place);
        }
        (sources.concat(), groups)
    })
}
