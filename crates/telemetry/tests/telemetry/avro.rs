//! What Avro's values become, single-object encoding and schemas of a registry.
//!
//! The crate `apache-avro` 0.21 wrote `tests/fixtures/avro`. Its fingerprints of schemas with logical types are not those of the
//! specification, so the one in `single-object.bin` is that of the schema without them.

use std::{fs, path::Path};

use devicestate_telemetry::{
    formats::{AvroFormat, FormatError, Formats},
    unwrapping::{Content, unwrap},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::events::{event, fixture, fixture_path, hex, issue, to_value, typed, value};

/// The record of the fixtures.
fn expected() -> Value {
    json!({
        "deviceId": "pump-1", "battery": 0.1, "pressure": 3.25, "count": -5_000_000_000_i64, "level": 7, "on": true,
        "mode": "RUN", "raw": "AQID", "tag": "/wAB", "price": -123.45,
        "ts": "2026-11-30T12:00:00.123Z", "us": "2026-11-30T12:00:00.123456Z", "local": "2026-11-30T12:00:00.123",
        "day": "2026-11-30", "at": "12:00:00.123", "atus": "12:00:00.123456", "labels": {"site": "north"},
        "history": [{"x": 1, "next": {"x": 2, "next": null}}, {"x": 3, "next": null}], "last": null,
    })
}

/// The datum of the fixtures: without the marker and the fingerprint.
fn datum() -> Vec<u8> {
    fixture("avro/single-object.bin").split_off(10)
}

fn frame(id: u32, body: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], body].concat()
}

fn load(format: &Value, directory: &Path) -> Result<Formats, FormatError> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let schemas = format["schemas"].as_array().into_iter().flatten().map(text).collect();
    let ids = format["ids"].as_object().into_iter().flatten().map(|(id, file)| (id.clone(), text(file))).collect();
    Formats::load(Some(&AvroFormat { schemas, ids }), None, directory)
}

/// Loads the schemas of these texts: the first is `0.avsc`.
fn load_schemas(schemas: &[Value]) -> Result<Formats, FormatError> {
    let directory = TempDir::new().expect("a folder");
    for (index, schema) in schemas.iter().enumerate() {
        fs::write(directory.path().join(format!("{index}.avsc")), schema.to_string()).expect("a file");
    }
    load(&json!({"schemas": ["*.avsc"]}), directory.path())
}

fn of_fixtures(ids: &Value) -> Formats {
    let format = json!({"schemas": ["telemetry.avsc"], "ids": ids});
    load(&format, &fixture_path("avro")).expect("the schema")
}

#[test]
fn each_datum_of_a_file_is_a_part() {
    for codec in ["null", "deflate", "zstandard"] {
        let file = fixture(&format!("avro/{codec}.avro"));
        for event in [event(&file), typed("application/avro", &file), typed("application/json", &file)] {
            let unwrapped = unwrap(&event, &Formats::default()).expect("an Avro file");
            assert!(matches!(&unwrapped.content, Content::Parts(parts) if parts.len() == 2));
            assert_eq!(to_value(&unwrapped), json!([expected(), expected()]), "{codec}");
        }
    }
}

#[test]
fn a_file_of_event_hubs_capture_is_read() {
    let records = value(&event(fixture("cases/22-capture.avro")), &Formats::default());
    assert_eq!(records[0]["Body"], "eyJkZXZpY2VJZCI6ICJkcm9uZS0wIiwgImJhdHRlcnkiOiAwLjl9");
    assert_eq!(records[0]["SequenceNumber"], 4100);
    assert_eq!(records.as_array().map(Vec::len), Some(4));
}

#[test]
fn single_object_encoding_finds_its_schema_by_the_fingerprint() {
    let formats = of_fixtures(&json!({}));
    let object = fixture("avro/single-object.bin");
    for event in [event(&object), typed("avro/binary", &object), typed("application/octet-stream", &object)] {
        assert_eq!(value(&event, &formats), expected());
    }
}

#[test]
fn the_fingerprint_is_that_of_the_canonical_form() {
    // The first two are test vectors of the specification.
    for (schema, fingerprint, datum) in [
        (json!("null"), 0x63dd_24e7_cc25_8f8a_u64, &b""[..]),
        (json!({"type": "int", "doc": "no part of it"}), 0x7275_d51a_3f39_5c8f, b"\x04"),
        (
            json!({"size": 4, "namespace": "a", "name": "F", "type": "fixed", "aliases": ["b"]}),
            0xe8aa_f074_9533_3858,
            b"abcd",
        ),
        (json!(["int", "null"]), 0x7086_f21f_a71d_b8e8, b"\x02"),
    ] {
        let formats = load_schemas(std::slice::from_ref(&schema)).expect("a schema");
        let body = [&b"\xc3\x01"[..], &fingerprint.to_le_bytes(), datum].concat();
        assert!(unwrap(&event(body), &formats).is_ok(), "{schema}");
    }
}

