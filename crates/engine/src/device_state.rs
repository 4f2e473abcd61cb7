//! The state document of one device, the versions of its readings, and the merge.
//!
//! The merge enforces invariants 2 and 3: a reading is overwritten only by one with a newer [`Version`], and a version depends
//! on its event alone. So repetition and concurrent writers do not change the result of a set of events, and neither does
//! their order, as far as `docs/contribute/architecture.md` states.

mod document_id;
mod memory;
mod version;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize, de::Error as _, ser::SerializeMap as _};
use serde_json::{Map, Value};

use crate::text::{iso8601, time_ms};

pub use document_id::{MAX_ID_BYTES, device_id, document_id};
pub(crate) use memory::allocation_bytes;
pub use version::{MAX_CLOCK_STEP_MS, Version};

/// The name of a reading. A copy shares the memory.
pub type Name = arcstr::ArcStr;

/// One named value of a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The field of the document.
    pub name: Name,
    /// The value, as JSON.
    pub value: Value,
}

/// A value for each field, sorted by the names of the fields.
#[derive(Debug, Clone, PartialEq)]
struct Fields<T>(Vec<(Name, T)>);

impl<T> Fields<T> {
    /// Returns a field. The first one, which is mostly asked for, needs no search.
    fn get(&self, name: &str) -> Option<&T> {
        let (first, field) = self.0.first()?;
        if **first == *name {
            return Some(field);
        }
        let index = self.0.binary_search_by(|(held, _)| (**held).cmp(name)).ok()?;
        Some(&self.0[index].1)
    }

    /// Returns the index of a field, or as the error the index at which to insert it. Callers that process fields in the order
    /// of their names pass the `expected` index, and then no search is needed. Names that share their memory are equal without
    /// a comparison of their bytes.
    #[inline]
    fn index_of(&self, name: &Name, expected: usize) -> Result<usize, usize> {
        match self.0.get(expected) {
            Some((held, _)) if held == name => Ok(expected),
            None if self.0.last().is_none_or(|(held, _)| held < name) => Err(self.0.len()),
            _ => self.0.binary_search_by(|(held, _)| held.cmp(name)),
        }
    }
}

impl<T> Default for Fields<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// The fold of some events of a device: the newest value of each field, with its version.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Update {
    /// The position of the newest event.
    heard: Option<Version>,
    fields: Fields<(Version, Value)>,
}

impl Update {
    /// Folds one event into the update, whose events are of one batch. A null clears its field.
    pub fn fold(&mut self, version: Version, readings: &[Reading]) {
        if self.fields.0.is_empty() {
            self.fields.0.reserve(readings.len());
        }
        let mut expected = 0;
        for Reading { name, value } in readings {
            let index = self.fields.index_of(name, expected);
            expected = index.unwrap_or_else(|index| index) + 1;
            match index {
                Ok(index) => {
                    let (held, newest) = &mut self.fields.0[index].1;
                    if let Some(version) = held.replaced_by(version) {
                        *held = version;
                        *newest = value.clone();
                    }
                }
                Err(index) => self.fields.0.insert(index, (name.clone(), (version, value.clone()))),
            }
        }
    }

    /// Folds the position of an event, whatever its readings are: its time is that of the service, and not of the device.
    #[inline]
    pub fn hear(&mut self, position: Version) {
        self.heard = replaced(self.heard, position).or(self.heard);
    }
}

/// The state document of one device: its id, its newest readings, each with its version, and when it was last heard.
///
/// Stored as `{"id":"drone-7","Heard":"2024-11-21T00:46:40.123Z","Battery":0.5,"Versions":{"Heard":[1732150000123,42,913],
/// "Battery":[1732150000123,42,913]}}`. A field without a version was written by another program, such as the reference
/// implementation: it is preserved, and any event may overwrite it. A field that an event has cleared is null.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The document's id and partition key: see [`document_id`].
    pub id: String,
    /// The position of the newest event of the device that was written.
    heard: Option<Version>,
    /// When the device was last heard before the silence watch found it silent, in milliseconds since 1970.
    silent_since: Option<i64>,
    /// Copies of a document share the fields until one of them is changed.
    fields: Arc<Fields<Field>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Field {
    value: Value,
    version: Option<Version>,
}

