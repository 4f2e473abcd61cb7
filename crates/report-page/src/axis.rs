//! The scales of charts, and how numbers and times are written.

/// Returns a number as people read it: groups of three digits, and at most three significant digits after the point.
#[must_use]
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "-".into();
    }
    let rounded = value.round();
    if (value - rounded).abs() < 1e-9 || value.abs() >= 1_000.0 {
        return grouped(rounded);
    }
    let decimals = if value.abs() >= 100.0 {
        1
    } else if value.abs() >= 1.0 {
        2
    } else {
        4
    };
    let text = format!("{value:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Returns a whole number with a comma before each group of three digits.
fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 { format!("-{text}") } else { text }
}

/// Returns a duration of seconds with its unit: `250 ms`, `1.5 s`, `2 min 5 s`, `3 h 4 min`, `2 d 1 h`.
#[must_use]
pub fn seconds(value: f64) -> String {
    if value < 0.000_5 {
        return "0 s".into();
    }
    if value < 1.0 {
        return format!("{} ms", number((value * 1e3).round()));
    }
    if value < 60.0 {
        return format!("{} s", number((value * 100.0).round() / 100.0));
    }
    let of = |unit: f64, name: &str, smaller: f64, smaller_name: &str| {
        let whole = (value / unit).floor();
        let rest = ((value - whole * unit) / smaller).floor();
        if rest > 0.0 { format!("{whole} {name} {rest} {smaller_name}") } else { format!("{whole} {name}") }
    };
    match value {
        value if value < 3_600.0 => of(60.0, "min", 1.0, "s"),
        value if value < 86_400.0 => of(3_600.0, "h", 60.0, "min"),
        _ => of(86_400.0, "d", 3_600.0, "h"),
    }
}

/// Returns a round number that is not below the value: the upper end of an axis.
pub(crate) fn round_up(value: f64) -> f64 {
    if !value.is_finite() || value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 4.0, 5.0, 10.0];
    steps.into_iter().map(|step| step * power).find(|end| *end >= value * 0.999_999).unwrap_or(value)
}

/// Returns a part as percent of the whole, between 0 and 100.
pub(crate) fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { (part / whole * 100.0).clamp(0.0, 100.0) } else { 0.0 }
}

/// Returns the times that the axis of a run of this many seconds names: its start, its end and up to three round ones between.
pub(crate) fn ticks(end: f64) -> Vec<f64> {
    /// Seconds between two ticks.
    const STEPS: [f64; 24] = [
        0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0,
        7_200.0, 14_400.0, 43_200.0, 86_400.0, 172_800.0, 604_800.0,
    ];
    let step = STEPS.into_iter().find(|step| end / step <= 4.0).unwrap_or(end / 4.0);
    let mut ticks = vec![0.0];
    let mut next = step;
    // The last one would cover the label of the end.
    while next > 0.0 && next < end * 0.85 {
        ticks.push(next);
        next += step;
    }
    if end > 0.0 {
        ticks.push(end);
    }
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_durations_are_written_for_people() {
        for (value, expected) in [
            (0.0, "0"),
            (884.0, "884"),
            (1_234_567.0, "1,234,567"),
            (-1_234.4, "-1,234"),
            (2.5, "2.5"),
            (0.006_12, "0.0061"),
            (f64::NAN, "-"),
        ] {
            assert_eq!(number(value), expected);
        }
        for (value, expected) in [
            (0.0, "0 s"),
            (0.25, "250 ms"),
            (1.499, "1.5 s"),
            (60.0, "1 min"),
            (125.0, "2 min 5 s"),
            (11_040.0, "3 h 4 min"),
            (176_400.0, "2 d 1 h"),
        ] {
            assert_eq!(seconds(value), expected);
        }
    }

    #[test]
    fn an_axis_has_at_most_six_times_and_both_ends() {
        for end in [0.0, 0.003, 0.9, 1.0, 7.0, 59.0, 3_601.0, 90_000.0, 1e9] {
            let ticks = ticks(end);
            assert!((1..=6).contains(&ticks.len()), "{end}: {ticks:?}");
            assert_eq!((ticks[0], ticks[ticks.len() - 1]), (0.0, end));
        }
        let ends = [0.0, 0.3, 7.0, 99.0, 1_234.0].map(|value| number(round_up(value)));
        assert_eq!(ends, ["1", "0.4", "10", "100", "2,000"]);
    }
}
