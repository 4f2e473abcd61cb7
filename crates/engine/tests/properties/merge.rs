//! In any order, grouping and repetition of a device's events, its document has the newest value of each field.

use std::collections::{BTreeMap, BTreeSet};

use devicestate_engine::device_state::{Document, Reading, Update, Version};
use proptest::{
    collection::{btree_map, vec},
    prelude::*,
    sample::{select, subsequence},
};
use serde_json::{Map, Value, json};

use crate::{cases, examples, json};

const FIELDS: [&str; 4] = ["Altitude", "Battery", "FlightMode", "GyrometerOK"];

/// A field of the document that no event writes.
const NOTE: &str = "Note";

/// The events of a device by version. Versions have few different parts, so that any two often share some.
type History = BTreeMap<Version, Vec<Reading>>;

fn version(enqueued_ms: i64, sequence_number: i64, source: u64) -> Version {
    Version { enqueued_ms, sequence_number, source }
}

fn history() -> impl Strategy<Value = History> {
    let versions = (0..3_i64, 0..3_i64, 0..2_u64).prop_map(|(time, number, source)| version(time, number, source));
    btree_map(versions, readings(), 0..10)
}

/// Events in groups, each of which becomes one update.
type Groups = Vec<Vec<(Version, Vec<Reading>)>>;

/// Generates the readings of one event; many are equal to those of other events, or null.
fn readings() -> impl Strategy<Value = Vec<Reading>> {
    let values = vec![Value::Null, json!(0), json!(1), json!(0.5), json!(true), json!("x"), json!([])];
    btree_map(select(&FIELDS[..]), select(values), 0..4)
        .prop_map(|fields| fields.into_iter().map(|(name, value)| Reading { name: name.into(), value }).collect())
}

