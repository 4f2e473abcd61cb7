//! Checks and converts the values of readings.

use devicestate_engine::text::iso8601;
use serde_json::{Number, Value};

use super::TimeFormat;

/// The first time that RFC 3339 can represent.
const YEAR_0_MS: i64 = -62_167_219_200_000;

/// What a value must be, and what is stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Conversion {
    /// Any value but null, stored as it is.
    Any,
    /// A number, stored as a double: the number times `scale` plus `offset`.
    Number {
        scale: f64,
        offset: f64,
        range: Range,
    },
    /// An integer; 3.0 is one.
    Integer(Range),
    String,
    Boolean,
    /// Stored as text: RFC 3339, UTC, with milliseconds.
    Time(TimeFormat),
    /// A name or its number.
    Named(NamedValues),
}

/// The limits of a stored number, which are valid themselves.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Range {
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
}

/// Names of numbers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NamedValues {
    /// The names differ in more than letter case, and the numbers are different.
    pub(crate) values: Vec<(String, Number)>,
    /// True if the name is stored, false if the number is.
    pub(crate) stores_name: bool,
}

impl Conversion {
    /// Returns the value to store. A number or a boolean from `metadata` may be a text. The error says what the value must be.
    pub(crate) fn convert(&self, value: &Value, is_metadata: bool) -> Result<Value, String> {
        match self {
            Self::Any => Ok(value.clone()),
            Self::Number { scale, offset, range } => {
                let number = number(value, is_metadata).and_then(|number| number.as_f64()).ok_or("a number")?;
                // A product with 1 and a sum with 0 are exact, but -0 would become 0.
                let scaled = if (*scale, *offset) == (1.0, 0.0) { number } else { number * scale + offset };
                range.check(scaled)?;
                let scaled = Number::from_f64(scaled).ok_or("a number that is within a double when it is scaled")?;
                Ok(Value::Number(scaled))
            }
            Self::Integer(range) => {
                let integer = number(value, is_metadata).and_then(|number| integer(&number)).ok_or("an integer")?;
                range.check(integer.as_f64().unwrap_or_default())?;
                Ok(Value::Number(integer))
            }
            Self::String if value.is_string() => Ok(value.clone()),
            Self::String => Err("a text".into()),
            Self::Boolean => match value {
                Value::Bool(_) => Ok(value.clone()),
                Value::String(text) if is_metadata && text.eq_ignore_ascii_case("true") => Ok(Value::Bool(true)),
                Value::String(text) if is_metadata && text.eq_ignore_ascii_case("false") => Ok(Value::Bool(false)),
                _ => Err("true or false".into()),
            },
            Self::Time(format) => {
                let ms = format.parse_ms(value).filter(|ms| *ms >= YEAR_0_MS);
                ms.map(|ms| iso8601(ms).into()).ok_or_else(|| format.expected().into())
            }
            Self::Named(values) => values.convert(value, is_metadata),
        }
    }
}

impl Range {
    fn check(self, number: f64) -> Result<(), String> {
        match self {
            Self { min: Some(min), max: Some(max) } if number < min || number > max => {
                Err(format!("from {min} to {max}"))
            }
            Self { min: Some(min), .. } if number < min => Err(format!("at least {min}")),
            Self { max: Some(max), .. } if number > max => Err(format!("at most {max}")),
            _ => Ok(()),
        }
    }
}

impl NamedValues {
    fn convert(&self, value: &Value, is_metadata: bool) -> Result<Value, String> {
        let by_name = value.as_str().and_then(|text| {
            let values = || self.values.iter();
            let by_ascii = values().find(|(name, _)| name.eq_ignore_ascii_case(text));
            by_ascii.or_else(|| {
                // A text of any length is converted once, and not for each name.
                let text = text.to_lowercase();
                values().find(|(name, _)| name.to_lowercase() == text)
            })
        });
        let by_number = || {
            let number = number(value, is_metadata)?;
            self.values.iter().find(|(_, known)| is_equal(known, &number))
        };
        let (name, number) = by_name.or_else(by_number).ok_or_else(|| self.expected())?;
        Ok(if self.stores_name { Value::from(name.as_str()) } else { Value::Number(number.clone()) })
    }

    fn expected(&self) -> String {
        const SHOWN: usize = 12;
        let values = self.values.iter().take(SHOWN);
        let values = values.map(|(name, number)| format!("{} ({number})", super::shown::shortened(name)));
        let more = if self.values.len() > SHOWN { ", …" } else { "" };
        format!("one of {}{more}", values.collect::<Vec<_>>().join(", "))
    }
}

/// Returns true if two names differ at most in letter case.
pub(crate) fn is_same_name(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other) || one.to_lowercase() == other.to_lowercase()
}

/// Returns true if two numbers have the same value: 1 and 1.0 have.
pub(crate) fn is_equal(one: &Number, other: &Number) -> bool {
    one == other || (one.is_f64() || other.is_f64()) && one.as_f64() == other.as_f64()
}

fn number(value: &Value, is_metadata: bool) -> Option<Number> {
    match value {
        Value::Number(number) => Some(number.clone()),
        Value::String(text) if is_metadata => text.trim().parse().ok(),
        _ => None,
    }
}

fn integer(number: &Number) -> Option<Number> {
    if number.is_f64() { to_integer(number.as_f64()?).map(Number::from) } else { Some(number.clone()) }
}

/// Returns a number without a fraction as an integer.
pub(crate) fn to_integer(number: f64) -> Option<i64> {
    if number.fract() == 0.0 { format!("{number:.0}").parse().ok() } else { None }
}
