//! Drone telemetry as protobuf: the bytes of the reference's serializer, unusual input, and the detection of the format.

use devicestate_engine::{
    batch::Event,
    telemetry::{
        Decoded, Poison, Telemetry as _,
        drone::{DeviceIdFromIotHub, Drone, Format},
    },
};
use serde_json::{Value, json};

pub(crate) const PROTOBUF: Drone =
    Drone { format: Format::Protobuf, device_id_from_iot_hub: DeviceIdFromIotHub::Unused };
pub(crate) const JSON: Drone = Drone { format: Format::Json, device_id_from_iot_hub: DeviceIdFromIotHub::Unused };
pub(crate) const AUTO: Drone = Drone { format: Format::Auto, device_id_from_iot_hub: DeviceIdFromIotHub::Unused };

pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        hex.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()).expect("a digit")).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Decodes a body, and checks that its JSON decodes to the same.
#[track_caller]
pub(crate) fn decode(drone: Drone, body: impl Into<Vec<u8>>) -> Result<Decoded, Poison> {
    let event = Event { body: body.into().into(), ..Event::default() };
    assert_json_decodes_to_the_same(drone, &event);
    drone.decode(&event)
}

/// Asserts that the event's JSON decodes to the same, or that neither can be decoded.
#[track_caller]
pub(crate) fn assert_json_decodes_to_the_same(drone: Drone, event: &Event) {
    let decoded = drone.decode(event);
    let Some(shown) = drone.to_json(event) else {
        assert!(decoded.is_err(), "{drone:?}: {event:?} can be decoded, but has no JSON");
        return;
    };
    let content_type = Some("application/json".into());
    let as_json = Event { body: shown.to_string().into(), content_type, ..event.clone() };
    assert_eq!(drone.decode(&as_json).ok(), decoded.ok(), "{drone:?}: {event:?} is shown as {shown}");
}

/// Returns the device id and the readings, as JSON.
#[track_caller]
pub(crate) fn decoded(drone: Drone, body: impl Into<Vec<u8>>) -> (String, Value) {
    let Decoded { device_id, readings, .. } = decode(drone, body).expect("an event that can be decoded");
    let count = readings.len();
    let fields: serde_json::Map<_, _> =
        readings.into_iter().map(|reading| (reading.name.to_string(), reading.value)).collect();
    assert_eq!(fields.len(), count, "no duplicate readings");
    (device_id, fields.into())
}

/// Returns the issue of an event that cannot be decoded.
#[track_caller]
pub(crate) fn undecodable(drone: Drone, body: impl Into<Vec<u8>>) -> String {
    match decode(drone, body) {
        Err(Poison::Undecodable(issue)) => issue,
        other => panic!("not undecodable: {other:?}"),
    }
}

/// Returns the issue of an event with invalid values.
#[track_caller]
pub(crate) fn invalid(drone: Drone, body: impl Into<Vec<u8>>) -> String {
    match decode(drone, body) {
        Err(Poison::Invalid(issue)) => issue,
        other => panic!("not invalid: {other:?}"),
    }
}

pub(crate) const FULL: &str = "0a15736f6d655f72616e646f6d5f6465766963655f696411ae47e17a14aeef3f1803221b09000000000040464011cdcccccccc4c4640190000000000407f402a060801100018003001";

#[test]
fn the_bytes_of_the_reference_are_decoded() {
    let first_frame = "0a0764726f6e652d3011000000000000f03f1805221b09bbb88d06f0bc474011d47e6b274a8c5ec01900000000000000002a060801100118013001";
    let cases = [
        (
            FULL,
            "some_random_device_id",
            json!({"Battery": 0.99, "FlightMode": 3, "Latitude": 44.5, "Longitude": 44.6, "Altitude": 500.0,
                   "GyrometerOK": true, "AccelerometerOK": false, "MagnetometerOK": false}),
        ),
        (
            first_frame,
            "drone-0",
            json!({"Battery": 1.0, "FlightMode": 5, "Latitude": 47.476_075, "Longitude": -122.192_026, "Altitude": 0.0,
                   "GyrometerOK": true, "AccelerometerOK": true, "MagnetometerOK": true}),
        ),
        ("0a0764726f6e652d37", "drone-7", json!({})),
        ("0a0764726f6e652d371800", "drone-7", json!({"FlightMode": 0})),
        ("0a0764726f6e652d37110000000000000000", "drone-7", json!({"Battery": 0.0})),
        (
            "0a01642a06080010001800",
            "d",
            json!({"GyrometerOK": false, "AccelerometerOK": false, "MagnetometerOK": false}),
        ),
        (
            "0a0164221b090000000000000000110000000000000000190000000000000000",
            "d",
            json!({"Latitude": 0.0, "Longitude": 0.0, "Altitude": 0.0}),
        ),
    ];
    for (hex, id, readings) in cases {
        for drone in [PROTOBUF, AUTO] {
            assert_eq!(decoded(drone, bytes(hex)), (id.to_owned(), readings.clone()), "{drone:?} {hex}");
        }
    }
}

