//! `devicestate local` without options: faults are injected, and the check compares what is stored with what was sent.

use std::{io::Write as _, process::Stdio};

use serde_json::{Value, json};

use crate::support::{Workspace, assert_adds_up, count, function_app, lines, report};

/// Checks that the demonstration's faults happened and that its check passed.
fn assert_demonstrated(report: &Value, valid: u64, invalid: u64, documents: u64) {
    assert_adds_up(report);
    assert_eq!((count(report, "received"), count(report, "invalidAdded")), (valid + invalid, invalid), "{report}");
    assert!(count(report, "superseded") > 0 && count(report, "applied") > 0, "{report}");
    assert!(count(report, "deadLettered") > 0 && count(report, "repeated") > 0, "{report}");
    assert_eq!((count(report, "handlerRestarts"), count(report, "hostRestarts")), (1, 0), "{report}");
    assert_eq!(["handlersKilled", "leasesLost", "rewinds"].map(|name| &report["faults"][name]), [1, 1, 1]);
    assert_eq!(report["faults"]["eventsReadAgain"], count(report, "repeated"), "{report}");
    let check = json!({
        "documents": documents,
        "differentDocuments": 0,
        "differences": [],
        "invalidEvents": invalid,
        "deadLettersMissing": 0,
    });
    assert_eq!(report["check"], check, "{report}");
}

#[test]
fn without_options_a_handler_is_killed_a_lease_is_lost_and_the_check_passes() {
    let workspace = Workspace::new();
    let report = workspace.run(&[]);
    assert_demonstrated(&report, 876, 8, 2);
    // The first 100 events and their invalid one are read by two owners of their partition, all others before and after the stop.
    assert_eq!(report["faults"]["eventsReadAgain"], 101 + 783, "{report}");
    // The new owner had other batches. The killed handler had written 51 events before they were repeated.
    assert_eq!((count(&report, "applied"), count(&report, "superseded")), (876 - 51, 51 + 876), "{report}");
    assert_eq!(report["input"], json!({ "source": "sample", "file": "samples/px4-flights.jsonl" }));
    let documents = workspace.documents();
    assert_eq!(documents["px4-sample-log-small"]["Latitude"], 63.417_045_7);
    assert_eq!(documents["px4-sample-px4-events"]["Altitude"], 487.992);
    let letters = workspace.dead_letters();
    let ids: std::collections::BTreeSet<_> = letters.iter().map(|letter| letter["Id"].to_string()).collect();
    assert_eq!((ids.len(), letters.len() as u64), (8, count(&report, "deadLettered")), "repeats have the same id");
}

#[test]
fn the_table_starts_with_the_input_and_has_the_faults_and_the_check() {
    let workspace = Workspace::new();
    let output = workspace.command("local", "table", &[]).output().expect("the binary runs");
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.starts_with("INPUT\nsample telemetry of two drones (samples/px4-flights.jsonl)\n"), "{text}");
    for line in [
        "handlers killed during a batch    1",
        "leases lost during a batch        1",
        "handler restarts                         1",
        "CHECK: every document equals the fold of its events (2 of 2)",
        "CHECK: every invalid event is a dead letter (8 of 8)",
    ] {
        assert!(text.lines().any(|other| other == line), "{line:?} is not in:\n{text}");
    }
    for text_of_documents in ["px4-sample-log-small", "px4-sample-px4-events", "--state"] {
        assert!(text.contains(text_of_documents), "{text}");
    }
}

#[test]
fn a_demonstration_with_more_partitions_and_instances_restarts_one_handler() {
    let workspace = Workspace::new();
    let report = workspace.run(&["--partitions", "8", "--instances", "2", "--invalid-events", "2%"]);
    assert_demonstrated(&report, 876, 17, 2);
}

