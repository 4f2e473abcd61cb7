//! `--telemetry`: what Azure Monitor would have of a run. And what a run is like behind an outage, or with a hub that takes
//! so much a second and no more.

use std::fs;

use devicestate_test_support::record_schema::read_record;
use serde_json::Value;

use crate::support::{Place, assert_adds_up, count};

/// The rows of a table.
fn rows(place: &Place, table: &str) -> Vec<Value> {
    let text = fs::read_to_string(place.path("telemetry.jsonl")).expect("the file");
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a row is JSON"));
    rows.filter(|row| row["Type"] == table).collect()
}

/// The records of this kind, each by the schema, with its row.
fn records(place: &Place, kind: &str) -> Vec<(Value, Value)> {
    let of_a_message = |row: Value| {
        let message = row["Message"].as_str().expect("a text");
        message.contains(r#""record":"#).then(|| (read_record(message), row.clone()))
    };
    rows(place, "AppTraces")
        .into_iter()
        .filter_map(of_a_message)
        .filter(|(record, _)| record["record"] == kind)
        .collect()
}

fn sum(values: impl Iterator<Item = Value>) -> u64 {
    values.map(|value| value.as_u64().expect("a count")).sum()
}

fn run(place: &Place, arguments: &[&str]) -> Value {
    let telemetry = place.path("telemetry.jsonl").display().to_string();
    place.run(&[&["--telemetry", telemetry.as_str()], arguments].concat())
}

#[test]
fn every_record_is_a_row_and_the_metrics_add_up_to_what_the_hub_took() {
    let place = Place::new();
    let report = run(&place, &["--simulate", "20", "--events", "3000", "--bad-events", "10", "--instances", "2"]);
    assert_adds_up(&report);
    let batches = records(&place, "batch");
    assert_eq!(batches.len() as u64, count(&report, "batches"));
    for name in ["applied", "superseded", "deadLettered"] {
        assert_eq!(sum(batches.iter().map(|(record, _)| record[name].clone())), count(&report, name), "{name}");
    }
    assert_eq!(records(&place, "deadLetter").len() as u64, count(&report, "deadLettered"));
    assert_eq!(records(&place, "start").len(), 3, "one for each instance, and one for that of the timer function");
    let (record, row) = &batches[0];
    assert_eq!((&row["OperationId"], &row["SeverityLevel"]), (&record["invocationId"], &1.into()));
    assert_eq!(row["Properties"]["Category"], "Function.RawTelemetryFunction.User");
    let incoming = rows(&place, "AzureMetrics").into_iter().filter(|row| row["MetricName"] == "IncomingMessages");
    assert_eq!(sum(incoming.map(|row| row["Total"].clone())), count(&report, "received"));
}

#[test]
fn a_failed_attempt_is_a_row_of_the_handlers_console_and_a_warning() {
    let place = Place::new();
    let telemetry = place.path("telemetry.jsonl").display().to_string();
    let mut local = place.local(&["--simulate", "2", "--events", "40", "--partitions", "1", "--telemetry", &telemetry]);
    let report = crate::support::report(&local.env("RetryDrillDevice", "drone-00001").output().expect("the binary"), 0);
    let failed = records(&place, "failedAttempt");
    assert_eq!(failed.len() as u64, count(&report, "failedAttempts"));
    assert!(!failed.is_empty());
    for (record, row) in failed {
        assert_eq!(
            (&row["SeverityLevel"], &row["Properties"]["Category"]),
            (&2.into(), &"Host.Function.Console".into())
        );
        let is_settled =
            |(batch, _): &(Value, Value)| batch["invocationId"] == record["invocationId"] && batch["attempt"] == 2;
        assert!(records(&place, "batch").iter().any(is_settled), "the batch came again: {record}");
    }
}

#[test]
fn events_and_dead_letters_can_lie_there_for_hours_already() {
    let place = Place::new();
    run(&place, &["--simulate", "5", "--events", "200", "--bad-events", "20", "--ago", "150h"]);
    let hours = 150 * 3_600_000;
    for (record, _) in records(&place, "batch") {
        let lag = record["lagMs"].as_i64().expect("a lag");
        assert!((hours..hours + 600_000).contains(&lag), "{record}");
    }
    let list = place.list_dead_letters();
    assert_eq!(list.len(), 4);
    let times =
        |name: &str| list.iter().map(|letter| letter[name].as_str().expect("a time").to_owned()).collect::<Vec<_>>();
    let inserted_before_failed =
        times("InsertedTime").iter().zip(times("Time")).all(|(inserted, failed)| *inserted < failed);
    assert!(inserted_before_failed, "{list:?}");
}

#[test]
fn a_hub_that_takes_no_more_in_a_second_loses_nothing_and_says_how_often_it_refused() {
    let place = Place::new();
    let report = run(&place, &["--simulate", "20", "--events", "2500", "--throughput-units", "1"]);
    assert_eq!(count(&report, "applied"), 2_500);
    let refused = rows(&place, "AzureMetrics").into_iter().filter(|row| row["MetricName"] == "ThrottledRequests");
    let refused = sum(refused.map(|row| row["Total"].clone()));
    // A machine that takes a second for a thousand events is never refused one.
    assert!(refused <= 2, "no more often than a second ended: {refused}");
}

#[test]
fn a_file_for_the_telemetry_that_cannot_be_made_is_told_before_anything_is_sent() {
    let place = Place::new();
    let telemetry = place.path("no-folder/telemetry.jsonl").display().to_string();
    let output = place.local(&["--telemetry", &telemetry]).output().expect("the binary");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("--telemetry"), "{errors}");
}
