//! Recognizes inputs that are not one JSON event per line, by their first bytes and their first line. Later lines that are not JSON
//! are invalid events.

use serde::de::IgnoredAny;

/// The encoding of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf8,
    Utf16 { is_big_endian: bool },
}

/// The number of bytes by which [`encoding`] decides.
pub(super) const START_BYTES: u64 = 4;

/// Returns the encoding of an input that begins with these bytes, or why it is not supported.
pub(super) fn encoding(start: &[u8]) -> Result<Encoding, &'static str> {
    match start {
        b"Obj\x01" => Err("it is an Avro file, as Event Hubs Capture writes it; convert it to one JSON event per line"),
        b"PAR1" => Err("it is a Parquet file; convert it to one JSON event per line"),
        [0xff, 0xfe, 0, 0] | [0, 0, 0xfe, 0xff] => Err("it is UTF-32 text; convert it to UTF-8"),
        [0xff, 0xfe, ..] => Ok(Encoding::Utf16 { is_big_endian: false }),
        [0xfe, 0xff, ..] => Ok(Encoding::Utf16 { is_big_endian: true }),
        [0, _, ..] | [_, 0, ..] => {
            Err("it is not UTF-8 text, and has no byte order mark of UTF-16; convert it to UTF-8")
        }
        _ => Ok(Encoding::Utf8),
    }
}

/// Checks that the first line, which is not blank, is a JSON object, although maybe an invalid one.
///
/// # Errors
///
/// What it is instead, and how to convert it.
pub(super) fn check_first_line(line: &[u8]) -> Result<(), &'static str> {
    match line.first() {
        Some(b'{') => match serde_json::from_slice::<IgnoredAny>(line) {
            Err(error) if error.is_eof() => Err(
                "is only the start of a JSON object, and one event per line is expected; convert the input: jq -c .",
            ),
            _ => Ok(()),
        },
        Some(b'[') => Err("begins a JSON array, and one event per line is expected; convert the input: jq -c '.[]'"),
        _ => Err("is not a JSON object, as if the input were CSV or binary; convert it to one JSON event per line"),
    }
}
