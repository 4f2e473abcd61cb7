//! A device's document has the newest value of each field, in whatever order, grouping and repetition its events arrive, for the
//! sets of events that `docs/contribute/architecture.md` names.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use devicestate_engine::{
    device_state::{Document, MAX_CLOCK_STEP_MS, Reading, Update, Version},
    text::iso8601,
};
use proptest::{collection::btree_map, prelude::*, sample::select};
use serde_json::{Map, Value, json};

use crate::{
    cases, examples, json,
    merge_histories::{
        FIELDS, History, NOTE, delivered, foreign, history, in_order_of_each_source, position, two_parts, version,
    },
};

fn document(foreign: &Map<String, Value>) -> Document {
    let mut fields = foreign.clone();
    fields.insert("id".into(), "d".into());
    serde_json::from_value(fields.into()).expect("a document")
}

fn update(events: &[(Version, Vec<Reading>)]) -> Update {
    let mut update = Update::default();
    for (version, readings) in events {
        update.fold(*version, readings);
        update.hear(position(*version));
    }
    update
}

/// The oracle: the newest value of each field, with its event and the latest time of its version, computed from all of the
/// field's events at once. In a source that sequence numbers order, an event counts as no earlier than those before it.
fn newest(events: &[(Version, Vec<Reading>)]) -> BTreeMap<String, Newest> {
    let mut events: Vec<_> = events.to_vec();
    events.sort_by_key(|(version, _)| (version.source, version.sequence_number, version.record));
    let mut latest: BTreeMap<(String, u64), i64> = BTreeMap::new();
    let mut newest: BTreeMap<String, Newest> = BTreeMap::new();
    for (event, readings) in events {
        let Version { time_ms, source, .. } = event;
        for Reading { name, value } in readings {
            let latest = latest.entry((name.to_string(), source)).or_insert(time_ms);
            *latest = if source % 2 == 0 { time_ms.max(*latest) } else { time_ms };
            let event = Newest { version: Version { time_ms: *latest, ..event }, time_ms, value };
            let held = newest.entry(name.to_string()).or_insert_with(|| event.clone());
            if by_time(event.version) > by_time(held.version) {
                *held = event;
            }
        }
    }
    newest
}

/// The oracle of when the device was heard: the newest position of all events, as if each were a reading.
fn heard(events: &[(Version, Vec<Reading>)]) -> Option<Newest> {
    let reading = || vec![Reading { name: "Heard".into(), value: Value::Null }];
    let positions: Vec<_> = events.iter().map(|(version, _)| (position(*version), reading())).collect();
    newest(&positions).remove("Heard")
}

#[derive(Clone)]
struct Newest {
    version: Version,
    /// The time of its own event.
    time_ms: i64,
    value: Value,
}

fn by_time(Version { time_ms, sequence_number, source, record }: Version) -> (i64, u64, i64, u32) {
    (time_ms, source, sequence_number, record)
}

/// Returns a version as it is stored.
fn version_json(Version { time_ms, sequence_number, source, record }: Version) -> Value {
    // Cosmos DB would round a greater number.
    let is_exact = sequence_number.unsigned_abs() <= 1 << 53;
    let sequence_number = if is_exact { json!(sequence_number) } else { json!(sequence_number.to_string()) };
    let parts = [json!(time_ms), sequence_number, json!(source), json!(record)];
    json!(parts[..if record == 0 { 3 } else { 4 }])
}

