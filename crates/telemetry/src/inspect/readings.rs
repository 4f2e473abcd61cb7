//! What the readings of all records have in common: how often each occurs, its types and its range.

use std::collections::{BTreeMap, BTreeSet};

use devicestate_engine::{device_state::Reading, text::first_chars};
use serde_json::Value;

use super::report::ReadingSummary;

/// The most readings that are counted apart. Any JSON may have a new name in each event.
const MAX_READINGS: usize = 500;

/// The longest example, in characters.
const MAX_EXAMPLE_CHARS: usize = 60;

/// The readings by name.
#[derive(Default)]
pub(super) struct Readings {
    by_name: BTreeMap<String, Occurrences>,
    /// Readings of other names.
    others: u64,
}

#[derive(Default)]
struct Occurrences {
    records: u64,
    types: BTreeSet<&'static str>,
    range: Option<(f64, f64)>,
    example: String,
}

impl Readings {
    /// Adds the readings of a record.
    pub(super) fn add(&mut self, readings: &[Reading]) {
        for Reading { name, value, .. } in readings {
            if !self.by_name.contains_key(name.as_str()) {
                if self.by_name.len() == MAX_READINGS {
                    self.others += 1;
                    continue;
                }
                let example = first_chars(&value.to_string(), MAX_EXAMPLE_CHARS);
                self.by_name.insert(name.to_string(), Occurrences { example, ..Occurrences::default() });
            }
            let Some(reading) = self.by_name.get_mut(name.as_str()) else { continue };
            reading.records += 1;
            reading.types.insert(type_name(value));
            if let Some(number) = value.as_f64() {
                let (least, most) = reading.range.unwrap_or((number, number));
                reading.range = Some((least.min(number), most.max(number)));
            }
        }
    }

    /// Returns the readings, the most frequent first, and how many readings have names beyond the limit.
    pub(super) fn finish(self) -> (Vec<ReadingSummary>, u64) {
        let summary = |(name, Occurrences { records, types, range, example })| ReadingSummary {
            name,
            records,
            types: types.into_iter().collect(),
            range,
            example,
        };
        let mut readings: Vec<_> = self.by_name.into_iter().map(summary).collect();
        readings.sort_by_key(|reading| std::cmp::Reverse(reading.records));
        (readings, self.others)
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
