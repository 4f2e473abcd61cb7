use serde_json::json;

use super::*;

fn version(time_ms: i64, sequence_number: i64, source: u64) -> Version {
    Version { time_ms, sequence_number, source, record: 0 }
}

fn readings(value: &Value) -> Vec<Reading> {
    let fields = value.as_object().expect("an object").clone();
    fields.into_iter().map(|(name, value)| Reading { name: name.into(), value }).collect()
}

fn update(events: &[(i64, Value)]) -> Update {
    let mut update = Update::default();
    for (time, value) in events {
        update.fold(version(*time, *time, 0), &readings(value));
    }
    update
}

#[test]
fn the_order_of_events_does_not_change_the_document() {
    let events = [(3, json!({"A": 3})), (1, json!({"A": 1, "B": 1})), (2, json!({"B": 2, "C": 2}))];
    let expected = update(&events);
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        assert_eq!(update(&order.map(|n| events[n].clone())), expected, "{order:?}");
        let mut document = Document::new("d".into());
        for n in order {
            document.merge(&update(&events[n..=n]));
        }
        let values: Vec<_> = document.readings().map(|(name, value)| (name, value.clone())).collect();
        assert_eq!(values, [("A", json!(3)), ("B", json!(2)), ("C", json!(2))], "{order:?}");
    }
}

#[test]
fn within_a_source_the_sequence_number_decides_up_to_a_step_of_a_minute() {
    let (first, minute) = (version(100_000, 7, 2), MAX_CLOCK_STEP_MS);
    for (time_ms, is_newer) in [(100_000 - minute, true), (99_999 - minute, false), (100_000, true), (900_000, true)] {
        assert_eq!(version(time_ms, 8, 2).is_newer_than(first), is_newer, "{time_ms}");
        assert_eq!(first.is_newer_than(version(time_ms, 8, 2)), !is_newer, "{time_ms}");
    }
    assert!(!version(100_000 + minute, 6, 2).is_newer_than(first));
    assert!(version(100_001 + minute, 0, 2).is_newer_than(first), "a hub that was created again");
}

#[test]
fn between_sources_time_decides_then_the_source_then_the_sequence_number() {
    let ascending =
        [version(1, 9, 8), version(2, 9, 2), version(2, 1, 4), version(2, 0, 5), version(2, 1, 5), version(3, 0, 5)];
    for pair in ascending.windows(2) {
        assert!(pair[1].is_newer_than(pair[0]) && !pair[0].is_newer_than(pair[1]), "{pair:?}");
        assert!(!pair[0].is_newer_than(pair[0]), "{pair:?}");
    }
}

/// Returns the update of an event of a source that sequence numbers order.
fn event(time_ms: i64, sequence_number: i64) -> Update {
    let mut update = Update::default();
    update.fold(version(time_ms, sequence_number, 2), &readings(&json!({ "A": sequence_number })));
    update
}

#[test]
fn an_older_event_of_a_source_changes_neither_the_value_nor_the_time() {
    let mut document = Document::new("d".into());
    assert!(document.merge(&event(5_100, 8)));
    assert!(!document.is_older_than(version(5_200, 7, 2), &readings(&json!({"A": 7}))));
    assert!(!document.merge(&event(5_200, 7)));
    assert!(document.merge(&event(5_000, 9)));
    assert_eq!((document.get("A"), document.version("A")), (Some(&json!(9)), Some(version(5_100, 9, 2))));
}

#[test]
fn the_readings_of_a_hub_that_was_created_again_are_applied_after_a_minute() {
    let mut document = Document::new("d".into());
    document.merge(&event(100_000, 1_000));
    let series = (0..).zip((110_000..).step_by(30_000));
    let applied = series.take(6).map(|(number, time_ms)| document.merge(&event(time_ms, number)));
    assert_eq!(applied.collect::<Vec<_>>(), [false, false, true, true, true, true]);
    assert_eq!((document.get("A"), document.version("A")), (Some(&json!(5)), Some(version(260_000, 5, 2))));
}

#[test]
fn a_sequence_number_that_cosmos_db_would_round_is_stored_as_a_string() {
    let exact = 1_i64 << 53;
    for (number, json) in [
        (exact, json!(exact)),
        (exact + 1, json!("9007199254740993")),
        (10_696_049_115_006_452, json!("10696049115006452")),
        (i64::MAX, json!("9223372036854775807")),
    ] {
        let version = version(1, number, 2);
        assert_eq!(serde_json::to_value(version).expect("JSON"), json!([1, json, 2]));
        for stored in [json!([1, json, 2]), json!([1, number, 2]), json!([1, number.to_string(), 2])] {
            assert_eq!(serde_json::from_value::<Version>(stored).expect("a version"), version);
        }
    }
    let rounded = serde_json::from_str::<Version>("[1,1.0696049115006456E+16,2]").expect("a version");
    assert_eq!(rounded, version(1, 10_696_049_115_006_456, 2));
    for invalid in [r#""new""#, "0.5", "1e19", "9223372036854775808.0", "-1e19"] {
        let error = serde_json::from_str::<Version>(&format!("[1,{invalid},2]")).expect_err(invalid).to_string();
        assert!(error.contains("expected a sequence number"), "{invalid}: {error}");
    }
}

#[test]
fn an_equal_value_with_a_higher_version_is_a_change() {
    let mut document = Document::new("d".into());
    assert!(document.merge(&update(&[(1, json!({"A": 1}))])));
    assert!(document.merge(&update(&[(2, json!({"A": 1}))])), "the version rises");
    assert_eq!(document.version("A"), Some(version(2, 2, 0)));
    assert!(!document.merge(&update(&[(2, json!({"A": 1}))])), "a repeat");
    assert!(!document.merge(&update(&[(1, json!({"A": 7}))])), "an older one");
    assert_eq!(document.get("A"), Some(&json!(1)));
}

