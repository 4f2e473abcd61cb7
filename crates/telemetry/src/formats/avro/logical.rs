//! Avro's logical types: numbers and bytes that stand for decimals, times and ids.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};
use serde_json::{Map, Number, Value};

use super::schema::Shape;

/// The greatest scale of a decimal: the digits of a 128-bit number.
const MAX_SCALE: u64 = 38;

/// A logical type that its underlying type can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logical {
    Decimal {
        scale: usize,
    },
    Date,
    /// The time of a day, in units of which a second has this many.
    Time {
        per_second: i64,
    },
    /// A time, with the time zone UTC or none.
    Timestamp {
        per_second: i64,
        is_utc: bool,
    },
    Uuid,
    Duration,
}

impl Logical {
    /// Returns the logical type of a schema. One that its underlying type cannot have, or that is unknown, is ignored, as the
    /// specification requires.
    pub(super) fn parse(object: &Map<String, Value>, shape: &Shape) -> Result<Option<Self>, String> {
        let Some(name) = object.get("logicalType").and_then(Value::as_str) else { return Ok(None) };
        Ok(Some(match (name, shape) {
            ("decimal", Shape::Bytes | Shape::Fixed { .. }) => {
                let scale = object.get("scale").map_or(Some(0), Value::as_u64).filter(|scale| *scale <= MAX_SCALE);
                let scale =
                    scale.ok_or_else(|| format!("the `scale` of a decimal is a number from 0 to {MAX_SCALE}"))?;
                Self::Decimal { scale: usize::try_from(scale).unwrap_or_default() }
            }
            ("date", Shape::Int) => Self::Date,
            ("time-millis", Shape::Int) => Self::Time { per_second: 1_000 },
            ("time-micros", Shape::Long) => Self::Time { per_second: 1_000_000 },
            ("timestamp-millis", Shape::Long) => Self::Timestamp { per_second: 1_000, is_utc: true },
            ("timestamp-micros", Shape::Long) => Self::Timestamp { per_second: 1_000_000, is_utc: true },
            ("timestamp-nanos", Shape::Long) => Self::Timestamp { per_second: 1_000_000_000, is_utc: true },
            ("local-timestamp-millis", Shape::Long) => Self::Timestamp { per_second: 1_000, is_utc: false },
            ("local-timestamp-micros", Shape::Long) => Self::Timestamp { per_second: 1_000_000, is_utc: false },
            ("local-timestamp-nanos", Shape::Long) => Self::Timestamp { per_second: 1_000_000_000, is_utc: false },
            ("uuid", Shape::Fixed { size: 16, .. }) => Self::Uuid,
            ("duration", Shape::Fixed { size: 12, .. }) => Self::Duration,
            _ => return Ok(None),
        }))
    }

    /// Returns the text of a date or time; `None` if it is out of range.
    pub(super) fn time(self, number: i64) -> Option<String> {
        match self {
            Self::Date => {
                let days = i32::try_from(number).ok()?;
                let day = civil::date(1970, 1, 1).checked_add(SignedDuration::from_hours(i64::from(days) * 24)).ok()?;
                Some(day.to_string())
            }
            Self::Time { per_second } => {
                let seconds = u32::try_from(number.div_euclid(per_second)).ok().filter(|seconds| *seconds < 86_400)?;
                let time = civil::Time::midnight().checked_add(duration(number, per_second)).ok()?;
                Some(time.to_string()).filter(|_| seconds < 86_400)
            }
            Self::Timestamp { per_second, is_utc } => {
                let time = Timestamp::from_duration(duration(number, per_second)).ok()?;
                Some(if is_utc { time.to_string() } else { TimeZone::UTC.to_datetime(time).to_string() })
            }
            Self::Decimal { .. } | Self::Uuid | Self::Duration => None,
        }
    }

    /// Returns the value of bytes; `None` if they are too long for a decimal, or are plain bytes.
    pub(super) fn bytes(self, bytes: &[u8]) -> Option<Value> {
        match self {
            Self::Decimal { scale } => decimal(integer(bytes)?, scale),
            Self::Uuid => {
                let mut text = String::new();
                for (index, byte) in bytes.iter().enumerate() {
                    let hyphen = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
                    let _ = write!(text, "{hyphen}{byte:02x}");
                }
                Some(text.into())
            }
            Self::Duration => {
                let parts = bytes.as_chunks::<4>().0.iter().map(|part| u32::from_le_bytes(*part));
                let [months, days, ms] = parts.collect::<Vec<_>>().try_into().ok()?;
                Some(format!("P{months}M{days}DT{}.{:03}S", ms / 1_000, ms % 1_000).into())
            }
            Self::Date | Self::Time { .. } | Self::Timestamp { .. } => None,
        }
    }
}

fn duration(number: i64, per_second: i64) -> SignedDuration {
    let nanoseconds = number.rem_euclid(per_second) * (1_000_000_000 / per_second);
    SignedDuration::new(number.div_euclid(per_second), i32::try_from(nanoseconds).unwrap_or_default())
}

/// Returns the number in big-endian two's complement; `None` if it needs more than 128 bits.
fn integer(bytes: &[u8]) -> Option<i128> {
    let is_negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let sign = if is_negative { 0xff } else { 0 };
    let (extra, bytes) = bytes.split_at(bytes.len().saturating_sub(16));
    let mut padded = [sign; 16];
    padded[16 - bytes.len()..].copy_from_slice(bytes);
    let number = i128::from_be_bytes(padded);
    (extra.iter().all(|byte| *byte == sign) && (number < 0) == is_negative).then_some(number)
}

/// Returns a decimal as a number if a double has all its digits, and as text otherwise.
fn decimal(unscaled: i128, scale: usize) -> Option<Value> {
    if scale == 0
        && let Ok(number) = i64::try_from(unscaled)
    {
        return Some(number.into());
    }
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let text = format!("{}{whole}.{fraction}", if unscaled < 0 { "-" } else { "" });
    let text = text.trim_end_matches('.').to_owned();
    let significant = digits.trim_start_matches('0').trim_end_matches('0').len();
    if significant > 15 {
        return Some(text.into());
    }
    Some(Value::Number(Number::from_f64(text.parse().ok()?)?))
}
