//! The schedule of a timer function: an NCRONTAB expression with six fields, in UTC as on Azure.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// The first and the last value of each field: seconds, minutes, hours, days of the month, months, days of the week.
const RANGES: [(u32, u32); 6] = [(0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6)];

/// When a timer function is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Schedule {
    /// A bit for each value that a field allows.
    fields: [u64; 6],
}

impl Schedule {
    /// Reads an expression with numbers, `*`, ranges, lists and steps. `None` for any other, such as one with names of months, an
    /// interval, or the name of a setting.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split_whitespace();
        let mut fields = [0; 6];
        for (field, range) in fields.iter_mut().zip(RANGES) {
            *field = parts.next()?.split(',').try_fold(0, |bits, item| Some(bits | item_bits(item, range)?))?;
        }
        parts.next().is_none().then_some(Self { fields })
    }

    /// Returns whether the function is due in the second of this time.
    pub(super) fn is_due(&self, now_ms: i64) -> bool {
        let Ok(now) = Timestamp::from_millisecond(now_ms) else { return false };
        let time: DateTime = TimeZone::UTC.to_datetime(now);
        let values = [time.second(), time.minute(), time.hour(), time.day(), time.month()];
        let weekday = time.weekday().to_sunday_zero_offset();
        self.fields.iter().zip(values.into_iter().chain([weekday])).all(|(field, value)| field >> value & 1 == 1)
    }
}

/// Returns the bits of an item of a list.
fn item_bits(item: &str, (first, last): (u32, u32)) -> Option<u64> {
    let number = |text: &str| text.parse().ok().filter(|number| (first..=last).contains(number));
    let (values, step) = match item.split_once('/') {
        Some((values, step)) => (values, Some(step.parse().ok().filter(|step| *step > 0)?)),
        None => (item, None),
    };
    let (from, to) = match values.split_once('-') {
        _ if values == "*" => (first, last),
        Some((from, to)) => (number(from)?, number(to)?),
        // A step without a range counts to the last value.
        None if step.is_some() => (number(values)?, last),
        None => (number(values)?, number(values)?),
    };
    Some((from..=to).step_by(step.unwrap_or(1)).fold(0, |bits, value| bits | 1 << value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the seconds of a day at which a schedule is due. The day is a Friday, 2024-11-15.
    fn due(expression: &str) -> Vec<i64> {
        const DAY_MS: i64 = 1_731_628_800_000;
        let schedule = Schedule::parse(expression).expect(expression);
        (0..86_400).filter(|second| schedule.is_due(DAY_MS + second * 1_000 + 999)).collect()
    }

    #[test]
    fn a_schedule_is_due_at_the_seconds_that_all_fields_allow() {
        assert_eq!(due("0 * * * * *").len(), 1_440);
        assert_eq!(due("0 0 * * * *").len(), 24);
        assert_eq!(due("*/20 0 0 * * *"), [0, 20, 40]);
        assert_eq!(due("5,10-12 1 0 * * *"), [65, 70, 71, 72]);
        assert_eq!(due("50/5 0 0 15 11 5"), [50, 55]);
        assert_eq!((due("* * * * * 6"), due("* * * 16 * *"), due("* * * * 10 *")), (vec![], vec![], vec![]));
    }

    #[test]
    fn other_expressions_are_not_read() {
        for expression in [
            "",
            "* * * * *",
            "* * * * * * *",
            "60 * * * * *",
            "* * * * jan *",
            "*/0 * * * * *",
            "%Schedule%",
            "00:05:00",
        ] {
            assert_eq!(Schedule::parse(expression), None, "{expression}");
        }
    }
}
