//! Conditions on records.

use serde_json::Value;

use super::{
    Context, Source, Sources,
    convert::is_equal,
    source::{Found, Scope},
};

/// Conditions that must all hold; without one it always holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct When(pub(crate) Vec<Condition>);

/// A condition on one value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Condition {
    pub(crate) from: Sources,
    pub(crate) test: Test,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Test {
    /// Whether there is a value that is not null.
    Exists(bool),
    /// The value is one of these.
    Equals(Vec<Value>),
    /// The value is a text that starts with this.
    StartsWith(String),
}

impl When {
    pub(crate) fn holds(&self, scope: Scope<'_, '_>) -> bool {
        self.0.iter().all(|condition| condition.holds(scope))
    }

    /// Returns true if it depends on the record and not only on what is around it.
    pub(crate) fn uses_record(&self) -> bool {
        self.0.iter().any(|condition| condition.from.0.iter().any(|source| matches!(source, Source::Record(_))))
    }
}

impl Condition {
    /// Returns true if a condition holds whose sources are not in the body.
    pub(crate) fn holds_for(&self, context: &Context<'_>) -> bool {
        self.holds(context.without_body())
    }

    fn holds(&self, scope: Scope<'_, '_>) -> bool {
        let found = self.from.find(scope);
        match (&self.test, &found) {
            (Test::Exists(expected), found) => *expected == matches!(found, Found::Value(..)),
            (Test::Equals(values), Found::Value(value, source)) => {
                values.iter().any(|one| is_value(one, value, source))
            }
            (Test::Equals(values), Found::Null) => values.contains(&Value::Null),
            (Test::StartsWith(start), Found::Value(value, _)) => {
                value.as_str().is_some_and(|text| text.starts_with(start.as_str()))
            }
            _ => false,
        }
    }
}

fn is_value(expected: &Value, value: &Value, source: &Source) -> bool {
    match (expected, value) {
        (Value::Number(expected), Value::Number(number)) => is_equal(expected, number),
        (Value::String(expected), Value::String(text)) if *source == Source::ContentType => {
            expected.eq_ignore_ascii_case(text)
        }
        _ => expected == value,
    }
}
