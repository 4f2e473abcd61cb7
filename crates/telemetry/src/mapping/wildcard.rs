//! The rule `*`: readings by the names that the members of an object have, or that the elements of an array contain.

use std::ptr::from_ref;

use devicestate_engine::{device_state::Reading, telemetry::Records};
use serde_json::Value;

use super::{
    Kind, MAX_DEPTH, MAX_NAME_BYTES, Pointer,
    record::Values,
    shown::{shortened, shown},
};

/// Readings by the names in the record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wildcard {
    /// Where the object or the array is in the record.
    pub(crate) from: Pointer,
    /// Only these names are readings; `None`: all are.
    pub(crate) include: Option<Vec<NamePattern>>,
    /// These names are not readings, also if they are included.
    pub(crate) exclude: Vec<NamePattern>,
    /// What the name of each reading begins with; the patterns are for the names without it.
    pub(crate) prefix: String,
    pub(crate) elements: Elements,
}

/// What contains the readings.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Elements {
    /// The members of an object; the value of each is at this pointer within it.
    Members { value: Pointer },
    /// The elements of an array, or one object; name and value of each are at these pointers within it.
    Pairs { name: Pointer, value: Pointer },
}

/// A name, or with a `*` at its end a prefix. A name also matches the members of the object of that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamePattern {
    pub(crate) text: String,
    pub(crate) is_prefix: bool,
}

impl NamePattern {
    pub(crate) fn matches(&self, name: &str) -> bool {
        name.strip_prefix(self.text.as_str())
            .is_some_and(|rest| self.is_prefix || rest.is_empty() || rest.starts_with('.'))
    }
}

impl Wildcard {
    /// Adds the readings of a record, without the values that are used elsewhere. What is deliberately not a reading is added to
    /// the used values.
    pub(super) fn add_readings(
        &self,
        kind: &Kind,
        record: &Value,
        used: &mut Values,
        records: &mut Records<'_, '_>,
    ) -> Result<(), String> {
        let Some(container) = self.from.find(record).filter(|container| !container.is_null()) else { return Ok(()) };
        let mut walk = Walk { wildcard: self, kind, used, records };
        match (&self.elements, container) {
            (Elements::Members { value: pointer }, Value::Object(members)) => {
                for (name, member) in members {
                    if let (false, Some(value)) = (walk.is_used(member), pointer.find(member)) {
                        walk.add(&mut name.clone(), value, 1)?;
                    }
                }
                Ok(())
            }
            (Elements::Pairs { name, value }, Value::Array(elements)) => {
                for (index, element) in elements.iter().enumerate() {
                    walk.add_pair(element, name, value, || format!("element {index} of {}", self.from))?;
                }
                Ok(())
            }
            (Elements::Pairs { name, value }, pair @ Value::Object(_)) => {
                walk.add_pair(pair, name, value, || format!("the object at {}", self.from))
            }
            (Elements::Members { .. }, other) if self.from.steps.is_empty() => {
                Err(format!("the record must be a JSON object, found {}", shown(other)))
            }
            (Elements::Members { .. }, other) => {
                Err(format!("the readings at {} must be an object, found {}", self.from, shown(other)))
            }
            (Elements::Pairs { .. }, other) => {
                Err(format!("the readings at {} must be an array or an object, found {}", self.from, shown(other)))
            }
        }
    }

    pub(crate) fn is_excluded(&self, name: &str) -> bool {
        self.exclude.iter().any(|pattern| pattern.matches(name))
    }

    pub(crate) fn is_included(&self, name: &str) -> bool {
        self.include.as_ref().is_none_or(|include| include.iter().any(|pattern| pattern.matches(name)))
    }
}

/// The readings of one record are being added.
struct Walk<'w, 'r, 'e> {
    wildcard: &'w Wildcard,
    kind: &'w Kind,
    used: &'w mut Values,
    records: &'w mut Records<'r, 'e>,
}

impl Walk<'_, '_, '_> {
    fn is_used(&self, value: &Value) -> bool {
        self.used.contains(&from_ref(value))
    }

    /// Adds a value that is beside its name.
    fn add_pair(
        &mut self,
        pair: &Value,
        name: &Pointer,
        value: &Pointer,
        place: impl FnOnce() -> String,
    ) -> Result<(), String> {
        if self.is_used(pair) {
            return Ok(());
        }
        let found = name.find(pair);
        let Some(Value::String(text)) = found else {
            let found = found.map_or_else(|| "nothing".into(), shown);
            return Err(format!("{} must have its name at {name}, a text, found {found}", place()));
        };
        match value.find(pair) {
            Some(value) => self.add(&mut text.clone(), value, 1),
            None => Ok(()),
        }
    }

    /// Adds a value, or the members of an object. `name` is the same afterwards.
    fn add(&mut self, name: &mut String, value: &Value, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!("the record is nested more deeply than {MAX_DEPTH} levels"));
        }
        if self.is_used(value) {
            return Ok(());
        }
        match value {
            Value::Object(members) if !self.kind.objects_are_whole && !members.is_empty() => {
                let length = name.len();
                for (member, value) in members {
                    name.push('.');
                    name.push_str(member);
                    self.add(name, value, depth + 1)?;
                    name.truncate(length);
                }
            }
            _ if self.wildcard.is_excluded(name) => drop(self.used.insert(from_ref(value))),
            _ if !self.wildcard.is_included(name) => {}
            Value::Object(_) if !self.kind.objects_are_whole => drop(self.used.insert(from_ref(value))),
            Value::Null if !self.kind.null_clears => drop(self.used.insert(from_ref(value))),
            value => {
                let (prefix, bytes) = (&self.wildcard.prefix, self.wildcard.prefix.len() + name.len());
                if bytes > MAX_NAME_BYTES {
                    let name = shortened(name);
                    return Err(format!(
                        "the name {name:?} of a reading has {bytes} bytes: {MAX_NAME_BYTES} are allowed"
                    ));
                }
                let name = format!("{prefix}{name}");
                self.records.push(Reading { name: name.into(), value: value.clone() });
            }
        }
        Ok(())
    }
}
