//! The JSON of drones as a telemetry file: the same records as the reader that ships for it.

use std::io::Read as _;

use devicestate_engine::telemetry::{Telemetry as _, drone::Drone};
use devicestate_telemetry::AnyTelemetry;
use devicestate_test_support::{fixture, root};
use flate2::read::GzDecoder;
use serde_json::{Map, Value, json};

use crate::{event, telemetry};

/// Checks that both readers decode a body to the same device, readings and kind of record. Returns true if it is valid.
#[track_caller]
fn check(mapped: &AnyTelemetry, body: &str) -> bool {
    let event = event(body);
    let decoded = mapped.decode(&event);
    let expected = Drone::default().decode(&event);
    match (&decoded, &expected) {
        (Ok(decoded), Ok(expected)) => {
            assert_eq!((&decoded.device_id, &decoded.readings), (&expected.device_id, &expected.readings), "{body}");
            assert_eq!(decoded.is_unrecognized(), expected.is_unrecognized(), "{body}");
        }
        (Err(_), Err(_)) => {}
        _ => panic!("{body}: {decoded:?}, and by the reader that ships {expected:?}"),
    }
    decoded.is_ok()
}

fn drone_file() -> AnyTelemetry {
    telemetry(&fixture("telemetry/drone"))
}

#[test]
fn recorded_flights_are_the_same() {
    let mapped = drone_file();
    let flights = std::fs::read_to_string(root().join("samples/px4-flights.jsonl")).expect("a sample");
    assert_eq!(flights.lines().filter(|line| check(&mapped, line)).count(), 876);
    let packed = std::fs::File::open(root().join("tests/data/aircraft.jsonl.gz")).expect("a recording");
    let mut aircraft = String::new();
    GzDecoder::new(packed).read_to_string(&mut aircraft).expect("text");
    // The events of a recording are alike.
    assert_eq!(aircraft.lines().step_by(30).filter(|line| check(&mapped, line)).count(), 4_637);
}

#[test]
fn generated_events_are_the_same() {
    let mapped = drone_file();
    let valid = (0..4_000).filter(|seed| check(&mapped, &generated(&mut fastrand::Rng::with_seed(*seed)).to_string()));
    let valid = valid.count();
    assert!((1_000..3_900).contains(&valid), "{valid} events are valid");
}

/// Returns an event of a drone, some of whose members are absent, null or not valid.
fn generated(random: &mut fastrand::Rng) -> Value {
    let mut object = Map::new();
    let mut add = |name: &str, value: Value, random: &mut fastrand::Rng| match random.u8(0..6) {
        0 | 1 => {}
        2 => drop(object.insert(name.to_owned(), Value::Null)),
        _ => drop(object.insert(name.to_owned(), value)),
    };
    let id = if random.u8(0..10) > 0 { "d" } else { "" };
    let battery = number(random);
    let mode = match random.u8(0..12) {
        0 => json!(7),
        1 => json!(-1),
        2 => json!(2.0),
        3 => json!(2.5),
        4 => json!("hover"),
        5 => json!("inFLIGHT"),
        6 => json!("Unknown"),
        _ => json!(random.u8(0..6)),
    };
    let position = members(["latitude", "longitude", "altitude"], random, number);
    let health = members(["gyrometerOK", "accelerometerOK", "magnetometerOK"], random, |random| json!(random.bool()));
    for (name, value) in [("battery", battery), ("flightMode", mode), ("position", position), ("health", health)] {
        add(name, value, random);
    }
    add("isKeyFrame", json!(true), random);
    if random.u8(0..4) == 0 {
        add("speed", number(random), random);
    }
    object.insert("deviceId".into(), id.into());
    Value::Object(object)
}

fn number(random: &mut fastrand::Rng) -> Value {
    match random.u8(0..8) {
        0 => json!("full"),
        1 => json!(0),
        2 => json!(-0.0),
        3 => json!(random.u64(..)),
        4 => json!(random.i64(..)),
        _ => json!(f64::from(random.i32(..)) / 1e6),
    }
}

fn members<const N: usize>(
    names: [&str; N],
    random: &mut fastrand::Rng,
    value: fn(&mut fastrand::Rng) -> Value,
) -> Value {
    let members = names.into_iter().filter_map(|name| match random.u8(0..4) {
        0 => None,
        1 => Some((name.to_owned(), Value::Null)),
        _ => Some((name.to_owned(), value(random))),
    });
    Value::Object(members.collect())
}
