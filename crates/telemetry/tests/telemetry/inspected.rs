//! What an inspection of events shows.

use std::{collections::BTreeSet, sync::Arc};

use devicestate_engine::batch::Event;
use devicestate_telemetry::inspect::{EventReport, Inspector, Summary};
use serde_json::{Value, json};

use crate::{event, telemetry};

/// Inspects events by a telemetry file.
fn inspect(file: &Value, events: &[Event]) -> (Vec<EventReport>, Summary) {
    let mut inspector = Inspector::new(Arc::new(telemetry(file)), 1000, BTreeSet::new());
    let reports = events.iter().map(|event| inspector.add(event, None, true).expect("it is wanted")).collect();
    (reports, inspector.finish())
}

#[test]
fn issues_that_differ_only_by_a_value_are_one() {
    let file = json!({"readings": {"p": {"from": "/p", "type": "number"}}});
    let events = [r#""high, \"found\"""#, "true", r#""low""#, "{}"].map(|p| event(format!(r#"{{"id":"a","p":{p}}}"#)));
    let issues: Vec<_> =
        inspect(&file, &events).1.issues.into_iter().map(|issue| (issue.records, issue.issue)).collect();
    let issue = |found: &str| format!("the reading \"p\" at /p must be a number, found {found}");
    assert_eq!(issues, [(3, issue(r#""high, \"found\"""#)), (1, issue("an empty object"))]);
}

#[test]
fn a_time_of_the_future_counts_as_the_enqueued_time() {
    let file = json!({"time": {"from": "/at", "newest": "device"}});
    let body = r#"{"id":"a","at":"2100-01-01T00:00:00Z"}"#;
    let time = |time_ms| {
        let reports = inspect(&file, &[Event { time_ms, ..event(body) }]).0;
        let time = reports[0].records[0].time.clone().expect("a time");
        (time.from, time.utc.expect("a time"), time.enqueued_is_known)
    };
    assert_eq!(time(Some(1_796_040_000_000)), ("future", "2026-11-30T12:00:00.000Z".into(), true));
    assert_eq!(time(Some(4_102_444_800_000)), ("device", "2100-01-01T00:00:00.000Z".into(), true));
    assert_eq!(time(None), ("device", "2100-01-01T00:00:00.000Z".into(), false));
}

#[test]
fn a_reading_that_is_an_object_or_an_array_is_from_its_own_pointer() {
    let body = r#"{"id":"a","o":{"p":{"q":1}},"list":[[1]],"objects":[{"x":1}],"t":2}"#;
    let reports = inspect(&json!({"objects": "whole"}), &[event(body)]).0;
    let readings = &reports[0].records[0].readings;
    let from: Vec<_> =
        readings.iter().map(|reading| (reading.name.as_str(), reading.from.as_deref().unwrap_or("-"))).collect();
    assert_eq!(from, [("list", "/list"), ("o", "/o"), ("objects", "/objects"), ("t", "/t")]);
}
