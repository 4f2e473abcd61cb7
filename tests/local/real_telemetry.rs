//! Real telemetry through the entire system: the documents equal a plain fold of the input.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::Command,
};

use base64::Engine as _;
use devicestate_test_support::{program::devicestate, read_output};
use flate2::read::GzDecoder;
use serde_json::Value;

use crate::support::{Documents, Workspace, assert_adds_up, count, last_values};

const AIRCRAFT: &str = "tests/data/aircraft.jsonl.gz";

/// The sample telemetry that ships with the function app.
const SAMPLE: [&str; 2] = ["--file", "samples/px4-flights.jsonl"];

fn aircraft() -> Documents {
    let file = File::open(AIRCRAFT).expect("the test data");
    let lines = BufReader::new(GzDecoder::new(file)).lines();
    last_values(lines.map(|line| serde_json::from_str(&line.expect("a line")).expect("JSON")))
}

fn assert_documents_equal_the_input(partitions: &str, instances: &str) {
    let workspace = Workspace::new();
    let report = workspace.run(&["--file", AIRCRAFT, "--partitions", partitions, "--instances", instances]);
    assert_eq!((count(&report, "received"), count(&report, "deadLettered")), (139_098, 0), "{report}");
    assert_adds_up(&report);
    assert_eq!(count(&report, "devices"), 842);
    assert!(workspace.documents() == aircraft(), "the documents are the last present values");
}

#[test]
fn aircraft_documents_equal_the_input_with_one_partition() {
    assert_documents_equal_the_input("1", "1");
}

#[test]
fn aircraft_documents_equal_the_input_with_four_partitions() {
    assert_documents_equal_the_input("4", "1");
}

#[test]
fn aircraft_documents_equal_the_input_with_four_partitions_and_three_instances() {
    assert_documents_equal_the_input("4", "3");
}

#[test]
fn aircraft_documents_equal_the_input_with_thirty_two_partitions_and_three_instances() {
    assert_documents_equal_the_input("32", "3");
}

#[test]
fn invalid_events_are_dead_lettered_one_by_one_and_change_no_document() {
    let workspace = Workspace::new();
    let report = workspace.run(&["--file", AIRCRAFT, "--invalid-events", "0.5%"]);
    let letters = workspace.dead_letters();
    assert_eq!((count(&report, "invalidAdded"), count(&report, "deadLettered"), letters.len()), (695, 695, 695));
    assert_adds_up(&report);
    let mut kinds = BTreeMap::new();
    for letter in &letters {
        assert_eq!(letter["ErrorClass"], "poison", "{letter}");
        *kinds.entry(kind(letter)).or_insert(0) += 1;
    }
    // The kinds take turns, and the last turn is incomplete.
    assert_eq!(kinds, (0..10).map(|kind| (kind, if kind < 5 { 70 } else { 69 })).collect());
    assert_eq!(count(&report, "devices"), 842);
    assert!(workspace.documents() == aircraft(), "the documents are those of a run without invalid events");
}

/// Returns the kind of a dead letter's event, by its body. The stage must be correct, and the issue must name
/// no internals of this program or its libraries.
fn kind(letter: &Value) -> usize {
    const KINDS: [(&[u8], &str, &str); 10] = [
        (b"", "deserialize", "the body is empty, so the device id is missing"),
        (b",\"bat", "deserialize", "the body is not valid JSON telemetry: the text ends in the middle"),
        (b"{\"battery\":0.5}", "deserialize", "the device id is missing or empty: each event needs one"),
        (b"\"\",\"battery\":0.5}", "deserialize", "the device id is missing or empty: each event needs one"),
        (b",\"battery\":\"full\"}", "deserialize", "battery: invalid type: string \"full\", expected a number"),
        (b",\"flightMode\":99}", "validate", "flight mode 99 is undefined: it must be 0 (Unknown) to 5 (Offline)"),
        (b",\"flightMode\":\"hovering\"}", "deserialize", "unknown flight mode \"hovering\": one of Unknown, Ready"),
        (b"\xff\xfe\x00hello", "deserialize", "it is not text and has no content type"),
        (b"\x0a\x07dron", "deserialize", "the message ends in the middle of a field"),
        (b"\xf8\x7f", "validate", "battery is NaN, which JSON cannot represent"),
    ];
    let body = letter["EventData"]["Body"].as_str().expect("a body");
    let body = base64::engine::general_purpose::STANDARD.decode(body).expect("base64");
    let is_kind = |end: &[u8]| if end.is_empty() { body.is_empty() } else { body.ends_with(end) };
    let kinds: Vec<_> = (0..KINDS.len()).filter(|kind| is_kind(KINDS[*kind].0)).collect();
    let [kind] = kinds[..] else { panic!("{kinds:?}: {letter}") };
    let (_, stage, words) = KINDS[kind];
    assert_eq!(letter["Stage"], stage, "{letter}");
    assert!(letter["Issue"].as_str().expect("text").contains(words), "{words:?} is not in {}", letter["Issue"]);
    kind
}

