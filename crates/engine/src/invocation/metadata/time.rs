//! Parses times as the host writes them: ISO 8601 in UTC, mostly without a zone, with a fraction without trailing zeros.

/// Parses a sequence of times. Consecutive times are mostly in the same second; then only the fraction is parsed.
#[derive(Debug, Default)]
pub(super) struct TimeParser {
    last_second: Option<ParsedSecond>,
}

/// A second that was parsed: its text, and its time in milliseconds since 1970.
#[derive(Debug)]
struct ParsedSecond {
    text: [u8; SECOND_BYTES],
    at_ms: i64,
}

/// The length of a time in seconds as the host writes it, such as `2024-05-01T12:00:00`.
const SECOND_BYTES: usize = 19;

impl TimeParser {
    /// Returns a time in milliseconds since 1970; `None` if the text is not a time.
    pub(super) fn parse_ms(&mut self, text: &[u8]) -> Option<i64> {
        let Some((second, fraction)) = text.split_first_chunk::<SECOND_BYTES>() else { return parse_ms(text) };
        if let (Some(last), Some(ms)) = (&self.last_second, fraction_ms(fraction))
            && last.text == *second
        {
            return Some(last.at_ms + ms);
        }
        let read = parse_ms(text)?;
        if let ([.., b'T', _, _, b':', _, _, b':', _, _], Some(ms)) = (second, fraction_ms(fraction))
            // Before 1970 the fraction is subtracted.
            && read >= 0
        {
            self.last_second = Some(ParsedSecond { text: *second, at_ms: read - ms });
        }
        Some(read)
    }
}

/// Returns the milliseconds of the text after a second; `None` if that is neither empty nor a fraction.
fn fraction_ms(fraction: &[u8]) -> Option<i64> {
    /// A time with more digits is invalid.
    const MAX_DIGITS: usize = 9;
    let Some((point, digits)) = fraction.split_first() else { return Some(0) };
    if *point != b'.' || digits.is_empty() || digits.len() > MAX_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |position: usize| digits.get(position).map_or(0, |digit| i64::from(digit - b'0'));
    Some(digit(0) * 100 + digit(1) * 10 + digit(2))
}

fn parse_ms(text: &[u8]) -> Option<i64> {
    let text = str::from_utf8(text).ok()?;
    let timestamp = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let civil: jiff::civil::DateTime = text.parse().ok()?;
        civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    })?;
    Some(timestamp.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_may_have_a_zone_and_a_fraction() {
        let expected = Some(1_714_564_800_120);
        for text in [
            "2024-05-01T12:00:00.12",
            "2024-05-01T12:00:00.120",
            "2024-05-01T12:00:00.1200009",
            "2024-05-01T12:00:00.12Z",
            "2024-05-01T12:00:00.12+00:00",
            "2024-05-01T14:00:00.12+02:00",
        ] {
            assert_eq!(TimeParser::default().parse_ms(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(TimeParser::default().parse_ms(b"2024-05-01T12:00:00"), Some(1_714_564_800_000));
        assert!(TimeParser::default().parse_ms(b"0001-01-01T00:00:00").is_some_and(|ms| ms < 0));
        assert_eq!(TimeParser::default().parse_ms(b"yesterday"), None);
    }

    #[test]
    fn a_time_is_parsed_the_same_after_any_other() {
        let texts = [
            "2024-05-01T12:00:00",
            "2024-05-01T12:00:00.5",
            "2024-05-01T12:00:00.123456789",
            "2024-05-01T12:00:00.1234567890",
            "2024-05-01T12:00:00.",
            "2024-05-01T12:00:00.1x",
            "2024-05-01T12:00:00.5Z",
            "2024-05-01T12:00:00+02:00",
            "2024-05-01T12:00:01.999",
            "2024-05-01t12:00:00.25",
            "2024-05-01 12:00:00.25",
            "20240501T120000.1234",
            "20240501T120000.12.5",
            "1969-12-31T23:59:59.75",
            "1969-12-31T23:59:59",
            "2024-13-01T12:00:00.5",
        ];
        for first in texts {
            for second in texts {
                let mut times = TimeParser::default();
                assert_eq!(times.parse_ms(first.as_bytes()), parse_ms(first.as_bytes()), "{first}");
                assert_eq!(times.parse_ms(second.as_bytes()), parse_ms(second.as_bytes()), "{second} after {first}");
            }
        }
    }
}