/// `scripts/package.sh` packs neither settings nor samples.
#[test]
fn a_published_app_without_samples_is_demonstrated_with_ten_simulated_drones() {
    let workspace = Workspace::new();
    let root = function_app(&workspace, |host, _| {
        // Checkpoints that are set after many batches must not stop the demonstration.
        host["extensions"]["eventHubs"]["batchCheckpointFrequency"] = 100.into();
    });
    std::fs::remove_file(root.join("local.settings.json")).expect("a file of the app");
    let mut local = workspace.local(&["--app-root", root.to_str().expect("text")]);
    let output =
        local.env_remove("EventHubName").env_remove("EventHubConsumerGroup").output().expect("the binary runs");
    let report = report(&output, 0);
    assert_eq!((&report["input"]["source"], &report["input"]["devices"]), (&"simulation".into(), &10.into()));
    assert_eq!(report["telemetry"], "drone (the simulated devices')");
    assert_eq!((count(&report, "received"), workspace.documents().len()), (1_010, 10));
    assert_eq!(count(&report, "lost"), 0);
    assert_eq!(report["check"]["differentDocuments"], 0, "{report}");
}

#[test]
fn a_second_demonstration_on_the_same_state_file_passes_its_check() {
    let workspace = Workspace::new();
    workspace.run(&["--devices", "3"]);
    assert_demonstrated(&workspace.run(&[]), 876, 8, 5);
    assert_demonstrated(&workspace.run(&[]), 876, 8, 5);
}

#[test]
fn the_check_needs_documents_that_can_be_read() {
    let workspace = Workspace::new();
    let output = workspace.local(&[]).env("StateStore", "memory").output().expect("the binary runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("StateStore is memory") && error.contains("--devices"), "{error}");
}

#[test]
fn other_runs_are_checked_with_the_option_only_and_inject_no_faults() {
    let workspace = Workspace::new();
    let report = workspace.run(&["--devices", "4", "--invalid-events", "1%"]);
    assert!(report["check"].is_null() && report["faults"].is_null(), "{report}");
    let output = workspace.command("local", "table", &["--devices", "4"]).output().expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("CHECK: not run (use --check)"), "{text}");

    let workspace = Workspace::new();
    let report = workspace.run(&["--devices", "4", "--invalid-events", "1%", "--check"]);
    assert!(report["faults"].is_null(), "{report}");
    assert_eq!((&report["check"]["documents"], &report["check"]["invalidEvents"]), (&4.into(), &4.into()));
}

#[test]
fn the_check_fails_if_a_document_is_changed_or_a_dead_letter_is_removed_during_the_run() {
    let sql = "UPDATE documents SET document = json_set(document, '$.Battery', 0.123) WHERE id = 'a'";
    let change = |workspace: &Workspace, sql: &str, output: &str| {
        let arguments = ["--file", "-", "--check"];
        let mut local = workspace.command("local", output, &arguments).stdin(Stdio::piped()).spawn().expect("it runs");
        let mut input = local.stdin.take().expect("a pipe");
        let events = ["a", "b"].map(|device| json!({ "deviceId": device, "battery": 0.5 }));
        input.write_all((lines(&events) + "not JSON\n").as_bytes()).expect("it reads");
        workspace.wait_until("both documents and the dead letter are stored", |workspace| {
            workspace.documents().len() == 2 && workspace.dead_letters().len() == 1
        });
        let connection = rusqlite::Connection::open(workspace.state()).expect("the state file");
        connection.busy_timeout(std::time::Duration::from_secs(10)).expect("a timeout");
        assert_eq!(connection.execute(sql, []).expect("a change"), 1);
        drop(input);
        local.wait_with_output().expect("it ends")
    };
    let workspace = Workspace::new();
    let output = change(&workspace, sql, "json");
    assert!(String::from_utf8_lossy(&output.stderr).contains("the check failed"));
    let failed = report(&output, 1);
    assert_adds_up(&failed);
    assert_eq!(failed["check"]["differentDocuments"], 1, "{failed}");
    assert_eq!(failed["check"]["differences"][0]["document"], "a", "{failed}");
    let detail = failed["check"]["differences"][0]["detail"].as_str().expect("text");
    assert!(detail.starts_with("Battery is 0.123") && detail.contains("expected 0.5"), "{failed}");

    let workspace = Workspace::new();
    let output = change(&workspace, sql, "table");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("CHECK FAILED: 1 of 2 documents differs from the fold of its events"), "{text}");

    let workspace = Workspace::new();
    let failed = report(&change(&workspace, "DELETE FROM dead_letters", "json"), 1);
    assert_eq!(
        (&failed["check"]["differentDocuments"], &failed["check"]["deadLettersMissing"]),
        (&0.into(), &1.into())
    );
}
