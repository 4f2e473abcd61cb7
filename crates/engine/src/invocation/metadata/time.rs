//! Times as the host writes them: ISO 8601 in UTC, mostly without a zone, the fraction without trailing zeros.

/// Reads times, one after the other. Those of neighbours are mostly of the same second, of which only the fraction is then
/// to be read.
#[derive(Debug, Default)]
pub(super) struct Times {
    /// The last second that was read, as it was written, and in milliseconds since 1970.
    second: Option<([u8; SECOND], i64)>,
}

/// The length of a second as the host writes it: `2024-05-01T12:00:00`.
const SECOND: usize = 19;

impl Times {
    /// A time in milliseconds since 1970; `None` where it is none.
    pub(super) fn milliseconds(&mut self, text: &[u8]) -> Option<i64> {
        let Some((second, fraction)) = text.split_first_chunk::<SECOND>() else { return milliseconds(text) };
        if let (Some((known, at_ms)), Some(ms)) = (&self.second, thousandths(fraction))
            && known == second
        {
            return Some(at_ms + ms);
        }
        let read = milliseconds(text)?;
        if let ([.., b'T', _, _, b':', _, _, b':', _, _], Some(ms)) = (second, thousandths(fraction))
            // Before 1970, fractions count backwards.
            && read >= 0
        {
            self.second = Some((*second, read - ms));
        }
        Some(read)
    }
}

/// The milliseconds in what stands behind a second, if that is a fraction or nothing.
fn thousandths(fraction: &[u8]) -> Option<i64> {
    /// More digits are not taken for a time at all.
    const MOST: usize = 9;
    let Some((point, digits)) = fraction.split_first() else { return Some(0) };
    if *point != b'.' || digits.is_empty() || digits.len() > MOST || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |position: usize| digits.get(position).map_or(0, |digit| i64::from(digit - b'0'));
    Some(digit(0) * 100 + digit(1) * 10 + digit(2))
}

fn milliseconds(text: &[u8]) -> Option<i64> {
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
    fn times_are_utc_with_and_without_a_zone_and_with_any_fraction() {
        let expected = Some(1_714_564_800_120);
        for text in [
            "2024-05-01T12:00:00.12",
            "2024-05-01T12:00:00.120",
            "2024-05-01T12:00:00.1200009",
            "2024-05-01T12:00:00.12Z",
            "2024-05-01T12:00:00.12+00:00",
            "2024-05-01T14:00:00.12+02:00",
        ] {
            assert_eq!(Times::default().milliseconds(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(Times::default().milliseconds(b"2024-05-01T12:00:00"), Some(1_714_564_800_000));
        assert!(Times::default().milliseconds(b"0001-01-01T00:00:00").is_some_and(|ms| ms < 0));
        assert_eq!(Times::default().milliseconds(b"yesterday"), None);
    }

    #[test]
    fn a_time_is_the_same_behind_any_other() {
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
                let mut times = Times::default();
                assert_eq!(times.milliseconds(first.as_bytes()), milliseconds(first.as_bytes()), "{first}");
                assert_eq!(
                    times.milliseconds(second.as_bytes()),
                    milliseconds(second.as_bytes()),
                    "{second} behind {first}"
                );
            }
        }
    }
}
