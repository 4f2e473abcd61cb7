//! The queue fails in the middle: what was done stays done and is in the audit trail, all the rest is there as before,
//! and a second run does it.

use std::{collections::BTreeSet, fs};

use devicestate_test_storage::bench::CommandOutput;
use devicestate_test_support::Fold;
use serde_json::json;

use crate::broken::{ALWAYS, Broken, How, Kind, fill, on_both_broken, trail as lines_of};

on_both_broken![
    a_list_that_cannot_receive_on_gives_back_what_it_has,
    a_list_that_cannot_give_back_says_so_and_shows_nothing_as_done,
    a_replay_whose_deletes_fail_is_finished_by_a_second_one,
    a_replay_that_cannot_receive_on_is_finished_by_a_second_one,
    a_discard_whose_deletes_fail_is_finished_by_a_second_one,
    an_export_that_cannot_receive_on_ends_with_2,
    an_import_whose_puts_fail_tells_how_far_it_came,
    an_empty_queue_that_is_out_is_told_before_anything_is_done,
];

/// More than are received at once.
const MANY: usize = 300;

/// Exit code 2, and an error that names the queue and what leads to it.
#[track_caller]
fn assert_out(broken: &Broken, said: CommandOutput) -> CommandOutput {
    let said = said.assert_exit_code(2);
    let words = if broken.is_local() { ["state.db", "broken"] } else { ["127.0.0.1", "DeadLetterStorage"] };
    for word in words {
        assert!(said.errors.contains(word), "{word:?} is not in: {}", said.errors);
    }
    said
}

fn a_list_that_cannot_receive_on_gives_back_what_it_has(broken: &Broken) {
    fill(broken, MANY);
    for after in [0, 3] {
        broken.break_down(Kind::Receive, after);
        let said = assert_out(broken, broken.run(&["list"]));
        assert_eq!(said.output, "");
        broken.repair();
        broken.assert_all_visible(300);
    }
    assert_eq!(broken.json(&["list"], 0).as_array().map(Vec::len), Some(MANY));
}

fn a_list_that_cannot_give_back_says_so_and_shows_nothing_as_done(broken: &Broken) {
    fill(broken, 40);
    broken.break_down(Kind::Update, 5);
    let said = broken.run(&["list", "--visibility-timeout", "600"]).assert_exit_code(0);
    broken.repair();
    assert!(said.errors.contains("could not be given back"), "{}", said.errors);
    assert!(said.errors.contains("10 min"), "{}", said.errors);
    assert_eq!(broken.count(), 40);
}

fn a_replay_whose_deletes_fail_is_finished_by_a_second_one(broken: &Broken) {
    let batch = fill(broken, 40);
    let trail = broken.app.path("trail.jsonl");
    let audit = trail.to_str().expect("text");
    broken.break_down(Kind::Delete, 7);
    let said = assert_out(broken, broken.run(&["replay", "--yes", "--audit", audit]));
    broken.repair();
    assert!(said.output.contains("40"), "what was done is told: {}", said.output);
    let left = broken.count();
    assert!((1..=33).contains(&left), "{left}");
    broken.assert_all_visible(left);
    assert_eq!(lines_of(&trail).len(), 40, "a line for each, also for those that could not be deleted");
    assert_eq!(broken.documents(), Fold::from_batches([&batch]).documents());

    let done = broken.json(&["replay", "--yes", "--audit", audit], 0);
    assert_eq!((&done["Applied"], &done["Superseded"]), (&json!(0), &json!(left)));
    assert_eq!((broken.count(), lines_of(&trail).len() as u64), (0, 40 + left));
    assert_eq!(broken.documents(), Fold::from_batches([&batch]).documents());
}

fn a_replay_that_cannot_receive_on_is_finished_by_a_second_one(broken: &Broken) {
    let batch = fill(broken, MANY);
    let trail = broken.app.path("trail.jsonl");
    let audit = trail.to_str().expect("text");
    // The first 256 are done, and eight requests ask for them.
    broken.break_down(Kind::Receive, 8);
    assert_out(broken, broken.run(&["replay", "--yes", "--audit", audit]));
    broken.repair();
    let left = broken.count();
    assert!((44..=300).contains(&left), "{left}");
    broken.assert_all_visible(left);
    assert_eq!(lines_of(&trail).len() as u64, 300 - left);
    let done = broken.json(&["replay", "--yes", "--audit", audit], 0);
    assert_eq!((&done["Applied"], broken.count()), (&json!(left), 0));
    assert_eq!(broken.documents(), Fold::from_batches([&batch]).documents());
}

fn a_discard_whose_deletes_fail_is_finished_by_a_second_one(broken: &Broken) {
    fill(broken, 40);
    let trail = broken.app.path("trail.jsonl");
    let audit = trail.to_str().expect("text");
    broken.break_down(Kind::Delete, 7);
    assert_out(broken, broken.run(&["discard", "--all", "--yes", "--audit", audit]));
    broken.repair();
    let left = broken.count();
    assert!((1..=33).contains(&left), "{left}");
    broken.assert_all_visible(left);
    let done = broken.json(&["discard", "--all", "--yes", "--audit", audit], 0);
    assert_eq!((&done["Discarded"], broken.count()), (&json!(left), 0));
    let ids: BTreeSet<_> = lines_of(&trail).iter().map(|line| line["Id"].to_string()).collect();
    assert_eq!(ids.len(), 40, "none is deleted without a line");
}

