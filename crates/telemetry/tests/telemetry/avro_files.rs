//! Avro files of which something is not valid.

use devicestate_engine::telemetry::{DecodedRecord, Telemetry as _};
use devicestate_telemetry::formats::Formats;
use serde_json::{Value, json};

use crate::events::{event, issue};

/// Returns an Avro file of one block.
fn file_of(schema: &Value, count: u8, block: &[u8]) -> Vec<u8> {
    let long = |number: usize| {
        let mut bytes = Vec::new();
        prost::encoding::encode_varint(number as u64 * 2, &mut bytes);
        bytes
    };
    let (schema, marker) = (schema.to_string(), [7; 16]);
    let header = [b"Obj\x01\x02\x16avro.schema", &long(schema.len())[..], schema.as_bytes(), b"\0", &marker].concat();
    [&header[..], &long(count.into()), &long(block.len()), block, &marker].concat()
}

#[test]
fn a_datum_that_is_not_valid_does_not_invalidate_the_others_of_its_file() {
    let double =
        json!({"type": "array", "items": {"type": "record", "name": "V", "fields": [{"name": "v", "type": "double"}]}});
    let schema = json!({"type": "record", "name": "R", "fields": [{"name": "deviceId", "type": "string"}, {"name": "x", "type": double}]});
    let datum = |id: &[u8; 1], number: f64| {
        let bytes = number.to_le_bytes();
        [b"\x02", &id[..], b"\x04", &bytes, &1_f64.to_le_bytes(), b"\0"].concat()
    };
    let block = [datum(b"a", 0.5), datum(b"b", f64::NAN), datum(b"c", 2.5)].concat();
    let records =
        crate::telemetry(&json!({})).decode_records(&event(file_of(&schema, 3, &block))).expect("an Avro file");
    let [DecodedRecord::Valid(a), DecodedRecord::Failed { poison, .. }, DecodedRecord::Valid(c)] = &records[..] else {
        panic!("{records:?}");
    };
    assert_eq!((&*a.device_id, &a.readings[0].value), ("a", &json!([{"v": 0.5}, {"v": 1.0}])));
    assert_eq!(poison.to_string(), "a number is NaN, which JSON cannot represent, in the field x.v");
    assert_eq!((&*c.device_id, &c.readings[0].value), ("c", &json!([{"v": 2.5}, {"v": 1.0}])));
}

#[test]
fn names_with_their_namespaces_and_messages_are_bounded() {
    let none = Formats::default();
    let long = "n".repeat(100_000);
    for schema in [
        json!(long),
        json!(["null", long]),
        json!({"type": "fixed", "name": "x", "namespace": long, "size": 0}),
        json!({"type": "record", "name": format!("{}.R", "n".repeat(250)), "fields": [{"name": "x", "type": "another"}]}),
    ] {
        let issue = issue(&event(file_of(&schema, 0, b"")), &none);
        assert!(issue.ends_with("bytes: at most 256 are possible"), "{issue}");
    }
    let key = [b"\x02\xc0\x9a\x0c", long.as_bytes(), b"\x09"].concat();
    let issue = issue(&event(file_of(&json!({"type": "map", "values": "boolean"}), 1, &key)), &none);
    assert_eq!(
        issue,
        format!("the Avro datum is damaged: a boolean is 0 or 1, not 9, in the field {}…", "n".repeat(64))
    );
}