#[test]
fn a_document_holds_an_update_if_it_has_exactly_its_versions() {
    let document_at = |time: i64| {
        let mut document = Document::new("d".into());
        document.merge(&update(&[(time, json!({"A": time}))]));
        document
    };
    let written = update(&[(2, json!({"A": 2}))]);
    for (before, now, expected) in [
        (None, 2, true),
        (Some(1), 2, true),
        (Some(1), 1, false),
        // Another writer's version, which shows nothing about this write.
        (None, 3, false),
        // Nothing had to be written.
        (Some(2), 2, true),
        (Some(3), 4, true),
    ] {
        assert_eq!(
            document_at(now).holds(&written, before.map(document_at).as_ref()),
            expected,
            "{before:?}, then {now}"
        );
    }
}

#[test]
fn the_newest_version_is_the_highest_of_all_readings() {
    let mut document = Document::new("d".into());
    assert_eq!(document.newest_version(), None);
    document.merge(&update(&[(1, json!({"A": 1})), (3, json!({"B": 1})), (2, json!({"C": 1}))]));
    assert_eq!(document.newest_version(), Some(version(3, 3, 0)));
}

#[test]
fn a_null_clears_a_field_and_an_older_event_does_not_bring_it_back() {
    let mut document = Document::new("d".into());
    document.merge(&update(&[(1, json!({"A": 1})), (3, json!({"A": null}))]));
    assert_eq!(document.get("A"), Some(&json!(null)));
    assert!(!document.is_older_than(version(2, 2, 0), &readings(&json!({"A": 1}))));
    assert!(!document.merge(&update(&[(2, json!({"A": 2}))])));
}

#[test]
fn a_stored_document_loses_only_the_properties_of_cosmos() {
    let text = json!({"id": "d", "Battery": 0.5, "Note": "by hand", "_note": 7, "_etag": "x", "_ts": 1,
                      "Versions": {"Battery": [1_732_150_000_123_i64, 42, 913]}});
    let document: Document = serde_json::from_value(text).expect("a document");
    assert_eq!(document.version("Battery"), Some(version(1_732_150_000_123, 42, 913)));
    assert_eq!(
        serde_json::to_string(&document).expect("JSON"),
        r#"{"id":"d","Battery":0.5,"Note":"by hand","_note":7,"Versions":{"Battery":[1732150000123,42,913]}}"#
    );
}

#[test]
fn a_document_may_name_its_fields_in_any_order() {
    let text = r#"{"B":1,"Versions":{"B":[5,5,0],"A":[5,5,0]},"id":"d","A":2}"#;
    let mut document: Document = serde_json::from_str(text).expect("a document");
    assert!(!document.merge(&update(&[(4, json!({"A": 7, "B": 7}))])), "an older one");
    assert!(document.merge(&update(&[(6, json!({"A": 8, "B": 8}))])));
    let json = r#"{"id":"d","A":8,"B":8,"Versions":{"A":[6,6,0],"B":[6,6,0]}}"#;
    assert_eq!(serde_json::to_string(&document).expect("JSON"), json);
}

#[test]
fn any_event_overwrites_a_document_without_versions() {
    let mut document: Document = serde_json::from_str(r#"{"id":"d","Battery":0.9}"#).expect("a document");
    assert!(document.merge(&update(&[(0, json!({"Battery": 0.1}))])));
    assert_eq!(document.get("Battery"), Some(&json!(0.1)));
}

#[test]
fn an_invalid_document_is_rejected_with_the_reason() {
    for (text, reason) in
        [("[]", "map"), (r#"{"Battery":1}"#, "\"id\""), (r#"{"id":"d","Versions":{"Battery":"new"}}"#, "Versions")]
    {
        let error = serde_json::from_str::<Document>(text).expect_err(text).to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn the_mark_of_the_silence_watch_is_a_time_and_no_reading() {
    let text = r#"{"id":"d","SilentSince":"2024-11-21T00:46:40.123Z","A":1,"Versions":{"A":[1,1,0]}}"#;
    let mut document: Document = serde_json::from_str(text).expect("a document");
    assert_eq!((document.silent_since(), document.reading_count()), (Some(1_732_150_000_123), 1));
    assert_eq!(serde_json::to_string(&document).expect("JSON"), text);
    assert!(document.merge(&update(&[(2, json!({"A": 2}))])));
    assert_eq!(document.silent_since(), Some(1_732_150_000_123), "only the watch removes it");
    document.set_silent_since(None);
    assert_eq!(serde_json::to_string(&document).expect("JSON"), r#"{"id":"d","A":2,"Versions":{"A":[2,2,0]}}"#);
    // What another program wrote there is no mark, and does not hide the document.
    for invalid in ["7", "null", r#""soon""#, "{}"] {
        let text = format!(r#"{{"id":"d","SilentSince":{invalid},"Versions":{{}}}}"#);
        let document: Document = serde_json::from_str(&text).expect("a document");
        assert_eq!((document.silent_since(), document.reading_count()), (None, 0), "{invalid}");
    }
}

#[test]
fn a_device_without_heard_was_last_heard_at_the_time_of_its_newest_reading() {
    let mut document = Document::new("d".into());
    assert_eq!(document.last_heard_ms(), None);
    document.merge(&update(&[(1, json!({"A": 1})), (3, json!({"B": 1}))]));
    assert_eq!(document.last_heard_ms(), Some(3));
    let mut older = Update::default();
    older.hear(version(2, 2, 0));
    document.merge(&older);
    assert_eq!(document.last_heard_ms(), Some(2), "the time of the service counts, not that of the device");
}
