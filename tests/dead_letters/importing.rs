//! `import`: files of exported messages, valid and invalid.

use std::{fs, io::Write as _, process::Stdio};

use devicestate_test_storage::bench::{Bench, CommandOutput};
use serde_json::json;

use crate::{
    faulty_bench::{FaultyBench, events, put_dead_letters},
    on_both_queues,
};

on_both_queues![
    an_import_names_each_invalid_line_and_imports_the_others,
    an_import_reads_standard_input,
    an_import_of_a_missing_or_empty_file_changes_nothing,
    an_import_skips_a_byte_order_mark_and_carriage_returns,
    a_file_that_is_not_an_export_is_refused_at_its_first_line,
    an_import_of_many_long_lines_imports_each,
];

/// Lines of an export.
fn exported(number: usize) -> Vec<String> {
    let other = FaultyBench::local();
    put_dead_letters(&other, number);
    other.run(&["export"]).assert_exit_code(0).output.lines().map(str::to_owned).collect()
}

fn import(bench: &Bench, lines: &[u8]) -> CommandOutput {
    let file = bench.app.path("in.jsonl");
    fs::write(&file, lines).expect("a file");
    bench.run(&["import", "--file", file.to_str().expect("text")])
}

fn an_import_names_each_invalid_line_and_imports_the_others(bench: &Bench) {
    let good = exported(4);
    let mut lines = Vec::new();
    for line in [
        good[0].as_bytes(),
        b"no JSON",
        good[1].as_bytes(),
        b"",
        br#"{"messageId":"1"}"#,
        br#"{"message":{},"base64":""}"#,
        br#"{"base64":"%"}"#,
        br#"{"message":{"Id":"1"},"completeDeadLetter":{}}"#,
        b"\xff\xfe no text",
        &good[2].as_bytes()[..40],
        good[3].as_bytes(),
    ] {
        lines.extend_from_slice(line);
        lines.push(b'\n');
    }
    let result = import(bench, &lines).assert_exit_code(1);
    for number in [2, 5, 6, 7, 8, 9, 10] {
        assert!(result.errors.contains(&format!("line {number}: ")), "{number}: {}", result.errors);
    }
    for number in [1, 3, 4, 11] {
        assert!(!result.errors.contains(&format!("line {number}: ")), "{number}: {}", result.errors);
    }
    assert!(result.errors.contains("3 messages imported") && result.errors.contains("7 lines"), "{}", result.errors);
    assert_eq!((bench.count(), bench.json(&["list"], 0).as_array().map(Vec::len)), (3, Some(3)));
}

fn an_import_reads_standard_input(bench: &Bench) {
    let lines = exported(3).join("\n");
    let mut child = bench.command(&["import", "--file", "-"]).stdin(Stdio::piped()).spawn().expect("the binary");
    child.stdin.take().expect("a pipe").write_all(lines.as_bytes()).expect("written");
    CommandOutput::from(child.wait_with_output().expect("the binary")).assert_exit_code(0);
    let done = bench.json(&["replay", "--yes"], 0);
    assert_eq!((&done["applied"], bench.count()), (&json!(3), 0));
    assert_eq!(bench.documents(), devicestate_test_support::Fold::from_batches([&events(3)]).documents());
    fs::write(bench.app.path("in.jsonl"), format!("{}\nnot JSON\n", exported(1)[0])).expect("a file");
    let file = bench.app.path("in.jsonl");
    let result = bench.json(&["import", "--file", file.to_str().expect("text")], 1);
    assert_eq!(result, json!({"imported": 1, "failed": 1}));
}

fn an_import_of_a_missing_or_empty_file_changes_nothing(bench: &Bench) {
    let result = bench.run(&["import", "--file", "no-such-file.jsonl"]).assert_exit_code(2);
    assert!(result.errors.contains("no-such-file.jsonl"), "{}", result.errors);
    import(bench, b"").assert_exit_code(0);
    import(bench, b"\n\n").assert_exit_code(0);
    assert_eq!(bench.count(), 0);
}

fn an_import_skips_a_byte_order_mark_and_carriage_returns(bench: &Bench) {
    let lines = format!("\u{feff}{}\r\n", exported(3).join("\r\n"));
    import(bench, lines.as_bytes()).assert_exit_code(0);
    assert_eq!(bench.json(&["list"], 0).as_array().map(Vec::len), Some(3));
}

fn a_file_that_is_not_an_export_is_refused_at_its_first_line(bench: &Bench) {
    let case = |name: &str| {
        fs::read(devicestate_test_support::root().join("tests/fixtures/cases").join(name)).expect("a file")
    };
    let export = exported(2).join("\n");
    let utf16 = |order: fn(u16) -> [u8; 2]| export.encode_utf16().flat_map(order).collect::<Vec<_>>();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(export.as_bytes()).expect("written");
    for (file, reason) in [
        (case("21-powershell-utf-16.jsonl"), "it is UTF-16 text"),
        (utf16(u16::to_le_bytes), "it is UTF-16 text"),
        (utf16(u16::to_be_bytes), "it is UTF-16 text"),
        (case("21-array-of-events.json"), "line 1 starts with \"[\""),
        (format!("{{\n{export}").into_bytes(), "line 1 starts with \"{\""),
        (b"\n\ndeviceId,battery\nd,0.5\n".to_vec(), "line 3 starts with \"deviceId,battery\""),
        (gzip.finish().expect("compressed"), "it is compressed with gzip. Use `gunzip"),
    ] {
        let result = import(bench, &file).assert_exit_code(2);
        assert!(result.errors.contains("is not an export: ") && result.errors.contains(reason), "{}", result.errors);
        assert_eq!((bench.count(), result.output.as_str()), (0, ""));
    }
}

/// More bytes than are read at a time, so that lines and chunks end at different places.
fn an_import_of_many_long_lines_imports_each(bench: &Bench) {
    let padding = " ".repeat(3_000_000);
    let lines: Vec<_> = exported(12).into_iter().map(|line| format!("{padding}{line}")).collect();
    let result = import(bench, lines.join("\n").as_bytes()).assert_exit_code(0);
    assert!(result.errors.contains("12 messages imported."), "{}", result.errors);
    assert_eq!(bench.count(), 12);
}

/// Only a Storage queue has this limit.
#[test]
#[ignore = "just test-azure"]
fn an_import_reports_the_line_of_a_message_that_is_too_large() {
    let bench = Bench::azurite();
    let good = exported(2);
    let large = json!({"message": {"text": "x".repeat(49_152)}}).to_string();
    let lines = [&good[0], &large, &good[1]].map(String::as_str).join("\n");
    let audit_file = bench.app.path("trail.jsonl");
    fs::write(bench.app.path("in.jsonl"), lines).expect("a file");
    let file = bench.app.path("in.jsonl");
    let words = ["import", "--file", file.to_str().expect("text"), "--audit", audit_file.to_str().expect("text")];
    let result = bench.run(&words).assert_exit_code(1);
    assert!(result.errors.contains("line 2: ") && result.errors.contains("too large"), "{}", result.errors);
    assert_eq!(bench.count(), 2);
    assert_eq!(fs::read_to_string(audit_file).expect("a trail").lines().count(), 2);
}
