//! The 139,098 position reports of `tests/data/aircraft.jsonl.gz`. Of their outputs, digests are stored.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
};

use devicestate_test_support::{Event, root, sha256};
use flate2::read::GzDecoder;

use super::{
    assert_digest_stored, memory, outputs,
    scenarios::{Scenario, any_json, drone, in_batches, invalid_bodies},
};

fn reports() -> Vec<Vec<u8>> {
    let file = File::open(root().join("tests/data/aircraft.jsonl.gz")).expect("the test data");
    let reports = BufReader::new(GzDecoder::new(file)).split(b'\n').map(|line| line.expect("a line"));
    let reports: Vec<_> = reports.collect();
    assert_eq!(reports.len(), 139_098);
    reports
}

/// Creates events with these bodies, three of four with a content type.
fn events(bodies: impl IntoIterator<Item = Vec<u8>>) -> Vec<Event> {
    let event = |(number, body)| {
        let event = Event::new(number, body);
        if number % 4 == 0 { event } else { event.content_type("application/json") }
    };
    (1_000..).zip(bodies).map(event).collect()
}

#[track_caller]
fn assert_stored(scenario: &Scenario) {
    let output = outputs(scenario, &memory());
    // A digest of each part, so that a difference can be found. The line begins as its part does.
    let begin = |line: &str| line.chars().take(20).collect::<String>();
    let digest = |lines: &[&str]| format!("{} {}\n", begin(lines[0]), sha256(lines.join("\n").as_bytes()));
    let lines: Vec<_> = output.lines().collect();
    let digests: String = lines.chunks(100).map(digest).collect();
    assert_digest_stored(scenario.name, &digests, &output);
}

#[test]
fn the_outputs_of_139_098_events_of_drones_are_those_stored() {
    let mut invalid = invalid_bodies().into_iter().map(|event| event.body().to_vec()).cycle();
    let mut bodies = Vec::new();
    for reports in reports().chunks(200) {
        bodies.extend(reports.iter().cloned().chain(invalid.next()));
    }
    let events = events(bodies);
    let (single, rest) = events.split_at(1_000);
    let (hundreds, thousands) = rest.split_at(30_000);
    let batches = [("single", single, 1), ("hundred", hundreds, 100), ("thousand", thousands, 1_000)];
    let requests = batches.into_iter().flat_map(|(name, events, size)| in_batches(name, events, size)).collect();
    assert_stored(&Scenario { name: "aircraft", telemetry: drone(), requests });
}

#[test]
fn the_outputs_of_139_098_records_of_any_json_packed_by_eight_are_those_stored() {
    let packed = |reports: &[Vec<u8>]| [b"[", &reports.join(&b","[..])[..], b"]"].concat();
    let events = events(reports().chunks(8).map(packed));
    assert_stored(&Scenario {
        name: "aircraft-packed",
        telemetry: any_json(),
        requests: in_batches("packed", &events, 125),
    });
}
