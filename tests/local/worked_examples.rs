//! `samples/telemetry`: in a folder with nothing but the events and perhaps a telemetry file, `devicestate local` makes the expected
//! documents.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use devicestate_test_support::{program::devicestate, read_output};
use serde_json::{Map, Value};
use tempfile::TempDir;

use crate::support::{assert_adds_up, count, report};

type Documents = BTreeMap<String, Map<String, Value>>;

/// A folder with the files of an example, as a user has them.
struct Example {
    folder: TempDir,
    expected: Documents,
}

impl Example {
    fn new(name: &str) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/telemetry").join(name);
        let folder = TempDir::new().expect("a temporary folder");
        for file in ["telemetry.json", "events.jsonl"] {
            if let Ok(text) = fs::read(source.join(file)) {
                fs::write(folder.path().join(file), text).expect("a file can be written");
            }
        }
        let expected = fs::read(source.join("documents.json")).expect("the expected documents");
        let expected: Vec<Map<String, Value>> = serde_json::from_slice(&expected).expect("an array of documents");
        Self { folder, expected: by_id(expected) }
    }

    /// Returns the example in the page for users: a file, an event, and its document.
    fn of_the_page() -> Self {
        let page = include_str!("../../docs/your-devices.md");
        let (_, section) = page.split_once("\n## With a telemetry file\n").expect("the section");
        let blocks: Vec<_> =
            section.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()).take(3).collect();
        let [file, event, document] = blocks[..] else { panic!("a file, an event and a document: {blocks:?}") };
        let folder = TempDir::new().expect("a temporary folder");
        for (name, text) in [("telemetry.json", file), ("events.jsonl", event)] {
            fs::write(folder.path().join(name), text).expect("a file can be written");
        }
        Self { folder, expected: by_id(vec![serde_json::from_str(document).expect("a document")]) }
    }

    /// Runs a command in the folder with the state file, and returns its output.
    #[track_caller]
    fn run(&self, arguments: &[&str]) -> Value {
        let mut command = Command::new(devicestate());
        command.current_dir(self.folder.path()).args(arguments).args(["--state", "state.db", "-o", "json"]);
        for setting in ["StateStore", "SqlitePath", "Telemetry", "TelemetryFile", "DeadLetterDirectory"] {
            command.env_remove(setting);
        }
        let output = command.output().expect("the binary runs");
        if arguments[0] == "local" { report(&output, 0) } else { read_output(&output.stdout, output.status.code()) }
    }

    /// Processes the events, and returns the report.
    #[track_caller]
    fn process(&self) -> Value {
        let report = self.run(&["local", "--file", "events.jsonl", "--check"]);
        assert_adds_up(&report);
        assert_eq!(report["check"]["differentDocuments"], 0, "{report}");
        report
    }

    /// Compares each document with the expected one, field by field.
    #[track_caller]
    fn assert_documents(&self) {
        let documents = self.run(&["devices", "list"]);
        let documents: Vec<Map<String, Value>> = serde_json::from_value(documents).expect("documents");
        assert_eq!(documents.len(), self.expected.len(), "{documents:?}");
        for (id, mut document) in by_id(documents) {
            let shown = self.run(&["devices", "show", &id]);
            assert_eq!(shown, Value::Object(document.clone()), "`show` and `list` have the same document");
            let versions = document.remove("Versions").expect("a document has versions");
            assert!(document.contains_key("Heard"), "{document:?}");
            let names: Vec<_> = document.keys().filter(|name| *name != "id").collect();
            assert_eq!(versions.as_object().expect("an object").keys().collect::<Vec<_>>(), names, "{id}");
            document.remove("Heard");
            assert_eq!(Some(&document), self.expected.get(&id), "the document of {id}");
        }
    }
}

fn by_id(documents: Vec<Map<String, Value>>) -> Documents {
    let id = |document: &Map<String, Value>| document["id"].as_str().expect("a document has an id").to_owned();
    documents.into_iter().map(|document| (id(&document), document)).collect()
}

#[test]
fn pumps_need_no_telemetry_file() {
    let pumps = Example::new("pumps");
    let report = pumps.process();
    assert_eq!((count(&report, "applied"), &report["telemetry"]), (3, &"any JSON".into()), "{report}");
    pumps.assert_documents();
}

#[test]
fn uplinks_of_the_things_network_are_ordered_by_the_time_of_their_gateway() {
    let uplinks = Example::new("things-network");
    let report = uplinks.process();
    // The second event is older than the first, and has one field that the first lacks.
    assert_eq!(count(&report, "applied"), 3, "{report}");
    uplinks.assert_documents();
}

#[test]
fn each_message_of_an_opc_ua_array_is_a_record_and_null_clears_a_reading() {
    let messages = Example::new("opc-ua");
    let report = messages.process();
    assert_eq!((count(&report, "received"), count(&report, "applied")), (2, 2), "{report}");
    messages.assert_documents();
}

#[test]
fn an_iot_central_export_has_converted_values_and_a_dead_letter_for_one_out_of_range() {
    let export = Example::new("iot-central");
    let report = export.process();
    assert_eq!((count(&report, "applied"), count(&report, "deadLettered")), (3, 1), "{report}");
    export.assert_documents();
    let letters = export.run(&["dead-letters", "list"]);
    let issue = letters[0]["issue"].as_str().expect("a text");
    for part in ["temperature", "/telemetry/temperature", "200", "3800"] {
        assert!(issue.contains(part), "{part:?} is not in {issue:?}");
    }
}

#[test]
fn cloud_events_have_the_device_and_the_time_in_their_attributes() {
    let events = Example::new("cloudevents");
    assert_eq!(count(&events.process(), "applied"), 3);
    events.assert_documents();
}

#[test]
fn two_kinds_of_events_share_a_stream_and_a_third_is_ignored() {
    let events = Example::new("sparkplug-and-tasmota");
    let report = events.process();
    assert_eq!((count(&report, "applied"), count(&report, "ignored")), (3, 1), "{report}");
    events.assert_documents();
}

#[test]
fn the_example_of_the_page_for_users_gives_the_document_of_the_page() {
    let example = Example::of_the_page();
    assert_eq!(count(&example.process(), "applied"), 1);
    example.assert_documents();
}
