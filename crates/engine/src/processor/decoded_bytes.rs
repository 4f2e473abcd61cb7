//! Limits the memory of what the events of a batch are decoded to.
//!
//! A few bytes of an event can be hundreds in memory: it may be compressed, and each value of a text such as `[0,0]` takes 32
//! bytes. Without a limit, a sender with a few dozen such events in one batch would end the handler, and again in each attempt.

use serde_json::Value;

use crate::device_state::Reading;

/// What the events of a batch may be decoded to, in bytes. Each event alone is within its own limits, which are lower.
const MAX_BYTES: usize = 256 << 20;

/// The readings of an event with a smaller body are not counted: those of a thousand of them have room besides.
const COUNTED_BODY_BYTES: usize = 4 << 10;

/// The memory of a record, with its outcome.
const RECORD_BYTES: usize = 256;

/// The bytes that the events of a batch were decoded to.
#[derive(Debug, Default)]
pub(super) struct DecodedBytes(usize);

impl DecodedBytes {
    /// Adds the readings and the number of records of an event whose body, unpacked, has at most this many bytes. Returns false, and
    /// adds nothing, if that is too much for one batch.
    pub(super) fn add(&mut self, body_bytes: usize, readings: &[Reading], records: usize) -> bool {
        if body_bytes <= COUNTED_BODY_BYTES {
            return true;
        }
        let bytes = readings.iter().map(reading_bytes).sum::<usize>() + records * RECORD_BYTES;
        let fits = bytes <= MAX_BYTES - self.0;
        self.0 += if fits { bytes } else { 0 };
        fits
    }
}

/// Returns about how many bytes a reading takes.
fn reading_bytes(Reading { name, value }: &Reading) -> usize {
    size_of::<Reading>() + name.len() + value_bytes(value)
}

/// Returns about how many bytes a value takes besides its own.
fn value_bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(|value| size_of::<Value>() + value_bytes(value)).sum(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| 2 * size_of::<Value>() + name.len() + value_bytes(value)).sum()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_inside_of_others_count() {
        let value = size_of::<Value>();
        for (text, bytes) in [
            (json!(1.5), 0),
            (json!("abc"), 3),
            (json!([null, "abc", [true]]), 4 * value + 3),
            (json!({"ab": [0]}), 3 * value + 2),
        ] {
            assert_eq!(value_bytes(&text), bytes, "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_leaves_the_room_for_others() {
        let body = COUNTED_BODY_BYTES + 1;
        let mut decoded = DecodedBytes::default();
        assert!(decoded.add(COUNTED_BODY_BYTES, &[], usize::MAX), "a small body is not counted");
        assert!(decoded.add(body, &[], MAX_BYTES / RECORD_BYTES - 1));
        assert!(!decoded.add(body, &[], 2));
        assert!(decoded.add(body, &[], 1));
        assert!(!decoded.add(body, &[], 1));
    }
}
