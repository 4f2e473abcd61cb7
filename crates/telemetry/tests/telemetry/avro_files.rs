//! Avro files: their blocks and limits, and what is not valid in them.

use std::io::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use devicestate_engine::{
    batch::Event,
    telemetry::{DecodedRecord, Telemetry as _},
};
use devicestate_telemetry::{
    formats::Formats,
    mapping::MAX_RECORDS,
    unwrapping::{Content, unwrap},
};
use serde_json::{Value, json};

use crate::events::{event, issue, value};

/// An Avro file with these blocks: a number of datums, and bytes.
fn file(schema: &Value, codec: &str, blocks: &[(u64, &[u8])]) -> Vec<u8> {
    let long = |number: usize| {
        let number = number << 1;
        if number < 0x80 {
            return vec![u8::try_from(number).expect("seven bits")];
        }
        let bits = |shift: usize| u8::try_from(number >> shift & 0x7f).expect("seven bits");
        vec![bits(0) | 0x80, bits(7) | 0x80, bits(14)]
    };
    let text = |text: &str| [long(text.len()), text.as_bytes().to_vec()].concat();
    let mut file = [b"Obj\x01".to_vec(), long(2), text("avro.schema"), text(&schema.to_string())].concat();
    file.extend([text("avro.codec"), text(codec), long(0), vec![0xaa; 16]].concat());
    for (count, bytes) in blocks {
        let count = usize::try_from(*count).expect("a small number");
        file.extend([long(count), long(bytes.len()), bytes.to_vec(), vec![0xaa; 16]].concat());
    }
    file
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

#[test]
fn a_file_may_have_several_blocks_and_none() {
    let none = Formats::default();
    let blocks = file(&json!("int"), "null", &[(2, b"\x02\x04"), (0, b""), (1, b"\x06")]);
    assert_eq!(value(&event(blocks), &none), json!([1, 2, 3]));
    assert_eq!(value(&event(file(&json!("int"), "null", &[])), &none), json!([]));
}

#[test]
fn a_bomb_in_a_block_is_unpacked_only_to_the_limit() {
    let block = deflate(&[&b"\x80\x89\x7a"[..], &vec![0; 1_000_000]].concat());
    let packed = file(&json!("bytes"), "deflate", &[(1, &block)]);
    let bytes = packed.len();
    assert_eq!(
        issue(&event(&packed), &Formats::default()),
        format!("the deflate body of {bytes} bytes unpacks to more than 65536 bytes, which is the limit for its size")
    );
    // Many blocks share the limit.
    let block = deflate(&[&b"\xc0\xb8\x02"[..], &vec![0; 20_000]].concat());
    let blocks = [(1, &*block); 4];
    let issue = issue(&event(file(&json!("bytes"), "deflate", &blocks)), &Formats::default());
    assert!(issue.contains("which is the limit for its size"), "{issue}");
}

#[test]
fn a_file_of_too_many_records_is_poison() {
    let count = u64::try_from(MAX_RECORDS).expect("a small number");
    let (full, one) = (vec![2; MAX_RECORDS], [2]);
    let none = Formats::default();
    let most = value(&event(file(&json!("int"), "null", &[(count, &full)])), &none);
    assert_eq!(most.as_array().map(Vec::len), Some(MAX_RECORDS));
    let more = issue(&event(file(&json!("int"), "null", &[(count, &full), (1, &one)])), &none);
    assert_eq!(more, "the Avro file has more than 4096 records: send several files");
}

#[test]
fn the_files_in_a_batch_share_the_limits() {
    let batch = |file: &[u8]| {
        let event = json!({"specversion": "1.0", "type": "t", "source": "s", "id": "i",
            "data_base64": STANDARD.encode(file)});
        let event = event_of(&vec![event; 100]);
        let Content::Parts(parts) = unwrap(&event, &Formats::default()).expect("a batch").content else { panic!() };
        parts.iter().filter(|part| part.is_ok()).count()
    };
    let nulls = file(&json!({"type": "array", "items": "null"}), "null", &[(1, b"\x80\x89\x7a\0")]);
    assert_eq!(batch(&nulls), 0);
    let nulls = file(&json!({"type": "array", "items": "null"}), "null", &[(1, b"\xc0\xb8\x02\0")]);
    assert!((1..50).contains(&batch(&nulls)));
    let records = file(&json!("null"), "null", &[(1_000, b"")]);
    assert_eq!(batch(&records), 4);
}

fn event_of(events: &[Value]) -> Event {
    event(Value::from(events).to_string())
}

#[test]
fn a_damaged_file_is_poison() {
    let good = file(&json!("int"), "null", &[(1, b"\x02")]);
    let mut marker = good.clone();
    *marker.last_mut().expect("a byte") = 0;
    for (body, expected) in [
        (file(&json!("int"), "snappy", &[]), "the Avro file has the codec \"snappy\", which is not supported"),
        (file(&json!("Motor"), "null", &[]), "the Avro file is damaged: its schema: the type `Motor` is not defined"),
        (good[..good.len() - 1].to_vec(), "the Avro file is damaged: a block ends in the middle"),
        (marker, "the Avro file is damaged: a block does not end with the marker of the file"),
        (b"Obj\x01\x02".to_vec(), "the Avro file is damaged: its header ends in the middle"),
        (file(&json!("int"), "null", &[(1, b"\x02\x02")]), "the Avro datum is damaged: 1 bytes follow it"),
    ] {
        let issue = issue(&event(body), &Formats::default());
        assert!(issue.starts_with(expected), "{issue}");
    }
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
    let records = crate::telemetry(&json!({}))
        .decode_records(&event(file(&schema, "null", &[(3, &block)])))
        .expect("an Avro file");
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
        let issue = issue(&event(file(&schema, "null", &[])), &none);
        assert!(issue.ends_with("bytes: at most 256 are possible"), "{issue}");
    }
    let key = [b"\x02\xc0\x9a\x0c", long.as_bytes(), b"\x09"].concat();
    let issue = issue(&event(file(&json!({"type": "map", "values": "boolean"}), "null", &[(1, &key)])), &none);
    assert_eq!(
        issue,
        format!("the Avro datum is damaged: a boolean is 0 or 1, not 9, in the field {}…", "n".repeat(64))
    );
}
