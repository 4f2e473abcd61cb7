//! Decoding of valid and invalid protobuf bodies, each between two valid events.

use devicestate_test_oracle::protobuf::Message;
use devicestate_test_support::{App, Batch, Event, Handler, hex};
use serde_json::{Value, json};

/// Posts an event between two valid ones, which must be applied. Returns its dead letter, or `None` if it was applied.
#[track_caller]
fn post_between_valid_events(handler: &Handler, case: &str, event: Event) -> Option<Value> {
    let valid = |number: i64| {
        let mode = u64::try_from(number).expect("small");
        Event::protobuf(number, Message::with_device(&format!("valid {number} of {case}")).varint(3, mode))
    };
    let reply = handler.invoke(&Batch::of([valid(1), event, valid(3)]).envelope());
    for number in [1, 3] {
        assert_eq!(handler.readings(&format!("valid {number} of {case}"))["FlightMode"], number, "{case}");
    }
    match reply.counts() {
        [3, 3, 0, 0] => None,
        [3, 2, 0, 1] => {
            let letter = reply.dead_letter().clone();
            assert_eq!(letter["EventData"]["SequenceNumber"], 2, "{case}: {letter}");
            assert_eq!(letter["ErrorClass"], "poison", "{case}: {letter}");
            Some(letter)
        }
        other => panic!("{case}: {other:?}"),
    }
}

#[track_caller]
fn assert_poison(case: &str, body: impl Into<Vec<u8>>, stage: &str, words: &[&str]) {
    let app = App::shipped();
    let letter = post_between_valid_events(&app.start(), case, Event::protobuf(2, body));
    let letter = letter.unwrap_or_else(|| panic!("{case} was applied"));
    assert_eq!(letter["Stage"], stage, "{letter}");
    let issue = letter["Issue"].as_str().expect("text");
    for word in words {
        assert!(issue.contains(word), "{case}: {word:?} is not in {issue:?}");
    }
}

#[track_caller]
fn assert_applied(case: &str, body: impl Into<Vec<u8>>, expected: &Value) {
    let app = App::shipped();
    let letter = post_between_valid_events(&app.start(), case, Event::protobuf(2, body));
    assert_eq!(letter, None, "{case}");
    assert_eq!(&app.readings(expected["id"].as_str().expect("an id")), expected, "{case}");
}

#[test]
fn bytes_of_the_references_serializer_are_decoded() {
    for (digits, expected) in [
        (
            "0a15736f6d655f72616e646f6d5f6465766963655f696411ae47e17a14aeef3f1803221b090000000000404640\
             11cdcccccccc4c4640190000000000407f402a060801100018003001",
            json!({"id": "some_random_device_id", "Battery": 0.99, "FlightMode": 3,
                   "Latitude": 44.5, "Longitude": 44.6, "Altitude": 500.0,
                   "GyrometerOK": true, "AccelerometerOK": false, "MagnetometerOK": false}),
        ),
        (
            "0a0764726f6e652d3011000000000000f03f1805221b09bbb88d06f0bc474011d47e6b274a8c5ec01900000000000000002a06\
             0801100118013001",
            json!({"id": "drone-0", "Battery": 1.0, "FlightMode": 5,
                   "Latitude": 47.476_075, "Longitude": -122.192_026, "Altitude": 0.0,
                   "GyrometerOK": true, "AccelerometerOK": true, "MagnetometerOK": true}),
        ),
        ("0a0764726f6e652d37", json!({"id": "drone-7"})),
        ("0a0764726f6e652d371800", json!({"id": "drone-7", "FlightMode": 0})),
        ("0a0764726f6e652d37110000000000000000", json!({"id": "drone-7", "Battery": 0.0})),
        (
            "0a01642a06080010001800",
            json!({"id": "d", "GyrometerOK": false, "AccelerometerOK": false, "MagnetometerOK": false}),
        ),
        (
            "0a0164221b090000000000000000110000000000000000190000000000000000",
            json!({"id": "d", "Latitude": 0.0, "Longitude": 0.0, "Altitude": 0.0}),
        ),
    ] {
        assert_applied("the reference", hex(digits), &expected);
    }
}

#[test]
fn a_body_without_a_device_id_is_poison() {
    assert_poison("an empty body", "", "deserialize", &["empty", "device id", "missing"]);
    assert_poison("no device id", Message::default().double(2, 0.5), "deserialize", &["device id", "missing"]);
    assert_poison(
        "an empty device id",
        Message::with_device("").double(2, 0.5),
        "deserialize",
        &["device id", "empty"],
    );
}

