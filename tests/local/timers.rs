//! The timer function at the end of a run: its record, and that its failure does not affect the events.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use devicestate_test_support::{program::devicestate, record_schema::read_record};
use serde_json::Value;

use crate::support::{Workspace, assert_adds_up, count, function_app, report};

const WATCH: &str = "DeadLetterWatchFunction/function.json";

/// Writes a function app that also has the timer function, and returns its path.
fn with_timer(workspace: &Workspace, change: impl FnOnce(&mut Value)) -> String {
    let root = function_app(workspace, |host, _| change(host));
    let shipped = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(WATCH)).expect("a shipped file");
    workspace.write(&format!("app/{WATCH}"), shipped);
    root.to_str().expect("text").to_owned()
}

#[test]
fn a_run_ends_with_a_record_of_the_dead_letter_queue() {
    let workspace = Workspace::new();
    let telemetry = workspace.path("telemetry.jsonl").display().to_string();
    let options = ["--backdate", "150h", "--telemetry", &telemetry];
    let report =
        workspace.run(&[&["--devices", "5", "--events", "40", "--invalid-events", "2%"][..], &options].concat());
    let queue = &report["deadLetterQueue"];
    assert_eq!(count(&report, "deadLetterMessages"), 4);
    assert_eq!((&queue["queueName"], &queue["messages"]), (&"deadletterqueue".into(), &4.into()), "{report}");
    let hours = 150 * 3_600_000;
    let age = queue["oldestAgeMs"].as_i64().expect("an age");
    assert!((hours..hours + 600_000).contains(&age), "{queue}");
    assert!(report["timerError"].is_null(), "{report}");

    let rows = fs::read_to_string(telemetry).expect("the file");
    let rows = rows.lines().map(|line| serde_json::from_str::<Value>(line).expect("a row is JSON"));
    let of_timer = |row: &Value| row["Properties"]["Category"] == "Function.DeadLetterWatchFunction.User";
    let [row] = <[Value; 1]>::try_from(rows.filter(of_timer).collect::<Vec<_>>()).expect("one row");
    let mut record = read_record(row["Message"].as_str().expect("a line"));
    record.as_object_mut().expect("an object").remove("record");
    assert_eq!(record, *queue);
}

#[test]
fn messages_of_earlier_runs_are_counted_in_the_queue() {
    let workspace = Workspace::new();
    let options = ["--devices", "5", "--events", "40", "--invalid-events", "2%"];
    workspace.run(&options);
    let report = workspace.run(&options);
    assert_eq!((count(&report, "deadLetterMessages"), &report["deadLetterQueue"]["messages"]), (4, &8.into()));
}

#[test]
fn an_app_without_a_timer_function_has_no_queue_record() {
    let workspace = Workspace::new();
    let root = function_app(&workspace, |_, _| {});
    let report = workspace.run(&["--devices", "2", "--app-root", root.to_str().expect("text")]);
    assert!(report["deadLetterQueue"].is_null() && report["timerError"].is_null(), "{report}");
}

#[test]
fn a_failed_timer_function_is_reported_and_loses_no_event() {
    let workspace = Workspace::new();
    let root = with_timer(&workspace, |host| {
        host["customHandler"]["description"]["defaultExecutablePath"] = "handler.sh".into();
    });
    let binary = devicestate();
    let script = format!("#!/bin/sh\nDeadLetterSqlitePath=/no/file exec {} \"$@\"\n", binary.display());
    let script = workspace.write("app/handler.sh", script);
    fs::set_permissions(script, fs::Permissions::from_mode(0o755)).expect("a program");
    let output = workspace.local(&["--devices", "5", "--app-root", &root]).output().expect("the binary runs");
    let report = report(&output, 1);
    assert_eq!((count(&report, "applied"), count(&report, "lost")), (500, 0));
    assert_adds_up(&report);
    assert!(report["error"].is_null() && report["deadLetterQueue"].is_null(), "{report}");
    let failure = report["timerError"].as_str().expect("a reason");
    let errors = String::from_utf8_lossy(&output.stderr);
    for word in ["DeadLetterWatchFunction", "setting `DeadLetterSqlitePath`"] {
        assert!(failure.contains(word) && errors.contains(word), "{word:?} is not in: {failure} {errors}");
    }
}

#[test]
fn the_table_has_the_dead_letter_queue() {
    let workspace = Workspace::new();
    let mut local = workspace.command("local", "table", &["--devices", "5", "--invalid-events", "2%"]);
    let output = local.output().expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let row = text.lines().find(|line| line.starts_with("messages in the dead-letter queue")).unwrap_or_default();
    assert!(row.ends_with(" 10") && text.contains("age of the oldest, seconds"), "{text}");
}