/// Returns the expected document of these events, as it is stored. The order of arrival may decide the times of versions, between
/// the own time of the event and the latest one before it; a `found` document's are expected then.
fn expected(foreign: &Map<String, Value>, events: &[(Version, Vec<Reading>)], found: Option<&Document>) -> Value {
    let mut fields = foreign.clone();
    let mut versions = Map::new();
    for (name, Newest { version, time_ms, value }) in newest(events) {
        let found = found.and_then(|found| Some(found.version(&name)?.time_ms));
        let time_ms = found.map_or(version.time_ms, |found| found.clamp(time_ms, version.time_ms));
        fields.insert(name.clone(), value);
        versions.insert(name, version_json(Version { time_ms, ..version }));
    }
    if let Some(Newest { version, time_ms, .. }) = heard(events) {
        let found = found.and_then(|found| Some(found.heard()?.time_ms));
        let time_ms = found.map_or(version.time_ms, |found| found.clamp(time_ms, version.time_ms));
        fields.insert("Heard".into(), iso8601(time_ms).into());
        versions.insert("Heard".into(), version_json(Version { time_ms, ..version }));
    }
    fields.insert("id".into(), "d".into());
    fields.insert("Versions".into(), versions.into());
    fields.into()
}

/// Returns the stored form of a document of these events, without what the order of their arrival may decide: the times of
/// versions, if those of the events step back.
fn without_order(document: &Document, events: &[(Version, Vec<Reading>)]) -> Value {
    let mut document = stored(document);
    if newest(events).values().chain(&heard(events)).any(|newest| newest.time_ms < newest.version.time_ms) {
        document["Heard"] = Value::Null;
        for version in document["Versions"].as_object_mut().expect("versions").values_mut() {
            version[0] = Value::Null;
        }
    }
    document
}

fn stored(document: &Document) -> Value {
    serde_json::to_value(document).expect("a document is JSON")
}

