//! Applies a filter to the text of a stored document. Most of the text is skipped and not parsed.

use std::{
    collections::BTreeSet,
    fmt::{self, Formatter},
};

use devicestate_engine::{device_state::Document, store::Filter};
use serde::{
    Deserialize as _,
    de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Map, Value};

use super::{parse_document, quick::QuickFilter};

/// A filter with the parts of a document that it needs.
pub(super) struct FilteredText<'a> {
    filter: &'a Filter,
    quick: QuickFilter<'a>,
    parts: BTreeSet<&'a str>,
}

const HEARD: &str = "Heard";
const VERSIONS: &str = "Versions";

impl<'a> FilteredText<'a> {
    pub(super) fn new(filter: &'a Filter) -> Self {
        let mut parts = BTreeSet::from(["id"]);
        add_parts(filter, &mut parts);
        Self { filter, quick: QuickFilter::new(filter), parts }
    }

    /// Returns the document if the filter selects it, or why it is invalid. Of a document that the filter cannot select, it is not
    /// checked whether it is valid.
    pub(super) fn select(&self, id: &str, text: &[u8]) -> Result<Option<Document>, String> {
        if !self.quick.may_select(id, text) || self.is_rejected(id, text) {
            return Ok(None);
        }
        let document = parse_document(id, text)?;
        Ok(self.filter.matches(&document).then_some(document))
    }

    /// Returns whether the filter selects a document, which is valid as far as the filter needs it.
    pub(super) fn is_selected(&self, id: &str, text: &[u8]) -> bool {
        self.quick.may_select(id, text)
            && self.reduced(text).is_some_and(|document| document.id == id && self.filter.matches(&document))
    }

    fn is_rejected(&self, id: &str, text: &[u8]) -> bool {
        *self.filter != Filter::EVERY
            && self.reduced(text).is_some_and(|document| document.id == id && !self.filter.matches(&document))
    }

    /// Returns the document with the parts that the filter needs, so that the filter itself decides; `None` if they are invalid.
    fn reduced(&self, text: &[u8]) -> Option<Document> {
        let mut json = serde_json::Deserializer::from_slice(text);
        let reduced = Object(&self.parts).deserialize(&mut json).ok()?;
        json.end().ok()?;
        Document::deserialize(reduced).ok()
    }
}

/// Adds the names of the parts that a filter needs.
fn add_parts<'a>(filter: &'a Filter, parts: &mut BTreeSet<&'a str>) {
    match filter {
        Filter::All(filters) | Filter::Any(filters) => filters.iter().for_each(|filter| add_parts(filter, parts)),
        Filter::Device(_) | Filter::DevicePrefix(_) => {}
        Filter::HeardUntil(_) | Filter::HeardSince(_) => {
            parts.insert(VERSIONS);
        }
        Filter::IsMarkedSilent => {
            parts.insert("SilentSince");
        }
        Filter::Exists(name) | Filter::Compare { name, .. } => {
            parts.insert(name);
        }
    }
}

/// Deserializes an object with these members only. Of the versions, only the one of when the device was last heard is needed.
struct Object<'a>(&'a BTreeSet<&'a str>);

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    /// A document may have null instead of versions.
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key_seed(Name(self.0))? {
            let value = match name {
                None => {
                    members.next_value::<IgnoredAny>()?;
                    continue;
                }
                Some(VERSIONS) => members.next_value_seed(Object(&BTreeSet::from([HEARD])))?,
                Some(_) => members.next_value()?,
            };
            object.extend(name.map(|name| (name.to_owned(), value)));
        }
        Ok(Value::Object(object))
    }
}

/// Deserializes the name of a member; `None` if it is not one of these.
struct Name<'a>(&'a BTreeSet<&'a str>);

impl<'de, 'a> DeserializeSeed<'de> for Name<'a> {
    type Value = Option<&'a str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Name<'a> {
    type Value = Option<&'a str>;

    fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.get(name).copied())
    }
}
