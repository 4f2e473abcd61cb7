//! `devicestate drill`: a region is lost and recovers.

use std::process::{Child, Output};

use serde_json::Value;

use crate::support::{Workspace, handlers, report, signal};

/// Runs a drill that ends with this exit code, and returns its report.
fn drill(workspace: &Workspace, arguments: &[&str], code: i32) -> Value {
    report(&workspace.drill(arguments).output().expect("the binary"), code)
}

/// Returns a count of the report or its check.
fn count(report: &Value, name: &str) -> u64 {
    let value = report.get(name).or_else(|| report["check"].get(name));
    value.and_then(Value::as_u64).unwrap_or_else(|| panic!("{name} is missing in {report}"))
}

/// Checks that readings were lost in the failover, both hubs got events, and all steps were completed in order.
fn assert_is_conclusive(report: &Value) {
    for name in ["firstRegionEvents", "standbyRegionEvents", "readingsLost"] {
        assert!(count(report, name) > 0, "{name}: {report}");
    }
    let steps: Vec<_> = report["steps"].as_array().expect("an array").iter().map(|step| &step["step"]).collect();
    let expected = [
        "baseline",
        "replication",
        "replicationLag",
        "regionLost",
        "storeFailover",
        "aliasFailover",
        "regionRecovered",
        "bothRegionsActive",
        "failback",
    ];
    assert_eq!(steps, expected, "{report}");
}

#[test]
fn after_a_drill_every_document_is_the_fold_of_both_hubs_and_every_invalid_event_is_a_dead_letter() {
    for encoding in ["json", "protobuf"] {
        let workspace = Workspace::new();
        let arguments = ["--invalid-events", "1%", "--instances", "2", "--devices", "50", "--encoding", encoding];
        let report = drill(&workspace, &arguments, 0);
        assert_is_conclusive(&report);
        assert!(count(&report, "eventsReadAgain") > 0, "{report}");
        assert_eq!((count(&report, "documents"), count(&report, "differentDocuments")), (50, 0), "{report}");
        assert!(count(&report, "invalidEvents") > 0, "{report}");
        assert_eq!(count(&report, "deadLettersMissing"), 0, "{report}");
    }
}

#[test]
fn without_the_rewind_the_drill_fails_by_the_devices_that_stopped_sending_before_the_failover() {
    let workspace = Workspace::new();
    let report = drill(&workspace, &["--no-rewind"], 1);
    assert_is_conclusive(&report);
    assert_eq!((count(&report, "eventsReadAgain"), count(&report, "differentDocuments")), (0, 20), "{report}");
    let differences = report["check"]["differences"].as_array().expect("an array");
    assert_eq!(differences.len(), 10, "only the first ones are listed: {report}");
    assert_eq!(differences[0]["document"], "drone-00004", "{report}");
}

#[test]
fn a_drill_in_which_nothing_was_lost_fails() {
    for (devices, events) in [("3", "0"), ("5", "1")] {
        let workspace = Workspace::new();
        let report = drill(&workspace, &["--devices", devices, "--events", events], 1);
        assert_eq!((count(&report, "readingsLost"), count(&report, "differentDocuments")), (0, 0), "{report}");
    }
}

#[test]
fn a_drill_with_more_unread_events_than_a_bounded_hub_holds_ends() {
    let workspace = Workspace::new();
    let arguments = ["--devices", "20", "--events", "7500", "--partitions", "1", "--encoding", "protobuf"];
    let report = drill(&workspace, &arguments, 0);
    assert_is_conclusive(&report);
}

#[test]
fn the_table_has_each_step_and_the_result() {
    let workspace = Workspace::new();
    let output = workspace.command("drill", "table", &["--devices", "10"]).output().expect("the binary");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with(" 1  baseline "), "{text}");
    for line in ["CHECK: every document equals the fold of its events (10 of 10)", "PASSED"] {
        assert!(lines.contains(&line), "{text}");
    }
    for state in ["state.db", "state.standby.db"] {
        assert!(workspace.path(state).exists() && text.contains(state), "{text}");
    }
}

/// Returns the errors of a command that could not start.
fn errors_of_usage(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(output.stdout.is_empty(), "nothing is printed on standard output");
    errors
}

#[test]
fn a_state_file_with_documents_is_rejected() {
    let workspace = Workspace::new();
    workspace.run(&["--devices", "2"]);
    let errors = errors_of_usage(&workspace.drill(&[]).output().expect("the binary"));
    assert!(errors.contains("--state"), "{errors}");
}

#[test]
fn a_store_that_cannot_fail_over_is_rejected() {
    let workspace = Workspace::new();
    let errors = errors_of_usage(&workspace.drill(&[]).env("StateStore", "memory").output().expect("the binary"));
    assert!(errors.contains("StateStore"), "{errors}");
}

#[test]
fn options_of_local_that_a_drill_does_not_have_are_rejected() {
    let workspace = Workspace::new();
    for option in [
        &["--file", "x"][..],
        &["--rate", "1/s"],
        &["--throughput-units", "1"],
        &["--backdate", "1h"],
        &["--sessions"],
        &["--check"],
    ] {
        let errors = errors_of_usage(&workspace.drill(option).output().expect("the binary"));
        assert!(errors.contains(option[0]), "{errors}");
    }
}

#[test]
fn ctrl_c_ends_a_drill_without_a_result_and_without_leftover_handlers() {
    let workspace = Workspace::new();
    let mut drill: Child = workspace.drill(&["--devices", "500", "--events", "800"]).spawn().expect("the binary");
    workspace.wait_until("a handler runs", |_| !handlers(&drill).is_empty());
    assert!(signal("-INT", drill.id()));
    let output = drill.wait().expect("a child of this test");
    assert_eq!(output.code(), Some(130));
    // Dropping the workspace checks that no handler is left.
}
