//! Generated events and telemetry files: what must hold for each of them.

use devicestate_engine::{
    device_state::is_reading_name,
    telemetry::{DecodedRecord, Telemetry as _},
};
use devicestate_telemetry::{
    AnyTelemetry,
    file::TelemetryFile,
    formats::Formats,
    mapping::{MAX_NAME_BYTES, MAX_RECORDS},
};
use devicestate_test_support::fixture;
use fastrand::Rng;
use serde_json::{Map, Value, json};

use crate::{event, telemetry};

/// Telemetry files that together use each rule.
fn files() -> Vec<Value> {
    vec![
        json!({}),
        json!({"null": "clear", "objects": "whole"}),
        json!({"records": "/a", "device": ["/id", "body:/id"], "readings": {"x": ["/b", "/a/0"], "*": {"exclude": ["a*"]}}}),
        json!({"readings": {"*": {"from": "/a", "name": "/id", "value": "/b", "prefix": "p."}}}),
        json!({"ignore": [{"from": "/b", "equals": [null, 1, "a"]}], "kinds": [
            {"when": {"from": "/a", "exists": true}, "records": "/a", "device": "body:/id", "null": "clear"},
            {"time": {"from": ["/b", "/a/b"], "format": "unix", "newest": "device"}, "readings": {
                "n": {"from": "/a/id", "range": [0, null]}, "v": {"from": "/b", "values": {"a": 1, "b": 2}, "required": true}
            }}
        ]}),
        fixture("telemetry/drone"),
    ]
}

fn value(random: &mut Rng, depth: usize) -> Value {
    const NAMES: [&str; 8] = ["id", "a", "b", "a.b", "Versions", "_x", "deviceId", "battery"];
    match random.u8(0..if depth < 4 { 10 } else { 6 }) {
        0 => Value::Null,
        1 => json!(random.bool()),
        2 => json!(random.i64(-3..3)),
        3 => json!(random.i64(..)),
        4 => json!(f64::from_bits(random.u64(..))),
        5 => json!(["", "a", "b", "\u{e9}\"\n"][random.usize(0..4)]),
        6 => (0..random.usize(0..4)).map(|_| value(random, depth + 1)).collect(),
        _ => {
            let mut members = Map::new();
            for _ in 0..random.usize(0..5) {
                // The last names are mostly reasons to fail.
                let known = if random.u8(0..8) == 0 { NAMES.len() } else { 3 };
                members.insert(NAMES[random.usize(0..known)].to_owned(), value(random, depth + 1));
            }
            if random.u8(0..4) > 0 {
                members.insert("id".into(), "d".into());
            }
            Value::Object(members)
        }
    }
}

#[test]
fn each_record_is_valid_or_says_why_not() {
    let (mut valid, mut failed) = (0, 0);
    for file in files() {
        let telemetry = telemetry(&file);
        for seed in 0..500 {
            let random = &mut Rng::with_seed(seed);
            let bodies: Vec<_> = (0..random.usize(1..3)).map(|_| value(random, 0).to_string()).collect();
            let event = event(bodies.join("\n"));
            let Ok(records) = telemetry.decode_records(&event) else { continue };
            assert!((1..=MAX_RECORDS).contains(&records.len()), "{event:?}");
            for record in records {
                match record {
                    DecodedRecord::Valid(decoded) => {
                        valid += 1;
                        let names: Vec<_> = decoded.readings.iter().map(|reading| &*reading.name).collect();
                        assert!(
                            !decoded.device_id.is_empty() && names.is_sorted_by(|one, other| one < other),
                            "{names:?}"
                        );
                        assert!(
                            names.iter().all(|name| is_reading_name(name) && name.len() <= MAX_NAME_BYTES),
                            "{names:?}"
                        );
                    }
                    DecodedRecord::Failed { poison, .. } => {
                        failed += 1;
                        assert!((1..1_000).contains(&poison.to_string().len()), "{poison}");
                    }
                    DecodedRecord::Ignored => {}
                }
            }
            // An array in several lines cannot always be shown.
            assert!(telemetry.to_json(&event).is_some() || bodies.len() > 1, "{event:?}");
        }
    }
    assert!(valid > 500 && failed > 500, "{valid} valid, {failed} failed");
}

#[test]
fn each_file_is_valid_or_has_mistakes_within_it() {
    let (mut valid, mut refused) = (0, 0);
    let texts: Vec<_> = files().iter().map(|file| serde_json::to_string_pretty(file).expect("JSON")).collect();
    for seed in 0..4_000 {
        let random = &mut Rng::with_seed(seed);
        let mut text = texts[random.usize(0..texts.len())].clone().into_bytes();
        for _ in 0..random.usize(1..4) {
            let (at, byte) = (random.usize(0..text.len()), random.u8(..));
            match random.u8(0..4) {
                0 => drop(text.remove(at)),
                1 => text.insert(at, b"\"\\{}[],:*/~ 0n\xc3\xa9"[random.usize(0..16)]),
                2 => text[at] = byte,
                _ => text[at..].reverse(),
            }
            if text.is_empty() {
                text.push(b'{');
            }
        }
        match TelemetryFile::parse(&text) {
            Ok(file) => {
                valid += 1;
                let _ = AnyTelemetry::new(file.mapping, Formats::default()).decode_records(&event("{\"id\":\"a\"}"));
            }
            Err(mistakes) => {
                refused += 1;
                let text = String::from_utf8_lossy(&text);
                for mistake in mistakes.0 {
                    let line = text.split('\n').nth(mistake.place.line - 1).expect("a line of the file");
                    assert!((1..=line.chars().count() + 1).contains(&mistake.place.column), "{mistake} in {text}");
                    assert!(!mistake.message.is_empty());
                }
            }
        }
    }
    assert!(valid > 200 && refused > 1_000, "{valid} valid, {refused} refused");
}
