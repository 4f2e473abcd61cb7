//! Drone telemetry as JSON, and the device that IoT Hub authenticated.

use std::io::Write as _;

use devicestate_engine::{
    batch::Event,
    telemetry::{
        Poison, Telemetry as _,
        drone::{DeviceIdFromIotHub, Drone, FLIGHT_MODES, Format},
    },
};
use flate2::{Compression, write::GzEncoder};
use serde_json::json;

use crate::telemetry_protobuf::{AUTO, JSON, bytes, decoded, invalid, undecodable};

#[test]
fn names_in_camel_case_and_pascal_case_are_the_same() {
    let camel = r#"{"deviceId":"drone-7","battery":0.5,"flightMode":"inflight",
        "position":{"latitude":47.4,"longitude":-122.1,"altitude":12.0},
        "health":{"gyrometerOK":true,"accelerometerOK":true,"magnetometerOK":false},"isKeyFrame":true}"#;
    let pascal = r#"{"DeviceId":"drone-7","Battery":0.5,"FlightMode":3,
        "Position":{"Latitude":47.4,"Longitude":-122.1,"Altitude":12},
        "Health":{"GyrometerOK":true,"AccelerometerOK":true,"MagnetometerOK":false},"IsKeyFrame":false}"#;
    let readings = json!({"Battery": 0.5, "FlightMode": 3, "Latitude": 47.4, "Longitude": -122.1, "Altitude": 12.0,
                          "GyrometerOK": true, "AccelerometerOK": true, "MagnetometerOK": false});
    for text in [camel, pascal] {
        assert_eq!(decoded(JSON, text), ("drone-7".to_owned(), readings.clone()), "{text}");
        assert_eq!(decoded(AUTO, text), ("drone-7".to_owned(), readings.clone()), "{text}");
    }
}

