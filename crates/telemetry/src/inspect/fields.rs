//! Finds which fields of an event have which effect: it changes them one by one and decodes the event again. So the result does not
//! depend on how a telemetry decodes.

use std::collections::BTreeMap;

use devicestate_engine::{batch::Event, processor::InspectedRecord};
use serde_json::Value;

use super::{Decoder, report::UnusedField};

/// Larger bodies are not analyzed.
const MAX_BODY_BYTES: usize = 65_536;

/// Events with more fields are not analyzed.
const MAX_FIELDS: usize = 256;

/// The most different fields that are analyzed.
const MAX_PATTERNS: usize = 1_000;

/// A field that had no effect in so many events is not changed in others.
const MAX_TRIALS: u32 = 20;

/// The fields of all events, by pointer with `*` for indexes.
#[derive(Default)]
pub(super) struct Fields(BTreeMap<String, Usage>);

#[derive(Default)]
struct Usage {
    count: u64,
    trials: u32,
    is_used: bool,
}

/// Where the parts of a record come from: JSON Pointers in the body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Origins {
    pub(super) device: Option<String>,
    pub(super) readings: BTreeMap<String, String>,
}

impl Origins {
    /// Replaces the only field of an object or an array by the object or the array, if that is the reading.
    fn lift(&mut self, body: &Value, record: &InspectedRecord) {
        let InspectedRecord::Decoded(decoded) = record else { return };
        for reading in decoded.readings.iter().filter(|reading| reading.value.is_object() || reading.value.is_array()) {
            let Some(origin) = self.readings.get_mut(reading.name.as_str()) else { continue };
            let mut pointers =
                std::iter::successors(Some(origin.as_str()), |pointer| Some(pointer.rsplit_once('/')?.0));
            let whole = pointers.find(|pointer| body.pointer(pointer) == Some(&reading.value)).map(str::to_owned);
            *origin = whole.unwrap_or_else(|| std::mem::take(origin));
        }
    }
}

impl Fields {
    /// Adds the fields of an event. Returns the origins of each of its records, if they are wanted and can be found.
    pub(super) fn add(
        &mut self,
        decoder: &Decoder,
        event: &Event,
        records: &[InspectedRecord],
        are_origins_wanted: bool,
    ) -> Vec<Origins> {
        let mut origins = vec![Origins::default(); records.len()];
        if event.body.len() > MAX_BODY_BYTES || records.iter().all(|record| *record == InspectedRecord::Ignored) {
            return origins;
        }
        let Some((mut value, event)) = readable(decoder, event, records) else { return origins };
        let mut fields = Vec::new();
        collect_fields(&value, &mut String::new(), &mut String::new(), &mut fields);
        let mut seen_patterns: Vec<&str> = Vec::new();
        let is_small = fields.len() <= MAX_FIELDS;
        let has_failed = records.iter().all(|record| matches!(record, InspectedRecord::Failed(_)));
        for Field { pointer, pattern } in &fields {
            let is_known = self.0.contains_key(pattern);
            if !is_known && self.0.len() >= MAX_PATTERNS {
                continue;
            }
            let usage = self.0.entry(pattern.clone()).or_default();
            usage.count += 1;
            // Of an event that fails as a whole, it is unknown which fields would be used.
            let is_undecided =
                !usage.is_used && usage.trials < MAX_TRIALS && !seen_patterns.contains(&pattern.as_str());
            if has_failed || !is_small || !(is_undecided || are_origins_wanted) {
                continue;
            }
            seen_patterns.push(pattern);
            usage.trials += 1;
            for change in [Change::Replace, Change::Remove] {
                let Some(original) = change.apply(&mut value, pointer) else { continue };
                let changed = inspect_with(decoder, &event, &value);
                change.undo(&mut value, pointer, original);
                if !are_same(records, &changed) {
                    usage.is_used = true;
                    if !add_origins(pointer, records, &changed, &mut origins) {
                        continue;
                    }
                    break;
                }
            }
        }
        for (record, origins) in records.iter().zip(&mut origins) {
            origins.lift(&value, record);
        }
        origins
    }

    /// Returns the fields without an effect, the most frequent first.
    pub(super) fn unused(self) -> Vec<UnusedField> {
        let unused = self.0.into_iter().filter(|(_, usage)| !usage.is_used && usage.trials > 0);
        let mut unused: Vec<_> = unused.map(|(pointer, usage)| UnusedField { pointer, count: usage.count }).collect();
        unused.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.pointer.cmp(&other.pointer)));
        unused
    }
}

/// Returns the event as JSON, and the event with which that JSON decodes to the same records.
fn readable(decoder: &Decoder, event: &Event, records: &[InspectedRecord]) -> Option<(Value, Event)> {
    let value = decoder.telemetry.to_json(event)?;
    let as_json = Event { content_type: Some("application/json".into()), ..event.clone() };
    let is_same = |event: &Event| are_same(records, &inspect_with(decoder, event, &value));
    let event = [event.clone(), as_json].into_iter().find(is_same)?;
    Some((value, event))
}

