//! Which documents of a store are selected. [`Filter::matches`] defines the meaning; a store may translate a filter into a query
//! that selects the same documents.

use std::cmp::Ordering;

use serde_json::Value;

use crate::device_state::{Document, device_id};

/// A condition on a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// Each of these holds; with none, every document is selected.
    All(Vec<Filter>),
    /// At least one of these holds; with none, no document is selected.
    Any(Vec<Filter>),
    /// The device id is this one.
    Device(String),
    /// The device id begins with this text.
    DevicePrefix(String),
    /// The device was last heard at this time or before, in milliseconds since 1970, or the document does not say when.
    HeardUntil(i64),
    /// The device was last heard at this time or after, in milliseconds since 1970.
    HeardSince(i64),
    /// The silence watch has found the device silent, and has not yet noticed that it is back.
    IsMarkedSilent,
    /// The reading of this name has a value, which is not null.
    Exists(String),
    /// The reading of this name has a value of the same type as `value`, and compares like this. A value of another type, null and
    /// no value do not match, whatever the operator is.
    Compare {
        /// The name of the reading.
        name: String,
        /// The operator.
        operator: Operator,
        /// The value to compare with.
        value: Scalar,
    },
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A value that readings are compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// A number; as in Cosmos DB, all numbers are compared as doubles. It is finite.
    Number(f64),
    /// A text, compared by code points.
    Text(String),
    /// `true` or `false`.
    Boolean(bool),
}

impl Filter {
    /// Selects every document.
    pub const EVERY: Self = Self::All(Vec::new());

    /// Returns whether the filter selects this document.
    #[must_use]
    pub fn matches(&self, document: &Document) -> bool {
        match self {
            Self::All(filters) => filters.iter().all(|filter| filter.matches(document)),
            Self::Any(filters) => filters.iter().any(|filter| filter.matches(document)),
            Self::Device(id) => device_id(&document.id) == *id,
            Self::DevicePrefix(prefix) => device_id(&document.id).starts_with(prefix),
            Self::HeardUntil(ms) => document.heard().is_none_or(|heard| heard.time_ms <= *ms),
            Self::HeardSince(ms) => document.heard().is_some_and(|heard| heard.time_ms >= *ms),
            Self::IsMarkedSilent => document.silent_since().is_some(),
            Self::Exists(name) => document.get(name).is_some_and(|value| !value.is_null()),
            Self::Compare { name, operator, value } => {
                document.get(name).and_then(|held| value.compare(held)).is_some_and(|order| operator.accepts(order))
            }
        }
    }
}

impl Operator {
    /// Returns whether a value that compares like this to the one of the filter is accepted.
    #[must_use]
    pub fn accepts(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

impl Scalar {
    /// Returns how a held value compares to this one; `None` if it has another type.
    #[must_use]
    pub fn compare(&self, held: &Value) -> Option<Ordering> {
        match (self, held) {
            (Self::Number(number), Value::Number(held)) => held.as_f64()?.partial_cmp(number),
            (Self::Text(text), Value::String(held)) => Some(held.as_str().cmp(text)),
            (Self::Boolean(boolean), Value::Bool(held)) => Some(held.cmp(boolean)),
            _ => None,
        }
    }
}
