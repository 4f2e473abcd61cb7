//! Rejects most documents by a search in their texts, which is several times as fast as parsing them.
//!
//! The search may accept a document that the filter rejects, but never the other way round, for any text that is JSON. A name or a text
//! without a backslash is written as it is, so that it can be found. A text with a backslash is accepted.

use std::iter;

use devicestate_engine::{
    device_state::Document,
    store::{Filter, Scalar},
};
use memchr::memmem::{self, Finder};
use serde_json::Value;

/// A filter whose names are prepared for the search.
pub(super) enum QuickFilter<'a> {
    All(Vec<Self>),
    Any(Vec<Self>),
    /// The filter is on the id only.
    Id(&'a Filter),
    HeardUntil(i64),
    HeardSince(i64),
    /// A member of this name, with the quotes.
    Has(Finder<'static>),
    /// The same with a value that the filter accepts.
    HasValue(Finder<'static>, &'a Filter),
}

impl<'a> QuickFilter<'a> {
    pub(super) fn new(filter: &'a Filter) -> Self {
        let quoted = |name: &str| Finder::new(&format!("\"{name}\"")).into_owned();
        match filter {
            Filter::All(filters) => Self::All(filters.iter().map(Self::new).collect()),
            Filter::Any(filters) => Self::Any(filters.iter().map(Self::new).collect()),
            Filter::Device(_) | Filter::DevicePrefix(_) => Self::Id(filter),
            Filter::HeardUntil(ms) => Self::HeardUntil(*ms),
            Filter::HeardSince(ms) => Self::HeardSince(*ms),
            Filter::IsMarkedSilent => Self::Has(quoted("SilentSince")),
            // A name with such characters has escapes in any JSON, so that no text without a backslash has it.
            Filter::Exists(name) => Self::Has(quoted(name)),
            Filter::Compare { name, .. } => Self::HasValue(quoted(name), filter),
        }
    }

    /// Returns whether the filter may select a document of this id and text.
    pub(super) fn may_select(&self, id: &str, text: &[u8]) -> bool {
        memchr::memchr(b'\\', text).is_some() || self.may_select_without_escapes(id, text)
    }

    fn may_select_without_escapes(&self, id: &str, text: &[u8]) -> bool {
        match self {
            Self::All(filters) => filters.iter().all(|filter| filter.may_select_without_escapes(id, text)),
            Self::Any(filters) => filters.iter().any(|filter| filter.may_select_without_escapes(id, text)),
            Self::Id(filter) => filter.matches(&Document::new(id.to_owned())),
            Self::HeardUntil(ms) => heard_ms(text).is_none_or(|heard_ms| heard_ms <= *ms),
            Self::HeardSince(ms) => heard_ms(text).is_none_or(|heard_ms| heard_ms >= *ms),
            Self::Has(name) => name.find(text).is_some(),
            Self::HasValue(name, filter) => values(name, text).any(|value| is_accepted(filter, value)),
        }
    }
}

/// Returns the rest of a text from each value of a member of this name, at any depth.
fn values<'t>(name: &Finder<'_>, text: &'t [u8]) -> impl Iterator<Item = &'t [u8]> {
    let mut rest = text;
    iter::from_fn(move || {
        loop {
            rest = &rest[name.find(rest)? + name.needle().len()..];
            if let Some(value) = rest.trim_ascii_start().strip_prefix(b":") {
                return Some(value.trim_ascii_start());
            }
        }
    })
}

/// Returns whether the comparison accepts the value with which a text begins.
fn is_accepted(filter: &Filter, text: &[u8]) -> bool {
    let Filter::Compare { operator, value, .. } = filter else { return true };
    let is_of_type = match (value, text.first()) {
        (Scalar::Number(_), Some(first)) => matches!(first, b'-' | b'0'..=b'9'),
        (Scalar::Text(_), Some(first)) => *first == b'"',
        (Scalar::Boolean(_), Some(first)) => matches!(first, b't' | b'f'),
        (_, None) => true,
    };
    if !is_of_type {
        return false;
    }
    match serde_json::Deserializer::from_slice(text).into_iter::<Value>().next() {
        Some(Ok(held)) => value.compare(&held).is_some_and(|order| operator.accepts(order)),
        _ => true,
    }
}

/// Returns when the device was last heard, if the versions are the last member of the text, as this program writes them: then only the
/// ends of both objects follow.
fn heard_ms(text: &[u8]) -> Option<i64> {
    let start = memmem::rfind(text, b"\"Versions\":{")? + b"\"Versions\":{".len();
    let versions = text.trim_ascii_end().get(start..)?.strip_suffix(b"}}")?;
    if memchr::memchr2(b'{', b'}', versions).is_some() {
        return None;
    }
    let heard = memmem::rfind(versions, b"\"Heard\":[")? + b"\"Heard\":[".len();
    let end = memchr::memchr(b',', &versions[heard..])?;
    str::from_utf8(&versions[heard..heard + end]).ok()?.parse().ok()
}
