//! The queue fails while a command runs: what was done stays done and is in the audit trail, everything else is unchanged,
//! and a second run completes it.

use std::{collections::BTreeSet, fs};

use devicestate_test_storage::bench::CommandOutput;
use devicestate_test_support::Fold;
use serde_json::json;

use crate::faulty_bench::{ALWAYS, FaultKind, FaultyBench, Operation, audit_lines, on_both_faulty, put_dead_letters};

on_both_faulty![
    a_list_releases_its_messages_when_a_receive_fails,
    a_list_reports_messages_that_it_cannot_release,
    a_second_replay_completes_one_whose_deletes_failed,
    a_second_replay_completes_one_whose_receives_failed,
    a_second_discard_completes_one_whose_deletes_failed,
    an_export_whose_receives_fail_exits_with_2,
    an_import_whose_puts_fail_reports_its_progress,
    an_empty_queue_that_is_down_is_reported_first,
];

/// More than one chunk.
const MANY: usize = 300;

/// Asserts exit code 2 and an error that names the queue and its setting.
#[track_caller]
fn assert_names_queue(faulty: &FaultyBench, result: CommandOutput) -> CommandOutput {
    let result = result.assert_exit_code(2);
    let words = if faulty.is_local() { ["state.db", "broken"] } else { ["127.0.0.1", "DeadLetterStorage"] };
    for word in words {
        assert!(result.errors.contains(word), "{word:?} is not in: {}", result.errors);
    }
    result
}

fn a_list_releases_its_messages_when_a_receive_fails(faulty: &FaultyBench) {
    put_dead_letters(faulty, MANY);
    for after in [0, 3] {
        faulty.fail_after(Operation::Receive, after);
        let result = assert_names_queue(faulty, faulty.run(&["list"]));
        assert_eq!(result.output, "");
        faulty.repair();
        faulty.assert_all_visible(300);
    }
    assert_eq!(faulty.json(&["list"], 0).as_array().map(Vec::len), Some(MANY));
}

fn a_list_reports_messages_that_it_cannot_release(faulty: &FaultyBench) {
    put_dead_letters(faulty, 40);
    faulty.fail_after(Operation::Update, 5);
    let result = faulty.run(&["list", "--visibility-timeout", "600"]).assert_exit_code(0);
    faulty.repair();
    assert!(result.errors.contains("could not be made visible again"), "{}", result.errors);
    assert!(result.errors.contains("10 min"), "{}", result.errors);
    assert_eq!(faulty.count(), 40);
}

fn a_second_replay_completes_one_whose_deletes_failed(faulty: &FaultyBench) {
    let batch = put_dead_letters(faulty, 40);
    let audit_file = faulty.app.path("trail.jsonl");
    let audit = audit_file.to_str().expect("text");
    faulty.fail_after(Operation::Delete, 7);
    let result = assert_names_queue(faulty, faulty.run(&["replay", "--yes", "--audit", audit]));
    faulty.repair();
    assert!(result.output.contains("40"), "the result is printed: {}", result.output);
    let left = faulty.count();
    assert!((1..=33).contains(&left), "{left}");
    faulty.assert_all_visible(left);
    assert_eq!(audit_lines(&audit_file).len(), 40, "a line for each, also if it could not be deleted");
    assert_eq!(faulty.documents(), Fold::from_batches([&batch]).documents());

    let done = faulty.json(&["replay", "--yes", "--audit", audit], 0);
    assert_eq!((&done["applied"], &done["superseded"]), (&json!(0), &json!(left)));
    assert_eq!((faulty.count(), audit_lines(&audit_file).len() as u64), (0, 40 + left));
    assert_eq!(faulty.documents(), Fold::from_batches([&batch]).documents());
}

fn a_second_replay_completes_one_whose_receives_failed(faulty: &FaultyBench) {
    let batch = put_dead_letters(faulty, MANY);
    let audit_file = faulty.app.path("trail.jsonl");
    let audit = audit_file.to_str().expect("text");
    // Eight requests receive the first 256.
    faulty.fail_after(Operation::Receive, 8);
    assert_names_queue(faulty, faulty.run(&["replay", "--yes", "--audit", audit]));
    faulty.repair();
    let left = faulty.count();
    assert!((44..=300).contains(&left), "{left}");
    faulty.assert_all_visible(left);
    assert_eq!(audit_lines(&audit_file).len() as u64, 300 - left);
    let done = faulty.json(&["replay", "--yes", "--audit", audit], 0);
    assert_eq!((&done["applied"], faulty.count()), (&json!(left), 0));
    assert_eq!(faulty.documents(), Fold::from_batches([&batch]).documents());
}

fn a_second_discard_completes_one_whose_deletes_failed(faulty: &FaultyBench) {
    put_dead_letters(faulty, 40);
    let audit_file = faulty.app.path("trail.jsonl");
    let audit = audit_file.to_str().expect("text");
    faulty.fail_after(Operation::Delete, 7);
    assert_names_queue(faulty, faulty.run(&["discard", "--all", "--yes", "--audit", audit]));
    faulty.repair();
    let left = faulty.count();
    assert!((1..=33).contains(&left), "{left}");
    faulty.assert_all_visible(left);
    let done = faulty.json(&["discard", "--all", "--yes", "--audit", audit], 0);
    assert_eq!((&done["discarded"], faulty.count()), (&json!(left), 0));
    let ids: BTreeSet<_> = audit_lines(&audit_file).iter().map(|line| line["id"].to_string()).collect();
    assert_eq!(ids.len(), 40, "none is deleted without an audit line");
}

