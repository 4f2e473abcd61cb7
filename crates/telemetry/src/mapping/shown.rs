//! Values and names in messages, shortened.

use devicestate_engine::text::first_chars;
use serde_json::Value;

/// The number of characters of a value or name that is shown.
const SHOWN_CHARS: usize = 64;

/// Returns the first characters of a text, and an ellipsis if there are more.
pub(crate) fn shortened(text: &str) -> String {
    first_chars(text, SHOWN_CHARS)
}

/// Describes a value.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Object(members) if members.is_empty() => "an empty object".into(),
        Value::Object(_) => "an object".into(),
        Value::Array(elements) if elements.len() == 1 => "an array of 1 element".into(),
        Value::Array(elements) => format!("an array of {} elements", elements.len()),
        Value::String(text) => format!("{:?}", shortened(text)),
        other => other.to_string(),
    }
}
