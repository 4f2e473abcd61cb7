//! Without a telemetry file: any JSON with a device id.

use devicestate_engine::{
    batch::Event,
    telemetry::{DecodedRecord, RecordTime, Telemetry as _, drone::DeviceIdFromIotHub},
};
use devicestate_telemetry::{AnyTelemetry, formats::Formats, mapping::Mapping};
use serde_json::json;

use crate::{event, issue, issue_of, readings, record, records, values};

#[test]
fn members_are_readings_by_their_paths() {
    let body = r#"{"deviceId":"pump-1","ts":"2026-11-30T12:00:00Z","pressure":3.2,"rpm":1200,"on":true,"motor":{"temp":71,"rotor":{"a":1}},"trace":[1,{"b":null}],"gone":null,"empty":{}}"#;
    let decoded = record(&json!({}), body);
    assert_eq!((decoded.device_id.as_str(), decoded.time), ("pump-1", RecordTime::Service));
    assert_eq!(
        values(&decoded),
        json!({"ts": "2026-11-30T12:00:00Z", "pressure": 3.2, "rpm": 1200, "on": true, "motor.temp": 71, "motor.rotor.a": 1, "trace": [1, {"b": null}]})
    );
}

#[test]
fn the_mapping_of_an_empty_telemetry_file_is_that_of_any_json() {
    let any = AnyTelemetry::new(Mapping::any_json(), Formats::default());
    let event = event(r#"{"device_id":7,"a":{"b":1}}"#);
    assert_eq!(any.decode(&event).expect("a record"), record(&json!({}), event.body.clone()));
}

#[test]
fn the_first_name_that_has_a_device_id_is_used_and_is_not_a_reading() {
    for (body, device_id, expected) in [
        (r#"{"id":"a"}"#, "a", json!({})),
        (r#"{"device_id":"a","x":1}"#, "a", json!({"x": 1})),
        (r#"{"DeviceId":"a","device_id":"b"}"#, "a", json!({"device_id": "b"})),
        (r#"{"device_id":"b","deviceId":"a","DeviceId":"c"}"#, "a", json!({"device_id": "b", "DeviceId": "c"})),
        (r#"{"deviceId":"","id":"a"}"#, "a", json!({})),
        (r#"{"deviceId":"a","DeviceId":"","id":null}"#, "a", json!({})),
        (r#"{"deviceId":null,"id":"a"}"#, "a", json!({})),
        (r#"{"deviceId":4711}"#, "4711", json!({})),
        (r#"{"deviceId":-1}"#, "-1", json!({})),
        (r#"{"deviceId":"a","id":{"x":1}}"#, "a", json!({"id.x": 1})),
    ] {
        let decoded = record(&json!({}), body);
        assert_eq!((decoded.device_id.as_str(), values(&decoded)), (device_id, expected), "{body}");
    }
}

#[test]
fn no_source_of_the_device_id_that_the_file_names_is_a_reading() {
    let file = json!({"device": ["/serial", "/unit/name", "/id"], "null": "clear"});
    for body in [
        r#"{"serial":"a","unit":{"name":"b","x":1},"id":"c"}"#,
        r#"{"serial":"","unit":{"name":"a","x":1},"id":null}"#,
        r#"{"serial":null,"unit":{"x":1},"id":"a"}"#,
    ] {
        let decoded = record(&file, body);
        assert_eq!((decoded.device_id.as_str(), values(&decoded)), ("a", json!({"unit.x": 1})), "{body}");
    }
}

#[test]
fn a_device_id_that_is_neither_text_nor_integer_is_rejected() {
    for (value, found) in
        [("1.5", "1.5"), ("true", "true"), ("{}", "an empty object"), ("[1]", "an array of 1 element")]
    {
        assert_eq!(
            issue(&json!({}), format!(r#"{{"deviceId":{value}}}"#)),
            format!("the device id at /deviceId must be a text or an integer, found {found}")
        );
    }
}

#[test]
fn a_missing_device_id_is_reported_with_the_names_that_may_be_meant() {
    let looked_for = "the device id is missing or empty: nothing is at /deviceId or /DeviceId or /device_id or /id";
    let remedy = ": name its place with `device` in the telemetry file";
    for (body, hints) in [
        (r#"{"x":1}"#, ""),
        (r#"{"deviceId":""}"#, ""),
        (r#"{"deviceid":"a","x":1}"#, r#"; there is "deviceid""#),
        (r#"{"Device-ID":"a"}"#, r#"; there is "Device-ID""#),
        (r#"{"devEUI":"a","sensorId":1,"grid":true,"deviceIdd":""}"#, r#"; there is "devEUI"; there is "sensorId""#),
    ] {
        assert_eq!(issue(&json!({}), body), format!("{looked_for}{hints}{remedy}"), "{body}");
    }
    let many: Vec<_> = (0..1000).map(|n| format!(r#""sensor{n}Id":1"#)).collect();
    let issue = issue(&json!({}), format!("{{{}}}", many.join(",")));
    assert_eq!(issue.matches("; there is").count(), 5);
}

#[test]
fn a_record_without_the_id_that_the_file_names_is_reported() {
    let file = json!({"device": ["/serial", "/unit/no"]});
    for (body, hint) in [(r#"{"x":1}"#, ""), (r#"{"Serial":"a"}"#, r#"; there is "Serial""#)] {
        let expected =
            format!("the device id is missing or empty: nothing is at /serial or /unit/no in this record{hint}");
        assert_eq!(issue(&file, body), expected);
    }
}

#[test]
fn the_device_that_iot_hub_authenticated_is_used_as_the_setting_says() {
    let decode = |setting, body: &str, authenticated: Option<&str>| {
        let mut mapping = Mapping::any_json();
        mapping.device_id_from_iot_hub = setting;
        let event = Event { iot_hub_device_id: authenticated.map(str::to_owned), ..event(body) };
        AnyTelemetry::new(mapping, Formats::default()).decode(&event)
    };
    let (unnamed, named) = (r#"{"x":1}"#, r#"{"deviceId":"a"}"#);
    for (setting, body, authenticated, expected) in [
        (DeviceIdFromIotHub::Fallback, unnamed, Some("h"), Some("h")),
        (DeviceIdFromIotHub::Fallback, named, Some("h"), Some("a")),
        (DeviceIdFromIotHub::Fallback, named, None, Some("a")),
        (DeviceIdFromIotHub::Fallback, unnamed, None, None),
        (DeviceIdFromIotHub::Fallback, unnamed, Some(""), None),
        (DeviceIdFromIotHub::Unused, unnamed, Some("h"), None),
        (DeviceIdFromIotHub::Unused, named, Some("h"), Some("a")),
        (DeviceIdFromIotHub::Required, unnamed, Some("h"), Some("h")),
        (DeviceIdFromIotHub::Required, named, Some("a"), Some("a")),
        (DeviceIdFromIotHub::Required, named, Some("h"), None),
        (DeviceIdFromIotHub::Required, named, None, None),
    ] {
        let decoded = decode(setting, body, authenticated).ok().map(|decoded| decoded.device_id);
        assert_eq!(decoded.as_deref(), expected, "{setting:?} {body} {authenticated:?}");
    }
    assert_eq!(
        issue_of(decode(DeviceIdFromIotHub::Required, named, Some("h"))),
        "the event names the device \"a\", but IoT Hub authenticated \"h\": with `DeviceIdFromIoTHub` `required` they must be \
         equal"
    );
}

#[test]
fn a_name_that_cannot_be_a_reading_is_rejected_by_name() {
    let long = "n".repeat(257);
    for (body, expected) in [
        (
            r#"{"deviceId":"a","id":"b"}"#.to_owned(),
            "\"id\" cannot be the name of a reading: it is reserved in the state document. Give it another name in the telemetry \
             file, or leave it out with \"device\": \"/deviceId\", \"readings\": {\"*\": {\"exclude\": [\"id\"]}}",
        ),
        (r#"{"deviceId":"a","ttl":1}"#.into(), "or leave it out with \"readings\": {\"*\": {\"exclude\": [\"ttl\"]}}"),
        (r#"{"deviceId":"a","Versions":[1]}"#.into(), "\"Versions\" cannot be"),
        (r#"{"deviceId":"a","Heard":true}"#.into(), "\"Heard\" cannot be"),
        (r#"{"deviceId":"a","SilentSince":"2024"}"#.into(), "\"SilentSince\" cannot be"),
        (r#"{"deviceId":"a","_etag":1}"#.into(), "\"_etag\" cannot be"),
        (r#"{"deviceId":"a","":1}"#.into(), "\"\" cannot be the name of a reading: it is empty."),
        (r#"{"deviceId":"a","a.b":1,"a":{"b":2}}"#.into(), "the reading \"a.b\" is given twice"),
        (format!(r#"{{"deviceId":"a","{long}":1}}"#), "of a reading has 257 bytes: 256 are allowed"),
    ] {
        let issue = issue(&json!({}), body);
        assert!(issue.contains(expected), "{issue}");
    }
    assert_eq!(readings(&json!({}), r#"{"deviceId":"a","Versions":{"x":1},"_":{}}"#), json!({"Versions.x": 1}));
    let longest = "n".repeat(256);
    assert_eq!(readings(&json!({}), format!(r#"{{"deviceId":"a","{longest}":1}}"#)), json!({longest: 1}));
}

#[test]
fn a_body_has_one_record_or_several() {
    let three = [r#"{"id":"a","x":1}"#, r#"{"id":"b"}"#, r#"{"id":"a","x":2}"#];
    for body in [
        three.join("\n"),
        three.join("\r\n") + "\n\n",
        three.concat(),
        format!("[{}]", three.join(",")),
        format!("[{},{}]\n{}", three[0], three[1], three[2]),
    ] {
        let ids: Vec<_> = records(&json!({}), body.clone())
            .into_iter()
            .map(|record| match record {
                DecodedRecord::Valid(decoded) => (decoded.device_id.clone(), values(&decoded)),
                other => panic!("{other:?}"),
            })
            .collect();
        let expected = [("a", json!({"x": 1})), ("b", json!({})), ("a", json!({"x": 2}))];
        assert_eq!(ids, expected.map(|(id, values)| (id.to_owned(), values)), "{body}");
    }
}

#[test]
fn only_the_records_that_are_not_valid_fail() {
    let decoded = records(&json!({}), r#"[{"id":"a"},5,{"id":"b","_x":1},{"id":"c"},[]]"#);
    let described: Vec<_> = decoded
        .iter()
        .map(|record| match record {
            DecodedRecord::Valid(decoded) => decoded.device_id.clone(),
            DecodedRecord::Failed { device_id, poison } => format!("{device_id:?} {poison}"),
            DecodedRecord::Ignored => panic!("nothing is ignored"),
        })
        .collect();
    assert_eq!(described[0], "a");
    assert!(described[1].starts_with("None the device id is missing: nothing is at /deviceId"), "{}", described[1]);
    assert!(described[1].ends_with("the record is 5"), "{}", described[1]);
    assert!(described[2].starts_with("Some(\"b\") \"_x\" cannot be"), "{}", described[2]);
    assert_eq!(described[3], "c");
    assert!(described[4].ends_with("the record is an array of 0 elements"), "{}", described[4]);
}
