//! Numbers as the service stores them: an integer beyond 2^53 is a double, so it is rounded. Microsoft's store keeps it.

use axum::body::Bytes;
use azure_data_cosmos_driver::binary_json;
use serde_json::Value;

/// The largest integer up to which each one has a double of its own.
const MAX_EXACT_INTEGER: u64 = 1 << 53;

/// Rounds the integers of a document, in text or in the binary form of the SDK. Any other body is returned unchanged.
pub(crate) fn round(body: Bytes) -> Bytes {
    let is_binary = binary_json::is_binary(&body);
    let document =
        if is_binary { binary_json::decode(&body).ok() } else { serde_json::from_slice::<Value>(&body).ok() };
    let Some(mut document) = document else { return body };
    if !round_value(&mut document) {
        return body;
    }
    if is_binary { binary_json::encode(&document).into() } else { document.to_string().into() }
}

/// Returns whether a number was rounded.
fn round_value(value: &mut Value) -> bool {
    match value {
        Value::Number(number) => {
            let Some(integer) = number.as_i64().filter(|integer| integer.unsigned_abs() > MAX_EXACT_INTEGER) else {
                return false;
            };
            #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "this is the rounding")]
            let rounded = integer as f64 as i64;
            *number = rounded.into();
            true
        }
        Value::Array(values) => values.iter_mut().fold(false, |any, value| round_value(value) | any),
        Value::Object(members) => members.values_mut().fold(false, |any, value| round_value(value) | any),
        _ => false,
    }
}