/// Generates fields without versions, which another program wrote.
fn foreign() -> impl Strategy<Value = Map<String, Value>> {
    let name = prop_oneof![select(&FIELDS[..]), Just(NOTE)];
    btree_map(name, select(vec![json!(null), json!(7), json!("by hand")]), 0..3)
        .prop_map(|fields| fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn document(foreign: &Map<String, Value>) -> Document {
    let mut fields = foreign.clone();
    fields.insert("id".into(), "d".into());
    serde_json::from_value(fields.into()).expect("a document")
}

fn update(events: &History) -> Update {
    let mut update = Update::default();
    for (version, readings) in events {
        update.fold(*version, readings);
    }
    update
}

/// The oracle: for each field the value of the highest version that has one.
fn newest(events: &History) -> BTreeMap<String, (Version, Value)> {
    let mut newest = BTreeMap::new();
    for (version, readings) in events {
        for reading in readings {
            if reading.value != Value::Null {
                newest.insert(reading.name.to_string(), (*version, reading.value.clone()));
            }
        }
    }
    newest
}

/// Returns the expected document of these events, as it is stored.
fn expected(foreign: &Map<String, Value>, events: &History) -> Value {
    let mut fields = foreign.clone();
    let mut versions = Map::new();
    for (name, (version, value)) in newest(events) {
        fields.insert(name.clone(), value);
        versions.insert(name, json!([version.enqueued_ms, version.sequence_number, version.source]));
    }
    fields.insert("id".into(), "d".into());
    fields.insert("Versions".into(), versions.into());
    fields.into()
}

fn stored(document: &Document) -> Value {
    serde_json::to_value(document).expect("a document is JSON")
}

/// Generates the events in any order, some of them twice, in any groups.
fn deliveries(events: &History) -> impl Strategy<Value = Groups> + use<> {
    let events: Vec<_> = events.clone().into_iter().collect();
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

fn delivered() -> impl Strategy<Value = (History, Groups)> {
    history().prop_flat_map(|events| (Just(events.clone()), deliveries(&events)))
}

/// Generates two parts of one history, which may overlap.
fn two_parts() -> impl Strategy<Value = (History, History)> {
    history().prop_flat_map(|events| {
        let events: Vec<_> = events.into_iter().collect();
        let part = || subsequence(events.clone(), 0..=events.len()).prop_map(History::from_iter);
        (part(), part())
    })
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn the_document_has_the_newest_value_of_each_field_in_any_order(
        (events, groups) in delivered(), foreign in foreign(),
    ) {
        let mut document = document(&foreign);
        for group in groups {
            let mut update = Update::default();
            for (version, readings) in &group {
                update.fold(*version, readings);
            }
            document.merge(&update);
            // Read from its stored form, as by another handler.
            document = serde_json::from_value(stored(&document)).expect("a document");
        }
        prop_assert_eq!(stored(&document), expected(&foreign, &events));
        prop_assert_eq!(document.newest_version(), newest(&events).values().map(|(version, _)| *version).max());
    }

    #[test]
    fn merging_two_updates_is_merging_their_fold((one, other) in two_parts(), foreign in foreign()) {
        let both: History = one.clone().into_iter().chain(other.clone()).collect();
        let mut expected = document(&foreign);
        let changes = expected.merge(&update(&both));
        for [first, second] in [[&one, &other], [&other, &one]] {
            let mut document = document(&foreign);
            let changed = [document.merge(&update(first)), document.merge(&update(second))];
            prop_assert_eq!(&document, &expected);
            prop_assert_eq!(changed.contains(&true), changes);
            let mut folded = update(first);
            for (version, readings) in second.iter().rev() {
                folded.fold(*version, readings);
            }
            prop_assert_eq!(folded, update(&both));
        }
    }

    #[test]
    fn a_merge_changes_only_newer_fields_and_reports_it(
        (before, events) in two_parts(), foreign in foreign(),
    ) {
        let mut document = document(&foreign);
        document.merge(&update(&before));
        let (before, events) = (document.clone(), update(&events));
        let changed = document.merge(&events);
        prop_assert_eq!(changed, stored(&document) != stored(&before));
        for field in FIELDS {
            prop_assert!(document.version(field) >= before.version(field), "{}", field);
            if document.version(field) == before.version(field) {
                prop_assert_eq!(document.get(field), before.get(field));
            }
        }
        prop_assert_eq!(document.get(NOTE), before.get(NOTE));
        let merged = document.clone();
        prop_assert!(!document.merge(&events), "a repeat changes nothing");
        prop_assert_eq!(document, merged);
    }

    #[test]
    fn an_equal_value_under_a_higher_version_raises_the_version((events, _) in delivered(), later in 1..3_i64) {
        let mut document = document(&Map::new());
        document.merge(&update(&events));
        let Some(Version { enqueued_ms: time, sequence_number: number, source }) = document.newest_version() else { return Ok(()) };
        let repeated: Vec<_> = document
            .readings()
            .map(|(name, value)| Reading { name: name.to_owned().into(), value: value.clone() })
            .collect();
        for version in [version(time + later, 0, 0), version(time + later, 1, 0), version(time + later, 1, 1)] {
            let values: Vec<_> = document.readings().map(|(_, value)| value.clone()).collect();
            prop_assert!(document.is_older_than(version, &repeated));
            prop_assert!(document.merge(&update(&History::from([(version, repeated.clone())]))));
            prop_assert!(document.readings().all(|(name, _)| document.version(name) == Some(version)));
            prop_assert!(document.readings().map(|(_, value)| value).eq(&values));
        }
        prop_assert!(!document.is_older_than(version(time, number, source), &repeated));
    }

    #[test]
    fn a_document_is_older_than_an_event_exactly_if_merging_changes_it((before, events) in two_parts(), foreign in foreign()) {
        let mut document = document(&foreign);
        document.merge(&update(&before));
        for (version, readings) in events {
            let is_news = document.is_older_than(version, &readings);
            let changes = document.clone().merge(&update(&History::from([(version, readings)])));
            prop_assert_eq!(is_news, changes);
        }
    }

    #[test]
    fn a_document_holds_an_update_if_it_has_its_versions(
        (written, others) in two_parts(), before in history(), foreign in foreign(), is_new in any::<bool>(),
    ) {
        // Each version belongs to only one event.
        let before: History = before.into_iter().filter(|(v, _)| !written.contains_key(v) && !others.contains_key(v)).collect();
        let mut document = document(&foreign);
        if !is_new {
            document.merge(&update(&before));
        }
        let before = document.clone();
        let before = (!is_new).then_some(&before);
        document.merge(&update(&others));
        let is_held = newest(&written).into_iter().all(|(field, (version, _))| {
            let was_news = before.and_then(|before| before.version(&field)) < Some(version);
            !was_news || document.version(&field) == Some(version)
        });
        prop_assert_eq!(document.holds(&update(&written), before), is_held);
        let mut document = before.cloned().unwrap_or_else(|| Document::new("d".into()));
        document.merge(&update(&written));
        prop_assert!(document.holds(&update(&written), before), "the update was just written");
    }

    #[test]
    fn a_document_is_read_as_it_was_written(
        id in json::string(12),
        fields in btree_map("[A-Z_é\"][a-n]{0,2}", (json::value(), any::<Option<(i64, i64, u64)>>()), 0..6),
    ) {
        let mut members: Vec<_> =
            fields.iter().map(|(name, (value, _))| (json::quoted(name, false), value.clone())).collect();
        let versions: BTreeMap<_, _> =
            fields.iter().filter_map(|(name, (_, version))| Some((name, (*version)?))).collect();
        members.push(("\"id\"".into(), id));
        members.push(("\"Versions\"".into(), serde_json::to_string(&versions).expect("JSON")));
        let without_service: Value = serde_json::from_str(&json::object(&members, "")).expect("JSON");
        members.extend(["_rid", "_self", "_etag", "_attachments", "_ts"].map(|name| (json::quoted(name, false), "1".into())));
        let document: Document = serde_json::from_str(&json::object(&members, " ")).expect("a document");
        prop_assert_eq!(stored(&document), without_service);
        let text = serde_json::to_string(&document).expect("JSON");
        let again: Document = serde_json::from_str(&text).expect("a document");
        prop_assert_eq!(serde_json::to_string(&again).expect("JSON"), text);
        prop_assert_eq!(again, document);
    }
}

/// The generated histories must be able to reveal an incorrect merge.
#[test]
fn the_generated_histories_can_reveal_an_incorrect_merge() {
    let mut seen = BTreeSet::new();
    for (events, groups) in examples(delivered(), 300) {
        let order: Vec<_> = groups.iter().flatten().map(|(version, _)| *version).collect();
        let values = |wanted: &str| {
            let readings = events.values().flatten().filter(|reading| reading.name == wanted);
            readings.map(|reading| reading.value.to_string()).collect::<Vec<_>>()
        };
        let battery = values("Battery");
        let distinct = battery.iter().collect::<BTreeSet<_>>().len();
        seen.extend((!order.is_sorted()).then_some("decreasing order"));
        seen.extend((order.len() > events.len()).then_some("repeats"));
        seen.extend((groups.len() > 2).then_some("in groups"));
        seen.extend((distinct < battery.len()).then_some("equal values"));
        seen.extend((distinct > 1).then_some("other values"));
        seen.extend(battery.contains(&"null".to_owned()).then_some("null"));
        let versions: Vec<_> = events.keys().collect();
        seen.extend(versions.windows(2).any(|two| two[0].enqueued_ms == two[1].enqueued_ms).then_some("one time"));
        seen.extend(
            versions
                .windows(2)
                .any(|two| (two[0].enqueued_ms, two[0].sequence_number) == (two[1].enqueued_ms, two[1].sequence_number))
                .then_some("one number"),
        );
    }
    assert_eq!(seen.len(), 8, "{seen:?}");
}
