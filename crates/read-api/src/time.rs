//! Durations and times of parameters.

use devicestate_engine::text::time_ms;

/// Limits durations, so that no calculation overflows: 1,000 years of 365 days.
const MAX_DURATION_MS: i64 = 1_000 * 365 * 86_400_000;

/// Parses a duration such as `90s`, `15m`, `2h` or `7d`, and returns its milliseconds.
#[must_use]
pub fn duration_ms(text: &str) -> Option<i64> {
    let unit_ms = match text.chars().last()? {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => 86_400_000,
        _ => return None,
    };
    let number = &text[..text.len() - 1];
    // `i64::from_str` would accept a sign.
    let number: i64 = number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok())??;
    number.checked_mul(unit_ms).filter(|ms| *ms <= MAX_DURATION_MS)
}

/// Parses a time in RFC 3339, or a duration before now, and returns its milliseconds since 1970.
pub(crate) fn since_ms(text: &str, now_ms: i64) -> Option<i64> {
    duration_ms(text).map(|ago_ms| now_ms - ago_ms).or_else(|| time_ms(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_times_are_parsed() {
        for (text, ms) in [("0s", 0), ("90s", 90_000), ("15m", 900_000), ("2h", 7_200_000), ("7d", 604_800_000)] {
            assert_eq!(duration_ms(text), Some(ms), "{text}");
        }
        for text in ["", "s", "-1s", "+1s", "1.5h", "15", "15 m", "1ä", "99999999999999999999s", "365001d"] {
            assert_eq!(duration_ms(text), None, "{text}");
        }
        assert_eq!(since_ms("1m", 100_000), Some(40_000));
        assert_eq!(since_ms("1970-01-01T01:00:01.5+01:00", 0), Some(1_500));
        assert_eq!(since_ms("yesterday", 0), None);
    }
}
