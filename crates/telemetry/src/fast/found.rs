//! The values at the sources of a mapping, and conditions on them.

use serde_json::Value;

use super::{record::Held, text::Quoted};
use crate::mapping::{Condition, Context, Source, Test, is_equal};

/// Where one value is.
#[derive(Debug)]
pub(super) enum From {
    /// In the record.
    Slot(usize),
    /// Around it.
    Metadata(Source),
}

/// What sources have.
pub(super) enum Found<'h> {
    Missing,
    /// Nothing but null.
    Null,
    Held(&'h Held),
    Metadata(Value),
}

impl<'h> Found<'h> {
    /// Returns the first value that is not null.
    #[inline]
    pub(super) fn first(sources: &[From], context: &Context<'_>, slots: &'h [Held]) -> Self {
        let mut found = Self::Missing;
        for source in sources {
            match source {
                From::Slot(slot) => match &slots[*slot] {
                    Held::Absent => {}
                    Held::Null => found = Self::Null,
                    held => return Self::Held(held),
                },
                From::Metadata(source) => match source.find_metadata(context) {
                    Some(Value::Null) => found = Self::Null,
                    Some(value) => return Self::Metadata(value),
                    None => {}
                },
            }
        }
        found
    }
}

/// Conditions that decide whether a record is of a kind.
#[derive(Debug)]
pub(super) struct Guard {
    /// They must all hold, or not all hold.
    pub(super) conditions: Vec<SlotCondition>,
    pub(super) must_hold: bool,
}

/// A condition on one value.
#[derive(Debug)]
pub(super) enum SlotCondition {
    /// On the metadata of the event.
    Metadata(Condition),
    /// On a value in the record.
    Record { from: Vec<From>, test: Test },
}

impl Guard {
    pub(super) fn is_kept(&self, context: &Context<'_>, slots: &[Held], text: &str) -> bool {
        self.must_hold == self.conditions.iter().all(|condition| condition.holds(context, slots, text))
    }
}

impl SlotCondition {
    fn holds(&self, context: &Context<'_>, slots: &[Held], json: &str) -> bool {
        let (from, test) = match self {
            Self::Metadata(condition) => return condition.holds_for(context),
            Self::Record { from, test } => (from, test),
        };
        match (test, Found::first(from, context, slots)) {
            (Test::Exists(expected), Found::Missing | Found::Null) => !expected,
            (Test::Exists(expected), _) => *expected,
            (Test::Equals(values), Found::Held(held)) => values.iter().any(|value| held.is(value, json)),
            (Test::Equals(values), Found::Null) => values.contains(&Value::Null),
            (Test::StartsWith(start), Found::Held(held)) => match held {
                Held::Text(Quoted { begin, end, is_escaped: false }) => json[*begin..*end].starts_with(start.as_str()),
                Held::Text(_) => {
                    let value = held.to_value(json);
                    value.is_some_and(|value| value.as_str().is_some_and(|text| text.starts_with(start.as_str())))
                }
                _ => false,
            },
            _ => false,
        }
    }
}

impl Held {
    /// Returns true if this is the expected value, which is not an object or an array.
    fn is(&self, expected: &Value, text: &str) -> bool {
        match (self, expected) {
            (Self::Text(Quoted { begin, end, is_escaped: false }), Value::String(expected)) => {
                text[*begin..*end] == **expected
            }
            (Self::Text(_), Value::String(_)) => self.to_value(text).is_some_and(|value| value == *expected),
            (Self::Number(number), Value::Number(expected)) => is_equal(expected, number),
            (Self::Boolean(value), Value::Bool(expected)) => value == expected,
            _ => false,
        }
    }
}
