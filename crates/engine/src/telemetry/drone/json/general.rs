//! The general parser: reads each form of an event, in one pass, also to say what is invalid.
//!
//! An event that is invalid must cost about as much as a valid one, so an error carries the names of its field, and shows only
//! the beginning of a long text.

mod scalar;

use std::{borrow::Cow, cell::RefCell, fmt, mem};

use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor},
};
use serde_json::error::Category;

use super::{super::Fields, EVENT_NAMES, HEALTH_NAMES, POSITION_NAMES};
use crate::telemetry::Poison;
use scalar::{Scalar, ScalarSeed, Wrong, wrong_text};

/// The names of the field that an error is in, the innermost first.
type Path = RefCell<Vec<String>>;

const FLIGHT_MODE: &str = "a flight mode: its number or its name";

/// Decodes an event of any form.
pub(super) fn decode(text: &[u8]) -> Result<Fields<'_>, Poison> {
    let path = Path::default();
    let fields = match str::from_utf8(text) {
        // Checks UTF-8 once instead of for each name and text.
        Ok(text) => read(&mut serde_json::Deserializer::from_str(text), &path),
        // Invalid UTF-8 is an error only in fields that are read; ignored fields may contain anything.
        Err(_) => read(&mut serde_json::Deserializer::from_slice(text), &path),
    };
    fields.map_err(|error| {
        let issue = describe_error(text, &error, &path.into_inner());
        Poison::Undecodable(format!("the body is not valid JSON telemetry: {issue}"))
    })
}

fn read<'a, R: serde_json::de::Read<'a>>(
    json: &mut serde_json::Deserializer<R>,
    path: &Path,
) -> serde_json::Result<Fields<'a>> {
    let fields = json.deserialize_map(EventVisitor(path))?;
    json.end()?;
    Ok(fields)
}

/// Describes an error without terms of the library, and with the name of the field.
fn describe_error(text: &[u8], error: &serde_json::Error, path: &[String]) -> String {
    let issue = error.to_string();
    match error.classify() {
        Category::Eof => format!("the text ends in the middle ({issue})"),
        Category::Data if !path.is_empty() => format!("{}: {issue}", path.join(" of ")),
        Category::Syntax if issue.starts_with("trailing characters") => {
            match serde_json::Deserializer::from_slice(text).into_iter::<IgnoredAny>().take_while(Result::is_ok).count()
            {
                0 | 1 => issue,
                values => format!(
                    "the body has {values} JSON values: send one event for each, or use the setting Telemetry=json ({issue})"
                ),
            }
        }
        _ => issue,
    }
}

/// Calls `member` with the index of each known name of an object, in any letter case. Other members are skipped.
fn read_members<'de, A: MapAccess<'de>>(
    mut map: A,
    names: &'static [&'static str],
    path: &Path,
    mut member: impl FnMut(usize, &mut A) -> Result<(), A::Error>,
) -> Result<(), A::Error> {
    let mut is_read = [false; 8];
    while let Some(Name(name)) = map.next_key::<Name>()? {
        let Some(index) = names.iter().position(|known| known.eq_ignore_ascii_case(&name)) else {
            map.next_value::<IgnoredAny>()?;
            continue;
        };
        if mem::replace(&mut is_read[index], true) {
            return Err(A::Error::duplicate_field(names[index]));
        }
        member(index, &mut map).inspect_err(|_| path.borrow_mut().push(name.into_owned()))?;
    }
    Ok(())
}

/// The name of a member. It is borrowed if it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads the value of a member that must be a scalar.
fn member<'de, A: MapAccess<'de>>(map: &mut A, expected: &'static str) -> Result<Scalar<'de>, A::Error> {
    map.next_value_seed(ScalarSeed(expected))
}

/// Reads an event.
struct EventVisitor<'p>(&'p Path);

impl<'de> Visitor<'de> for EventVisitor<'_> {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let path = self.0;
        let mut fields = Fields::default();
        read_members(map, EVENT_NAMES, path, |index, map| {
            match index {
                0 => fields.device_id = member(map, "a string")?.into_text().map_err(Wrong::into_error)?,
                1 => fields.battery = member(map, "a number")?.into_number().map_err(Wrong::into_error)?,
                2 => fields.flight_mode = member(map, FLIGHT_MODE)?.into_flight_mode().map_err(Wrong::into_error)?,
                3 => {
                    let position = &mut fields.position;
                    let mut members = [&mut position.latitude, &mut position.longitude, &mut position.altitude];
                    let read = |index: usize, value: Scalar<'de>| {
                        *members[index] = value.into_number()?;
                        Ok(())
                    };
                    map.next_value_seed(Group { names: POSITION_NAMES, expected: "a number", path, read })?;
                }
                4 => {
                    let health = &mut fields.health;
                    let mut members = [&mut health.gyrometer, &mut health.accelerometer, &mut health.magnetometer];
                    let read = |index: usize, value: Scalar<'de>| {
                        *members[index] = value.into_boolean()?;
                        Ok(())
                    };
                    map.next_value_seed(Group { names: HEALTH_NAMES, expected: "a boolean", path, read })?;
                }
                // The key frame's flag is not stored, but a part of the format: a wrong type is invalid.
                _ => drop(member(map, "a boolean")?.into_boolean().map_err(Wrong::into_error)?),
            }
            Ok(())
        })?;
        Ok(fields)
    }
}

/// Reads an object of scalars, or null. An array of its members in order is not accepted: no device sends it.
struct Group<'p, F> {
    names: &'static [&'static str],
    /// What each member must be.
    expected: &'static str,
    path: &'p Path,
    read: F,
}

impl<'de, F: FnMut(usize, Scalar<'de>) -> Result<(), Wrong>> DeserializeSeed<'de> for Group<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(usize, Scalar<'de>) -> Result<(), Wrong>> Visitor<'de> for Group<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        Err(wrong_text(text, "a JSON object").into_error())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, map: A) -> Result<(), A::Error> {
        read_members(map, self.names, self.path, |index, map| {
            (self.read)(index, member(map, self.expected)?).map_err(Wrong::into_error)
        })
    }
}
