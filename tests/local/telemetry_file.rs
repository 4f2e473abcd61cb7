//! `--telemetry`: a run's telemetry as Azure Monitor would store it; also after an outage, and with a throttled hub.

use std::fs;

use devicestate_test_support::record_schema::read_record;
use serde_json::{Value, json};

use crate::support::{Workspace, assert_adds_up, count, function_app};

/// Returns the rows of a table.
fn rows(workspace: &Workspace, table: &str) -> Vec<Value> {
    let text = fs::read_to_string(workspace.path("telemetry.jsonl")).expect("the file");
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a row is JSON"));
    rows.filter(|row| row["Type"] == table).collect()
}

/// Returns the records of this kind, which must satisfy the schema, with their rows.
fn records(workspace: &Workspace, kind: &str) -> Vec<(Value, Value)> {
    let of_a_message = |row: Value| {
        let message = row["Message"].as_str().expect("a text");
        message.contains(r#""record":"#).then(|| (read_record(message), row.clone()))
    };
    rows(workspace, "AppTraces")
        .into_iter()
        .filter_map(of_a_message)
        .filter(|(record, _)| record["record"] == kind)
        .collect()
}

fn sum(values: impl Iterator<Item = Value>) -> u64 {
    values.map(|value| value.as_u64().expect("a count")).sum()
}

/// Returns the host's own lines about invocations of the event hub's function.
fn rows_of_invocations(workspace: &Workspace) -> Vec<String> {
    let rows = rows(workspace, "AppTraces").into_iter();
    rows.filter(|row| row["Properties"]["Category"] == "Function.RawTelemetryFunction")
        .map(|row| format!("{} {}", row["SeverityLevel"], row["Message"].as_str().expect("a text")))
        .collect()
}

fn run(workspace: &Workspace, arguments: &[&str]) -> Value {
    let telemetry = workspace.path("telemetry.jsonl").display().to_string();
    workspace.run(&[&["--telemetry", telemetry.as_str()], arguments].concat())
}

#[test]
fn every_record_is_a_row_and_the_metrics_add_up_to_the_received_events() {
    let workspace = Workspace::new();
    let report = run(&workspace, &["--devices", "20", "--events", "150", "--invalid-events", "1%", "--instances", "2"]);
    assert_adds_up(&report);
    let batches = records(&workspace, "batch");
    assert_eq!(batches.len() as u64, count(&report, "batches"));
    for name in ["applied", "superseded", "deadLettered", "unrecognized", "ignored"] {
        assert_eq!(sum(batches.iter().map(|(record, _)| record[name].clone())), count(&report, name), "{name}");
    }
    assert_eq!(records(&workspace, "deadLetter").len() as u64, count(&report, "deadLettered"));
    assert_eq!(records(&workspace, "start").len(), 3, "one for each instance, and one for the timer function");
    let (record, row) = &batches[0];
    assert_eq!((&row["OperationId"], &row["SeverityLevel"]), (&record["invocationId"], &1.into()));
    assert_eq!(row["Properties"]["Category"], "Function.RawTelemetryFunction.User");
    assert_eq!(rows_of_invocations(&workspace), Vec::<String>::new(), "host.json drops them");
    let incoming = rows(&workspace, "AzureMetrics").into_iter().filter(|row| row["MetricName"] == "IncomingMessages");
    assert_eq!(sum(incoming.map(|row| row["Total"].clone())), count(&report, "received"));
}

#[test]
fn a_failed_attempt_is_in_the_rows_of_the_handlers_console_and_of_the_warnings() {
    let workspace = Workspace::new();
    let telemetry = workspace.path("telemetry.jsonl").display().to_string();
    let mut local =
        workspace.local(&["--devices", "2", "--events", "20", "--partitions", "1", "--telemetry", &telemetry]);
    let report = crate::support::report(&local.env("RetryDrillDevice", "drone-00001").output().expect("the binary"), 0);
    let failed = records(&workspace, "failedAttempt");
    assert_eq!(failed.len() as u64, count(&report, "failedAttempts"));
    assert!(!failed.is_empty());
    for (record, row) in failed {
        assert_eq!(
            (&row["SeverityLevel"], &row["Properties"]["Category"]),
            (&2.into(), &"Host.Function.Console".into())
        );
        let is_second_attempt =
            |(batch, _): &(Value, Value)| batch["invocationId"] == record["invocationId"] && batch["attempt"] == 2;
        assert!(records(&workspace, "batch").iter().any(is_second_attempt), "the batch was repeated: {record}");
    }
}

#[test]
fn a_failed_invocation_is_a_row_of_the_host_also_with_the_shipped_log_levels() {
    let workspace = Workspace::new();
    let telemetry = workspace.path("telemetry.jsonl").display().to_string();
    let mut local = workspace.local(&["--devices", "2", "--events", "20", "--telemetry", &telemetry]);
    let report = crate::support::report(&local.env("RetryDrillDevice", "drone-00001").output().expect("the binary"), 0);
    let failed = rows_of_invocations(&workspace);
    assert_eq!(failed.len() as u64, count(&report, "failedAttempts"));
    let is_error = |row: &String| row.starts_with("3 Executed 'Functions.RawTelemetryFunction' (Failed, Id=");
    assert!(!failed.is_empty() && failed.iter().all(is_error), "{failed:?}");
}

/// Runs an app with these log levels. Returns the report, and the warnings.
fn run_with_log_levels(workspace: &Workspace, levels: &Value) -> (Value, String) {
    let root = function_app(workspace, |host, _| host["logging"]["logLevel"] = levels.clone());
    let telemetry = workspace.path("telemetry.jsonl").display().to_string();
    let mut local = workspace.local(&["--devices", "3", "--telemetry", &telemetry, "--app-root"]);
    let output = local.arg(root).output().expect("the binary");
    (crate::support::report(&output, 0), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn without_log_levels_the_host_writes_rows_about_each_invocation() {
    let workspace = Workspace::new();
    let (report, _) = run_with_log_levels(&workspace, &json!({}));
    let rows = rows_of_invocations(&workspace);
    let starting_with = |text| rows.iter().filter(|row| row.starts_with(text)).count() as u64;
    assert_eq!(starting_with("1 Executing 'Functions.RawTelemetryFunction' (Reason="), count(&report, "batches"));
    assert_eq!(starting_with("1 Executed 'Functions.RawTelemetryFunction' (Succeeded, Id="), count(&report, "batches"));
    assert_eq!(records(&workspace, "batch").len() as u64, count(&report, "batches"));
}

#[test]
fn a_log_level_that_drops_the_records_leaves_no_rows_and_is_a_warning() {
    let workspace = Workspace::new();
    let (report, errors) = run_with_log_levels(&workspace, &json!({"Function": "Warning"}));
    assert!(count(&report, "batches") > 0);
    assert_eq!(records(&workspace, "batch").len() + records(&workspace, "deadLetterQueue").len(), 0);
    assert_eq!(records(&workspace, "start").len(), 1, "the handler's console has another category");
    assert!(
        errors.contains("does not log the records in Function.") && errors.contains("RawTelemetryFunction.User"),
        "{errors}"
    );
}

#[test]
fn backdated_events_and_dead_letters_are_hours_old() {
    let workspace = Workspace::new();
    run(&workspace, &["--devices", "5", "--events", "40", "--invalid-events", "2%", "--backdate", "150h"]);
    let hours = 150 * 3_600_000;
    for (record, _) in records(&workspace, "batch") {
        let lag = record["lagMs"].as_i64().expect("a lag");
        assert!((hours..hours + 600_000).contains(&lag), "{record}");
    }
    let list = workspace.list_dead_letters();
    assert_eq!(list.len(), 4);
    let times =
        |name: &str| list.iter().map(|letter| letter[name].as_str().expect("a time").to_owned()).collect::<Vec<_>>();
    let inserted_before_failed =
        times("insertedTime").iter().zip(times("time")).all(|(inserted, failed)| *inserted < failed);
    assert!(inserted_before_failed, "{list:?}");
}

#[test]
fn a_throttled_hub_loses_nothing_and_reports_throttled_requests() {
    let workspace = Workspace::new();
    let report = run(&workspace, &["--devices", "20", "--events", "125", "--throughput-units", "1"]);
    assert_eq!(count(&report, "applied"), 2_500);
    let throttled = rows(&workspace, "AzureMetrics").into_iter().filter(|row| row["MetricName"] == "ThrottledRequests");
    let throttled = sum(throttled.map(|row| row["Total"].clone()));
    // A machine that needs a second for a thousand events is never throttled.
    assert!(throttled <= 2, "at most once per second: {throttled}");
}

#[test]
fn a_telemetry_file_that_cannot_be_created_is_reported_before_anything_is_sent() {
    let workspace = Workspace::new();
    let telemetry = workspace.path("no-folder/telemetry.jsonl").display().to_string();
    let output = workspace.local(&["--telemetry", &telemetry]).output().expect("the binary");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("--telemetry"), "{errors}");
}

#[test]
fn a_file_that_is_not_telemetry_is_not_overwritten() {
    let workspace = Workspace::new();
    run(&workspace, &["--devices", "1"]);
    run(&workspace, &["--devices", "1", "--events", "7"]);
    let events = records(&workspace, "batch").iter().map(|(record, _)| record["events"].clone()).collect::<Vec<_>>();
    assert_eq!(sum(events.into_iter()), 7, "the telemetry of an earlier run is overwritten");
    for content in ["precious\n", "{\"Type\":\"Other\"}\n", "\n"] {
        let file = workspace.write("precious.txt", content);
        let output = workspace.local(&["--telemetry", file.to_str().expect("text")]).output().expect("the binary");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains("precious.txt") && errors.contains("name another file"), "{errors}");
        assert_eq!(fs::read_to_string(&file).expect("the file"), content);
    }
}
