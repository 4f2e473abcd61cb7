//! An event as JSON, for display and editing: it decodes to the same event. `assert_json_decodes_to_the_same` checks that for each body
//! that another test decodes.

use devicestate_engine::{
    batch::Event,
    telemetry::{
        Telemetry as _,
        drone::{DeviceIdFromIotHub, Drone, Format},
    },
};
use serde_json::{Value, json};

use crate::telemetry_protobuf::{AUTO, FULL, JSON, PROTOBUF, assert_json_decodes_to_the_same, bytes, invalid};

fn shown(drone: Drone, body: impl Into<Vec<u8>>) -> Option<Value> {
    drone.to_json(&Event { body: body.into().into(), ..Event::default() })
}

#[test]
fn a_protobuf_body_is_shown_with_its_fields() {
    let full = json!({
        "deviceId": "some_random_device_id", "battery": 0.99, "flightMode": 3,
        "position": {"latitude": 44.5, "longitude": 44.6, "altitude": 500.0},
        "health": {"gyrometerOK": true, "accelerometerOK": false, "magnetometerOK": false},
    });
    let cases = [
        (FULL, full),
        ("0a0164", json!({"deviceId": "d"})),
        ("0a0022002a00", json!({"deviceId": ""})),
        ("1800110000000000000000", json!({"battery": 0.0, "flightMode": 0})),
        (
            "0a0164220919000000000000f03f2a021800",
            json!({
                "deviceId": "d", "position": {"altitude": 1.0}, "health": {"magnetometerOK": false}
            }),
        ),
    ];
    for (hex, expected) in cases {
        for drone in [PROTOBUF, AUTO] {
            assert_eq!(shown(drone, bytes(hex)), Some(expected.clone()), "{drone:?} {hex}");
        }
        assert_eq!(shown(JSON, bytes(hex)), None, "{hex} is not JSON");
    }
}

#[test]
fn an_invalid_event_is_shown() {
    for (hex, mode) in [("63", 99), ("ffffffffffffffffff01", -1)] {
        let body = bytes(&format!("0a016418{hex}"));
        let json = shown(PROTOBUF, body.clone()).expect("an event");
        assert_eq!(json, json!({"deviceId": "d", "flightMode": mode}));
        assert_eq!(invalid(JSON, json.to_string()), invalid(PROTOBUF, body));
    }
    for (hex, text) in [("000000000000f87f", "NaN"), ("000000000000f07f", "inf"), ("000000000000f0ff", "-inf")] {
        let expected = json!({"deviceId": "d", "battery": text, "position": {"longitude": text}});
        assert_eq!(shown(PROTOBUF, bytes(&format!("0a016411{hex}220911{hex}"))), Some(expected));
    }
}

#[test]
fn a_json_body_is_shown_unchanged() {
    for text in [
        r#"{"DeviceId":"d","Battery":0.5,"speed":[1,{"a":null}]}"#,
        r#" {"deviceId":7,"flightMode":"hover"}"#,
        "\u{feff}{\"deviceId\":\"d\"}",
        "\n{\"deviceId\":\"d\"}",
        "\n{\"battery\":\"full\"}",
        "[1,2]",
        "\"text\"",
        "null",
    ] {
        let value: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).expect("JSON");
        for drone in [JSON, AUTO] {
            assert_eq!(shown(drone, text), Some(value.clone()), "{drone:?} {text:?}");
        }
    }
}

#[test]
fn a_body_that_would_decode_differently_is_not_shown() {
    let twice = r#"{"deviceId":"a","deviceId":"b"}"#;
    for text in ["", " ", "hello", "{", r#"{"deviceId":"d"} x"#, r#"{"deviceId":"d","battery":1e999}"#, twice] {
        for drone in [JSON, AUTO] {
            assert_eq!(shown(drone, text), None, "{drone:?} {text:?}");
        }
    }
    for body in [Vec::new(), bytes("0a0564"), bytes("0801"), b"{\"deviceId\":\"d\"}".to_vec()] {
        assert_eq!(shown(PROTOBUF, body.clone()), None, "{body:?}");
    }
}

#[test]
fn the_shown_format_is_detected_as_for_decoding() {
    let event = |content_type: &str, body: &[u8]| Event {
        body: body.to_vec().into(),
        content_type: Some(content_type.into()),
        ..Event::default()
    };
    let (json, protobuf, value) = (br#"{"deviceId":"d"}"#.as_slice(), bytes("0a0164"), Some(json!({"deviceId": "d"})));
    for drone in [JSON, PROTOBUF, AUTO] {
        assert_eq!(drone.to_json(&event("application/x-protobuf", &protobuf)), value);
        assert_eq!(drone.to_json(&event("application/json", json)), value);
        assert_eq!(drone.to_json(&event("application/json", &protobuf)), None);
        assert_eq!(drone.to_json(&event("application/x-protobuf", json)), None);
    }
}

#[test]
fn the_authenticated_device_is_not_shown_but_used() {
    let by_setting = Drone { format: Format::Auto, device_id_from_iot_hub: DeviceIdFromIotHub::Fallback };
    let event = Event { body: bytes("1803").into(), iot_hub_device_id: Some("hub-device".into()), ..Event::default() };
    assert_eq!(by_setting.to_json(&event), Some(json!({"flightMode": 3})));
    assert!(by_setting.decode(&event).is_ok());
    assert_json_decodes_to_the_same(by_setting, &event);
}

#[test]
fn all_decodable_bytes_are_shown() {
    let message = bytes(FULL);
    let mut decodable = 0;
    for seed in 0..4_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut body = message.clone();
        for _ in 0..random.usize(1..6) {
            // The text of the id is most of the message but has little structure.
            let index = if random.bool() { random.usize(0..2) } else { random.usize(22..message.len()) };
            body[index] = if random.bool() { random.u8(..) } else { body[index] ^ (1 << random.u8(0..8)) };
        }
        for drone in [PROTOBUF, AUTO] {
            let event = Event { body: body.clone().into(), ..Event::default() };
            assert_json_decodes_to_the_same(drone, &event);
            decodable += u32::from(drone.decode(&event).is_ok());
        }
    }
    assert!(decodable > 500, "only {decodable} bodies can be decoded");
}
