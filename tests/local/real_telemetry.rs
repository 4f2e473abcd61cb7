//! Real telemetry through the whole system: the documents equal a plain fold of the input.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    process::Command,
};

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
    for letter in &letters {
        assert!(letter["Issue"].as_str().is_some_and(|issue| issue.len() > 10), "{letter}");
        assert!(["deserialize", "validate"].map(Value::from).contains(&letter["Stage"]), "{letter}");
    }
    assert!(place.documents() == aircraft(), "the documents are those of the run without bad events");
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

    let mut command = Command::new(env!("CARGO_BIN_EXE_devicestate"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("StateStore").args(["local", "--state"]);
    let output = command.arg(place.state()).output().expect("the binary runs");
    let text = String::from_utf8(output.stdout).expect("text");
    for expected in
        ["received       876", "px4-sample-log-small", "px4-sample-px4-events", "devicestate state list --state"]
    {
        assert!(text.contains(expected), "{expected:?} in:\n{text}");
    }
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