#[test]
fn the_id_of_a_registry_finds_the_schema() {
    let azure = "0123456789ABCDEF0123456789abcdef";
    let formats = of_fixtures(&json!({"7": "telemetry.avsc", azure: "telemetry.avsc"}));
    for event in [
        event(frame(7, &datum())),
        typed("application/vnd.confluent.avro", frame(7, &datum())),
        typed(&format!("avro/binary+{azure}"), datum()),
        typed(&format!("avro%2Fbinary%2B{azure}"), datum()),
        event([&[0; 4], azure.as_bytes(), &datum()].concat()),
    ] {
        assert_eq!(value(&event, &formats), expected(), "{event:?}");
    }
}

#[test]
fn an_unknown_id_is_named() {
    let formats = of_fixtures(&json!({"7": "telemetry.avsc"}));
    let framed = issue(&event(frame(4_000_000_000, &datum())), &formats);
    assert_eq!(
        framed,
        "the body has the schema id 4000000000 of a schema registry, which the telemetry file does not have: add it to `avro`, \
         `ids` with the file of its schema"
    );
    let typed_frame = issue(&typed("application/avro", frame(8, &datum())), &formats);
    assert!(typed_frame.starts_with("the body has the schema id 8 of a schema registry"), "{typed_frame}");
    let azure = issue(&typed("avro/binary+ffffffffffffffffffffffffffffffff", datum()), &formats);
    assert!(azure.contains("the schema id ffffffffffffffffffffffffffffffff of"), "{azure}");
}

