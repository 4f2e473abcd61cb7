//! Protobuf messages by a descriptor set.

use std::fs;

use devicestate_engine::telemetry::Telemetry as _;
use devicestate_telemetry::{
    AnyTelemetry,
    formats::{FormatError, Formats, ProtobufFormat},
    mapping::Mapping,
    unwrapping::unwrap,
};
use prost_reflect::{
    prost::{Message as _, encoding::encode_varint},
    prost_types::{
        DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
        FileDescriptorSet, MessageOptions,
        field_descriptor_proto::{Label, Type},
    },
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::events::{event, hex, issue, typed, value, with_properties};

fn field(name: &str, number: i32, kind: Type) -> FieldDescriptorProto {
    let mut field =
        FieldDescriptorProto { name: Some(name.into()), number: Some(number), ..FieldDescriptorProto::default() };
    field.set_label(Label::Optional);
    field.set_type(kind);
    field
}

fn message_field(name: &str, number: i32, kind: Type, type_name: &str) -> FieldDescriptorProto {
    FieldDescriptorProto { type_name: Some(type_name.into()), ..field(name, number, kind) }
}

fn repeated(mut field: FieldDescriptorProto) -> FieldDescriptorProto {
    field.set_label(Label::Repeated);
    field
}

fn message(name: &str, fields: Vec<FieldDescriptorProto>) -> DescriptorProto {
    DescriptorProto { name: Some(name.into()), field: fields, ..DescriptorProto::default() }
}

fn file(package: &str, syntax: &str, messages: Vec<DescriptorProto>, enums: &[(&str, &[&str])]) -> FileDescriptorProto {
    let enums = enums.iter().map(|(name, values)| {
        let values = (0..).zip(*values).map(|(number, name)| EnumValueDescriptorProto {
            name: Some((*name).into()),
            number: Some(number),
            options: None,
        });
        EnumDescriptorProto { name: Some((*name).into()), value: values.collect(), ..EnumDescriptorProto::default() }
    });
    FileDescriptorProto {
        name: Some(format!("{package}.proto")),
        package: Some(package.into()),
        syntax: Some(syntax.into()),
        message_type: messages,
        enum_type: enums.collect(),
        ..FileDescriptorProto::default()
    }
}

/// The message of the reference implementation.
fn drone() -> FileDescriptorProto {
    let position = ["latitude", "longitude", "altitude"];
    let health = ["gyrometerOK", "accelerometerOK", "magnetometerOK"];
    let fields = |names: [&str; 3], kind| (1..).zip(names).map(|(number, name)| field(name, number, kind)).collect();
    let state = message(
        "DroneState",
        vec![
            field("DeviceId", 1, Type::String),
            field("Battery", 2, Type::Double),
            message_field("FlightMode", 3, Type::Enum, ".drone.DroneFlightMode"),
            message_field("Position", 4, Type::Message, ".drone.Position"),
            message_field("Health", 5, Type::Message, ".drone.Health"),
            field("IsKeyFrame", 6, Type::Bool),
        ],
    );
    let messages =
        vec![state, message("Position", fields(position, Type::Double)), message("Health", fields(health, Type::Bool))];
    file(
        "drone",
        "proto2",
        messages,
        &[("DroneFlightMode", &["Unknown", "Ready", "Takeoff", "Inflight", "Landing", "Offline"])],
    )
}

/// A message of proto3 with each type, and a nested one.
fn fleet() -> FileDescriptorProto {
    let mut entry = message("LabelsEntry", vec![field("key", 1, Type::String), field("value", 2, Type::Sint64)]);
    entry.options = Some(MessageOptions { map_entry: Some(true), ..MessageOptions::default() });
    let mut telemetry = message(
        "Telemetry",
        vec![
            field("device_id", 1, Type::String),
            field("total", 2, Type::Uint64),
            field("delta", 3, Type::Sint64),
            field("temp", 4, Type::Float),
            field("alarm", 5, Type::Bool),
            field("raw", 6, Type::Bytes),
            repeated(field("samples", 7, Type::Int32)),
            repeated(message_field("labels", 8, Type::Message, ".fleet.v1.Telemetry.LabelsEntry")),
            message_field("mode", 9, Type::Enum, ".fleet.v1.Mode"),
            message_field("motor", 10, Type::Message, ".fleet.v1.Telemetry.Motor"),
            message_field("at", 11, Type::Message, ".google.protobuf.Timestamp"),
            message_field("for", 12, Type::Message, ".google.protobuf.Duration"),
            message_field("limit", 13, Type::Message, ".google.protobuf.DoubleValue"),
            message_field("extra", 14, Type::Message, ".google.protobuf.Struct"),
        ],
    );
    telemetry.nested_type = vec![message("Motor", vec![field("rpm", 1, Type::Int32)]), entry];
    let mut file = file("fleet.v1", "proto3", vec![message("Other", vec![]), telemetry], &[("Mode", &["IDLE", "RUN"])]);
    file.dependency =
        ["timestamp", "duration", "wrappers", "struct"].map(|name| format!("google/protobuf/{name}.proto")).into();
    file
}

fn load(files: Vec<FileDescriptorProto>, format: &Value) -> Result<Formats, FormatError> {
    let directory = TempDir::new().expect("a folder");
    let set = FileDescriptorSet { file: files };
    fs::write(directory.path().join("fleet.binpb"), set.encode_to_vec()).expect("a file");
    let format = ProtobufFormat {
        descriptors: format["descriptors"].as_str().unwrap_or("fleet.binpb").to_owned(),
        message: format["message"].as_str().expect("a text").to_owned(),
        defaults: format["defaults"] == true,
    };
    Formats::load(None, Some(&format), directory.path())
}

fn of_drones() -> Formats {
    load(vec![drone()], &json!({"message": "drone.DroneState"})).expect("the descriptors")
}

fn of_fleet(defaults: bool) -> Formats {
    let google = prost_reflect::DescriptorPool::global();
    let mut files: Vec<_> = ["timestamp", "duration", "wrappers", "struct"]
        .iter()
        .map(|name| google.get_file_by_name(&format!("google/protobuf/{name}.proto")).expect("a well-known file"))
        .map(|file| file.file_descriptor_proto().clone())
        .collect();
    files.push(fleet());
    load(files, &json!({"message": "fleet.v1.Telemetry", "defaults": defaults})).expect("the descriptors")
}

#[test]
fn the_bytes_of_the_reference_are_its_fields() {
    let formats = of_drones();
    let full =
        hex("0a15736f6d655f72616e646f6d5f6465766963655f696411ae47e17a14aeef3f1803221b09000000000040464011cdcccccc\
        cc4c4640190000000000407f402a060801100018003001");
    let expected = json!({"DeviceId": "some_random_device_id", "Battery": 0.99, "FlightMode": "Inflight",
        "Position": {"latitude": 44.5, "longitude": 44.6, "altitude": 500.0},
        "Health": {"gyrometerOK": true, "accelerometerOK": false, "magnetometerOK": false}, "IsKeyFrame": true});
    for content_type in ["", "application/x-protobuf", "application/octet-stream"] {
        assert_eq!(value(&typed(content_type, &full), &formats), expected);
    }
}

#[test]
fn a_field_that_is_set_is_present_even_if_it_is_zero() {
    let formats = of_drones();
    for (body, expected) in [
        ("0a0764726f6e652d37", json!({"DeviceId": "drone-7"})),
        ("0a0764726f6e652d371800", json!({"DeviceId": "drone-7", "FlightMode": "Unknown"})),
        ("0a0764726f6e652d37110000000000000000", json!({"DeviceId": "drone-7", "Battery": 0.0})),
        (
            "0a01642a06080010001800",
            json!({"DeviceId": "d", "Health": {"gyrometerOK": false, "accelerometerOK": false, "magnetometerOK": false}}),
        ),
        ("", json!({})),
    ] {
        assert_eq!(value(&typed("application/protobuf", hex(body)), &formats), expected);
    }
    // An undefined number of an enum remains a number.
    assert_eq!(value(&event(hex("0a01641863")), &formats), json!({"DeviceId": "d", "FlightMode": 99}));
}

#[test]
fn json_is_still_json() {
    let formats = of_drones();
    for body in [
        r#"{"a":1}"#,
        "\n{\"a\":1}",
        "\u{feff}{\"a\":1}",
        "\"{\\\"a\\\":1}\"",
        "{\"a\":1}\0",
        "{\0\"\0a\0\"\0:\x001\0}\0",
    ] {
        assert_eq!(value(&event(body), &formats), json!({"a": 1}), "{body:?}");
        assert_eq!(value(&typed("application/json", body), &formats), json!({"a": 1}), "{body:?}");
    }
    // A line feed and `{` are also field 1 with 123 bytes.
    let long = [b"\n{".to_vec(), vec![b'a'; 123]].concat();
    assert_eq!(value(&event(&long), &formats)["DeviceId"], "a".repeat(123));
}

#[test]
fn a_body_that_does_not_decode_is_poison_that_names_the_message() {
    let formats = of_drones();
    for body in ["0a0764726f", "0a01640c", "0a02fffe", "1d00000000"] {
        let issue = issue(&event(hex(body)), &formats);
        assert!(issue.starts_with("the body is not the protobuf message drone.DroneState: "), "{issue}");
    }
    let nan = issue(&event(hex("0a0164220909000000000000f87f")), &formats);
    assert_eq!(
        nan,
        "the protobuf message drone.DroneState: Position: latitude: NaN is a number that JSON cannot represent"
    );
}

#[test]
fn each_type_has_its_json() {
    let body = hex("0a0670756d702d3110ffffffffffffffffff01180125cdcccc3d2801\
        32030102033a0301020342090a056e6f72746810024801\
        520308b0095a0b08c0cab5d80610c0a9d33a620b08ffffffffffffffffff01\
        6a0909000000000000f83f72100a0e0a0161120911000000000000f03f");
    assert_eq!(
        value(&event(&body), &of_fleet(false)),
        json!({"device_id": "pump-1", "total": u64::MAX, "delta": -1, "temp": 0.1, "alarm": true, "raw": "AQID",
            "samples": [1, 2, 3], "labels": {"north": 1}, "mode": "RUN", "motor": {"rpm": 1200},
            "at": "2026-11-30T12:00:00.123Z", "for": "-1s", "limit": 1.5, "extra": {"a": 1.0}})
    );
}

#[test]
fn fields_without_presence_are_absent_or_have_their_defaults() {
    let body = hex("0a0670756d702d315200");
    assert_eq!(value(&event(&body), &of_fleet(false)), json!({"device_id": "pump-1", "motor": {}}));
    assert_eq!(
        value(&event(&body), &of_fleet(true)),
        json!({"device_id": "pump-1", "total": 0, "delta": 0, "temp": 0.0, "alarm": false, "raw": "", "mode": "IDLE",
            "motor": {"rpm": 0}})
    );
    // In proto2 each field has presence.
    let drones =
        load(vec![drone()], &json!({"message": "drone.DroneState", "defaults": true})).expect("the descriptors");
    assert_eq!(value(&event(hex("0a0164")), &drones), json!({"DeviceId": "d"}));
}

#[test]
fn the_message_after_a_schema_id_is_found_by_its_indexes() {
    let formats = of_fleet(false);
    let frame = |indexes: &[u8], body: &[u8]| [&[0, 0, 0, 0, 9], indexes, body].concat();
    // The second message of the file, and the first message in it.
    for (indexes, body, expected) in [
        (&[2, 2][..], "0a0670756d702d31", json!({"device_id": "pump-1"})),
        (&[4, 2, 0], "08b009", json!({"rpm": 1200})),
        (&[0], "", json!({})),
    ] {
        let body = frame(indexes, &hex(body));
        for event in [event(&body), typed("application/protobuf", &body), typed("text/plain", &body)] {
            assert_eq!(value(&event, &formats), expected);
        }
    }
    for indexes in [&[2, 9][..], &[4, 2, 9], &[3], &[0xff; 12], &[]] {
        let issue = issue(&event(frame(indexes, &[0; 0])), &formats);
        assert!(issue.contains("schema id 9") || issue.contains("name none of the file fleet.v1.proto"), "{issue}");
    }
}

#[test]
fn field_15_is_not_zlib() {
    let formats = load(
        vec![file("p", "proto3", vec![message("M", vec![field("x", 15, Type::Int32)])], &[])],
        &json!({"message": "p.M"}),
    )
    .expect("the descriptors");
    // The first bytes of zlib, too.
    assert_eq!(value(&event(hex("789c01")), &formats), json!({"x": 156}));
    let binary = typed("application/protobuf", hex("789c01"));
    assert_eq!(value(&binary, &formats), json!({"x": 156}));
    let not_packed = with_properties(binary, &json!({"content-encoding": "deflate"}), &json!({}));
    assert_eq!(value(&not_packed, &formats), json!({"x": 156}));
}

#[test]
fn a_packed_message_with_its_content_encoding_is_unpacked() {
    let body = super::unwrapping::compression::zlib(hex("0a0164"));
    let event =
        with_properties(typed("application/protobuf", body), &json!({"content-encoding": "deflate"}), &json!({}));
    assert_eq!(value(&event, &of_drones()), json!({"DeviceId": "d"}));
}

#[test]
fn a_message_has_a_limit() {
    let body = [b"\x0a\x80\x80\x40".to_vec(), vec![b'a'; 1024 * 1024]].concat();
    let issue = issue(&typed("application/protobuf", body), &of_drones());
    assert_eq!(issue, "the protobuf message drone.DroneState has 1048580 bytes: at most 1048576 are decoded");
}

#[test]
fn defaults_are_bounded() {
    let many = (1..=1_000).map(|number| field(&format!("f{number}"), number, Type::Int32)).collect();
    let outer = message("Outer", vec![repeated(message_field("inner", 1, Type::Message, ".p.Inner"))]);
    let formats = load(
        vec![file("p", "proto3", vec![outer, message("Inner", many)], &[])],
        &json!({"message": "p.Outer", "defaults": true}),
    )
    .expect("the descriptors");
    let issue = issue(&event(hex(&"0a00".repeat(1_000))), &formats);
    assert!(issue.ends_with("it has more values than a body of its size can have"), "{issue}");
}

#[test]
fn descriptors_that_do_not_fit_are_start_errors() {
    let unknown = load(vec![drone()], &json!({"message": "drone.Drone"})).expect_err("an error");
    assert_eq!(
        unknown.to_string(),
        "/protobuf/message: the file fleet.binpb has no message `drone.Drone`; it has drone.DroneState, drone.Health, \
         drone.Position"
    );
    let incomplete = load(vec![fleet()], &json!({"message": "fleet.v1.Telemetry"})).expect_err("an error");
    assert_eq!(incomplete.pointer, "/protobuf/descriptors");
    assert!(incomplete.message.contains("`protoc --include_imports --descriptor_set_out=fleet.binpb`"), "{incomplete}");
    let missing = load(vec![], &json!({"message": "m", "descriptors": "other.binpb"})).expect_err("an error");
    assert!(missing.message.contains("other.binpb cannot be read"), "{missing}");
}

#[test]
fn changed_bytes_never_cause_a_panic() {
    let formats = of_fleet(true);
    let body = hex("0a0670756d702d3110ffffffffffffffffff01180125cdcccc3d280132030102033a030102034801520308b009");
    let mut random = fastrand::Rng::with_seed(24);
    for _ in 0..2_000 {
        let mut changed = body.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..changed.len());
            changed[at] = random.u8(..);
        }
        let _ = unwrap(&event(changed), &formats);
    }
}

