//! Decodes UTF-16, which `>` of Windows PowerShell writes.

use std::io::{self, BufRead, Read};

/// Reads UTF-16 as UTF-8. What is invalid becomes U+FFFD.
pub(super) struct Utf16<R> {
    reader: R,
    is_big_endian: bool,
    /// The first byte of a unit whose second byte has not been read.
    byte: Option<u8>,
    /// The first unit of a pair whose second unit has not been read.
    surrogate: Option<u16>,
    /// Text that is read next, from this position.
    decoded: String,
    position: usize,
}

impl<R: BufRead> Utf16<R> {
    pub(super) fn new(reader: R, is_big_endian: bool) -> Self {
        Self { reader, is_big_endian, byte: None, surrogate: None, decoded: String::new(), position: 0 }
    }

    /// Decodes the next bytes. Nothing is decoded at the end.
    fn decode_more(&mut self) -> io::Result<()> {
        (self.position, self.decoded) = (0, String::new());
        while self.decoded.is_empty() {
            let bytes = self.reader.fill_buf()?;
            let count = bytes.len();
            let mut units: Vec<u16> = self.surrogate.take().into_iter().collect();
            for &byte in bytes {
                match self.byte.take() {
                    None => self.byte = Some(byte),
                    Some(first) if self.is_big_endian => units.push(u16::from_be_bytes([first, byte])),
                    Some(first) => units.push(u16::from_le_bytes([first, byte])),
                }
            }
            self.reader.consume(count);
            if count > 0 {
                self.surrogate = units.pop_if(|unit| (0xD800..0xDC00).contains(unit));
            }
            let characters = char::decode_utf16(units).map(|result| result.unwrap_or(char::REPLACEMENT_CHARACTER));
            self.decoded.extend(characters);
            if count == 0 {
                self.decoded.extend(self.byte.take().map(|_| char::REPLACEMENT_CHARACTER));
                break;
            }
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Utf16<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position == self.decoded.len() {
            self.decode_more()?;
        }
        let read = (&self.decoded.as_bytes()[self.position..]).read(buffer)?;
        self.position += read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn utf_16_is_decoded_whatever_the_sizes_of_the_reads() {
        let text = "{\"note\": \"ä\u{10348}漢\"}\r\n";
        for is_big_endian in [true, false] {
            let to_bytes = |unit: u16| if is_big_endian { unit.to_be_bytes() } else { unit.to_le_bytes() };
            let bytes: Vec<u8> = text.encode_utf16().flat_map(to_bytes).collect();
            for capacity in 1..9 {
                let mut decoded = String::new();
                let mut reader = Utf16::new(BufReader::with_capacity(capacity, &*bytes), is_big_endian);
                reader.read_to_string(&mut decoded).expect("UTF-8");
                assert_eq!(decoded, text, "{capacity}");
            }
        }
    }

    #[test]
    fn incomplete_and_unpaired_units_are_replaced() {
        for (bytes, expected) in [
            (&b"a\0b"[..], "a\u{fffd}"),
            (b"\x00\xd8", "\u{fffd}"),
            (b"\x00\xd8a\0", "\u{fffd}a"),
            (b"\x00\xdca\0", "\u{fffd}a"),
        ] {
            let mut decoded = String::new();
            Utf16::new(BufReader::with_capacity(1, bytes), false).read_to_string(&mut decoded).expect("UTF-8");
            assert_eq!(decoded, expected);
        }
    }
}
