//! Real telemetry through the whole system: the documents equal a plain fold of the input.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::Command,
};

use base64::Engine as _;
use devicestate_test_support::program::devicestate;
use flate2::read::GzDecoder;
use serde_json::Value;

use crate::support::{Documents, Place, assert_adds_up, count, last_values};

const AIRCRAFT: &str = "tests/data/aircraft.jsonl.gz";

fn aircraft() -> Documents {
    let file = File::open(AIRCRAFT).expect("the test data");
    let lines = BufReader::new(GzDecoder::new(file)).lines();
    last_values(lines.map(|line| serde_json::from_str(&line.expect("a line")).expect("JSON")))
}

fn fly(partitions: &str, instances: &str) {
    let place = Place::new();
    let report = place.run(&["--input", AIRCRAFT, "--partitions", partitions, "--instances", instances]);
    assert_eq!((count(&report, "received"), count(&report, "deadLettered")), (139_098, 0), "{report}");
    assert_adds_up(&report);
    assert_eq!(count(&report, "devices"), 842);
    assert!(place.documents() == aircraft(), "the documents are the last present values");
}

#[test]
fn every_aircraft_is_where_it_was_last_seen_with_one_partition() {
    fly("1", "1");
}

#[test]
fn every_aircraft_is_where_it_was_last_seen_with_four_partitions() {
    fly("4", "1");
}

#[test]
fn every_aircraft_is_where_it_was_last_seen_with_four_partitions_and_three_instances() {
    fly("4", "3");
}

#[test]
fn every_aircraft_is_where_it_was_last_seen_with_thirty_two_partitions_and_three_instances() {
    fly("32", "3");
}

#[test]
fn bad_events_among_the_good_are_dead_lettered_one_by_one_and_change_no_document() {
    let place = Place::new();
    let report = place.run(&["--input", AIRCRAFT, "--bad-events", "5"]);
    let letters = place.dead_letters();
    assert_eq!((count(&report, "badAdded"), count(&report, "deadLettered"), letters.len()), (695, 695, 695));
    assert_adds_up(&report);
    let mut told = BTreeMap::new();
    for letter in &letters {
        assert_eq!(letter["ErrorClass"], "poison", "{letter}");
        *told.entry(kind(letter)).or_insert(0) += 1;
    }
    // They take turns, and the last turn ends in the middle.
    assert_eq!(told, (0..10).map(|kind| (kind, if kind < 5 { 70 } else { 69 })).collect());
    assert_eq!(count(&report, "devices"), 842);
    assert!(place.documents() == aircraft(), "the documents are those of the run without bad events");
}

/// Which kind of bad event this is the dead letter of, by its body. It must tell the right stage, and why in words that
/// somebody understands who knows neither this program nor its libraries.
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
fn without_options_two_drones_end_where_their_logs_end() {
    let place = Place::new();
    let report = place.run(&[]);
    assert_eq!((count(&report, "received"), count(&report, "applied"), count(&report, "devices")), (876, 876, 2));
    let documents = place.documents();
    assert_eq!(documents["px4-sample-log-small"]["Latitude"], 63.417_045_7);
    assert_eq!(documents["px4-sample-px4-events"]["Altitude"], 487.992);
}

#[test]
fn the_text_report_shows_the_documents_and_how_to_look_at_them() {
    let place = Place::new();
    let output = place.local(&["--report", "text"]).output();
    let refused = output.expect("the binary runs");
    assert_eq!(refused.status.code(), Some(2), "an option given twice is a fault of usage");

    let mut command = Command::new(devicestate());
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("StateStore").args(["local", "--state"]);
    let output = command.arg(place.state()).output().expect("the binary runs");
    let text = String::from_utf8(output.stdout).expect("text");
    for expected in
        ["received       876", "px4-sample-log-small", "px4-sample-px4-events", "devicestate state list --state"]
    {
        assert!(text.contains(expected), "{expected:?} in:\n{text}");
    }
    assert!(!text.contains("devicestate dead-letters"), "there are none to look at:\n{text}");
}

#[test]
fn the_text_report_shows_how_to_look_at_the_dead_letters_where_there_are_any() {
    let place = Place::new();
    let mut command = Command::new(devicestate());
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("StateStore").args(["local", "--bad-events", "5"]);
    let output = command.arg("--state").arg(place.state()).output().expect("the binary runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let line = text.lines().find(|line| line.contains("devicestate dead-letters list")).expect("a line").trim_start();
    let words: Vec<_> = line.split(' ').skip(1).collect();
    assert_eq!(words.last().map(PathBuf::from), Some(place.state()));
    let mut command = Command::new(devicestate());
    let listed = command.args(&words).args(["--format", "json"]).output().expect("the binary runs");
    let listed: Vec<Value> = serde_json::from_slice(&listed.stdout).expect("an array");
    assert_eq!(listed.len(), place.dead_letters().len());
    assert!(!listed.is_empty());
}

#[test]
fn simulated_devices_send_in_either_format_and_come_to_the_same_documents() {
    let run = |wire: &str| {
        let place = Place::new();
        let report = place.run(&["--simulate", "50", "--events", "5000", "--wire", wire, "--seed", "7"]);
        assert_eq!((count(&report, "applied"), count(&report, "devices")), (5_000, 50), "{report}");
        place.documents()
    };
    assert_eq!(run("json"), run("protobuf"));
}

#[test]
fn a_second_run_on_the_same_state_goes_on_from_the_first() {
    let place = Place::new();
    place.run(&[]);
    let first = place.documents();
    let report = place.run(&["--simulate", "3"]);
    assert_eq!(count(&report, "devices"), 5);
    let second = place.documents();
    assert!(first.iter().all(|(device, document)| second[device] == *document));
}
