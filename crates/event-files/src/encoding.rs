//! Recognizes the form of a file by its first bytes, and text by its first line.

/// The form of a file that is not compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Utf8,
    Utf16 { is_big_endian: bool },
    Avro,
}

/// The number of bytes by which [`encoding`] decides.
pub(crate) const START_BYTES: u64 = 4;

/// Returns the form of a file that begins with these bytes, or why it is not supported.
pub(crate) fn encoding(start: &[u8]) -> Result<Encoding, &'static str> {
    match start {
        b"Obj\x01" => Ok(Encoding::Avro),
        b"PAR1" => Err("it is a Parquet file; convert it to one JSON event per line"),
        b"PK\x03\x04" => Err("it is a ZIP archive; unpack it"),
        [0x28, 0xb5, 0x2f, 0xfd] => Err("it is compressed with zstd; use `zstd -dc FILE` and read standard input (-)"),
        [0xff, 0xfe, 0, 0] | [0, 0, 0xfe, 0xff] => Err("it is UTF-32 text; convert it to UTF-8"),
        [0xff, 0xfe, ..] => Ok(Encoding::Utf16 { is_big_endian: false }),
        [0xfe, 0xff, ..] => Ok(Encoding::Utf16 { is_big_endian: true }),
        [0, _, ..] | [_, 0, ..] => {
            Err("it is not UTF-8 text, and has no byte order mark of UTF-16; convert it to UTF-8")
        }
        _ => Ok(Encoding::Utf8),
    }
}
