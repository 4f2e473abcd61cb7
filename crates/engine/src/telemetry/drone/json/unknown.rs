//! The fields of an event that are not part of the format.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::{EVENT_NAMES, HEALTH_NAMES, POSITION_NAMES, object_text};
use crate::{telemetry::MAX_SKIPPED_FIELDS, text::first_chars};

/// The number of characters of a name that is shown.
const SHOWN_CHARS: usize = 64;

/// Returns the names of the first fields that are not part of the format, such as `batteryX` or `position.lat`.
pub(in super::super) fn unknown_fields(body: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    if let Some(text) = object_text(body) {
        let unknown = Unknown { known: EVENT_NAMES, prefix: "", names: &mut names };
        // It ends with an error as soon as there are enough names.
        let _ = unknown.deserialize(&mut serde_json::Deserializer::from_slice(&text));
    }
    names
}

/// Returns the unknown fields of an event that may be meant as `name`, its device id.
pub(in super::super) fn near_misses(body: &[u8], name: &str) -> Vec<String> {
    let is_candidate = |unknown: &String| is_near_miss(unknown, name) || unknown.eq_ignore_ascii_case("id");
    unknown_fields(body).into_iter().filter(is_candidate).collect()
}

/// Returns an unknown name, with the known one that it may be meant as.
pub(in super::super) fn with_hint(unknown: &str) -> String {
    match intended_name(unknown) {
        Some(known) => format!("{unknown} (did you mean {known}?)"),
        None => unknown.to_owned(),
    }
}

fn intended_name(unknown: &str) -> Option<&'static str> {
    let known = |(prefix, names): (&str, &'static [&'static str])| {
        let unknown = unknown.strip_prefix(prefix)?;
        names.iter().find(|name| is_near_miss(unknown, name)).copied()
    };
    // A member of a position may be sent outside of it, and the other way round.
    let groups = [("", EVENT_NAMES), ("", POSITION_NAMES), ("", HEALTH_NAMES)];
    let within = [("position.", POSITION_NAMES), ("health.", HEALTH_NAMES)];
    groups.into_iter().chain(within).find_map(known)
}

/// Collects names of unknown members.
struct Unknown<'n> {
    known: &'static [&'static str],
    /// What the name of each member begins with.
    prefix: &'static str,
    names: &'n mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Unknown<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unknown<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            let is = |known: &str| known.eq_ignore_ascii_case(&name);
            let names = &mut *self.names;
            if self.prefix.is_empty() && is("position") {
                map.next_value_seed(Unknown { known: POSITION_NAMES, prefix: "position.", names })?;
            } else if self.prefix.is_empty() && is("health") {
                map.next_value_seed(Unknown { known: HEALTH_NAMES, prefix: "health.", names })?;
            } else {
                if !self.known.iter().any(|known| is(known)) {
                    let name = format!("{}{}", self.prefix, first_chars(&name, SHOWN_CHARS));
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
                if names.len() == MAX_SKIPPED_FIELDS {
                    return Err(A::Error::custom("enough names"));
                }
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// Returns true if two names differ only in letter case and separators, or in two letters at most.
fn is_near_miss(unknown: &str, known: &str) -> bool {
    let letters = |name: &str| -> Vec<char> {
        name.chars().filter(|c| c.is_alphanumeric()).take(SHOWN_CHARS).map(|c| c.to_ascii_lowercase()).collect()
    };
    let (unknown, known) = (letters(unknown), letters(known));
    // In a short name two letters are most of it.
    unknown == known || edit_distance(&unknown, &known) <= known.len() / 4
}

/// Returns the number of letters to insert, delete or replace to make one name the other (Levenshtein).
fn edit_distance(one: &[char], other: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}