#[test]
fn a_missing_body_or_device_id_is_poison() {
    // An empty body; only a battery; an empty id; JSON without an id, with an empty one and with null.
    for drone in [PROTOBUF, AUTO, JSON] {
        let issue = undecodable(drone, "");
        assert!(issue.contains("body is empty") && issue.contains("device id is missing"), "{drone:?}: {issue}");
    }
    for hex in ["110000000000000000", "0a00", "0a00110000000000000000"] {
        let issue = undecodable(PROTOBUF, bytes(hex));
        assert!(issue.contains("device id is missing or empty"), "{hex}: {issue}");
    }
    for text in ["{}", r#"{"deviceId":""}"#, r#"{"deviceId":null,"battery":0.5}"#] {
        let issue = undecodable(AUTO, text);
        assert!(issue.contains("device id is missing or empty"), "{text}: {issue}");
    }
}

#[test]
fn every_truncation_inside_a_field_is_poison() {
    let complete = bytes(FULL);
    // Where a field ends, the bytes are a valid message.
    let ends = [23, 32, 34, 63, 71, 73];
    assert_eq!(ends[5], complete.len());
    for length in (1..complete.len()).filter(|length| !ends.contains(length)) {
        let issue = undecodable(PROTOBUF, &complete[..length]);
        assert!(issue.contains("not valid protobuf telemetry"), "{length}: {issue}");
    }
    for end in ends {
        assert_eq!(decoded(PROTOBUF, &complete[..end]).0, "some_random_device_id", "{end}");
    }
}

#[test]
fn wrong_wire_types_and_a_stray_end_group_are_poison() {
    let cases = [
        ("0a01640c", "end group"),
        ("0801", "id as a varint"),
        ("0a01641001", "battery as a varint"),
        ("0a01641a0103", "flight mode as bytes"),
        ("0a01642001", "position as a varint"),
        ("0a01642801", "health as a varint"),
        ("0a0164320101", "key frame as bytes"),
        ("0a016422020801", "latitude as a varint"),
        ("0a01642a050d00000000", "gyrometer as a float"),
    ];
    for (hex, what) in cases {
        let issue = undecodable(PROTOBUF, bytes(hex));
        assert!(issue.contains("not valid protobuf telemetry"), "{what}: {issue}");
    }
}

#[test]
fn a_device_id_that_is_not_utf8_is_poison() {
    let issue = undecodable(PROTOBUF, bytes("0a02c328"));
    assert!(issue.contains("UTF-8"), "{issue}");
}

#[test]
fn a_battery_may_be_a_32_bit_float() {
    // 0.5 and 0.1 as floats; the latter becomes the nearest double.
    assert_eq!(decoded(PROTOBUF, bytes("0a0164150000003f")).1, json!({"Battery": 0.5}));
    assert_eq!(decoded(PROTOBUF, bytes("0a016415cdcccc3d")).1, json!({"Battery": f64::from(0.1_f32)}));
}

#[test]
fn unknown_fields_are_skipped() {
    // Field 7 as a varint, as bytes, as 64 and 32 bits, and as a group, before the battery.
    for unknown in ["380a", "3a0161", "390000000000000000", "3d00000000", "3b08013c"] {
        let body = bytes(&format!("0a0164{unknown}110000000000000000"));
        assert_eq!(decoded(PROTOBUF, body), ("d".to_owned(), json!({"Battery": 0.0})), "{unknown}");
    }
    // Also in a position.
    assert_eq!(decoded(PROTOBUF, bytes("0a0164220b2001090000000000004640")).1, json!({"Latitude": 44.0}));
}

