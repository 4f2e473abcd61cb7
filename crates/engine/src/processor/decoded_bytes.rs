//! Limits the memory of what the events of a batch are decoded to.
//!
//! A few bytes of an event can be hundreds in memory: it may be compressed, and each value of a text such as `[0,0]` takes 32
//! bytes. Without a limit, a sender with a few dozen such events in one batch would end the handler, and again in each attempt.
//! So a batch that is decoded to more is written in portions.

use serde_json::Value;

use crate::device_state::Reading;

/// A portion ends with the event that is decoded to the last of so many bytes.
const MAX_BYTES: usize = 256 << 20;

/// The readings of an event with a smaller body and few records are not counted: those of a thousand of them have room besides.
const COUNTED_BODY_BYTES: usize = 4 << 10;

/// The records of an event that are not counted. Records that fail can have three bytes each, as in `[{},{}]`.
const FEW_RECORDS: usize = 16;

/// The memory of a record, with its outcome.
const RECORD_BYTES: usize = 256;

/// The bytes that the events of a portion were decoded to.
#[derive(Debug, Default)]
pub(super) struct DecodedBytes(usize);

impl DecodedBytes {
    /// Adds the readings and the number of records of an event whose body, unpacked, has at most this many bytes.
    pub(super) fn add(&mut self, body_bytes: usize, readings: &[Reading], records: usize) {
        if body_bytes > COUNTED_BODY_BYTES || records > FEW_RECORDS {
            self.0 += readings.iter().map(reading_bytes).sum::<usize>() + records * RECORD_BYTES;
        }
    }

    /// Returns true if no other event has room.
    pub(super) fn are_too_many(&self) -> bool {
        self.0 >= MAX_BYTES
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
    fn only_large_bodies_and_many_records_count() {
        let mut decoded = DecodedBytes::default();
        decoded.add(COUNTED_BODY_BYTES + 1, &[], MAX_BYTES / RECORD_BYTES - 17);
        decoded.add(COUNTED_BODY_BYTES, &[], FEW_RECORDS);
        assert!(!decoded.are_too_many());
        decoded.add(COUNTED_BODY_BYTES, &[], FEW_RECORDS + 1);
        assert!(decoded.are_too_many());
    }
}
