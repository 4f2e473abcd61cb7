//! Describes a body that no format fits, and says what would read it.

use std::fmt::Write as _;

use devicestate_engine::text::truncated;
use prost::encoding::{DecodeContext, decode_key, skip_field};

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
    while !body.is_empty() {
        let field =
            decode_key(&mut body).and_then(|(tag, kind)| skip_field(kind, tag, &mut body, DecodeContext::default()));
        if field.is_err() {
            return false;
        }
    }
    true
}
