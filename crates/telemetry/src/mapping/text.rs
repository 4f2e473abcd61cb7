//! Parses the JSON text of a body.

use std::fmt;

use devicestate_engine::telemetry::Poison;
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

use super::{MAX_RECORDS, records::too_many_records, shown::shortened};

/// The most values of a body, with those that contain others: an object of a few bytes needs hundreds in memory, and a packed
/// body may be 16 times as large as an event.
pub(crate) const MAX_VALUES: usize = 1_000_000;

/// Parses a body that is one JSON value, or several one after the other, with or without line ends between them.
///
/// # Errors
///
/// Returns a [`Poison`] if there is no value, or if a part of the text is not valid JSON: then no record is applied. The text is
/// also invalid if an object has two members of one name, if a number is beyond a double, or if it is nested more deeply than
/// [`MAX_DEPTH`](super::MAX_DEPTH).
pub fn parse(text: &[u8]) -> Result<Vec<Value>, Poison> {
    if !has_at_most_values(MAX_VALUES, text) {
        return Err(Poison::Undecodable(format!("the body has more than {MAX_VALUES} values: send several events")));
    }
    let mut values = Vec::new();
    for value in serde_json::Deserializer::from_slice(text).into_iter::<Checked>() {
        let Checked(value) =
            value.map_err(|error| Poison::Undecodable(format!("the body is not valid JSON: {error}")))?;
        if values.len() == MAX_RECORDS {
            return Err(too_many_records());
        }
        values.push(value);
    }
    if values.is_empty() {
        return Err(Poison::Undecodable("the body has no record: it is empty".into()));
    }
    Ok(values)
}

/// Parses a body of which the entire text is not valid, if it is lines of JSON: the first line is an object. Each line is valid or
/// not for itself; empty lines are skipped. Returns `None` for any other body, and for more lines than an event may have records.
pub(crate) fn parse_lines(text: &[u8]) -> Option<Vec<Result<Value, Poison>>> {
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let lines: Vec<_> = lines.enumerate().filter(|(_, line)| !line.is_empty()).collect();
    let is_object = |line: &[u8]| matches!(serde_json::from_slice(line), Ok(Checked(Value::Object(_))));
    if lines.len() < 2 || lines.len() > MAX_RECORDS || !is_object(lines[0].1) || !has_at_most_values(MAX_VALUES, text) {
        return None;
    }
    let parse = |(number, line): (usize, &[u8])| {
        let parsed = serde_json::from_slice(line).map(|Checked(value)| value);
        parsed.map_err(|error| {
            let number = number + 1;
            Poison::Undecodable(format!("line {number} of the body is not valid JSON: {}", without_line(&error)))
        })
    };
    Some(lines.into_iter().map(parse).collect())
}

/// Returns an error of the JSON of one line, with its column alone.
fn without_line(error: &serde_json::Error) -> String {
    error.to_string().replace(" at line 1 column ", " at column ")
}

/// Parses the value that a text begins with; returns it with its length in bytes.
pub(crate) fn parse_first(text: &str) -> Option<(Value, usize)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Checked>();
    let Checked(value) = values.next()?.ok()?;
    Some((value, values.byte_offset()))
}

/// Returns true if a text has at most this many values. It is not parsed for that.
fn has_at_most_values(count: usize, text: &[u8]) -> bool {
    // Each value and the comma after it have two bytes.
    if text.len() / 2 < count {
        return true;
    }
    let (mut values, mut is_in_text, mut is_escaped) = (0, false, false);
    for byte in text {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_in_text,
            b'"' => is_in_text = !is_in_text,
            b',' | b'{' | b'[' if !is_in_text => values += 1,
            _ => {}
        }
    }
    values <= count
}

/// A value of which no object has two members of one name.
struct Checked(Value);

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CheckedVisitor).map(Self)
    }
}

struct CheckedVisitor;

impl<'de> Visitor<'de> for CheckedVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(Checked(element)) = access.next_element()? {
            elements.push(element);
        }
        Ok(Value::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            if members.contains_key(&name) {
                return Err(A::Error::custom(format!("the member {:?} is given twice", shortened(&name))));
            }
            let Checked(value) = access.next_value()?;
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}
