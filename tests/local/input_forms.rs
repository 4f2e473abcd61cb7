//! The forms of input files. The cases are from public reports.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use devicestate_test_support::{program::devicestate, root};
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
fn case_21_the_elements_of_an_array_are_events() {
    let file = case("21-array-of-events.json");
    assert_eq!(batteries(&file, 4), [0.7, 0.6]);
    let workspace = Workspace::new();
    let array = fs::read_to_string(&file).expect("a file");
    let values =
        "{\n  \"deviceId\": \"drone-0\",\n  \"battery\": 0.7\n}\n{\"deviceId\": \"drone-1\", \"battery\": 0.6}\n";
    let one_line = array.replace(['\n', ' '], "");
    for (name, content, events) in [
        ("array.json.gz", gzip(array.as_bytes()), 4),
        ("windows.json", format!("\u{feff}\r\n\r\n  {}", array.replace('\n', "\r\n")).into_bytes(), 4),
        ("line.json", one_line.into_bytes(), 4),
        ("values.json", values.as_bytes().to_vec(), 2),
    ] {
        assert_eq!(batteries(&workspace.write(name, content), events), [0.7, 0.6], "{name}");
    }
}

/// <https://learn.microsoft.com/azure/event-hubs/explore-captured-avro-files>
#[test]
fn case_22_a_capture_file_is_read() {
    let file = case("22-capture.avro");
    assert_eq!(batteries(&file, 4), [0.7, 0.6]);
    let workspace = Workspace::new();
    let packed = gzip(&fs::read(&file).expect("a file"));
    assert_eq!(batteries(&workspace.write("capture.avro.gz", packed), 4), [0.7, 0.6]);
}

#[test]
fn dead_letters_are_read_from_an_export_with_their_keys_and_properties() {
    let workspace = Workspace::new();
    let valid = json!({ "deviceId": "a", "battery": 0.5 });
    let invalid = json!({ "deviceId": "b", "battery": "x" });
    let large = json!({ "deviceId": "c", "battery": "x", "note": "x".repeat(60_000) });
    let file = workspace.write("e.jsonl", format!("{valid}\n{invalid}\n{large}\n"));
    report(&run(&workspace, &file), 0);
    let exported = workspace.path("letters.jsonl");
    let mut export = Command::new(devicestate());
    export.args(["dead-letters", "export", "--state"]).arg(workspace.state()).arg("--file").arg(&exported);
    let output = export.current_dir(root()).output().expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let workspace = Workspace::new();
    let mut lines = fs::read_to_string(&exported).expect("an export");
    lines.push_str("{\"messageId\":\"1\",\"message\":{\"not\":\"a dead letter\"}}\n");
    let properties = json!({ "batch": 7, "site": "north", "load": 0.5, "test": true, "none": null });
    let of_iot_hub = json!({ "content-type": "application/json", "iothub-connection-device-id": "d" });
    let letter = json!({
        "Id": "0".repeat(32), "Issue": "x", "Stage": "validate", "ErrorClass": "poison", "DeviceState": null,
        "EventData": {
            "Body": "e30=", "PartitionKey": "d", "SequenceNumber": 7, "Offset": "1",
            "EnqueuedTimeUtc": "2026-05-01T12:00:00.5", "Properties": properties, "SystemProperties": of_iot_hub,
        },
        "Source": {}, "InvocationId": "", "Attempt": 1, "Time": "", "HandlerVersion": "0.2.0",
    });
    lines.push_str(&letter.to_string());
    let output = run(&workspace, &workspace.write("letters.jsonl", lines));
    let report = report(&output, 1);
    assert_eq!((count(&report, "received"), count(&report, "deadLettered")), (3, 3), "{report}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("1 line without a complete event skipped, the first is line 3"), "{errors}");
    let mut letters: Vec<_> = workspace.dead_letters();
    letters.sort_by_key(|letter| letter["EventData"]["PartitionKey"].to_string());
    let [of_invalid, of_large, with_properties] = &letters[..] else { panic!("{letters:?}") };
    let data = &with_properties["EventData"];
    assert_eq!((&data["Properties"], &data["PartitionKey"]), (&properties, &"d".into()));
    for (name, value) in of_iot_hub.as_object().expect("an object") {
        assert_eq!(&data["SystemProperties"][name], value);
    }
    assert_eq!([of_invalid, of_large].map(|letter| &letter["EventData"]["PartitionKey"]), ["b", "c"]);
    let body = of_invalid["EventData"]["Body"].as_str().expect("base64");
    assert_eq!(devicestate_test_support::from_base64(body), invalid.to_string().into_bytes());
    let length = |letter: &Value| letter["Overflow"]["Length"].as_u64();
    assert!(length(of_large) >= Some(60_000), "{of_large}");
}

#[test]
fn an_input_of_another_form_is_refused_by_its_start() {
    let workspace = Workspace::new();
    let file = |name: &str, content: &[u8]| workspace.write(name, content);
    for (file, expected) in [
        (file("capture.avro.gz", &gzip(b"Obj\x01\x04")), "damaged Avro file"),
        (file("fleet.avro", OTHER_AVRO), "not of Event Hubs Capture: it contains records `Reading` with `device`"),
        (file("pretty.json", b"{\n  \"deviceId\": \"a\"\n  \"battery\": 1\n}\n"), "line 3: expected `,` or `}`"),
        (file("array.json", b"[\n,{\"deviceId\": \"a\"}]\n"), "line 2: expected value"),
        (file("e.csv", b"deviceId,battery\na,1\n"), "is not a JSON object, as if the file were CSV"),
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
    child.stdin.take().expect("a pipe").write_all(b"deviceId\n").expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("standard input") && error.contains("not a JSON object"), "{error}");
}

/// The start of an Avro file of telemetry, without a block.
const OTHER_AVRO: &[u8] = b"Obj\x01\x02\x16avro.schema\x9e\x01{\"type\":\"record\",\"name\":\"Reading\",\"fields\":[{\"name\":\"device\",\"type\":\"string\"}]}\0\
0123456789abcdef";

#[test]
fn the_first_lines_decide_about_the_form_of_the_input() {
    let valid = "{\"deviceId\":\"a\",\"battery\":1}";
    for (first, applied) in [(valid, 1), ("{\"deviceId\":\"a\",\"battery\":1,}", 0)] {
        let workspace = Workspace::new();
        let file = workspace.write("e.jsonl", format!("{first}\n[1]\nnot JSON\n{{\n"));
        let report = report(&run(&workspace, &file), 1 - applied);
        let results = (count(&report, "received"), count(&report, "applied"), count(&report, "deadLettered"));
        let applied = u64::try_from(applied).expect("a count");
        assert_eq!(results, (4, applied, 4 - applied), "{first}");
    }
    // An array that is not alone is one event.
    let workspace = Workspace::new();
    let file = workspace.write("e.jsonl", format!("[{valid},{valid}]\n{valid}\n"));
    assert_eq!(count(&report(&run(&workspace, &file), 0), "received"), 2);
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_no_part_of_an_event() {
    let workspace = Workspace::new();
    let invalid = json!({ "deviceId": "a", "battery": "x" });
    // Files are appended to others, so the mark may be in front of any line.
    let file = workspace.write("e.jsonl", format!("\u{feff}{invalid}\r\n\r\n\u{feff}{invalid}\r\n"));
    report(&run(&workspace, &file), 1);
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
