//! Describes a body that no format fits, and says what would read it.

use std::fmt::Write as _;

use devicestate_engine::text::truncated;

/// What bodies begin with that are not read.
const UNSUPPORTED: [(&[u8], &str); 8] = [
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x04\x22\x4d\x18", "LZ4"),
    (b"\xff\x06\0\0sNaPpY", "Snappy"),
    (b"PK\x03\x04", "a ZIP file"),
    (b"PAR1", "a Parquet file"),
    (b"<", "XML"),
    (b"\xd9\xd9\xf7", "CBOR"),
];

/// Describes a body that is not JSON.
pub(super) fn describe(body: &[u8], content_encoding: Option<&str>) -> String {
    let mut issue = "the body is not JSON".to_owned();
    let starts = |(start, _): &&(&[u8], &str)| body.trim_ascii_start().starts_with(start);
    let result = if let Some((_, name)) = UNSUPPORTED.iter().find(starts) {
        write!(
            issue,
            ": it looks like {name}, which is not supported: send JSON, Avro or protobuf, plain or packed with gzip, \
            deflate or zstd"
        )
    } else if str::from_utf8(body).is_ok_and(|text| !text.chars().any(|c| c.is_control() && !c.is_whitespace())) {
        write!(issue, ", but other text: send a JSON object")
    } else if looks_like_protobuf(body) {
        write!(
            issue,
            ": it looks like protobuf, which the telemetry file must describe: add `protobuf` with `descriptors` and \
            `message`"
        )
    } else {
        write!(
            issue,
            ": it is binary of an unknown format: the telemetry file can describe Avro (`avro`) and protobuf \
            (`protobuf`)"
        )
    };
    result.expect("writing to a string does not fail");
    if let Some(encoding) = content_encoding {
        issue.push_str("; its content encoding is ");
        issue.push_str(&truncated(encoding));
    }
    issue
}

/// Returns true if a body consists of fields in protobuf's wire format.
fn looks_like_protobuf(mut body: &[u8]) -> bool {
    fn varint(body: &mut &[u8]) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = body.split_first()?;
            *body = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
    fn field(body: &mut &[u8]) -> Option<()> {
        let tag = varint(body)?;
        let length = match tag & 7 {
            0 => {
                varint(body)?;
                0
            }
            1 => 8,
            2 => usize::try_from(varint(body)?).ok()?,
            5 => 4,
            _ => return None,
        };
        *body = body.get(length..)?;
        (tag >> 3 > 0).then_some(())
    }
    while !body.is_empty() {
        if field(&mut body).is_none() {
            return false;
        }
    }
    true
}