#[test]
fn undefined_flight_modes_are_invalid_in_both_formats() {
    // 6, 99, -1 and 2^32 + 3, which is 3 if truncated to 32 bits.
    let cases = [("06", "6"), ("63", "99"), ("ffffffffffffffffff01", "-1"), ("8380808010", "4294967299")];
    for (hex, number) in cases {
        let expected = format!("flight mode {number} is undefined");
        let issue = invalid(PROTOBUF, bytes(&format!("0a016418{hex}")));
        assert!(issue.contains(&expected), "{hex}: {issue}");
        let issue = invalid(JSON, format!(r#"{{"deviceId":"d","flightMode":{number}}}"#));
        assert!(issue.contains(&expected), "{number}: {issue}");
    }
}

#[test]
fn the_last_scalar_wins_and_sub_messages_are_merged() {
    assert_eq!(decoded(PROTOBUF, bytes("0a01610a016218011802")), ("b".to_owned(), json!({"FlightMode": 2})));
    // Latitude 1 and longitude 1; then longitude 2.
    let positions = "2212 09000000000000f03f 11000000000000f03f 2209 110000000000000040".replace(' ', "");
    assert_eq!(decoded(PROTOBUF, bytes(&format!("0a0164{positions}"))).1, json!({"Latitude": 1.0, "Longitude": 2.0}));
    assert_eq!(
        decoded(PROTOBUF, bytes("0a01642a0208012a021000")).1,
        json!({"GyrometerOK": true, "AccelerometerOK": false})
    );
}

#[test]
fn a_position_with_one_member_gives_one_reading() {
    assert_eq!(decoded(PROTOBUF, bytes("0a01642209190000000000407f40")).1, json!({"Altitude": 500.0}));
    assert_eq!(decoded(PROTOBUF, bytes("0a01642200")).1, json!({}), "an empty position");
    assert_eq!(decoded(PROTOBUF, bytes("0a01642a021801")).1, json!({"MagnetometerOK": true}));
}

#[test]
fn a_number_that_json_cannot_represent_is_invalid() {
    let numbers = [("000000000000f87f", "NaN"), ("000000000000f07f", "inf"), ("000000000000f0ff", "-inf")];
    for (hex, text) in numbers {
        for (field, prefix) in
            [("battery", "11"), ("latitude", "220909"), ("longitude", "220911"), ("altitude", "220919")]
        {
            let issue = invalid(PROTOBUF, bytes(&format!("0a0164{prefix}{hex}")));
            assert!(issue.starts_with(&format!("{field} is {text}")), "{issue}");
        }
    }
    // Also as a 32-bit float.
    assert!(invalid(PROTOBUF, bytes("0a0164150000c07f")).starts_with("battery is NaN"));
}

#[test]
fn json_where_protobuf_is_expected_is_poison() {
    let issue = undecodable(PROTOBUF, r#"{"deviceId":"drone-7","battery":0.5}"#);
    assert!(issue.contains("not valid protobuf telemetry"), "{issue}");
}

#[test]
fn auto_detects_the_format_even_if_the_first_bytes_are_ambiguous() {
    let json = r#"{"deviceId":"drone-7","battery":0.5}"#;
    let expected = ("drone-7".to_owned(), json!({"Battery": 0.5}));
    for front in ["", " ", "\t\r\n ", "\n", "\n\n", "\u{feff}", "\u{feff}\n "] {
        assert_eq!(decoded(AUTO, format!("{front}{json}")), expected, "{front:?}");
    }
    // The length of the id is white space or a `{`, or the id starts with `{` after white space, or is plain text.
    for id in ["d".repeat(9), "d".repeat(32), "{".repeat(32), "d".repeat(123), format!("{{{}", "d".repeat(12))] {
        let mut body = vec![0x0a, u8::try_from(id.len()).expect("a short id")];
        body.extend(id.bytes());
        assert_eq!(decoded(AUTO, body), (id, json!({})));
    }
    // Fields in any order.
    assert_eq!(decoded(AUTO, bytes("18030a0164")), ("d".to_owned(), json!({"FlightMode": 3})));
    assert_eq!(decoded(AUTO, bytes("2a0208010a0164")), ("d".to_owned(), json!({"GyrometerOK": true})));
}

#[test]
fn the_issue_names_the_detected_format() {
    for body in ["{\"deviceId\":", "\n{\"deviceId\":\"d\",}", "hello", "[1,2]", "\"text\"", "\u{feff}{"] {
        let issue = undecodable(AUTO, body);
        assert!(issue.contains("JSON"), "{body:?}: {issue}");
    }
    let issue = undecodable(AUTO, bytes("0a0564"));
    assert!(issue.contains("protobuf"), "{issue}");
}

#[test]
fn a_content_type_has_precedence_over_the_setting() {
    let event = |content_type: &str, body: &[u8]| Event {
        body: body.to_vec().into(),
        content_type: Some(content_type.into()),
        ..Event::default()
    };
    let (json, protobuf) = (br#"{"deviceId":"d"}"#.as_slice(), bytes("0a0164"));
    for content_type in
        ["application/json", "Application/JSON; charset=utf-8", "application/vnd.drone+json", "text/json"]
    {
        assert!(PROTOBUF.decode(&event(content_type, json)).is_ok(), "{content_type}");
        assert!(PROTOBUF.decode(&event(content_type, &protobuf)).is_err(), "{content_type}");
        assert!(AUTO.decode(&event(content_type, &protobuf)).is_err(), "{content_type}");
    }
    for content_type in ["application/x-protobuf", "application/protobuf", "application/vnd.google.protobuf; proto=d"] {
        assert!(JSON.decode(&event(content_type, &protobuf)).is_ok(), "{content_type}");
        assert!(JSON.decode(&event(content_type, json)).is_err(), "{content_type}");
    }
    for content_type in ["", "application/octet-stream", "text/plain"] {
        assert!(JSON.decode(&event(content_type, json)).is_ok(), "{content_type}");
        assert!(PROTOBUF.decode(&event(content_type, &protobuf)).is_ok(), "{content_type}");
        assert!(JSON.decode(&event(content_type, &protobuf)).is_err(), "{content_type}");
    }
}
