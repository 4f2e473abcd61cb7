//! Files of exported messages, good and bad.

use std::{fs, io::Write as _, process::Stdio};

use devicestate_test_storage::bench::{Bench, CommandOutput};
use serde_json::json;

use crate::{
    broken::{Broken, events, fill},
    on_both_queues,
};

on_both_queues![
    a_bad_line_is_told_by_its_number_and_the_others_are_imported,
    standard_input_is_a_file_like_others,
    a_file_that_is_not_there_or_empty_changes_nothing,
];

/// Lines of an export.
fn exported(number: usize) -> Vec<String> {
    let other = Broken::local();
    fill(&other, number);
    other.run(&["export"]).assert_exit_code(0).output.lines().map(str::to_owned).collect()
}

fn import(bench: &Bench, lines: &[u8]) -> CommandOutput {
    let file = bench.app.path("in.jsonl");
    fs::write(&file, lines).expect("a file");
    bench.run(&["import", file.to_str().expect("text")])
}

fn a_bad_line_is_told_by_its_number_and_the_others_are_imported(bench: &Bench) {
    let good = exported(4);
    let mut lines = Vec::new();
    for line in [
        good[0].as_bytes(),
        b"no JSON",
        good[1].as_bytes(),
        b"",
        br#"{"MessageId":"1"}"#,
        br#"{"Message":{},"Base64":""}"#,
        br#"{"Base64":"%"}"#,
        br#"{"Message":{"Id":"1"},"Whole":{}}"#,
        b"\xff\xfe no text",
        &good[2].as_bytes()[..40],
        good[3].as_bytes(),
    ] {
        lines.extend_from_slice(line);
        lines.push(b'\n');
    }
    let said = import(bench, &lines).assert_exit_code(1);
    for number in [2, 5, 6, 7, 8, 9, 10] {
        assert!(said.errors.contains(&format!("line {number}: ")), "{number}: {}", said.errors);
    }
    for number in [1, 3, 4, 11] {
        assert!(!said.errors.contains(&format!("line {number}: ")), "{number}: {}", said.errors);
    }
    assert!(said.errors.contains("3 messages imported") && said.errors.contains("7 lines"), "{}", said.errors);
    assert_eq!((bench.count(), bench.json(&["list"], 0).as_array().map(Vec::len)), (3, Some(3)));
}

fn standard_input_is_a_file_like_others(bench: &Bench) {
    let lines = exported(3).join("\n");
    let mut child = bench.command(&["import", "-"]).stdin(Stdio::piped()).spawn().expect("the binary");
    child.stdin.take().expect("a pipe").write_all(lines.as_bytes()).expect("written");
    CommandOutput::from(child.wait_with_output().expect("the binary")).assert_exit_code(0);
    let done = bench.json(&["replay", "--yes"], 0);
    assert_eq!((&done["Applied"], bench.count()), (&json!(3), 0));
    assert_eq!(bench.documents(), devicestate_test_support::Fold::from_batches([&events(3)]).documents());
}

fn a_file_that_is_not_there_or_empty_changes_nothing(bench: &Bench) {
    let said = bench.run(&["import", "no-such-file.jsonl"]).assert_exit_code(2);
    assert!(said.errors.contains("no-such-file.jsonl"), "{}", said.errors);
    import(bench, b"").assert_exit_code(0);
    import(bench, b"\n\n").assert_exit_code(0);
    assert_eq!(bench.count(), 0);
}

/// A table takes any; it is the limit of a Storage queue.
#[test]
#[ignore = "just test-azure"]
fn a_message_that_is_too_large_for_a_queue_is_the_fault_of_its_line() {
    let bench = Bench::azurite();
    let good = exported(2);
    let large = json!({"Message": {"text": "x".repeat(49_152)}}).to_string();
    let lines = [&good[0], &large, &good[1]].map(String::as_str).join("\n");
    let trail = bench.app.path("trail.jsonl");
    fs::write(bench.app.path("in.jsonl"), lines).expect("a file");
    let file = bench.app.path("in.jsonl");
    let words = ["import", file.to_str().expect("text"), "--audit", trail.to_str().expect("text")];
    let said = bench.run(&words).assert_exit_code(1);
    assert!(said.errors.contains("line 2: ") && said.errors.contains("too large"), "{}", said.errors);
    assert_eq!(bench.count(), 2);
    assert_eq!(fs::read_to_string(trail).expect("a trail").lines().count(), 2);
}