/// Returns the stored form of a document without when its device was heard.
fn without_heard(document: &Document) -> Value {
    let mut document = stored(document);
    document.as_object_mut().expect("an object").remove("Heard");
    document["Versions"].as_object_mut().expect("versions").remove("Heard");
    document
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn the_document_has_the_newest_value_of_each_field_in_any_order(
        ((events, groups), is_in_order) in prop_oneof![(delivered(), Just(false)), (in_order_of_each_source(), Just(true))],
        foreign in foreign(),
    ) {
        let mut document = document(&foreign);
        for group in groups {
            document.merge(&update(&group));
            // Read from its stored form, as by another handler.
            document = serde_json::from_value(stored(&document)).expect("a document");
        }
        prop_assert_eq!(stored(&document), expected(&foreign, &events, (!is_in_order).then_some(&document)));
        let newest = FIELDS.iter().filter_map(|name| document.version(name)).max_by_key(|version| by_time(*version));
        prop_assert_eq!(document.newest_version(), newest);
    }

    #[test]
    fn the_time_at_which_a_device_was_heard_lags_by_less_than_the_setting(
        (events, groups) in delivered(), every_ms in select(vec![0, 1, 20_000, 70_000]),
    ) {
        let heard_every = Duration::from_millis(every_ms);
        let mut document = Document::new("d".into());
        for (index, group) in groups.iter().enumerate() {
            let (mut merged, update) = (document.clone(), update(group));
            let must_write = merged.merge(&update) | document.is_heard_due(&update, heard_every);
            prop_assert!(must_write || index > 0 || group.is_empty(), "a new document");
            if must_write {
                document = merged;
            } else {
                prop_assert_eq!(without_heard(&document), without_heard(&merged));
            }
        }
        let mut all = Document::new("d".into());
        all.merge(&update(&events));
        let Some(newest) = heard(&events) else { return Ok(()) };
        let held = document.heard().expect("a device that was heard");
        prop_assert!(by_time(held) <= by_time(newest.version), "{:?}", held);
        let is_position = |(version, _): &(Version, Vec<Reading>)| {
            let position = position(*version);
            (position.source, position.sequence_number) == (held.source, held.sequence_number)
        };
        prop_assert!(events.iter().any(is_position), "{:?}", held);
        // The order of arrival may decide the times of a source whose times step back.
        let has_steps = newest.time_ms < newest.version.time_ms;
        let limit_ms = every_ms.max(1) + if has_steps { MAX_CLOCK_STEP_MS.unsigned_abs() } else { 0 };
        prop_assert!(newest.version.time_ms.abs_diff(held.time_ms) < limit_ms, "{:?}", held);
    }

    #[test]
    fn merging_two_updates_is_merging_their_fold((one, other) in two_parts(), foreign in foreign()) {
        let both = [one.clone(), other.clone()].concat();
        let mut expected = document(&foreign);
        let changes = expected.merge(&update(&both));
        for [first, second] in [[&one, &other], [&other, &one]] {
            let mut document = document(&foreign);
            let changed = [document.merge(&update(first)), document.merge(&update(second))];
            prop_assert_eq!(without_order(&document, &both), without_order(&expected, &both));
            prop_assert_eq!(changed.contains(&true), changes);
            let mut folded = update(first);
            for (version, readings) in second.iter().rev() {
                folded.fold(*version, readings);
                folded.hear(position(*version));
            }
            let mut document = self::document(&foreign);
            document.merge(&folded);
            prop_assert_eq!(without_order(&document, &both), without_order(&expected, &both));
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
        prop_assert_eq!(changed, without_heard(&document) != without_heard(&before));
        for field in FIELDS {
            prop_assert!(document.version(field).map(by_time) >= before.version(field).map(by_time), "{}", field);
            if event_of(&document, field) == event_of(&before, field) {
                prop_assert_eq!(document.get(field), before.get(field));
            }
        }
        prop_assert_eq!(document.get(NOTE), before.get(NOTE));
        prop_assert!(document.heard().map(by_time) >= before.heard().map(by_time));
        let merged = document.clone();
        prop_assert!(!document.merge(&events), "a repeat changes nothing");
        prop_assert_eq!(document, merged);
    }

    #[test]
    fn an_equal_value_under_a_higher_version_raises_the_version((events, _) in delivered(), later in 1..3_i64) {
        let mut document = document(&Map::new());
        document.merge(&update(&events));
        let Some(newest) = document.newest_version() else { return Ok(()) };
        let time = newest.time_ms;
        let repeated: Vec<_> = document
            .readings()
            .map(|(name, value)| Reading { name: name.to_owned().into(), value: value.clone() })
            .collect();
        for version in [version(time + later, 0, 8), version(time + later, 1, 8), version(time + later, 0, 10)] {
            let values: Vec<_> = document.readings().map(|(_, value)| value.clone()).collect();
            prop_assert!(document.is_older_than(version, &repeated));
            prop_assert!(document.merge(&update(&[(version, repeated.clone())])));
            prop_assert!(document.readings().all(|(name, _)| document.version(name) == Some(version)));
            prop_assert!(document.readings().map(|(_, value)| value).eq(&values));
        }
        prop_assert!(!document.is_older_than(newest, &repeated));
    }

    #[test]
    fn a_document_is_older_than_an_event_exactly_if_merging_takes_its_value((before, events) in two_parts(), foreign in foreign()) {
        let mut document = document(&foreign);
        document.merge(&update(&before));
        for (version, readings) in events {
            let is_news = document.is_older_than(version, &readings);
            let mut merged = document.clone();
            merged.merge(&update(&[(version, readings)]));
            let changes = FIELDS.iter().any(|field| event_of(&merged, field) != event_of(&document, field));
            prop_assert_eq!(is_news, changes);
        }
    }

    #[test]
    fn a_document_holds_an_update_if_it_has_its_versions(
        (written, others) in two_parts(), before in history(), foreign in foreign(), is_new in any::<bool>(),
    ) {
        // Each version belongs to only one event.
        let is_other = |(version, _): &(Version, Vec<Reading>)| {
            written.iter().chain(&others).all(|(other, _)| other != version)
        };
        let before: History = before.into_iter().filter(is_other).collect();
        let mut document = document(&foreign);
        if !is_new {
            document.merge(&update(&before));
        }
        let before = document.clone();
        let before = (!is_new).then_some(&before);
        let mut after = document.clone();
        after.merge(&update(&written));
        document.merge(&update(&others));
        let is_held = newest(&written).keys().all(|field| {
            let expected = after.version(field);
            expected == before.and_then(|before| before.version(field)) || document.version(field) == expected
        });
        prop_assert_eq!(document.holds(&update(&written), before), is_held);
        let mut document = before.cloned().unwrap_or_else(|| Document::new("d".into()));
        document.merge(&update(&written));
        prop_assert!(document.holds(&update(&written), before), "the update was just written");
    }

    #[test]
    fn a_document_is_read_as_it_was_written(
        id in json::string(12),
        fields in btree_map("[A-Z_é\"][a-n]{0,2}", (json::value(), any::<Option<(i64, i64, u64, u32)>>()), 0..6),
        heard in any::<Option<(i64, i64, u64)>>(),
    ) {
        let mut members: Vec<_> =
            fields.iter().map(|(name, (value, _))| (json::quoted(name, false), value.clone())).collect();
        let mut versions: BTreeMap<_, _> = fields.iter().filter_map(|(name, (_, version))| {
            let (time_ms, sequence_number, source, record) = (*version)?;
            Some((name.as_str(), version_json(Version { time_ms, sequence_number, source, record })))
        }).collect();
        if let Some((time_ms, sequence_number, source)) = heard {
            versions.insert("Heard", version_json(version(time_ms, sequence_number, source)));
            members.push(("\"Heard\"".into(), json!(iso8601(time_ms)).to_string()));
        }
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

/// Returns the record that a field is from: its source, its sequence number, its index and, if times order the source, its time.
fn event_of(document: &Document, field: &str) -> Option<(u64, i64, u32, Option<i64>)> {
    let Version { time_ms, sequence_number, source, record } = document.version(field)?;
    Some((source, sequence_number, record, (source % 2 == 1).then_some(time_ms)))
}

/// The limit of the order: a source whose times step back is delivered out of its order, among events of another source.
#[test]
fn an_event_that_another_source_overtook_can_return_before_a_step_back() {
    let reading = |value: i64| vec![Reading { name: "Battery".into(), value: json!(value) }];
    let (first, second) = ((version(10, 1, 2), reading(1)), (version(5, 2, 2), reading(2)));
    let other = (version(8, 1, 4), reading(3));
    let battery = |order: [&(Version, Vec<Reading>); 3]| {
        let mut document = Document::new("d".into());
        for event in order {
            document.merge(&update(std::slice::from_ref(event)));
        }
        document.get("Battery").cloned()
    };
    for in_order in [[&first, &second, &other], [&first, &other, &second], [&other, &first, &second]] {
        assert_eq!(battery(in_order), Some(json!(2)));
    }
    assert_eq!(battery([&second, &other, &first]), Some(json!(1)));
}

/// The generated histories must be able to reveal an incorrect merge.
#[test]
fn the_generated_histories_can_reveal_an_incorrect_merge() {
    let mut seen = BTreeSet::new();
    for (events, groups) in examples(delivered(), 300) {
        let order: Vec<_> = groups.iter().flatten().map(|(version, _)| by_time(*version)).collect();
        let values = |wanted: &str| {
            let readings = events.iter().flat_map(|(_, readings)| readings).filter(|reading| reading.name == wanted);
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
        seen.extend(events.iter().any(|(version, _)| version.record > 0).then_some("records of one event"));
        seen.extend(
            events
                .iter()
                .any(|(version, _)| position(*version).time_ms > version.time_ms)
                .then_some("times of devices"),
        );
        seen.extend(events.iter().any(|(_, readings)| readings.is_empty()).then_some("no readings"));
        let pairs = || events.iter().flat_map(|(one, _)| events.iter().map(move |(other, _)| (one, other)));
        let is_back = |one: &Version, other: &Version| {
            one.source == other.source && one.sequence_number < other.sequence_number && one.time_ms > other.time_ms
        };
        seen.extend(pairs().any(|(one, other)| is_back(one, other)).then_some("a step back"));
        seen.extend(
            pairs()
                .any(|(one, other)| one.time_ms == other.time_ms && one.source != other.source)
                .then_some("one time"),
        );
    }
    assert_eq!(seen.len(), 11, "{seen:?}");
}
