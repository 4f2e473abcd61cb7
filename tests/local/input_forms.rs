//! The forms of input files: encodings, and files that are not one JSON event per line. The cases are from public reports.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use devicestate_test_support::root;
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use crate::support::{Workspace, count, report};

fn case(name: &str) -> PathBuf {
    root().join("tests/fixtures/cases").join(name)
}

fn run(workspace: &Workspace, file: &Path) -> Output {
    workspace.local(&["--file", file.to_str().expect("text")]).output().expect("the binary runs")
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).expect("written");
    encoder.finish().expect("written")
}

/// Checks that all events of a file are applied, and returns the batteries of the two devices.
fn batteries(file: &Path, events: u64) -> [Value; 2] {
    let workspace = Workspace::new();
    let report = report(&run(&workspace, file), 0);
    assert_eq!((count(&report, "received"), count(&report, "deadLettered")), (events, 0), "{report}");
    let documents = workspace.documents();
    ["drone-0", "drone-1"].map(|device| documents[device]["Battery"].clone())
}

/// <https://github.com/jqlang/jq/issues/2351>: `>` of Windows PowerShell writes UTF-16.
#[test]
fn case_21_utf_16_with_a_byte_order_mark_is_decoded() {
    let file = case("21-powershell-utf-16.jsonl");
    assert_eq!(batteries(&file, 4), [0.7, 0.6]);
    let workspace = Workspace::new();
    let bytes = fs::read(&file).expect("a file");
    assert!(bytes.starts_with(b"\xff\xfe"));
    let big_endian: Vec<u8> = bytes.chunks(2).flat_map(|unit| [unit[1], unit[0]]).collect();
    for (name, content) in [("big-endian.jsonl", big_endian.clone()), ("e.jsonl.gz", gzip(&big_endian))] {
        assert_eq!(batteries(&workspace.write(name, content), 4), [0.7, 0.6], "{name}");
    }
}

/// <https://github.com/rust-lang/flate2-rs/issues/23>: all but the first member were lost.
#[test]
fn case_27_all_members_of_a_gzip_file_are_read() {
    assert_eq!(batteries(&case("27-two-members.jsonl.gz"), 5), [0.1, 0.6]);
}

#[test]
fn an_input_that_is_not_one_json_event_per_line_is_refused_by_its_first_line() {
    let workspace = Workspace::new();
    let array = fs::read(case("21-array-of-events.json")).expect("a file");
    let file = |name: &str, content: &[u8]| workspace.write(name, content);
    for (file, expected) in [
        (case("21-array-of-events.json"), "line 1 begins a JSON array"),
        (file("array.json.gz", &gzip(&array)), "jq -c '.[]'"),
        (file("blank-lines.json", b"\xef\xbb\xbf\r\n\r\n  [{\"deviceId\":\"a\"}]\r\n"), "line 3 begins a JSON array"),
        (case("22-capture.avro"), "Avro file, as Event Hubs Capture writes it"),
        (file("capture.avro.gz", &gzip(b"Obj\x01\x04")), "Avro"),
        (file("pretty.json", b"{\n  \"deviceId\": \"a\",\n  \"battery\": 1\n}\n"), "jq -c ."),
        (file("e.csv", b"deviceId,battery\na,1\n"), "is not a JSON object, as if the input were CSV"),
        (file("text.jsonl", b"\"deviceId\"\n"), "is not a JSON object"),
        (file("utf16.jsonl", b"{\0\"\0}\0"), "not UTF-8 text"),
        (file("utf32.jsonl", b"\xff\xfe\0\0{\0\0\0"), "UTF-32"),
        (file("e.parquet", b"PAR1\x15\x04"), "Parquet"),
        (file("binary", b"\x0a\x07drone-1"), "is not a JSON object"),
    ] {
        let output = run(&workspace, &file);
        let name = file.file_name().expect("a name").to_str().expect("text");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), error.lines().count()), (Some(2), 1), "{name}: {error}");
        assert!(error.contains(expected) && error.contains(name) && error.contains("--file"), "{name}: {error}");
        assert!(output.stdout.is_empty(), "{name}");
        assert_eq!(workspace.documents().len() + workspace.dead_letters().len(), 0, "{name}");
    }
    let mut child = workspace.local(&["--file", "-"]).stdin(Stdio::piped()).spawn().expect("the binary runs");
    child.stdin.take().expect("a pipe").write_all(&array).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("standard input") && error.contains("JSON array"), "{error}");
}

#[test]
fn only_the_first_line_decides_about_the_form_of_the_input() {
    for (first, applied) in [("{\"deviceId\":\"a\",\"battery\":1}", 1), ("{\"deviceId\":\"a\",\"battery\":1,}", 0)] {
        let workspace = Workspace::new();
        let file = workspace.write("e.jsonl", format!("{first}\n[1]\nnot JSON\n{{\n"));
        let report = report(&run(&workspace, &file), 0);
        let results = (count(&report, "received"), count(&report, "applied"), count(&report, "deadLettered"));
        assert_eq!(results, (4, applied, 4 - applied), "{first}");
    }
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_no_part_of_an_event() {
    let workspace = Workspace::new();
    let invalid = json!({ "deviceId": "a", "battery": "x" });
    // Files are appended to others, so the mark may be in front of any line.
    let file = workspace.write("e.jsonl", format!("\u{feff}{invalid}\r\n\r\n\u{feff}{invalid}\r\n"));
    report(&run(&workspace, &file), 0);
    let letters = workspace.dead_letters();
    assert_eq!(letters.len(), 2);
    for letter in letters {
        assert_eq!(letter["EventData"]["PartitionKey"], "a", "the event has the partition key of its device: {letter}");
        let body = letter["EventData"]["Body"].as_str().expect("base64");
        assert_eq!(devicestate_test_support::from_base64(body), invalid.to_string().into_bytes());
    }
}

#[test]
fn an_empty_input_is_a_run_without_events_and_a_warning() {
    let workspace = Workspace::new();
    for content in ["", "\n\r\n", "\u{feff}"] {
        let output = run(&workspace, &workspace.write("e.jsonl", content));
        let report = report(&output, 0);
        assert_eq!((count(&report, "received"), count(&report, "devices")), (0, 0));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.contains("warning: the input has no events"), "{errors}");
    }
}