#[test]
fn the_sample_ends_with_the_last_values_of_two_drones() {
    let workspace = Workspace::new();
    let report = workspace.run(&SAMPLE);
    assert_eq!((count(&report, "received"), count(&report, "applied"), count(&report, "devices")), (876, 876, 2));
    let documents = workspace.documents();
    assert_eq!(documents["px4-sample-log-small"]["Latitude"], 63.417_045_7);
    assert_eq!(documents["px4-sample-px4-events"]["Altitude"], 487.992);
}

/// Returns `local` with the sample, whose output is a table.
fn local_with_sample() -> Command {
    let mut command = Command::new(devicestate());
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("StateStore")
        .env("Telemetry", "drone")
        .arg("local")
        .args(SAMPLE);
    command
}

#[test]
fn the_table_shows_the_documents_and_how_to_inspect_them() {
    let workspace = Workspace::new();
    let output = workspace.local(&["--output", "table"]).output();
    let rejected = output.expect("the binary runs");
    assert_eq!(rejected.status.code(), Some(2), "an option must not be given twice");

    let mut command = local_with_sample();
    let output = command.arg("--state").arg(workspace.state()).output().expect("the binary runs");
    let text = String::from_utf8(output.stdout).expect("text");
    for expected in
        ["received       876", "px4-sample-log-small", "px4-sample-px4-events", "devicestate devices list --state"]
    {
        assert!(text.contains(expected), "{expected:?} in:\n{text}");
    }
    assert!(!text.contains("devicestate dead-letters"), "there are no dead letters:\n{text}");
}

#[test]
fn the_table_shows_how_to_list_the_dead_letters_if_there_are_any() {
    let workspace = Workspace::new();
    let mut command = local_with_sample();
    command.args(["--invalid-events", "0.5%"]);
    let output = command.arg("--state").arg(workspace.state()).output().expect("the binary runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let line = text.lines().find(|line| line.contains("devicestate dead-letters list")).expect("a line").trim_start();
    let words: Vec<_> = line.split(' ').skip(1).collect();
    assert_eq!(words.last().map(PathBuf::from), Some(workspace.state()));
    let mut command = Command::new(devicestate());
    let listed = command.args(&words).args(["-o", "json"]).output().expect("the binary runs");
    let listed = read_output(&listed.stdout, listed.status.code()).as_array().expect("an array").clone();
    assert_eq!(listed.len(), workspace.dead_letters().len());
    assert!(!listed.is_empty());
}

#[test]
fn both_encodings_of_simulated_devices_result_in_the_same_documents() {
    let run = |encoding: &str| {
        let workspace = Workspace::new();
        let report = workspace.run(&["--devices", "50", "--events", "100", "--encoding", encoding, "--seed", "7"]);
        assert_eq!((count(&report, "applied"), count(&report, "devices")), (5_000, 50), "{report}");
        workspace.documents()
    };
    assert_eq!(run("json"), run("protobuf"));
}

#[test]
fn a_second_run_on_the_same_state_file_keeps_the_documents_of_the_first() {
    let workspace = Workspace::new();
    workspace.run(&SAMPLE);
    let first = workspace.documents();
    let report = workspace.run(&["--devices", "3"]);
    assert_eq!(count(&report, "devices"), 5);
    let second = workspace.documents();
    assert!(first.iter().all(|(device, document)| second[device] == *document));
}