impl Document {
    /// Creates a document without readings.
    #[must_use]
    pub fn new(id: String) -> Self {
        Self { id, heard: None, silent_since: None, fields: Arc::default() }
    }

    /// Returns true if an event of this version would update at least one of these readings.
    #[must_use]
    pub fn is_older_than(&self, version: Version, readings: &[Reading]) -> bool {
        readings.iter().any(|r| replaced(self.version(&r.name), version).is_some())
    }

    /// Overwrites each field for which the update is newer, and returns true if there is one. When the device was last heard is
    /// raised as well, and is not part of the result: see [`Document::is_heard_due`].
    pub fn merge(&mut self, update: &Update) -> bool {
        self.heard = update.heard.and_then(|position| replaced(self.heard, position)).or(self.heard);
        if !update.fields.0.iter().any(|(name, (version, _))| replaced(self.version(name), *version).is_some()) {
            return false;
        }
        let mut held = self.fields.0.iter().peekable();
        let mut merged = Vec::with_capacity(self.fields.0.len().max(update.fields.0.len()));
        for (name, (version, value)) in &update.fields.0 {
            // Both are sorted by name.
            while let Some(other) = held.next_if(|(held, _)| held != name && held < name) {
                merged.push(other.clone());
            }
            let held = held.next_if(|(held, _)| held == name).map(|(_, field)| field);
            let field = match (held, replaced(held.and_then(|held| held.version), *version)) {
                (Some(held), None) => held.clone(),
                (_, version) => Field { value: value.clone(), version },
            };
            merged.push((name.clone(), field));
        }
        merged.extend(held.cloned());
        self.fields = Arc::new(Fields(merged));
        true
    }

    /// Returns true if the update is worth a write only because the device was heard again: this document does not say when it was
    /// last heard, or says a time that is older by at least `heard_every`.
    #[must_use]
    pub fn is_heard_due(&self, update: &Update, heard_every: Duration) -> bool {
        let Some(position) = update.heard else { return false };
        let Some(held) = self.heard else { return true };
        held.replaced_by(position).is_some_and(|heard| {
            let age_ms = heard.time_ms.saturating_sub(held.time_ms);
            u128::from(age_ms.unsigned_abs()) >= heard_every.as_millis()
        })
    }

    /// Returns true if this document shows that the update was written over the document `before`: each version that the update
    /// changes in `before` is exactly the one that the merge makes. When the device was last heard shows nothing: other events
    /// raise it, too.
    #[must_use]
    pub fn holds(&self, update: &Update, before: Option<&Self>) -> bool {
        update.fields.0.iter().all(|(name, (version, _))| {
            let written = replaced(before.and_then(|before| before.version(name)), *version);
            written.is_none() || self.version(name) == written
        })
    }

    /// Returns the value of a field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).map(|field| &field.value)
    }

    /// Returns the version of a field; `None` if the field is absent or has no version.
    #[must_use]
    pub fn version(&self, name: &str) -> Option<Version> {
        self.fields.get(name)?.version
    }

    /// Returns the fields with their values, in the order of their names.
    pub fn readings(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.fields.0.iter().map(|(name, field)| (&**name, &field.value))
    }

    /// Returns the position of the newest event of the device, as it was last written; `None` in a document of an earlier version
    /// of this program. Its time is that of the service.
    #[must_use]
    pub fn heard(&self) -> Option<Version> {
        self.heard
    }

    /// Returns the mark of the silence watch: when the device was last heard before it was found silent, in milliseconds since 1970.
    /// The device is silent as long as it was not heard later; the watch then removes the mark.
    #[must_use]
    pub fn silent_since(&self) -> Option<i64> {
        self.silent_since
    }

    /// Returns since when the device is silent by the mark of the silence watch; `None` also if the device was heard later. The mark
    /// then stays until the next run of the watch, or for ever if the watch is off now.
    #[must_use]
    pub fn still_silent_since(&self) -> Option<i64> {
        self.silent_since.filter(|since_ms| self.last_heard_ms().is_none_or(|heard_ms| heard_ms <= *since_ms))
    }

    /// Sets or removes the mark of the silence watch.
    pub fn set_silent_since(&mut self, silent_since: Option<i64>) {
        self.silent_since = silent_since;
    }

    /// Returns the number of fields.
    #[must_use]
    pub fn reading_count(&self) -> usize {
        self.fields.0.len()
    }

    /// Returns the version with the latest time of all readings.
    #[must_use]
    pub fn newest_version(&self) -> Option<Version> {
        self.fields.0.iter().filter_map(|(_, field)| field.version).max_by_key(|version| version.by_time())
    }

    /// Returns when the device was last heard, in milliseconds since 1970. A document of an earlier version of this program does
    /// not say so: then it is the time of the newest reading, if there is one.
    #[must_use]
    pub fn last_heard_ms(&self) -> Option<i64> {
        self.heard().or_else(|| self.newest_version()).map(|version| version.time_ms)
    }
}