#[test]
fn a_value_that_a_document_cannot_contain_fails() {
    let node = message(
        "Node",
        vec![field("deviceId", 1, Type::String), repeated(message_field("children", 2, Type::Message, ".p.Node"))],
    );
    let formats =
        load(vec![file("p", "proto3", vec![node], &[])], &json!({"message": "p.Node"})).expect("the descriptors");
    let telemetry = AnyTelemetry::new(Mapping::any_json(), formats);
    let record = |levels: usize| {
        // Each level is an array and an object.
        let inner = (0..levels).fold(Vec::new(), |inner, _| {
            let mut outer = vec![0x12];
            encode_varint(inner.len() as u64, &mut outer);
            outer.extend(inner);
            outer
        });
        telemetry.decode(&typed("application/protobuf", [b"\x0a\x01a".to_vec(), inner].concat()))
    };
    let document = json!({"children": record(63).expect("a valid record").readings[0].value});
    assert!(serde_json::from_str::<Value>(&document.to_string()).is_ok());
    let poison = record(64).expect_err("it is too deep");
    assert_eq!(poison.to_string(), r#"the reading "children" is nested more deeply than 126 levels"#);
}

#[test]
fn of_several_problems_in_a_map_the_same_is_reported_each_time() {
    let mut entry = message("XEntry", vec![field("key", 1, Type::Int32), field("value", 2, Type::Double)]);
    entry.options = Some(MessageOptions { map_entry: Some(true), ..MessageOptions::default() });
    let mut outer = message("M", vec![repeated(message_field("x", 1, Type::Message, ".p.M.XEntry"))]);
    outer.nested_type = vec![entry];
    let formats =
        load(vec![file("p", "proto3", vec![outer], &[])], &json!({"message": "p.M"})).expect("the descriptors");
    // -inf, inf and NaN.
    let body = hex("0a0b080111000000000000f0ff0a0b080211000000000000f07f0a0b080311000000000000f87f");
    for _ in 0..20 {
        let issue = issue(&event(&body), &formats);
        assert_eq!(issue, "the protobuf message p.M: x: -inf is a number that JSON cannot represent");
    }
}