fn an_export_whose_receives_fail_exits_with_2(faulty: &FaultyBench) {
    put_dead_letters(faulty, MANY);
    let file = faulty.app.path("out.jsonl");
    let path = file.to_str().expect("text");
    faulty.fail_after(Operation::Receive, 8);
    let result = assert_names_queue(faulty, faulty.run(&["export", "--file", path]));
    faulty.repair();
    // Exactly the first eight receives, unless a client on a busy machine repeats one.
    let written = fs::read_to_string(&file).expect("a file").lines().count();
    assert!(written == 256 || !faulty.is_local(), "{written}");
    assert!(result.errors.contains(&format!("{written} messages")), "the progress: {}", result.errors);
    faulty.assert_all_visible(300);
    // An existing file is never overwritten.
    let result = faulty.run(&["export", "--file", path]).assert_exit_code(2);
    assert!(result.errors.contains("out.jsonl"), "{}", result.errors);
    let result = faulty.run(&["export"]).assert_exit_code(0);
    assert_eq!(result.output.lines().count(), MANY);
}

fn an_import_whose_puts_fail_reports_its_progress(faulty: &FaultyBench) {
    let other = FaultyBench::local();
    put_dead_letters(&other, 100);
    let exported = other.run(&["export"]).assert_exit_code(0).output;
    let file = faulty.app.path("in.jsonl");
    fs::write(&file, exported).expect("a file");
    let path = file.to_str().expect("text");
    faulty.fail_after(Operation::Put, 50);
    let result = assert_names_queue(faulty, faulty.run(&["import", "--file", path]));
    faulty.repair();
    let there = faulty.count();
    assert_eq!(there, 50);
    assert!(result.errors.contains("50 imported messages") && result.errors.contains("line "), "{}", result.errors);
    faulty.run(&["import", "--file", path]).assert_exit_code(0);
    assert_eq!(faulty.json(&["list"], 0).as_array().map(Vec::len), Some(100));
}

fn an_empty_queue_that_is_down_is_reported_first(faulty: &FaultyBench) {
    if faulty.is_local() {
        fs::remove_file(faulty.state()).expect("a file");
        for words in [&["list"][..], &["replay", "--yes"], &["discard", "--all", "--yes"], &["export"]] {
            let result = faulty.run(words).assert_exit_code(2);
            assert!(result.errors.contains("state.db"), "{}", result.errors);
        }
        return;
    }
    faulty.fail(Operation::Count, 0, ALWAYS, FaultKind::Disconnected);
    for words in [&["list"][..], &["replay", "--yes"], &["discard", "--all", "--yes"], &["export"]] {
        assert_names_queue(faulty, faulty.run(words));
    }
}

#[test]
#[ignore = "just test-azure"]
fn one_failed_receive_is_retried() {
    assert_is_retried(Operation::Receive);
}

#[test]
#[ignore = "just test-azure"]
fn one_failed_update_is_retried() {
    assert_is_retried(Operation::Update);
}

#[test]
#[ignore = "just test-azure"]
fn one_failed_delete_is_retried() {
    assert_is_retried(Operation::Delete);
}

fn assert_is_retried(operation: Operation) {
    for kind in [FaultKind::ResponseLost, FaultKind::Disconnected, FaultKind::Rejected] {
        let faulty = FaultyBench::azurite();
        let batch = put_dead_letters(&faulty, 8);
        if operation == Operation::Update {
            faulty.fail(operation, 2, 1, kind);
            faulty.run(&["list"]).assert_exit_code(0);
        }
        faulty.fail(operation, 0, 1, kind);
        let result = faulty.run(&["replay", "--yes", "--visibility-timeout", "1"]).assert_exit_code(0);
        if faulty.count() > 0 {
            // Messages whose response was lost stay hidden for a while, and are reported.
            assert!(operation == Operation::Receive && kind == FaultKind::ResponseLost, "{operation:?} {kind:?}");
            assert!(result.errors.contains("more messages are in the queue"), "{}", result.errors);
        }
        faulty.repair();
        while faulty.count() > 0 {
            faulty.run(&["replay", "--yes"]).assert_exit_code(0);
        }
        assert_eq!(faulty.documents(), Fold::from_batches([&batch]).documents(), "{operation:?} {kind:?}");
    }
}

#[test]
fn a_locked_state_file_is_reported() {
    let faulty = FaultyBench::local();
    put_dead_letters(&faulty, 3);
    let connection = rusqlite::Connection::open(faulty.state()).expect("a state file");
    connection.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    let result = faulty.run(&["list"]).assert_exit_code(2);
    assert!(result.errors.contains("state.db") && result.errors.contains("lock"), "{}", result.errors);
    connection.execute_batch("ROLLBACK").expect("the lock");
    faulty.assert_all_visible(3);
}
