//! Any decoded body can be stored, and its JSON form decodes to the same device id and readings. JSON is decoded as by the
//! mapping of completely parsed JSON.
#![no_main]

use std::{borrow::Cow, collections::BTreeSet};

use bytes::Bytes;
use devicestate_engine::{
    batch::Event,
    device_state::{Document, Update, Version, document_id, is_reading_name},
    telemetry::{
        Decoded, Poison, Records, Telemetry,
        drone::{DeviceIdFromIotHub, Drone, Format},
    },
};
use devicestate_telemetry::{
    AnyTelemetry,
    file::TelemetryFile,
    formats::Formats,
    mapping::{self, Context, Mapping},
    unwrapping::{Content, Unwrapped, unwrap},
};
use libfuzzer_sys::fuzz_target;
use serde_json::Map;

fuzz_target!(|body: &[u8]| {
    for format in [Format::Auto, Format::Json, Format::Protobuf] {
        for device_id_from_iot_hub in
            [DeviceIdFromIotHub::Unused, DeviceIdFromIotHub::Fallback, DeviceIdFromIotHub::Required]
        {
            assert_consistent(Drone { format, device_id_from_iot_hub }, body);
        }
    }
    for file in FILES {
        assert_as_mapped(file, body);
    }
});

/// Telemetry files with rules for members that JSON in the corpus has.
const FILES: [&str; 3] = [
    "{}",
    r#"{"null":"clear","objects":"whole","readings":{"*":{"exclude":["note*"]}}}"#,
    r#"{"device":["/deviceId","/DeviceId"],"readings":{"battery":{"from":"/battery","type":"number","range":[0,null]},
        "mode":{"from":"/flightMode","values":{"Ready":1,"Inflight":3}},"*":"/position"}}"#,
];

/// Decodes JSON by a mapping, after it was parsed completely.
struct Mapped(Mapping);

impl Telemetry for Mapped {
    fn decode_into<'e>(&self, event: &'e Event, records: &mut Records<'_, 'e>) -> Result<(), Poison> {
        let values = mapping::parse(&event.body)?;
        self.0.map_values(&values, &Context::new(event, Map::new()), records, &mut 0)
    }
}

/// Asserts that JSON that needs no unwrapping is decoded as its mapping says. The second time, its names are known.
fn assert_as_mapped(file: &str, body: &[u8]) {
    let (event, formats) = (event(body, None), Formats::default());
    let Ok(Unwrapped { content: Content::Json(Cow::Borrowed(text)), cloud_event }) = unwrap(&event, &formats) else {
        return;
    };
    // Of JSON lines, one that is not valid fails alone; the mapping alone has no lines.
    let may_be_lines = body.contains(&b'\n') && mapping::parse(body).is_err();
    if text != body || !cloud_event.is_empty() || may_be_lines {
        return;
    }
    let mapping = TelemetryFile::parse(file.as_bytes()).expect("a telemetry file").mapping;
    let telemetry = AnyTelemetry::new(mapping.clone(), formats.clone());
    let expected = Mapped(mapping).decode_records(&event);
    for _ in 0..2 {
        assert_eq!(telemetry.decode_records(&event), expected, "{file}");
    }
}

fn event(body: &[u8], content_type: Option<&str>) -> Event {
    Event {
        body: Bytes::copy_from_slice(body),
        content_type: content_type.map(Into::into),
        iot_hub_device_id: Some("authenticated".into()),
        ..Event::default()
    }
}

fn assert_consistent(drone: Drone, body: &[u8]) {
    let decoded = drone.decode(&event(body, None));
    if let Ok(decoded) = &decoded {
        assert_storable(decoded);
    }
    // A content type has the same effect as the setting.
    for (content_type, format) in [("application/json", Format::Json), ("application/x-protobuf", Format::Protobuf)] {
        if drone.format == format {
            assert_eq!(drone.decode(&event(body, Some(content_type))), decoded);
        }
    }
    match drone.to_json(&event(body, None)) {
        Some(shown) => {
            let as_json = event(shown.to_string().as_bytes(), Some("application/json"));
            // Skipped fields may be missing in what is shown, or have another order.
            let stored = |decoded: Decoded| (decoded.device_id, decoded.readings);
            assert_eq!(drone.decode(&as_json).ok().map(stored), decoded.ok().map(stored), "{shown}");
            assert_eq!(drone.to_json(&as_json), Some(shown), "JSON is unchanged");
        }
        // Ignored fields of a JSON body may contain what a value cannot represent.
        None => assert!(decoded.is_err() || drone.format != Format::Protobuf, "{decoded:?}"),
    }
}

/// Asserts that the readings form a document that is read as it was written.
fn assert_storable(Decoded { device_id, readings, .. }: &Decoded) {
    assert!(!device_id.is_empty());
    assert!(readings.iter().all(|reading| is_reading_name(&reading.name) && !reading.value.is_null()), "{readings:?}");
    let names: BTreeSet<_> = readings.iter().map(|reading| &reading.name).collect();
    assert_eq!(names.len(), readings.len(), "{readings:?}");
    let mut update = Update::default();
    update.fold(Version { time_ms: 1, sequence_number: 2, source: 3, record: 0 }, readings);
    let mut document = Document::new(document_id(device_id).into_owned());
    assert_eq!(document.merge(&update), !readings.is_empty());
    let text = serde_json::to_string(&document).expect("a document is JSON");
    assert_eq!(serde_json::from_str::<Document>(&text).expect("a document"), document);
}