#[test]
fn an_invalid_message_is_poison() {
    for (case, body) in [
        ("truncated in the id", hex("0a1573")),
        ("truncated in the battery", hex("0a0164110000")),
        ("truncated in the position", hex("0a0164221b0900000000")),
        ("truncated after a tag", hex("0a016411")),
        ("a length beyond the body", hex("0affffffffffffffffff01")),
        ("a varint without an end", hex("0a016418ffffffffffffffffffff")),
        ("an id that is a number", hex("0801")),
        ("a battery that is a string", Message::with_device("d").bytes(2, "full").into()),
        ("a flight mode that is a double", Message::with_device("d").double(3, 3.0).into()),
        ("a position that is a number", Message::with_device("d").varint(4, 1).into()),
        ("a stray end of a group", hex("0a01640c")),
        ("a group without an end", hex("0a01643b")),
        ("field number zero", hex("0a01640001")),
        ("wire type seven", hex("0a01640f")),
        ("JSON with the content type of protobuf", br#"{"deviceId":"d","battery":0.5}"#.to_vec()),
    ] {
        assert_poison(case, body, "deserialize", &["protobuf"]);
    }
}

#[test]
fn json_is_poison_if_the_setting_is_protobuf_and_decoded_without_the_setting() {
    let event = || Event::new(2, r#"{"deviceId":"d","battery":0.5}"#);
    let app = App::shipped().with("TelemetryFormat", "protobuf");
    let letter = post_between_valid_events(&app.start(), "protobuf by setting", event()).expect("a dead letter");
    assert_eq!(letter["Stage"], "deserialize");

    let app = App::shipped();
    assert_eq!(post_between_valid_events(&app.start(), "no setting", event()), None);
    assert_eq!(app.readings("d"), json!({"id": "d", "Battery": 0.5}));
}

#[test]
fn a_battery_of_32_bits_is_accepted() {
    assert_applied("float", Message::with_device("d").float(2, 0.5), &json!({"id": "d", "Battery": 0.5}));
}

#[test]
fn unknown_fields_of_every_wire_type_are_skipped() {
    let group = hex("5b08015c");
    let body = Message::with_device("d")
        .varint(7, 300)
        .double(8, 1.0)
        .float(9, 1.0)
        .bytes(10, "new")
        .raw(&group)
        .double(2, 0.5);
    assert_applied("unknown fields", body, &json!({"id": "d", "Battery": 0.5}));
}

#[test]
fn an_undefined_flight_mode_is_poison() {
    for mode in [6, 99] {
        let body = Message::with_device("d").varint(3, mode);
        assert_poison("an undefined mode", body, "validate", &["flight mode", &mode.to_string(), "undefined"]);
    }
    let minus_one = Message::with_device("d").varint(3, u64::MAX);
    assert_poison("a negative mode", minus_one, "validate", &["flight mode", "-1", "undefined"]);
}

#[test]
fn the_last_repeated_scalar_wins_and_repeated_messages_are_merged() {
    let body = Message::with_device("first")
        .bytes(1, "d")
        .double(2, 0.1)
        .double(2, 0.2)
        .bytes(4, Message::default().double(1, 1.0).double(2, 2.0))
        .bytes(4, Message::default().double(2, 3.0).double(3, 4.0));
    let expected = json!({"id": "d", "Battery": 0.2, "Latitude": 1.0, "Longitude": 3.0, "Altitude": 4.0});
    assert_applied("repeated fields", body, &expected);
}

#[test]
fn only_the_present_members_of_position_and_health_are_readings() {
    let body =
        Message::with_device("d").bytes(4, Message::default().double(2, 8.5)).bytes(5, Message::default().varint(3, 1));
    assert_applied("single members", body, &json!({"id": "d", "Longitude": 8.5, "MagnetometerOK": true}));
    let body = Message::with_device("d").bytes(4, "").bytes(5, "");
    assert_applied("no members", body, &json!({"id": "d"}));
}

#[test]
fn values_that_json_cannot_represent_are_poison() {
    for (name, value) in [("NaN", f64::NAN), ("inf", f64::INFINITY), ("-inf", f64::NEG_INFINITY)] {
        let words = ["battery", name, "JSON"];
        assert_poison("a battery", Message::with_device("d").double(2, value), "validate", &words);
        let position = Message::default().double(1, 1.0).double(3, value);
        assert_poison(
            "an altitude",
            Message::with_device("d").bytes(4, position),
            "validate",
            &["altitude", name, "JSON"],
        );
    }
    assert_poison("a 32-bit battery", Message::with_device("d").float(2, f32::NAN), "validate", &["battery", "NaN"]);
}

#[test]
fn an_id_that_is_not_utf_8_is_poison() {
    assert_poison("an invalid id", Message::default().bytes(1, [0xff, 0xfe]), "deserialize", &["UTF-8"]);
}
