//! A value that is not an object or an array, and what a field makes of it.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, Expected, Unexpected, Visitor};

use super::super::super::FLIGHT_MODES;
use crate::text::first_chars;

/// The number of characters of a text that an error shows.
const SHOWN_CHARS: usize = 100;

/// A scalar.
pub(super) struct Scalar<'a> {
    value: Value<'a>,
    /// What it must be.
    expected: &'static str,
}

enum Value<'a> {
    Null,
    Boolean(bool),
    Integer(i64),
    /// An integer above `i64::MAX`.
    LargeInteger(u64),
    Number(f64),
    Text(Cow<'a, str>),
}

/// Why a scalar is not what it must be.
pub(super) struct Wrong(String);

impl Wrong {
    pub(super) fn into_error<E: Error>(self) -> E {
        E::custom(self.0)
    }
}

/// Describes a text where something else was expected.
pub(super) fn wrong_text(text: &str, expected: &'static str) -> Wrong {
    wrong_type(Unexpected::Str(&first_chars(text, SHOWN_CHARS)), expected)
}

fn wrong_type(found: Unexpected, expected: &'static str) -> Wrong {
    Wrong(format!("invalid type: {found}, expected {}", &expected as &dyn Expected))
}

impl<'a> Scalar<'a> {
    pub(super) fn into_text(self) -> Result<Option<Cow<'a, str>>, Wrong> {
        match self.value {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            _ => Err(self.wrong()),
        }
    }

    pub(super) fn into_number(self) -> Result<Option<f64>, Wrong> {
        match self.value {
            Value::Null => Ok(None),
            #[expect(clippy::cast_precision_loss, reason = "the nearest double, as JSON readers do")]
            Value::Integer(number) => Ok(Some(number as f64)),
            #[expect(clippy::cast_precision_loss, reason = "the nearest double, as JSON readers do")]
            Value::LargeInteger(number) => Ok(Some(number as f64)),
            Value::Number(number) => Ok(Some(number)),
            _ => Err(self.wrong()),
        }
    }

    pub(super) fn into_boolean(self) -> Result<Option<bool>, Wrong> {
        match self.value {
            Value::Null => Ok(None),
            Value::Boolean(value) => Ok(Some(value)),
            _ => Err(self.wrong()),
        }
    }

    /// Returns a flight mode by its number or name. Undefined numbers are rejected later, since they are not an error of the
    /// format. Senders that keep numbers as doubles write `3.0` for 3.
    pub(super) fn into_flight_mode(self) -> Result<Option<i64>, Wrong> {
        /// Up to this number each integer is exact in a double.
        const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
        match &self.value {
            Value::Null => Ok(None),
            Value::Integer(number) => Ok(Some(*number)),
            #[expect(clippy::cast_possible_truncation, reason = "it is an integer and small enough")]
            Value::Number(number) if number.fract() == 0.0 && number.abs() <= MAX_EXACT => Ok(Some(*number as i64)),
            Value::Text(name) => {
                let known = (0..).zip(FLIGHT_MODES).find(|(_, mode)| mode.eq_ignore_ascii_case(name));
                known.map(|(number, _)| Some(number)).ok_or_else(|| {
                    let (name, modes) = (first_chars(name, SHOWN_CHARS), FLIGHT_MODES.join(", "));
                    Wrong(format!("unknown flight mode {name:?}: one of {modes}"))
                })
            }
            _ => Err(self.wrong()),
        }
    }

    fn wrong(&self) -> Wrong {
        let found = match &self.value {
            Value::Null => Unexpected::Unit,
            Value::Boolean(value) => Unexpected::Bool(*value),
            Value::Integer(number) => Unexpected::Signed(*number),
            Value::LargeInteger(number) => Unexpected::Unsigned(*number),
            Value::Number(number) => Unexpected::Float(*number),
            Value::Text(text) => return wrong_text(text, self.expected),
        };
        wrong_type(found, self.expected)
    }
}

/// Reads a scalar. The text is what it must be.
pub(super) struct ScalarSeed(pub(super) &'static str);

impl<'de> DeserializeSeed<'de> for ScalarSeed {
    type Value = Scalar<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Scalar<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> ScalarSeed {
    fn of(self, value: Value<'de>) -> Scalar<'de> {
        Scalar { value, expected: self.0 }
    }
}

impl<'de> Visitor<'de> for ScalarSeed {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_unit<E: Error>(self) -> Result<Scalar<'de>, E> {
        Ok(self.of(Value::Null))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Scalar<'de>, E> {
        Ok(self.of(Value::Boolean(value)))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Scalar<'de>, E> {
        Ok(self.of(Value::Integer(number)))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Scalar<'de>, E> {
        Ok(self.of(i64::try_from(number).map_or(Value::LargeInteger(number), Value::Integer)))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Scalar<'de>, E> {
        Ok(self.of(Value::Number(number)))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Scalar<'de>, E> {
        Ok(self.of(Value::Text(Cow::Borrowed(text))))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Scalar<'de>, E> {
        Ok(self.of(Value::Text(Cow::Owned(text.to_owned()))))
    }
}
