//! The timer function at the end of a run: what it tells, and that its failure is no matter of the events.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use devicestate_test_support::{program::devicestate, record_schema::read_record};
use serde_json::Value;

use crate::support::{Place, assert_adds_up, count, function_app, report};

const WATCH: &str = "DeadLetterWatchFunction/function.json";

/// A function app with the timer function, too.
fn with_timer(place: &Place, change: impl FnOnce(&mut Value)) -> String {
    let root = function_app(place, |host, _| change(host));
    let shipped = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(WATCH)).expect("a shipped file");
    place.write(&format!("app/{WATCH}"), shipped);
    root.to_str().expect("text").to_owned()
}

#[test]
fn a_run_ends_with_a_look_at_the_queue_which_is_a_record_like_others() {
    let place = Place::new();
    let telemetry = place.path("telemetry.jsonl").display().to_string();
    let ago = ["--ago", "150h", "--telemetry", &telemetry];
    let report = place.run(&[&["--simulate", "5", "--events", "200", "--bad-events", "20"][..], &ago].concat());
    let queue = &report["deadLetterQueue"];
    assert_eq!(count(&report, "deadLetterMessages"), 4);
    assert_eq!((&queue["queueName"], &queue["messages"]), (&"deadletterqueue".into(), &4.into()), "{report}");
    let hours = 150 * 3_600_000;
    let age = queue["oldestAgeMs"].as_i64().expect("an age");
    assert!((hours..hours + 600_000).contains(&age), "{queue}");
    assert!(report["watchFailure"].is_null(), "{report}");

    let rows = fs::read_to_string(telemetry).expect("the file");
    let rows = rows.lines().map(|line| serde_json::from_str::<Value>(line).expect("a row is JSON"));
    let of_timer = |row: &Value| row["Properties"]["Category"] == "Function.DeadLetterWatchFunction.User";
    let [row] = <[Value; 1]>::try_from(rows.filter(of_timer).collect::<Vec<_>>()).expect("one row");
    let mut told = read_record(row["Message"].as_str().expect("a line"));
    told.as_object_mut().expect("an object").remove("record");
    assert_eq!(told, *queue);
}

#[test]
fn messages_that_were_there_before_count_too() {
    let place = Place::new();
    let bad = ["--simulate", "5", "--events", "200", "--bad-events", "20"];
    place.run(&bad);
    let report = place.run(&bad);
    assert_eq!((count(&report, "deadLetterMessages"), &report["deadLetterQueue"]["messages"]), (4, &8.into()));
}

#[test]
fn an_app_without_a_timer_function_has_no_look() {
    let place = Place::new();
    let root = function_app(&place, |_, _| {});
    let report = place.run(&["--simulate", "2", "--app-root", root.to_str().expect("text")]);
    assert!(report["deadLetterQueue"].is_null() && report["watchFailure"].is_null(), "{report}");
}

#[test]
fn a_look_that_fails_is_told_as_such_and_loses_no_event() {
    let place = Place::new();
    let root = with_timer(&place, |host| {
        host["customHandler"]["description"]["defaultExecutablePath"] = "handler.sh".into();
    });
    let binary = devicestate();
    let script = format!("#!/bin/sh\nDeadLetterSqlitePath=/no/file exec {} \"$@\"\n", binary.display());
    let script = place.write("app/handler.sh", script);
    fs::set_permissions(script, fs::Permissions::from_mode(0o755)).expect("a program");
    let output = place.local(&["--simulate", "5", "--app-root", &root]).output().expect("the binary runs");
    let report = report(&output, 1);
    assert_eq!((count(&report, "applied"), count(&report, "lost")), (500, 0));
    assert_adds_up(&report);
    assert!(report["failure"].is_null() && report["deadLetterQueue"].is_null(), "{report}");
    let failure = report["watchFailure"].as_str().expect("a reason");
    let errors = String::from_utf8_lossy(&output.stderr);
    for word in ["DeadLetterWatchFunction", "setting DeadLetterSqlitePath"] {
        assert!(failure.contains(word) && errors.contains(word), "{word:?} is not in: {failure} {errors}");
    }
}

#[test]
fn the_report_for_people_tells_of_the_queue() {
    let place = Place::new();
    let mut local = place.reporting("text", &["--simulate", "5", "--bad-events", "20"]);
    let output = local.output().expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let row = text.lines().find(|line| line.starts_with("dead letters in the queue")).unwrap_or_default();
    assert!(row.ends_with(" 10") && text.contains("oldest of them, seconds"), "{text}");
}
