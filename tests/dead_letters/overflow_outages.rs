//! The overflow or the audit trail is down.

use std::{fs, path::Path};

use devicestate_test_storage::bench::Bench;
use devicestate_test_support::read_dead_letter;
use serde_json::json;

use crate::{
    faulty_bench::{ALWAYS, FaultKind, FaultyBench, Operation, audit_lines, on_both_faulty, put_dead_letters},
    large_dead_letters::{pointers, put_large_dead_letters},
};

on_both_faulty![
    a_missing_overflow_counts_no_failed_replay,
    a_deleted_or_changed_large_dead_letter_fails_alone,
    without_an_audit_trail_nothing_is_deleted_exported_or_imported,
];

/// Returns the overflow folder of a bench with a state file.
fn folder(bench: &Bench) -> std::path::PathBuf {
    format!("{}-dead-letters", bench.state().display()).into()
}

fn assert_not_counted(bench: &Bench) {
    for body in bench.visible() {
        assert_eq!(read_dead_letter(&body).get("Replay"), None);
    }
}

fn a_missing_overflow_counts_no_failed_replay(faulty: &mut FaultyBench) {
    put_large_dead_letters(faulty, 3);
    let setting = if faulty.is_local() { "DeadLetterDirectory" } else { "DeadLetterContainer" };
    let nowhere = if faulty.is_local() { "/nowhere/at/all" } else { "nowhere-at-all" };
    faulty.set(setting, Some(nowhere));
    let audit_file = faulty.app.path("trail.jsonl");
    let audit = audit_file.to_str().expect("text");
    for words in [&["replay", "--yes", "--audit", audit][..], &["replay"], &["export", "--audit", audit]] {
        let result = faulty.run(words).assert_exit_code(2);
        assert!(result.errors.contains(setting), "{}", result.errors);
    }
    assert_eq!((faulty.count(), audit_lines(&audit_file).len()), (3, 0));
    assert_not_counted(faulty);
    // A list needs no overflow.
    assert_eq!(faulty.json(&["list"], 0).as_array().map(Vec::len), Some(3));
}

fn a_deleted_or_changed_large_dead_letter_fails_alone(faulty: &mut FaultyBench) {
    put_large_dead_letters(faulty, 4);
    let locations = pointers(faulty);
    let name = |at: usize| {
        locations[at]["Location"].as_str().expect("a location").rsplit('/').next().expect("a name").to_owned()
    };
    if faulty.is_local() {
        fs::remove_file(folder(faulty).join(name(0))).expect("a file");
        fs::write(folder(faulty).join(name(1)), "{}").expect("a file");
    } else {
        faulty.remove_blob(&name(0));
        faulty.write_blob(&name(1), b"{}");
    }
    let done = faulty.json(&["replay", "--yes"], 1);
    assert_eq!((&done["applied"], &done["failedAgain"]), (&json!(2), &json!(2)), "{done}");
    assert_eq!(faulty.count(), 2);
    for body in faulty.visible() {
        let replay = &read_dead_letter(&body)["Replay"];
        let issue = replay["Issue"].as_str().expect("an issue");
        assert_eq!(replay["Attempts"], 1);
        assert!(issue.contains("is missing") || issue.contains("not the dead letter that was stored"), "{issue}");
    }
    // The export contains the available dead letters, and reports the others.
    let result = faulty.run(&["export"]).assert_exit_code(1);
    assert_eq!(result.output.lines().count(), 2);
    assert!(result.errors.contains("2 dead letters are incomplete"), "{}", result.errors);
}

fn without_an_audit_trail_nothing_is_deleted_exported_or_imported(faulty: &FaultyBench) {
    put_dead_letters(faulty, 3);
    let exported = faulty.run(&["export"]).assert_exit_code(0).output;
    let file = faulty.app.path("kept.jsonl");
    fs::write(&file, exported).expect("a file");
    let path = file.to_str().expect("text");
    // A file cannot have files below it, whatever the permissions.
    let nowhere = file.join("trail.jsonl");
    let assert_nothing_is_done = |audit: &[&str]| {
        for words in
            [&["replay", "--yes"][..], &["discard", "--all", "--yes"], &["export"], &["import", "--file", path]]
        {
            let result = faulty.run(&[words, audit].concat()).assert_exit_code(2);
            assert!(result.errors.contains("audit trail"), "{}", result.errors);
            assert_eq!(faulty.count(), 3, "{words:?}");
            if words == ["export"] {
                assert_eq!(result.output, "", "nothing is exported without an audit line");
            }
        }
        faulty.assert_all_visible(3);
    };
    assert_nothing_is_done(&["--audit", nowhere.to_str().expect("text")]);
    if !faulty.is_local() {
        faulty.fail(Operation::Audit, 0, ALWAYS, FaultKind::Rejected);
        assert_nothing_is_done(&[]);
        faulty.repair();
    }
    let done = faulty.json(&["replay", "--yes"], 0);
    assert_eq!(
        (&done["applied"], faulty.count()),
        (&json!(3), 0),
        "no document was written before the audit trail accepted lines"
    );
}

#[test]
#[ignore = "just test-azure"]
fn a_replay_stops_when_blobs_fail_and_counts_nothing() {
    for how in [FaultKind::Rejected, FaultKind::Disconnected] {
        let mut faulty = FaultyBench::azurite();
        put_large_dead_letters(&mut faulty, 6);
        faulty.fail(Operation::Fetch, 3, ALWAYS, how);
        let result = faulty.run(&["replay", "--yes"]).assert_exit_code(2);
        assert!(result.errors.contains("DeadLetterStorage"), "{}", result.errors);
        let left = faulty.count();
        assert_eq!(left, 3, "the fetched dead letters were replayed");
        assert_not_counted(&faulty);
        faulty.assert_all_visible(3);
        faulty.fail(Operation::Fetch, 0, ALWAYS, how);
        let result = faulty.run(&["export"]).assert_exit_code(2);
        assert!(result.errors.contains("DeadLetterStorage"), "{}", result.errors);
        faulty.repair();
        let done = faulty.json(&["replay", "--yes"], 0);
        assert_eq!((&done["applied"], faulty.count()), (&json!(3), 0));
    }
}

#[test]
fn a_replay_stops_without_the_overflow_folder_and_counts_nothing() {
    let mut faulty = FaultyBench::local();
    put_large_dead_letters(&mut faulty, 2);
    let away = Path::new(&folder(&faulty)).with_extension("away");
    fs::rename(folder(&faulty), &away).expect("a folder");
    let result = faulty.run(&["replay", "--yes"]).assert_exit_code(2);
    assert!(result.errors.contains("DeadLetterDirectory"), "{}", result.errors);
    assert_not_counted(&faulty);
    fs::rename(&away, folder(&faulty)).expect("a folder");
    assert_eq!(faulty.json(&["replay", "--yes"], 0)["applied"], 2);
}
