//! Numbers as the service stores them: an integer beyond 2^53 is a double, so it is rounded.

use devicestate_engine::device_state::Document;
use serde_json::{Value, json};

const MAX_EXACT_INTEGER: u64 = 1 << 53;

/// Returns the document as the service stores it.
pub(super) fn rounded(document: Document) -> Document {
    let is_large =
        |name| document.version(name).is_some_and(|version| version.sequence_number.unsigned_abs() > MAX_EXACT_INTEGER);
    if !document.readings().any(|(name, _)| is_large(name)) {
        return document;
    }
    let mut stored = json!(document);
    round(&mut stored);
    serde_json::from_value(stored).expect("a document with rounded numbers is a document")
}

fn round(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(integer) = number.as_i64().filter(|integer| integer.unsigned_abs() > MAX_EXACT_INTEGER) {
                #[expect(
                    clippy::cast_precision_loss,
                    clippy::cast_possible_truncation,
                    reason = "this is the rounding"
                )]
                let rounded = integer as f64 as i64;
                *number = rounded.into();
            }
        }
        Value::Array(values) => values.iter_mut().for_each(round),
        Value::Object(members) => members.values_mut().for_each(round),
        _ => {}
    }
}
