use serde_json::json;

use super::*;

fn version(enqueued_ms: i64, sequence_number: i64, source: u64) -> Version {
    Version { enqueued_ms, sequence_number, source }
}

fn readings(value: &Value) -> Vec<Reading> {
    let fields = value.as_object().expect("an object").clone();
    fields.into_iter().map(|(name, value)| Reading { name: name.into(), value }).collect()
}

fn update(events: &[(i64, Value)]) -> Update {
    let mut update = Update::default();
    for (time, value) in events {
        update.fold(version(*time, 0, 0), &readings(value));
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
fn a_version_is_compared_by_time_then_sequence_number_then_source() {
    let ascending = [version(1, 9, 9), version(2, 1, 9), version(2, 2, 1), version(2, 2, 2)];
    assert!(ascending.is_sorted());
}

#[test]
fn an_equal_value_with_a_higher_version_is_a_change() {
    let mut document = Document::new("d".into());
    assert!(document.merge(&update(&[(1, json!({"A": 1}))])));
    assert!(document.merge(&update(&[(2, json!({"A": 1}))])), "the version rises");
    assert_eq!(document.version("A"), Some(version(2, 0, 0)));
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
    assert_eq!(document.newest_version(), Some(version(3, 0, 0)));
}

#[test]
fn null_never_overwrites() {
    let mut document = Document::new("d".into());
    document.merge(&update(&[(1, json!({"A": 1})), (2, json!({"A": null}))]));
    assert_eq!(document.get("A"), Some(&json!(1)));
    assert!(!document.is_older_than(version(9, 0, 0), &readings(&json!({"A": null}))));
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
    let text = r#"{"B":1,"Versions":{"B":[5,0,0],"A":[5,0,0]},"id":"d","A":2}"#;
    let mut document: Document = serde_json::from_str(text).expect("a document");
    assert!(!document.merge(&update(&[(4, json!({"A": 7, "B": 7}))])), "an older one");
    assert!(document.merge(&update(&[(6, json!({"A": 8, "B": 8}))])));
    let json = r#"{"id":"d","A":8,"B":8,"Versions":{"A":[6,0,0],"B":[6,0,0]}}"#;
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
