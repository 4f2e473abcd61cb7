//! Scans JSON text: strings, numbers and white space.

use devicestate_engine::telemetry::decimal::{MAX_DIGITS, digits, nearest_double};
use serde_json::Number;

/// A position in a JSON text that is UTF-8.
pub(super) struct Cursor<'t> {
    pub(super) text: &'t str,
    pub(super) at: usize,
}

/// The range of a string in a text, without its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quoted {
    pub(super) begin: usize,
    pub(super) end: usize,
    /// True if the string has escapes.
    pub(super) is_escaped: bool,
}

impl<'t> Cursor<'t> {
    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Skips this byte; `None` if there is another one.
    #[inline]
    pub(super) fn expect(&mut self, byte: u8) -> Option<()> {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next.then_some(())
    }

    /// Skips these bytes; false if there are others.
    #[inline]
    pub(super) fn skip(&mut self, bytes: &[u8]) -> bool {
        let is_next = self.rest().starts_with(bytes);
        if is_next {
            self.at += bytes.len();
        }
        is_next
    }

    /// Skips white space, of which there is mostly none.
    #[inline]
    pub(super) fn skip_space(&mut self) {
        while let Some(byte) = self.peek()
            && byte <= b' '
            && matches!(byte, b' ' | b'\n' | b'\t' | b'\r')
        {
            self.at += 1;
        }
    }

    /// Skips white space and one byte after it, which is returned.
    #[inline]
    pub(super) fn next_token(&mut self) -> Option<u8> {
        if self.peek()? <= b' ' {
            self.skip_space();
        }
        let byte = self.peek();
        self.at += 1;
        byte
    }

    #[inline]
    fn rest(&self) -> &'t [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// Skips a string, which starts here with its quote. `None` if it does not end, or has a control character. Its escapes are
    /// not checked.
    #[inline]
    pub(super) fn string(&mut self) -> Option<Quoted> {
        self.expect(b'"')?;
        let begin = self.at;
        let mut is_escaped = false;
        loop {
            self.at += ordinary_len(self.rest());
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    is_escaped = true;
                    // The escaped byte may be a quote.
                    self.at += 2;
                }
                _ => return None,
            }
        }
        let end = self.at;
        self.at += 1;
        Some(Quoted { begin, end, is_escaped })
    }

    /// Reads a number as `serde_json` does: an integer that has 64 bits, or else the nearest double. `None` if it is not a number,
    /// or beyond a double.
    #[inline]
    pub(super) fn number(&mut self) -> Option<Number> {
        let begin = self.at;
        let is_negative = self.expect(b'-').is_some();
        let starts_with_zero = self.peek() == Some(b'0');
        let mut integer = 0;
        let before_point = self.digits(&mut integer);
        if before_point == 0 || starts_with_zero && before_point > 1 {
            return None;
        }
        let has_point = self.expect(b'.').is_some();
        let after_point = if has_point { self.digits(&mut integer) } else { 0 };
        if has_point && after_point == 0 {
            return None;
        }
        let has_exponent = matches!(self.peek(), Some(b'e' | b'E'));
        if has_exponent {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            if self.digits(&mut 0) == 0 {
                return None;
            }
        }
        if has_exponent || before_point + after_point > MAX_DIGITS {
            let number = &self.text[begin..self.at];
            if !has_exponent
                && !has_point
                && let Ok(number) = number.parse::<u64>()
            {
                return Some(number.into());
            }
            return Number::from_f64(number.parse().ok()?);
        }
        if !has_point && !is_negative {
            return Some(integer.into());
        }
        if !has_point
            && integer != 0
            && let Some(number) = 0_i64.checked_sub_unsigned(integer)
        {
            return Some(number.into());
        }
        let value = nearest_double(integer, after_point);
        Number::from_f64(if is_negative { -value } else { value })
    }

    /// Appends the digits that start here to the integer, and returns their count.
    #[inline]
    fn digits(&mut self, integer: &mut u64) -> usize {
        let count = digits(integer, self.rest());
        self.at += count;
        count
    }
}

/// Returns the number of bytes before the first quote, backslash or control character.
#[inline]
fn ordinary_len(text: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGHS: u64 = ONES * 0x80;
    let mut at = 0;
    while let Some(bytes) = text[at..].first_chunk() {
        let bytes = u64::from_le_bytes(*bytes);
        // The high bit of each byte that is zero after it is combined with the byte that is sought. A borrow may set the bits of
        // bytes after the first one that is found, but not those before it.
        let is_zero = |bytes: u64| bytes.wrapping_sub(ONES) & !bytes;
        let special = is_zero(bytes ^ (ONES * u64::from(b'"')))
            | is_zero(bytes ^ (ONES * u64::from(b'\\')))
            | bytes.wrapping_sub(ONES * 0x20) & !bytes;
        let special = special & HIGHS;
        if special != 0 {
            return at + special.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    at + text[at..].iter().position(is_special).unwrap_or(text.len() - at)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asserts that a number is read as `serde_json` reads it, to the last bit.
    fn assert_as_serde_json(text: &str) {
        let mut cursor = Cursor { text, at: 0 };
        let number = cursor.number().filter(|_| cursor.at == text.len());
        assert_eq!(
            number.map(|number| number.to_string()),
            serde_json::from_str::<Number>(text).ok().map(|number| number.to_string()),
            "{text}"
        );
    }

    #[test]
    fn numbers_are_read_as_serde_json_reads_them() {
        for text in [
            "0",
            "-0",
            "-0.0",
            "0.0",
            "5",
            "-5",
            "00",
            "01",
            "-",
            "5.",
            ".5",
            "5.e1",
            "5e",
            "5e+",
            "5e+1",
            "5E-3",
            "0e0",
            "9007199254740993",
            "9223372036854775807",
            "9223372036854775808",
            "-9223372036854775808",
            "-9223372036854775809",
            "18446744073709551615",
            "18446744073709551616",
            "1e308",
            "1e309",
            "-1e309",
            "1e-400",
            "123456789012345",
            "1234567890123456",
            "0.123456789012345",
            "0.1234567890123456",
            "1.7976931348623157e308",
        ] {
            assert_as_serde_json(text);
        }
        let mut random = fastrand::Rng::with_seed(24);
        for _ in 0..20_000 {
            let mut text: String = (0..random.usize(1..=24)).map(|_| random.digit(10)).collect();
            for mark in [".", "e", "-"] {
                if random.bool() {
                    text.insert_str(random.usize(..=text.len()), mark);
                }
            }
            assert_as_serde_json(&text);
        }
    }

    #[test]
    fn a_string_ends_at_its_quote() {
        for (text, end) in [
            (r#""""#, Some(1)),
            (r#""a","b"#, Some(2)),
            (r#""0123456789abcdef" "#, Some(17)),
            (r#""01234567\"9" "#, Some(12)),
            (r#""0123456\\" "#, Some(10)),
            ("\"0123456ä\u{7f}\"", Some(11)),
            ("\"0123456\u{1}9\"", None),
            ("\"0123456\n\"", None),
            ("\"01\t\"", None),
            (r#""0123456789"#, None),
            (r#""0\"#, None),
        ] {
            let mut cursor = Cursor { text, at: 0 };
            assert_eq!(cursor.string().map(|string| string.end), end, "{text}");
        }
    }
}