/// Returns the version of a field after an event replaces it; `None` if the event is not newer.
fn replaced(held: Option<Version>, event: Version) -> Option<Version> {
    held.map_or(Some(event), |held| held.replaced_by(event))
}

impl Serialize for Document {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(ID, &self.id)?;
        if let Some(heard) = self.heard {
            map.serialize_entry(HEARD, &iso8601(heard.time_ms))?;
        }
        if let Some(silent_since) = self.silent_since {
            map.serialize_entry(SILENT_SINCE, &iso8601(silent_since))?;
        }
        for (name, field) in &self.fields.0 {
            map.serialize_entry(name, &field.value)?;
        }
        map.serialize_entry(VERSIONS, &Versions(self))?;
        map.end()
    }
}

/// Serializes the versions of a document by name: when the device was last heard, and of the fields that have one.
struct Versions<'a>(&'a Document);

impl Serialize for Versions<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Document { heard, fields, .. } = self.0;
        let heard = heard.map(|heard| (HEARD, heard));
        let fields = fields.0.iter().filter_map(|(name, field)| Some((name.as_str(), field.version?)));
        serializer.collect_map(heard.into_iter().chain(fields))
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut map = Map::deserialize(deserializer)?;
        let Some(Value::String(id)) = map.remove(ID) else {
            return Err(D::Error::custom("a state document needs an \"id\" that is a string"));
        };
        let versions = map.remove(VERSIONS).unwrap_or_default();
        let versions: Option<BTreeMap<String, Version>> = serde_json::from_value(versions)
            .map_err(|error| D::Error::custom(format!("\"Versions\" of the document {id:?}: {error}")))?;
        let mut versions = versions.unwrap_or_default();
        let heard = versions.remove(HEARD);
        map.remove(HEARD);
        let silent_since = map.remove(SILENT_SINCE).as_ref().and_then(Value::as_str).and_then(time_ms);
        let fields = map.into_iter().filter(|(name, _)| !SERVICE_PROPERTIES.contains(&name.as_str()));
        let mut fields: Vec<(Name, _)> = fields
            .map(|(name, value)| {
                let version = versions.get(&name).copied();
                (name.into(), Field { value, version })
            })
            .collect();
        // serde_json sorts its maps, unless a dependency enables its feature preserve_order.
        fields.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Ok(Self { id, heard, silent_since, fields: Arc::new(Fields(fields)) })
    }
}

const ID: &str = "id";
const HEARD: &str = "Heard";
const SILENT_SINCE: &str = "SilentSince";
const VERSIONS: &str = "Versions";

/// The properties that Cosmos DB adds to a stored document.
const SERVICE_PROPERTIES: [&str; 5] = ["_rid", "_self", "_etag", "_attachments", "_ts"];

/// Returns true if a reading may have this name. Reserved are `id`, `Heard`, `SilentSince`, `Versions`, `ttl` (after which Cosmos DB deletes
/// a document), the empty name and names with a leading underscore.
#[must_use]
pub fn is_reading_name(name: &str) -> bool {
    !matches!(name, "" | ID | HEARD | SILENT_SINCE | VERSIONS | "ttl") && !name.starts_with('_')
}

#[cfg(test)]
mod tests;