fn inspect_with(decoder: &Decoder, event: &Event, value: &Value) -> Vec<InspectedRecord> {
    decoder.inspect(&Event { body: value.to_string().into(), ..event.clone() })
}

/// Compares records without the names of skipped fields and the texts of issues.
fn are_same(records: &[InspectedRecord], others: &[InspectedRecord]) -> bool {
    records.len() == others.len()
        && records.iter().zip(others).all(|pair| match pair {
            (InspectedRecord::Decoded(one), InspectedRecord::Decoded(other))
            | (InspectedRecord::Unrecognized(one), InspectedRecord::Unrecognized(other)) => {
                one.device_id == other.device_id && one.time == other.time && one.readings == other.readings
            }
            (one, other) => one == other,
        })
}

/// Adds a field as the origin of what it alone determines. Returns false if it determines nothing alone.
fn add_origins(pointer: &str, before: &[InspectedRecord], after: &[InspectedRecord], origins: &mut [Origins]) -> bool {
    if before.len() != after.len() {
        return false;
    }
    let mut is_origin = false;
    for ((before, after), origins) in before.iter().zip(after).zip(origins) {
        let (InspectedRecord::Decoded(before), InspectedRecord::Decoded(after)) = (before, after) else { continue };
        if before.device_id != after.device_id {
            if before.readings == after.readings {
                origins.device = Some(pointer.to_owned());
                is_origin = true;
            }
            continue;
        }
        let mut changed = before.readings.iter().filter(|reading| !after.readings.contains(reading));
        if let (Some(reading), None) = (changed.next(), changed.next()) {
            let name = reading.name.to_string();
            let origin = origins.readings.get(&name).map_or(pointer, |known| common_parent(known, pointer)).to_owned();
            origins.readings.insert(name, origin);
            is_origin = true;
        }
    }
    is_origin
}

/// Returns the pointer to the value that contains both.
fn common_parent<'p>(one: &'p str, other: &str) -> &'p str {
    let common = one.split('/').zip(other.split('/')).take_while(|(one, other)| one == other);
    let length: usize = common.map(|(token, _)| token.len() + 1).sum();
    &one[..length.saturating_sub(1).min(one.len())]
}

/// A value that contains no other field.
struct Field {
    /// A JSON Pointer.
    pointer: String,
    /// The pointer with `*` instead of indexes.
    pattern: String,
}

fn collect_fields(value: &Value, pointer: &mut String, pattern: &mut String, fields: &mut Vec<Field>) {
    let lengths = (pointer.len(), pattern.len());
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let token = name.replace('~', "~0").replace('/', "~1");
                pointer.extend(["/", &token]);
                pattern.extend(["/", &token]);
                collect_fields(value, pointer, pattern, fields);
                pointer.truncate(lengths.0);
                pattern.truncate(lengths.1);
            }
        }
        Value::Array(elements) if elements.iter().any(|element| element.is_object() || element.is_array()) => {
            for (index, value) in elements.iter().enumerate() {
                pointer.extend(["/", &index.to_string()]);
                pattern.push_str("/*");
                collect_fields(value, pointer, pattern, fields);
                pointer.truncate(lengths.0);
                pattern.truncate(lengths.1);
            }
        }
        _ => fields.push(Field { pointer: pointer.clone(), pattern: pattern.clone() }),
    }
}

/// A change of a field.
#[derive(Clone, Copy)]
enum Change {
    /// By another value of its type.
    Replace,
    Remove,
}

impl Change {
    /// Changes the field, and returns its value. `None` if it cannot be changed so.
    fn apply(self, value: &mut Value, pointer: &str) -> Option<Value> {
        match self {
            Self::Replace => {
                let field = value.pointer_mut(pointer)?;
                let other = another(field);
                Some(std::mem::replace(field, other))
            }
            Self::Remove => {
                let (parent, token) = pointer.rsplit_once('/')?;
                match value.pointer_mut(parent)? {
                    Value::Object(members) => members.remove(&unescape(token)),
                    _ => None,
                }
            }
        }
    }

    fn undo(self, value: &mut Value, pointer: &str, original: Value) {
        match self {
            Self::Replace => {
                if let Some(field) = value.pointer_mut(pointer) {
                    *field = original;
                }
            }
            Self::Remove => {
                if let Some((parent, token)) = pointer.rsplit_once('/')
                    && let Some(Value::Object(members)) = value.pointer_mut(parent)
                {
                    members.insert(unescape(token), original);
                }
            }
        }
    }
}

fn unescape(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}

/// Returns another value of the same type.
fn another(value: &Value) -> Value {
    match value {
        Value::Null => "x".into(),
        Value::Bool(value) => (!value).into(),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => integer.checked_add(1).unwrap_or(0).into(),
            None => (number.as_f64().unwrap_or_default() / 2.0).into(),
        },
        Value::String(text) => format!("{text}1").into(),
        Value::Array(elements) => elements.iter().cloned().chain([0.into()]).collect(),
        Value::Object(_) => Value::Null,
    }
}
