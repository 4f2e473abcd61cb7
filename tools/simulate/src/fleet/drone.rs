//! Drones: events with one record each, as JSON or protobuf.

use devicestate_local::hub::Sent;
use devicestate_test_oracle::protobuf::Message;
use fastrand::Rng;
use serde_json::{Map, Value, json};

use super::{Device, rejected_altitude};
use crate::expected::{DeviceTime, ExpectedEffect, ExpectedEvent, ExpectedRecord, Readings};

/// Returns the next event of a drone, with its expected effect.
pub(super) fn next_event(rng: &mut Rng, device: &Device) -> (Sent, ExpectedEvent) {
    let record = |readings| ExpectedRecord { id: device.id.clone(), time: DeviceTime::NotUsed, readings };
    let mut message_source = None;
    let (body, expected) = match rng.u8(..240) {
        0..5 => (poison_body(rng, device), ExpectedEffect::Poison),
        5..9 => {
            let readings = vec![("Altitude", rejected_altitude(rng))];
            (encode_body(rng, device, &readings), ExpectedEffect::Rejected(record(readings)))
        }
        9..14 => (unrecognized_body(device), ExpectedEffect::Unrecognized),
        14..18 => {
            message_source = Some("twinChangeEvents");
            (encode_body(rng, device, &vec![("Battery", json!(0.125))]), ExpectedEffect::Ignored)
        }
        _ => {
            let readings = draw_readings(rng);
            (encode_body(rng, device, &readings), ExpectedEffect::Valid(record(readings)))
        }
    };
    let content_type = match rng.u8(..4) {
        0 if device.uses_protobuf => Some("application/x-protobuf"),
        0 => Some("application/json; charset=utf-8"),
        _ => None,
    };
    (Sent { body, content_type, message_source, ..Sent::default() }, ExpectedEvent(vec![expected]))
}

/// Returns random readings. Each has few possible values, so that equal ones follow each other.
fn draw_readings(rng: &mut Rng) -> Readings {
    let mut readings = Readings::new();
    let mut with = |rng: &mut Rng, name, value: Value| {
        if rng.u8(..3) == 0 {
            readings.push((name, value));
        }
    };
    for (name, step) in [("Battery", 0.25), ("Latitude", 1.5), ("Longitude", -1.5), ("Altitude", 10.0)] {
        let value = json!(f64::from(rng.u8(..4)) * step);
        with(rng, name, value);
    }
    let mode = json!(rng.u8(..6));
    with(rng, "FlightMode", mode);
    for name in ["GyrometerOK", "AccelerometerOK", "MagnetometerOK"] {
        let value = json!(rng.bool());
        with(rng, name, value);
    }
    readings
}

fn encode_body(rng: &mut Rng, device: &Device, readings: &Readings) -> Vec<u8> {
    if device.uses_protobuf {
        return encode_protobuf(device, readings);
    }
    let mut event = Map::from_iter([("deviceId".to_owned(), json!(device.name))]);
    for (name, value) in readings {
        let (group, name) = match *name {
            "Battery" => (None, "battery"),
            "FlightMode" => (None, "flightMode"),
            "Latitude" => (Some("position"), "latitude"),
            "Longitude" => (Some("position"), "longitude"),
            "Altitude" => (Some("position"), "altitude"),
            "GyrometerOK" => (Some("health"), "gyrometerOK"),
            "AccelerometerOK" => (Some("health"), "accelerometerOK"),
            _ => (Some("health"), "magnetometerOK"),
        };
        let group = match group {
            Some(group) => event.entry(group).or_insert_with(|| json!({})).as_object_mut(),
            None => Some(&mut event),
        };
        group.expect("a group is an object").insert(name.to_owned(), value.clone());
    }
    // Unknown fields beside readings are ignored, even large ones.
    if rng.u16(..2_000) == 0 && !readings.is_empty() {
        event.insert("note".into(), json!("x".repeat(60_000)));
    }
    if rng.u8(..8) == 0 {
        event = with_names_in_other_case(event, str::to_uppercase);
    }
    Value::Object(event).to_string().into_bytes()
}

/// Changes the letter case of all names.
fn with_names_in_other_case(object: Map<String, Value>, changed: fn(&str) -> String) -> Map<String, Value> {
    let value = |value| match value {
        Value::Object(object) => with_names_in_other_case(object, changed).into(),
        other => other,
    };
    object.into_iter().map(|(name, member)| (changed(&name), value(member))).collect()
}

/// Returns an event with other fields than those of a drone.
fn unrecognized_body(device: &Device) -> Vec<u8> {
    if device.uses_protobuf {
        return Message::with_device(&device.name).varint(9, 1).into();
    }
    json!({"deviceId": device.name, "batteryX": 0.5, "position": {"lat": 1}}).to_string().into_bytes()
}

fn encode_protobuf(device: &Device, readings: &Readings) -> Vec<u8> {
    let mut message = Message::with_device(&device.name);
    for (name, value) in readings {
        let number = value.as_f64().unwrap_or_default();
        let boolean = u64::from(value.as_bool().unwrap_or_default());
        // Repeated sub-messages are merged.
        message = match *name {
            "Battery" => message.double(2, number),
            "FlightMode" => message.varint(3, value.as_u64().unwrap_or_default()),
            "Latitude" => message.bytes(4, Message::default().double(1, number)),
            "Longitude" => message.bytes(4, Message::default().double(2, number)),
            "Altitude" => message.bytes(4, Message::default().double(3, number)),
            "GyrometerOK" => message.bytes(5, Message::default().varint(1, boolean)),
            "AccelerometerOK" => message.bytes(5, Message::default().varint(2, boolean)),
            _ => message.bytes(5, Message::default().varint(3, boolean)),
        };
    }
    message.into()
}

/// Returns bytes that cannot be decoded in the device's format; some are too large for the queue.
fn poison_body(rng: &mut Rng, device: &Device) -> Vec<u8> {
    let name = &device.name;
    if device.uses_protobuf {
        return match rng.u8(..5) {
            0 => Vec::new(),
            1 => Message::with_device(name).varint(3, 99).into(),
            2 => Message::with_device("").double(2, 0.5).into(),
            3 => Message::with_device(name).double(2, f64::NAN).into(),
            // A truncated field.
            _ => Message::with_device(name).varint(3, 1).raw(&[0x11, 0, 0]).into(),
        };
    }
    let body = match rng.u8(..7) {
        0 => String::new(),
        1 => json!({"deviceId": name, "flightMode": 99}).to_string(),
        2 => json!({"battery": 0.5}).to_string(),
        3 => json!({"deviceId": name, "battery": "full"}).to_string(),
        4 => format!("{{\"deviceId\":{}", json!(name)),
        5 => json!({"deviceId": name, "flightMode": "x".repeat(rng.usize(..70_000))}).to_string(),
        _ => format!("{{\"deviceId\":{},\"battery\":1e999}}", json!(name)),
    };
    body.into_bytes()
}
