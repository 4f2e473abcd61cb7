//! Times that devices send.

use devicestate_engine::telemetry::RecordTime;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde_json::Value;

use super::{
    Sources,
    source::{Found, Scope},
};

/// The device's own time, which orders the records.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TimeRule {
    pub(crate) from: Sources,
    pub(crate) format: TimeFormat,
    /// False if the service's time orders the records: then the time is only not a reading.
    pub(crate) is_order: bool,
    /// An earlier time is that of a clock that was reset, in milliseconds since 1970.
    pub(crate) not_before_ms: i64,
    pub(crate) is_required: bool,
}

/// How a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum TimeFormat {
    /// Text with an offset.
    #[default]
    Rfc3339,
    /// The same, and without an offset it is UTC.
    Iso8601Utc,
    /// A number of these units since 1970.
    Unix(UnixUnit),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnixUnit {
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

/// The times of this century, in milliseconds since 1970.
pub(crate) const USUAL_MS: std::ops::Range<i64> = 978_307_200_000..4_102_444_800_000;

impl TimeRule {
    /// Returns the time of a record; the error is the issue.
    pub(crate) fn find(&self, scope: Scope<'_, '_>) -> Result<RecordTime, String> {
        if !self.is_order {
            return Ok(RecordTime::Service);
        }
        let (value, source) = match self.from.find(scope) {
            Found::Value(value, source) => (value, source),
            Found::Missing | Found::Null if self.is_required => {
                return Err(format!("the time is missing: nothing is at {}", self.from));
            }
            Found::Missing | Found::Null => return Ok(RecordTime::Enqueued),
        };
        let ms = self.format.parse_ms(&value).ok_or_else(|| {
            let expected = self.format.expected();
            let hint = self.format.hint(&value).unwrap_or_default();
            format!("the time at {source} must be {expected}, found {}{hint}", super::shown::shown(&value))
        })?;
        Ok(if ms < self.not_before_ms { RecordTime::Unusable } else { RecordTime::Device(ms) })
    }
}

impl TimeFormat {
    pub(crate) const NAMES: [(&str, Self); 6] = [
        ("rfc3339", Self::Rfc3339),
        ("unix", Self::Unix(UnixUnit::Seconds)),
        ("unix_ms", Self::Unix(UnixUnit::Milliseconds)),
        ("unix_us", Self::Unix(UnixUnit::Microseconds)),
        ("unix_ns", Self::Unix(UnixUnit::Nanoseconds)),
        ("iso8601_utc", Self::Iso8601Utc),
    ];

    /// Returns a time in milliseconds since 1970; `None` if the value is not a time in this format.
    pub(crate) fn parse_ms(self, value: &Value) -> Option<i64> {
        let ms = match (self, value) {
            (Self::Rfc3339, Value::String(text)) => text.parse::<Timestamp>().ok()?.as_millisecond(),
            (Self::Iso8601Utc, Value::String(text)) => parse_iso8601(text)?,
            (Self::Unix(unit), Value::Number(number)) => unit.to_ms(number)?,
            // Some devices write all values as texts.
            (Self::Unix(unit), Value::String(text)) => unit.to_ms(&text.trim().parse().ok()?)?,
            _ => return None,
        };
        Timestamp::from_millisecond(ms).ok().map(Timestamp::as_millisecond)
    }

    /// Says which format the value of a time may have instead.
    fn hint(self, value: &Value) -> Option<String> {
        let is_usual = |format: Self| format.parse_ms(value).is_some_and(|ms| USUAL_MS.contains(&ms));
        let (name, _) = Self::NAMES.into_iter().find(|(_, format)| *format != self && is_usual(*format))?;
        Some(format!(": is its format `{name}`?"))
    }

    /// Describes the format.
    pub(crate) fn expected(self) -> &'static str {
        match self {
            Self::Rfc3339 => {
                "a time as 2026-01-31T12:00:00Z, with an offset (without one, the format is `iso8601_utc`)"
            }
            Self::Iso8601Utc => "a time as 2026-01-31T12:00:00",
            Self::Unix(UnixUnit::Seconds) => "a number of seconds since 1970",
            Self::Unix(UnixUnit::Milliseconds) => "a number of milliseconds since 1970",
            Self::Unix(UnixUnit::Microseconds) => "a number of microseconds since 1970",
            Self::Unix(UnixUnit::Nanoseconds) => "a number of nanoseconds since 1970",
        }
    }
}

fn parse_iso8601(text: &str) -> Option<i64> {
    let timestamp = text.parse::<Timestamp>().ok();
    let utc = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    timestamp.or_else(utc).map(Timestamp::as_millisecond)
}

impl UnixUnit {
    fn to_ms(self, number: &serde_json::Number) -> Option<i64> {
        if let Some(integer) = number.as_i64() {
            return match self {
                Self::Seconds => integer.checked_mul(1_000),
                Self::Milliseconds => Some(integer),
                Self::Microseconds => Some(integer.div_euclid(1_000)),
                Self::Nanoseconds => Some(integer.div_euclid(1_000_000)),
            };
        }
        let number = number.as_f64()?;
        let ms = match self {
            Self::Seconds => number * 1e3,
            Self::Milliseconds => number,
            Self::Microseconds => number / 1e3,
            Self::Nanoseconds => number / 1e6,
        };
        super::convert::to_integer(ms.round())
    }
}