#[test]
fn json_after_a_frame_is_json() {
    for formats in [Formats::default(), of_fixtures(&json!({"7": "telemetry.avsc"}))] {
        assert_eq!(value(&event(frame(8, br#"{"rpm":1}"#)), &formats), json!({"rpm": 1}));
        assert_eq!(value(&typed("application/json", frame(8, br#"[{"rpm":1}]"#)), &formats), json!([{"rpm": 1}]));
    }
}

#[test]
fn a_datum_without_the_name_of_its_schema_needs_a_package_with_one() {
    for content_type in ["application/avro", "avro/binary", "application/vnd.apache.avro+binary"] {
        assert_eq!(value(&typed(content_type, datum()), &of_fixtures(&json!({}))), expected());
    }
    let two = load_schemas(&[json!("int"), json!("long")]).expect("two schemas");
    let issue = issue(&typed("avro/binary", b"\x04"), &two);
    assert!(issue.contains("not which of the 2 schemas"), "{issue}");
}

#[test]
fn names_of_other_schemas_are_found() {
    let pump = json!({"type": "record", "name": "fleet.Pump", "fields": [
        {"name": "motor", "type": "Motor"}, {"name": "spare", "type": ["null", "fleet.Motor"]}]});
    let motor =
        json!({"type": "record", "name": "Motor", "namespace": "fleet", "fields": [{"name": "rpm", "type": "int"}]});
    let formats = load_schemas(&[pump.clone(), motor.clone()]).expect("the schemas");
    // The fingerprint of a schema that contains both.
    let body = hex("c301cf1c4c6a59541c9d040206");
    assert_eq!(value(&event(body), &formats), json!({"motor": {"rpm": 2}, "spare": {"rpm": 3}}));
    let twice = load_schemas(&[pump, motor.clone(), motor]).expect_err("an error");
    assert!(twice.message.contains("the type `fleet.Motor` is defined by 2 schemas"), "{twice}");
}

#[test]
fn versions_of_a_schema_may_have_one_name() {
    let version = |fields: Value| json!({"type": "record", "name": "T", "fields": fields});
    let first = version(json!([{"name": "a", "type": "int"}]));
    let second = version(json!([{"name": "a", "type": "int"}, {"name": "b", "type": "int"}]));
    let directory = TempDir::new().expect("a folder");
    fs::create_dir(directory.path().join("schemas")).expect("a folder");
    for (name, schema) in [("1.avsc", first), ("2.avsc", second)] {
        fs::write(directory.path().join("schemas").join(name), schema.to_string()).expect("a file");
    }
    let formats =
        load(&json!({"ids": {"1": "schemas/1.avsc", "2": "schemas/2.avsc"}}), directory.path()).expect("both");
    assert_eq!(value(&event(frame(1, b"\x02")), &formats), json!({"a": 1}));
    assert_eq!(value(&event(frame(2, b"\x02\x04")), &formats), json!({"a": 1, "b": 2}));
}

#[test]
fn a_schema_that_does_not_resolve_cannot_be_loaded() {
    let record = |fields: Value| json!({"type": "record", "name": "T", "fields": fields});
    for (schema, expected) in [
        (
            record(json!([{"name": "m", "type": {"type": "array", "items": "Motor"}}])),
            "0.avsc: at /fields/0/type/items: the type `Motor` is not defined",
        ),
        (
            record(json!([{"name": "a", "type": "int"}, {"name": "a", "type": "int"}])),
            "at /fields/1: the field `a` is there twice",
        ),
        (record(json!([{"name": "a"}])), "at /fields/0: the member `type` is missing"),
        (json!({"type": "record", "name": "T"}), "a record needs an array `fields`"),
        (json!({"type": "fixed", "name": "T"}), "a fixed type needs a number `size`"),
        (json!({"type": "enum", "name": "T", "symbols": [1]}), "at /symbols: "),
        (
            json!([{"type": "fixed", "name": "T", "size": 1}, {"type": "fixed", "name": "T", "size": 1}]),
            "at /1: the type `T` is defined twice",
        ),
        (json!({"type": "bytes", "logicalType": "decimal", "scale": 1e9}), "the `scale` of a decimal"),
        (json!(5), "a schema is a name, an object or an array, not 5"),
        (record(json!([{"name": "n".repeat(300), "type": "int"}])), "a name has 300 bytes"),
    ] {
        let error = load_schemas(std::slice::from_ref(&schema)).expect_err("an error");
        assert!(error.message.contains(expected), "{error}");
        assert!(error.pointer.starts_with("/avro/schemas"), "{error}");
    }
}

#[test]
fn files_that_are_missing_are_named_with_their_place() {
    let directory = TempDir::new().expect("a folder");
    for (format, pointer, expected) in [
        (json!({"schemas": ["a.avsc"]}), "/avro/schemas/0", "a.avsc cannot be read"),
        (json!({"schemas": ["*.avsc"]}), "/avro/schemas/0", "matches \"*.avsc\""),
        (json!({"schemas": ["*/a.avsc"]}), "/avro/schemas/0", "only the name of the file may have a `*`"),
        (json!({"ids": {"7": "a.avsc"}}), "/avro/ids/7", "a.avsc cannot be read"),
        (json!({"ids": {"07": "a.avsc"}}), "/avro/ids/07", "\"07\" is not the id of a schema"),
        (json!({"ids": {"~/7": "a.avsc"}}), "/avro/ids/~0~17", "is not the id of a schema"),
        (json!({"ids": {"seven": "a.avsc"}}), "/avro/ids/seven", "is not the id of a schema"),
    ] {
        let error = load(&format, directory.path()).expect_err("an error");
        assert_eq!(error.pointer, pointer, "{error}");
        assert!(error.message.contains(expected), "{error}");
    }
}

fn number_of(schema: Value, datum: &[u8]) -> Result<Value, String> {
    let formats = load_schemas(&[schema]).expect("a schema");
    let event = typed("avro/binary", datum);
    match unwrap(&event, &formats) {
        Ok(unwrapped) => Ok(to_value(&unwrapped)),
        Err(poison) => Err(poison.to_string()),
    }
}

#[test]
fn a_decimal_is_a_number_if_a_double_has_its_digits() {
    let decimal = |scale: u32, bytes: &[u8]| {
        let length = u8::try_from(bytes.len() * 2).expect("few bytes");
        number_of(
            json!({"type": "bytes", "logicalType": "decimal", "precision": 40, "scale": scale}),
            &[&[length], bytes].concat(),
        )
    };
    assert_eq!(decimal(2, &[0x30, 0x39]), Ok(json!(123.45)));
    assert_eq!(decimal(0, &[0xff]), Ok(json!(-1)));
    assert_eq!(decimal(3, &[0xff]), Ok(json!(-0.001)));
    assert_eq!(decimal(2, &[]), Ok(json!(0.0)));
    assert_eq!(decimal(2, &[0xff; 20]), Ok(json!(-0.01)));
    assert_eq!(decimal(2, &123_456_789_012_345_678_i64.to_be_bytes()), Ok(json!("1234567890123456.78")));
    assert_eq!(decimal(0, &[&[0x7f][..], &[0xff; 15]].concat()), Ok(json!("170141183460469231731687303715884105727")));
    assert!(decimal(2, &[1; 17]).is_err_and(|issue| issue.contains("a decimal of 17 bytes is too large")));
}

#[test]
fn other_logical_types_are_texts() {
    let fixed =
        |size: usize, logical: &str| json!({"type": "fixed", "name": "F", "size": size, "logicalType": logical});
    let uuid = hex("0123456789abcdef0123456789abcdef");
    assert_eq!(number_of(fixed(16, "uuid"), &uuid), Ok(json!("01234567-89ab-cdef-0123-456789abcdef")));
    assert_eq!(number_of(fixed(12, "duration"), &hex("0100000002000000bc0b0000")), Ok(json!("P1M2DT3.004S")));
    assert_eq!(number_of(json!({"type": "int", "logicalType": "date"}), b"\x01"), Ok(json!("1969-12-31")));
    let millis = json!({"type": "long", "logicalType": "timestamp-millis"});
    assert_eq!(number_of(millis.clone(), b"\x01"), Ok(json!("1969-12-31T23:59:59.999Z")));
    let largest = hex("feffffffffffffffff01");
    assert!(number_of(millis, &largest).is_err_and(|issue| issue.contains("is out of the range of times")));
    // One that the underlying type cannot have, or that is unknown, is ignored.
    assert_eq!(number_of(json!({"type": "string", "logicalType": "date"}), b"\x02x"), Ok(json!("x")));
    assert_eq!(number_of(json!({"type": "int", "logicalType": "colour"}), b"\x02"), Ok(json!(1)));
}

#[test]
fn a_number_that_json_cannot_represent_is_named() {
    let record = json!({"type": "record", "name": "T", "fields": [{"name": "motor", "type":
        {"type": "record", "name": "M", "fields": [{"name": "temp", "type": "double"}]}}]});
    let issue = number_of(record, &f64::NAN.to_le_bytes()).expect_err("poison");
    assert_eq!(issue, "a number is NaN, which JSON cannot represent, in the field motor.temp");
}

#[test]
fn a_datum_is_read_to_its_end_and_not_further() {
    let formats = of_fixtures(&json!({"7": "telemetry.avsc"}));
    let datum = datum();
    for end in 0..datum.len() {
        let issue = issue(&event(frame(7, &datum[..end])), &formats);
        assert!(issue.starts_with("the Avro datum is damaged: "), "{issue}");
    }
    let more = issue(&event(frame(7, &[&datum[..], b"\0"].concat())), &formats);
    assert_eq!(more, "the Avro datum is damaged: 1 bytes follow it. Was it written with another schema?");
}

#[test]
fn changed_bytes_never_cause_a_panic() {
    let formats = of_fixtures(&json!({"7": "telemetry.avsc"}));
    let mut random = fastrand::Rng::with_seed(24);
    for fixture in [frame(7, &datum()), fixture("avro/null.avro"), fixture("avro/deflate.avro")] {
        for _ in 0..2_000 {
            let mut changed = fixture.clone();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..changed.len());
                changed[at] = random.u8(..);
            }
            let _ = unwrap(&event(changed), &formats);
        }
    }
}

#[test]
fn values_without_bytes_are_bounded() {
    let long = |number: u64| {
        let (mut bytes, mut rest) = (Vec::new(), number << 1);
        while rest >= 0x80 {
            bytes.push(u8::try_from(rest & 0x7f).expect("seven bits") | 0x80);
            rest >>= 7;
        }
        bytes.push(u8::try_from(rest).expect("seven bits"));
        bytes
    };
    let nulls = number_of(json!({"type": "array", "items": "null"}), &long(1 << 40)).expect_err("poison");
    assert_eq!(nulls, "the Avro datum is damaged: it has more values than a body of its size can have");
    let empty = json!({"type": "array", "items": {"type": "record", "name": "E", "fields": []}});
    assert!(number_of(empty, &long(1 << 40)).is_err());
    let itself = json!({"type": "record", "name": "A", "fields": [{"name": "a", "type": "A"}]});
    let issue = number_of(itself, b"").expect_err("poison");
    assert!(issue.starts_with("the Avro datum is damaged: it is nested more than 128 times"), "{issue}");
    let length = number_of(json!("bytes"), &long(1 << 50)).expect_err("poison");
    assert_eq!(length, "the Avro datum is damaged: it ends in the middle");
}