fn an_export_that_cannot_receive_on_ends_with_2(broken: &Broken) {
    fill(broken, MANY);
    let file = broken.app.path("out.jsonl");
    let path = file.to_str().expect("text");
    broken.break_down(Kind::Receive, 8);
    let said = assert_out(broken, broken.run(&["export", "-o", path]));
    broken.repair();
    // All of the first eight, but for a machine so busy that a client asks again.
    let written = fs::read_to_string(&file).expect("a file").lines().count();
    assert!(written == 256 || !broken.is_local(), "{written}");
    assert!(said.errors.contains(&format!("{written} messages")), "how far it came: {}", said.errors);
    broken.assert_all_visible(300);
    // What there is of it is never written over.
    let said = broken.run(&["export", "-o", path]).assert_exit_code(2);
    assert!(said.errors.contains("out.jsonl"), "{}", said.errors);
    let said = broken.run(&["export"]).assert_exit_code(0);
    assert_eq!(said.output.lines().count(), MANY);
}

fn an_import_whose_puts_fail_tells_how_far_it_came(broken: &Broken) {
    let other = Broken::local();
    fill(&other, 100);
    let exported = other.run(&["export"]).assert_exit_code(0).output;
    let file = broken.app.path("in.jsonl");
    fs::write(&file, exported).expect("a file");
    let path = file.to_str().expect("text");
    broken.break_down(Kind::Put, 50);
    let said = assert_out(broken, broken.run(&["import", path]));
    broken.repair();
    let there = broken.count();
    assert_eq!(there, 50);
    assert!(said.errors.contains("50 messages") && said.errors.contains("line "), "{}", said.errors);
    broken.run(&["import", path]).assert_exit_code(0);
    assert_eq!(broken.json(&["list"], 0).as_array().map(Vec::len), Some(100));
}

fn an_empty_queue_that_is_out_is_told_before_anything_is_done(broken: &Broken) {
    if broken.is_local() {
        fs::remove_file(broken.state()).expect("a file");
        for words in [&["list"][..], &["replay", "--yes"], &["discard", "--all", "--yes"], &["export"]] {
            let said = broken.run(words).assert_exit_code(2);
            assert!(said.errors.contains("state.db"), "{}", said.errors);
        }
        return;
    }
    broken.fail(Kind::Count, 0, ALWAYS, How::Cut);
    for words in [&["list"][..], &["replay", "--yes"], &["discard", "--all", "--yes"], &["export"]] {
        assert_out(broken, broken.run(words));
    }
}

#[test]
#[ignore = "just test-azure"]
fn one_receive_that_is_not_answered_is_no_outage() {
    assert_is_no_outage(Kind::Receive);
}

#[test]
#[ignore = "just test-azure"]
fn one_update_that_is_not_answered_is_no_outage() {
    assert_is_no_outage(Kind::Update);
}

#[test]
#[ignore = "just test-azure"]
fn one_delete_that_is_not_answered_is_no_outage() {
    assert_is_no_outage(Kind::Delete);
}

fn assert_is_no_outage(kind: Kind) {
    for how in [How::AnswerLost, How::Cut, How::Refused] {
        let broken = Broken::azurite();
        let batch = fill(&broken, 8);
        if kind == Kind::Update {
            broken.fail(kind, 2, 1, how);
            broken.run(&["list"]).assert_exit_code(0);
        }
        broken.fail(kind, 0, 1, how);
        let said = broken.run(&["replay", "--yes", "--visibility-timeout", "1"]).assert_exit_code(0);
        if broken.count() > 0 {
            // Those whose answer was lost: nobody has them, and they are told of and come back.
            assert!(kind == Kind::Receive && how == How::AnswerLost, "{kind:?} {how:?}");
            assert!(said.errors.contains("more messages are in the queue"), "{}", said.errors);
        }
        broken.repair();
        while broken.count() > 0 {
            broken.run(&["replay", "--yes"]).assert_exit_code(0);
        }
        assert_eq!(broken.documents(), Fold::from_batches([&batch]).documents(), "{kind:?} {how:?}");
    }
}

#[test]
fn another_connection_that_holds_the_lock_of_the_state_file_is_told() {
    let broken = Broken::local();
    fill(&broken, 3);
    let connection = rusqlite::Connection::open(broken.state()).expect("a state file");
    connection.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    let said = broken.run(&["list"]).assert_exit_code(2);
    assert!(said.errors.contains("state.db") && said.errors.contains("lock"), "{}", said.errors);
    connection.execute_batch("ROLLBACK").expect("the lock");
    broken.assert_all_visible(3);
}
