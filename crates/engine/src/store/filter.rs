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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::device_state::document_id;

    fn document(mut stored: Value) -> Document {
        stored["id"] = "drone-7".into();
        serde_json::from_value(stored).expect("a document")
    }

    fn compare(name: &str, operator: Operator, value: Scalar) -> Filter {
        Filter::Compare { name: name.into(), operator, value }
    }

    fn number(operator: Operator, value: f64) -> Filter {
        compare("level", operator, Scalar::Number(value))
    }

    #[test]
    fn every_document_is_selected_by_no_condition_and_none_by_no_alternative() {
        assert!(Filter::EVERY.matches(&document(json!({}))));
        assert!(!Filter::Any(vec![]).matches(&document(json!({}))));
        let [yes, no] = [Filter::EVERY, Filter::Any(vec![])];
        let document = document(json!({}));
        assert!(!Filter::All(vec![yes.clone(), no.clone()]).matches(&document));
        assert!(Filter::Any(vec![no, yes]).matches(&document));
    }

    #[test]
    fn a_device_is_selected_by_its_id_and_not_by_that_of_its_document() {
        for device in ["drone-7", "hall#4 ", "50%", "ü", "a~b"] {
            let document = Document::new(document_id(device).into());
            assert!(Filter::Device(device.into()).matches(&document));
            assert!(Filter::DevicePrefix(String::new()).matches(&document));
            for (end, _) in device.char_indices() {
                assert!(Filter::DevicePrefix(device[..end].into()).matches(&document), "{device}");
                assert!(!Filter::Device(device[..end].into()).matches(&document), "{device}");
            }
        }
        let escaped = Document::new(document_id("hall#4").into());
        assert!(!Filter::Device("hall~234".into()).matches(&escaped));
        assert!(!Filter::DevicePrefix("hall~".into()).matches(&escaped));
        assert!(!Filter::DevicePrefix("Drone".into()).matches(&Document::new("drone-7".into())), "case-sensitive");
    }

    #[test]
    fn a_device_that_was_never_heard_counts_as_heard_long_ago() {
        let never = document(json!({"level": 1}));
        assert!(Filter::HeardUntil(i64::MIN).matches(&never) && !Filter::HeardSince(i64::MIN).matches(&never));
        let heard = document(json!({"Versions": {"Heard": [1_000, 1, 2]}}));
        for (ms, until, since) in [(999, false, true), (1_000, true, true), (1_001, true, false)] {
            assert_eq!(Filter::HeardUntil(ms).matches(&heard), until, "{ms}");
            assert_eq!(Filter::HeardSince(ms).matches(&heard), since, "{ms}");
        }
    }

    #[test]
    fn a_device_is_marked_silent_if_the_mark_is_a_time() {
        for (mark, is_marked) in [
            (json!("2024-11-21T00:46:40.123Z"), true),
            (json!(null), false),
            (json!("never"), false),
            (json!(1), false),
        ] {
            assert_eq!(Filter::IsMarkedSilent.matches(&document(json!({"SilentSince": mark}))), is_marked, "{mark}");
        }
        assert!(!Filter::IsMarkedSilent.matches(&document(json!({}))));
    }

    #[test]
    fn a_reading_exists_unless_it_is_null_or_absent() {
        for (value, exists) in
            [(json!(0), true), (json!(""), true), (json!(false), true), (json!([]), true), (json!(null), false)]
        {
            assert_eq!(Filter::Exists("level".into()).matches(&document(json!({"level": value}))), exists, "{value}");
        }
        for name in ["other", "id", "Heard", "Versions", "_ts", ""] {
            let document = document(json!({"Heard": "x", "_ts": 1, "Versions": {}}));
            assert!(!Filter::Exists(name.into()).matches(&document), "{name}: not a reading");
        }
    }

    #[test]
    fn numbers_compare_as_doubles() {
        use Operator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        let held = document(json!({"level": 0.5}));
        for (operator, below, same, above) in [
            (Equal, false, true, false),
            (NotEqual, true, false, true),
            (Less, false, false, true),
            (LessOrEqual, false, true, true),
            (Greater, true, false, false),
            (GreaterOrEqual, true, true, false),
        ] {
            let matches = [0.4, 0.5, 0.6].map(|value| number(operator, value).matches(&held));
            assert_eq!(matches, [below, same, above], "{operator:?}");
        }
        assert!(number(Equal, 1.0).matches(&document(json!({"level": 1}))));
        assert!(number(Equal, 0.0).matches(&document(json!({"level": -0.0}))));
        // These integers are one double.
        assert!(number(Equal, 9_007_199_254_740_992.0).matches(&document(json!({"level": 9_007_199_254_740_993_u64}))));
        assert!(number(Greater, 9e18).matches(&document(json!({"level": u64::MAX}))));
    }

    #[test]
    fn texts_compare_by_code_points() {
        let text = |operator, value: &str| compare("level", operator, Scalar::Text(value.into()));
        assert!(text(Operator::Less, "b").matches(&document(json!({"level": "a"}))));
        assert!(text(Operator::Less, "a").matches(&document(json!({"level": "Z"}))));
        assert!(text(Operator::Less, "aa").matches(&document(json!({"level": "a"}))));
        // Not by the units of UTF-16, in which the second is the lower one.
        assert!(text(Operator::Less, "\u{10348}").matches(&document(json!({"level": "\u{ff5e}"}))));
    }

    #[test]
    fn false_is_less_than_true() {
        let boolean = |operator, value| compare("level", operator, Scalar::Boolean(value));
        assert!(boolean(Operator::Less, true).matches(&document(json!({"level": false}))));
        assert!(!boolean(Operator::Less, false).matches(&document(json!({"level": false}))));
        assert!(boolean(Operator::NotEqual, false).matches(&document(json!({"level": true}))));
    }

    #[test]
    fn values_of_another_type_never_match() {
        use Operator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        let scalars = [Scalar::Number(1.0), Scalar::Text("1".into()), Scalar::Boolean(true)];
        let others = [
            [json!("1"), json!(true), json!(null), json!([1]), json!({"level": 1})],
            [json!(1), json!(true), json!(null), json!(["1"]), json!({"level": "1"})],
            [json!(1), json!("true"), json!(null), json!([true]), json!({"level": true})],
        ];
        for operator in [Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual] {
            for (scalar, others) in scalars.iter().zip(&others) {
                let filter = compare("level", operator, scalar.clone());
                assert!(!filter.matches(&document(json!({}))), "{filter:?}");
                for other in others {
                    assert!(!filter.matches(&document(json!({"level": other}))), "{filter:?} {other}");
                }
            }
        }
    }
}