#[test]
fn a_flight_mode_is_its_number_or_its_name() {
    for (number, name) in FLIGHT_MODES.iter().enumerate() {
        let forms = [number.to_string(), format!("{name:?}"), format!("{:?}", name.to_lowercase())];
        for form in forms {
            let text = format!(r#"{{"deviceId":"d","flightMode":{form}}}"#);
            assert_eq!(decoded(JSON, text.as_str()).1, json!({"FlightMode": number}), "{text}");
        }
    }
    let issue = undecodable(JSON, r#"{"deviceId":"d","flightMode":"hover"}"#);
    assert!(issue.contains("\"hover\"") && issue.contains("Inflight"), "{issue}");
    for form in ["3.5", "true", "[3]", "\"3\"", "18446744073709551615"] {
        let issue = undecodable(JSON, format!(r#"{{"deviceId":"d","flightMode":{form}}}"#));
        assert!(issue.contains("flight mode"), "{form}: {issue}");
    }
}

#[test]
fn zeros_are_readings_and_null_is_not() {
    let zeros = r#"{"deviceId":"d","battery":0,"flightMode":0,"position":{"latitude":0,"longitude":0,"altitude":0},
        "health":{"gyrometerOK":false,"accelerometerOK":false,"magnetometerOK":false}}"#;
    assert_eq!(
        decoded(JSON, zeros).1,
        json!({"Battery": 0.0, "FlightMode": 0, "Latitude": 0.0, "Longitude": 0.0, "Altitude": 0.0,
               "GyrometerOK": false, "AccelerometerOK": false, "MagnetometerOK": false})
    );
    let nulls = r#"{"deviceId":"d","battery":null,"flightMode":null,"position":null,"health":null,"isKeyFrame":null}"#;
    let inner = r#"{"deviceId":"d","position":{"latitude":null,"altitude":null},"health":{"gyrometerOK":null}}"#;
    for text in [nulls, inner, r#"{"deviceId":"d"}"#, r#"{"deviceId":"d","position":{},"health":{}}"#] {
        assert_eq!(decoded(JSON, text), ("d".to_owned(), json!({})), "{text}");
    }
}

#[test]
fn a_partial_position_gives_only_its_members() {
    assert_eq!(decoded(JSON, r#"{"deviceId":"d","position":{"longitude":8.5}}"#).1, json!({"Longitude": 8.5}));
    assert_eq!(
        decoded(JSON, r#"{"deviceId":"d","position":{"latitude":null,"altitude":1},"health":{"magnetometerOK":true}}"#)
            .1,
        json!({"Altitude": 1.0, "MagnetometerOK": true})
    );
}

#[test]
fn an_array_is_not_accepted_as_an_object() {
    for text in [
        r#"["d",0.5]"#,
        r#"[{"deviceId":"d"}]"#,
        r#"{"deviceId":"d","position":[1,2,3]}"#,
        r#"{"deviceId":"d","health":[true,true,true]}"#,
    ] {
        for drone in [JSON, AUTO] {
            let issue = undecodable(drone, text);
            assert!(issue.contains("a JSON object"), "{text}: {issue}");
        }
    }
}

#[test]
fn a_body_must_be_exactly_one_json_object() {
    for text in [
        r#"{"deviceId":"d"} x"#,
        r#"{"deviceId":"d"}{"deviceId":"e"}"#,
        r#"{"deviceId":"d""#,
        r#"{"deviceId":"d",}"#,
        r#"{"deviceId":"d","battery":NaN}"#,
        r#"{"deviceId":"d","battery":1e999}"#,
        "null",
        "7",
    ] {
        let issue = undecodable(JSON, text);
        assert!(issue.contains("JSON"), "{text}: {issue}");
    }
    assert!(undecodable(JSON, b"{\"deviceId\":\"\xff\"}".as_slice()).contains("JSON"), "not UTF-8");
}

#[test]
fn wrong_types_are_rejected_and_unknown_fields_are_ignored() {
    for (field, expected) in [
        (r#""battery":"0.5""#, "battery: invalid type: string \"0.5\", expected a number at line 1 column 32"),
        (r#""battery":true"#, "battery: invalid type: boolean"),
        (r#""DeviceId":7"#, "DeviceId: invalid type: integer `7`, expected a string"),
        (r#""position":"here""#, "position: invalid type: string"),
        (r#""position":{"altitude":1,"latitude":"north"}"#, "latitude of position: invalid type: string"),
        (r#""health":{"gyrometerOK":1}"#, "gyrometerOK of health: invalid type: integer"),
        (r#""isKeyFrame":"yes""#, "isKeyFrame: invalid type: string"),
    ] {
        let id = if field.contains("DeviceId") { "" } else { r#""DeviceId":"d","# };
        let issue = undecodable(JSON, format!(r"{{{id}{field}}}"));
        assert!(issue.contains("not valid JSON telemetry"), "{field}: {issue}");
        assert!(issue.contains(expected), "{field}: {issue}");
    }
    let text = r#"{"speed":[1,{"a":null}],"deviceId":"d","position":{"accuracy":3,"latitude":1},"battery":1,"x":"y"}"#;
    assert_eq!(decoded(JSON, text).1, json!({"Battery": 1.0, "Latitude": 1.0}));
}

#[test]
fn a_duplicate_field_is_rejected() {
    for text in [r#"{"deviceId":"a","deviceId":"b"}"#, r#"{"deviceId":"a","battery":0.1,"Battery":0.2}"#] {
        assert!(undecodable(JSON, text).contains("duplicate"), "{text}");
    }
}

#[test]
fn names_are_taken_in_any_letter_case() {
    for text in [
        r#"{"DeviceID":"d","BATTERY":0.5,"flightmode":3,"POSITION":{"LATITUDE":1},"health":{"gyrometerok":true}}"#,
        r#"{"deviceid":"d","battery":0.5,"FLIGHTMODE":"INFLIGHT","position":{"laTitude":1},"Health":{"GyrometerOk":true}}"#,
    ] {
        let readings = json!({"Battery": 0.5, "FlightMode": 3, "Latitude": 1.0, "GyrometerOK": true});
        assert_eq!(decoded(AUTO, text), ("d".to_owned(), readings), "{text}");
    }
    for text in [
        r#"{"deviceId":"a","DEVICEID":"a"}"#,
        r#"{"deviceId":"a","battery":0.1,"BATTERY":0.1}"#,
        r#"{"deviceId":"a","position":{"latitude":1,"Latitude":1}}"#,
        r#"{"deviceId":"a","position":{"latitude":1},"pOsition":null}"#,
        r#"{"deviceId":"a","iskeyframe":true,"isKeyFrame":true}"#,
    ] {
        assert!(undecodable(JSON, text).contains("duplicate field"), "{text}");
    }
}

#[test]
fn a_missing_device_id_names_what_may_be_meant() {
    for (text, name) in [
        (r#"{"device_id":"d","battery":1}"#, "device_id"),
        (r#"{"device-ID":"d","battery":1}"#, "device-ID"),
        (r#"{"deviceIds":"d"}"#, "deviceIds"),
        (r#"{"id":"d","battery":1}"#, "id"),
    ] {
        let issue = undecodable(JSON, text);
        assert!(issue.ends_with(&format!("; there is {name:?}: it must be `deviceId`")), "{issue}");
    }
    assert!(undecodable(JSON, r#"{"name":"d"}"#).ends_with("each event needs one"));
}

#[test]
fn a_json_string_that_contains_an_object_is_that_object() {
    let text = json!(r#" {"deviceId":"d","battery":0.5}"#).to_string();
    for drone in [JSON, AUTO] {
        assert_eq!(decoded(drone, text.as_str()), ("d".to_owned(), json!({"Battery": 0.5})));
        assert_eq!(decoded(drone, format!("\u{feff} {text} ")).0, "d");
        // Once more is not a form that any client sends.
        assert!(undecodable(drone, json!(text).to_string()).contains("not a JSON object"));
    }
}

#[test]
fn several_values_in_one_body_are_counted() {
    let two = r#"{"deviceId":"d"},{"deviceId":"e"}"#;
    assert!(undecodable(AUTO, format!("[{two}]")).contains("an array of 2 elements: send one event for each"));
    for lines in [two.replace("},", "}\n"), two.replace("},", "}\r\n") + "\n"] {
        assert!(undecodable(AUTO, lines).contains("the body has 2 JSON values: send one event for each"));
    }
    assert!(undecodable(AUTO, r#"{"deviceId":"d"} x"#).contains("trailing characters"));
}

#[test]
fn a_flight_mode_with_a_fraction_of_zero_is_an_integer() {
    for (form, mode) in [("3.0", 3), ("0.0", 0), ("30e-1", 3), ("5.000", 5)] {
        assert_eq!(decoded(JSON, format!(r#"{{"deviceId":"d","flightMode":{form}}}"#)).1, json!({"FlightMode": mode}));
    }
    assert!(invalid(JSON, r#"{"deviceId":"d","flightMode":6.0}"#).contains("flight mode 6"));
    for form in ["2.5", "1e300"] {
        assert!(undecodable(JSON, format!(r#"{{"deviceId":"d","flightMode":{form}}}"#)).contains("flight mode"));
    }
}

#[test]
fn a_gzip_body_is_unpacked_up_to_a_limit() {
    let gzip = |text: &[u8]| {
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(text).expect("memory");
        packed.finish().expect("memory")
    };
    let (one, other) = (br#"{"deviceId":"d","#.as_slice(), br#""battery":0.5}"#.as_slice());
    for drone in [JSON, AUTO] {
        let members = [gzip(one), gzip(other)].concat();
        assert_eq!(decoded(drone, members), ("d".to_owned(), json!({"Battery": 0.5})));
    }
    assert_eq!(decoded(AUTO, gzip(&bytes("0a0764726f6e652d371800"))), ("drone-7".to_owned(), json!({"FlightMode": 0})));
    let valid = |bytes: usize| format!(r#"{{"deviceId":"d","battery":1,"note":"{}"}}"#, "x".repeat(bytes));
    assert_eq!(decoded(AUTO, gzip(valid(64_000).as_bytes())).0, "d");
    let bomb = gzip(&vec![b' '; 100_000_000]);
    let issue = undecodable(AUTO, bomb.clone());
    assert!(issue.contains(&format!("unpacks to more than {} bytes", bomb.len() * 16)), "{issue}");
    let whole = gzip(one);
    assert!(undecodable(AUTO, &whole[..whole.len() - 9]).contains("ends in the middle"));
    assert!(undecodable(AUTO, [&whole[..10], b"nonsense"].concat()).contains("gzip body"));
    assert!(undecodable(AUTO, gzip(b"")).contains("empty"));
}

#[test]
fn with_a_required_identity_body_and_authenticated_device_must_agree() {
    let drone = Drone { format: Format::Auto, device_id_from_iot_hub: DeviceIdFromIotHub::Required };
    let decode = |body: &str, authenticated: Option<&str>| {
        let iot_hub_device_id = authenticated.map(str::to_owned);
        let event = Event { body: body.as_bytes().to_vec().into(), iot_hub_device_id, ..Event::default() };
        drone.decode(&event).map(|decoded| decoded.device_id)
    };
    let named = r#"{"deviceId":"own","battery":0.5}"#;
    assert_eq!(decode(named, Some("own")), Ok("own".to_owned()));
    assert_eq!(decode(r#"{"battery":0.5}"#, Some("own")), Ok("own".to_owned()));
    for authenticated in [Some("other"), Some("OWN"), Some(""), None] {
        let Err(Poison::Invalid(issue)) = decode(named, authenticated) else { panic!("{authenticated:?} is accepted") };
        assert!(issue.contains("\"own\"") && issue.contains("DeviceIdFromIoTHub"), "{issue}");
        assert!(authenticated.is_none_or(|id| issue.contains(id)), "{issue}");
    }
    assert!(matches!(decode("{}", None), Err(Poison::Undecodable(_))));
}

#[test]
fn numbers_are_unchanged() {
    for number in ["0.1", "47.476075", "-122.192026", "1e-300", "0.30000000000000004"] {
        let value: f64 = number.parse().expect("a number");
        let text = format!(r#"{{"deviceId":"d","battery":{number}}}"#);
        assert_eq!(decoded(JSON, text).1, json!({"Battery": value}), "{number}");
    }
}

#[test]
fn the_authenticated_device_is_used_if_the_body_has_no_device_id() {
    let event = |body: &[u8], authenticated: Option<&str>| Event {
        body: body.to_vec().into(),
        iot_hub_device_id: authenticated.map(str::to_owned),
        ..Event::default()
    };
    let by_setting = Drone { format: Format::Auto, device_id_from_iot_hub: DeviceIdFromIotHub::Fallback };
    let id = |drone: Drone, event: Event| drone.decode(&event).map(|decoded| decoded.device_id);
    let protobuf = bytes("1803");
    for body in [br#"{"battery":0.5}"#.as_slice(), br#"{"deviceId":"","battery":0.5}"#, b"{}", &protobuf] {
        assert_eq!(id(by_setting, event(body, Some("hub-device"))), Ok("hub-device".to_owned()), "{body:?}");
        for other in [id(AUTO, event(body, Some("hub-device"))), id(by_setting, event(body, None))] {
            assert!(matches!(other, Err(Poison::Undecodable(_))), "{body:?}: {other:?}");
        }
        let empty = id(by_setting, event(body, Some("")));
        assert!(matches!(empty, Err(Poison::Undecodable(_))), "{body:?}: {empty:?}");
    }
    let named = br#"{"deviceId":"own","battery":0.5}"#;
    assert_eq!(id(by_setting, event(named, Some("hub-device"))), Ok("own".to_owned()));
}

#[test]
fn an_undefined_flight_mode_is_invalid_rather_than_undecodable() {
    assert!(invalid(JSON, r#"{"deviceId":"d","flightMode":6}"#).contains("0 (Unknown) to 5 (Offline)"));
}
