//! Parsers of option values: durations and rates.

/// Parses a duration such as `90s`, `15m`, `2h` or `7d`, and returns milliseconds; `None` for anything else.
#[must_use]
pub fn parse_duration_ms(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<u32>().ok().map(|number| i64::from(number) * seconds * 1_000)
}

/// Parses a rate per second, such as `100/s`.
///
/// # Errors
///
/// A description of the expected form, if the text is not a rate.
pub fn parse_rate(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix("/s").unwrap_or(text).parse().ok().filter(|rate| *rate >= 1);
    number.ok_or_else(|| "expected an integer of at least 1, such as 100/s".into())
}

/// Returns a count with its noun, such as `1 message` or `2 messages`.
#[must_use]
pub fn count_of(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_needs_a_unit_and_a_rate_may_have_one() {
        assert_eq!(
            ["90s", "15m", "2h", "7d"].map(parse_duration_ms),
            [Some(90_000), Some(900_000), Some(7_200_000), Some(604_800_000)]
        );
        assert_eq!(["", "h", "2", "2w", "-1h", "é"].map(parse_duration_ms), [None; 6]);
        assert_eq!((parse_rate("100/s"), parse_rate("7")), (Ok(100), Ok(7)));
        assert!(["0", "", "/s", "2/m"].iter().all(|text| parse_rate(text).is_err()));
    }
}
