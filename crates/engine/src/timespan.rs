//! Time spans as the Functions host writes them in host.json, function.json and app settings: `[d.]hh:mm:ss[.fffffff]`.

use std::time::Duration;

/// Parses `hh:mm:ss`, with optional days before and an optional fraction of a second after it.
///
/// Returns `None` for any other text, for a negative span, which no setting accepts, and for one that is longer than the
/// longest of the host. So calculations with spans cannot overflow.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    let (span, fraction) = match text.rsplit_once(':') {
        Some((_, seconds)) if seconds.contains('.') => text.rsplit_once('.')?,
        _ => (text, ""),
    };
    let (days, clock) = span.split_once('.').unwrap_or(("0", span));
    let parts: Vec<u64> = clock.split(':').map(digits).collect::<Option<_>>()?;
    let [hours @ 0..24, minutes @ 0..60, seconds @ 0..60] = parts[..] else { return None };
    let total = digits(days)?.checked_mul(86_400)?.checked_add(hours * 3600 + minutes * 60 + seconds)?;
    Some(Duration::new(total, nanoseconds(fraction)?)).filter(|span| *span <= LONGEST)
}

/// The longest time span of .NET: 2^63 - 1 units of 100 ns.
const LONGEST: Duration = Duration::new(922_337_203_685, 477_580_700);

/// Formats a span as [`parse`] reads it, to the millisecond.
#[must_use]
pub fn format(span: Duration) -> String {
    let seconds = span.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let days = if days > 0 { format!("{days}.") } else { String::new() };
    let fraction = match span.subsec_millis() {
        0 => String::new(),
        millis => format!(".{millis:03}"),
    };
    format!("{days}{hours:02}:{minutes:02}:{:02}{fraction}", seconds % 60)
}

fn digits(text: &str) -> Option<u64> {
    // `u64::from_str` would accept a leading plus.
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

fn nanoseconds(fraction: &str) -> Option<u32> {
    if fraction.is_empty() {
        return Some(0);
    }
    let places = u32::try_from(fraction.len()).ok().filter(|places| *places <= 7)?;
    Some(u32::try_from(digits(fraction)?).ok()? * 10_u32.pow(9 - places))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_the_host_are_parsed_and_formatted() {
        for (text, millis) in [
            ("00:00:01", 1_000),
            ("00:05:00", 300_000),
            ("00:00:00.005", 5),
            ("1.00:00:00", 86_400_000),
            ("1.02:03:04.500", 93_784_500),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
            assert_eq!(format(Duration::from_millis(millis)), text);
        }
        assert_eq!(parse("00:00:00.0000001"), Some(Duration::from_nanos(100)));
        assert_eq!(parse("10675199.02:48:05.4775807"), Some(LONGEST));
    }

    #[test]
    fn an_invalid_span_is_rejected() {
        for text in [
            "",
            "5",
            "00:05",
            "24:00:00",
            "00:60:00",
            "-00:00:01",
            "+1:00:00",
            "a:b:c",
            "00:00:01.12345678",
            "10675199.02:48:05.4775808",
            "200000000000000.00:00:00",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
