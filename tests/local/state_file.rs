//! The state file after a run: one file holds everything.

use std::fs;

use devicestate_test_support::program::devicestate;
use rusqlite::Connection;

use crate::support::{Workspace, count, kill_handlers, report};

/// Checks that nothing is left next to a state file, and that a copy of it has these numbers of documents and dead letters.
#[track_caller]
fn assert_copy_is_complete(workspace: &Workspace, name: &str, documents: u64, dead_letters: u64) {
    for suffix in ["-wal", "-shm"] {
        assert!(!workspace.path(&format!("{name}{suffix}")).exists(), "{name}{suffix} is left");
    }
    let copy = workspace.path("copy.db");
    fs::copy(workspace.path(name), &copy).expect("a copy");
    let connection = Connection::open(&copy).expect("a database");
    let rows = |table: &str| connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0));
    let expected = [documents, dead_letters].map(|count| Ok(i64::try_from(count).expect("a small number")));
    assert_eq!([rows("documents"), rows("dead_letters")], expected);
    drop(connection);
    fs::remove_file(copy).expect("the copy");
}

#[test]
fn after_a_run_one_file_holds_everything() {
    let workspace = Workspace::new();
    let report = workspace.run(&["--devices", "200", "--events", "20", "--invalid-events", "1%", "--instances", "3"]);
    assert_copy_is_complete(&workspace, "state.db", 200, count(&report, "deadLetterMessages"));

    let workspace = Workspace::new();
    let report = workspace.run(&["--sessions", "--devices", "5"]);
    assert_copy_is_complete(&workspace, "state.db", 5, count(&report, "deadLetterMessages"));

    let workspace = Workspace::new();
    let report = workspace.run(&[]);
    assert_copy_is_complete(&workspace, "state.db", 2, count(&report, "deadLetterMessages"));
}

#[test]
fn after_a_run_with_killed_handlers_one_file_holds_everything() {
    let workspace = Workspace::new();
    let mut command = workspace.local(&["--file", "-", "--instances", "2"]);
    report(&kill_handlers(&workspace, &mut command, 2, 500), 0);
    assert_copy_is_complete(&workspace, "state.db", 11, 0);
}

#[test]
fn after_a_drill_each_state_file_holds_everything() {
    let workspace = Workspace::new();
    report(&workspace.drill(&["--devices", "20"]).output().expect("the binary"), 0);
    assert_copy_is_complete(&workspace, "state.db", 20, 0);
    assert_copy_is_complete(&workspace, "state.standby.db", 0, 0);
}

#[test]
fn a_copy_without_its_log_is_reported_as_empty() {
    let workspace = Workspace::new();
    let connection = Connection::open(workspace.state()).expect("a database");
    connection
        .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE documents (id TEXT)")
        .expect("a table in the log");
    let copy = workspace.path("copy.db");
    fs::copy(workspace.state(), &copy).expect("a copy");
    let copy = copy.to_str().expect("text");
    for command in [&["devices", "list"][..], &["dead-letters", "list"]] {
        let output = std::process::Command::new(devicestate()).args(command).args(["--state", copy]).output();
        let output = output.expect("the binary");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains("it is empty") && error.contains("copy.db-wal"), "{error}");
    }
}
