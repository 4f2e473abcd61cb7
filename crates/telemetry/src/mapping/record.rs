//! Maps one record: its device, its time and its readings.

use std::collections::HashSet;

use devicestate_engine::{
    device_state::{Reading, is_reading_name},
    telemetry::{Poison, RecordTime, Records},
};
use serde_json::Value;

use super::{
    Kind, MAX_DEPTH, Mapping, ReadingRule, ReadingValue, Source, Sources,
    device::{DeviceId, find_device, ids_in_body},
    shown::{shortened, shown},
    source::{Found, Scope},
};

/// The most levels of a reading. The document contains it, and parsing a document has a limit as parsing a body; but the levels
/// of Avro and protobuf are counted otherwise.
const MAX_VALUE_DEPTH: usize = MAX_DEPTH - 1;

/// Values of a record, by their addresses.
pub(super) type Values = HashSet<*const Value>;

impl Kind {
    /// Adds one record.
    pub(super) fn map<'e>(&self, mapping: &Mapping, scope: Scope<'_, 'e>, records: &mut Records<'_, 'e>) {
        let DeviceId { id, source } =
            match find_device(&self.device, !self.takes_other_ids, mapping.device_id_from_iot_hub, scope) {
                Ok(device) => device,
                Err(poison) => return records.fail(None, poison),
            };
        let mut used: Values = self.named_sources().flat_map(|sources| sources.in_body(scope)).collect();
        used.extend(ids_in_body(&self.device, source, self.takes_other_ids, scope));
        let time = self.time.as_ref().map_or(Ok(RecordTime::Service), |time| time.find(scope));
        let time = time.and_then(|time| {
            self.add_readings(scope, &mut used, records)?;
            check(records.current(), source.filter(|_| self.takes_other_ids))?;
            Ok(time)
        });
        match time {
            Ok(time) => {
                if records.current().is_empty() {
                    self.skip_others(scope, used, records);
                }
                records.finish(id, time);
            }
            Err(issue) => records.fail(Some(id.into_owned()), Poison::Invalid(issue)),
        }
    }

    /// Returns the sources of the time and of the readings that have names.
    fn named_sources(&self) -> impl Iterator<Item = &Sources> {
        let of_readings = self.readings.iter().filter_map(|rule| match &rule.value {
            ReadingValue::Found { from, .. } => Some(from),
            ReadingValue::Constant(_) => None,
        });
        of_readings.chain(self.time.as_ref().map(|time| &time.from))
    }

    fn add_readings(
        &self,
        scope: Scope<'_, '_>,
        used: &mut Values,
        records: &mut Records<'_, '_>,
    ) -> Result<(), String> {
        for rule in &self.readings {
            if let Some(value) = rule.find(scope, self.null_clears)? {
                records.push(Reading { name: rule.name.clone(), value });
            }
        }
        match &self.wildcard {
            Some(wildcard) => wildcard.add_readings(self, scope.record, used, records),
            None => Ok(()),
        }
    }

    /// Records the names of the members that the mapping does not use. A null or an empty object in which a source is looked for
    /// is not one of them.
    fn skip_others(&self, scope: Scope<'_, '_>, mut used: Values, records: &mut Records<'_, '_>) {
        used.extend(self.device.in_body(scope));
        let sources = self.named_sources().chain([&self.device]);
        let passed: Values = sources.flat_map(|sources| sources.passed_in_body(scope)).collect();
        let mut is_known = |value: &Value| {
            let is_empty = value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
            used.contains(&std::ptr::from_ref(value)) || is_empty && passed.contains(&std::ptr::from_ref(value))
        };
        if let Value::Object(members) = scope.record {
            for (name, value) in members {
                skip_unknown(shortened(name), value, &mut is_known, records);
            }
        }
    }
}

fn skip_unknown(name: String, value: &Value, is_known: &mut impl FnMut(&Value) -> bool, records: &mut Records<'_, '_>) {
    match value {
        _ if is_known(value) => {}
        Value::Object(members) if !members.is_empty() => {
            for (member, value) in members {
                skip_unknown(shortened(&format!("{name}.{member}")), value, is_known, records);
            }
        }
        _ => records.skip(name),
    }
}

impl ReadingRule {
    /// Returns the value to store; `None` if the record has none.
    fn find(&self, scope: Scope<'_, '_>, null_clears: bool) -> Result<Option<Value>, String> {
        let (from, conversion, is_required) = match &self.value {
            ReadingValue::Constant(value) => return Ok(Some(value.clone())),
            ReadingValue::Found { from, conversion, is_required } => (from, conversion, *is_required),
        };
        match from.find(scope) {
            Found::Value(value, source) => {
                if !matches!(source, Source::Record(_)) {
                    scope.context.count_copy(&value)?;
                }
                let converted = conversion.convert(&value, source.is_metadata()).map_err(|expected| {
                    format!("the reading {:?} at {source} must be {expected}, found {}", self.name, shown(&value))
                })?;
                Ok(Some(converted))
            }
            Found::Null if null_clears => Ok(Some(Value::Null)),
            Found::Missing | Found::Null if is_required => {
                Err(format!("the reading {:?} is required, but nothing is at {from}", self.name))
            }
            Found::Missing | Found::Null => Ok(None),
        }
    }
}

/// Returns true if a value has at most this many levels of objects and arrays.
fn is_nested_at_most(levels: usize, value: &Value) -> bool {
    let Some(inner) = levels.checked_sub(1) else { return !value.is_object() && !value.is_array() };
    match value {
        Value::Object(members) => members.values().all(|value| is_nested_at_most(inner, value)),
        Value::Array(elements) => elements.iter().all(|value| is_nested_at_most(inner, value)),
        _ => true,
    }
}

/// Sorts the readings of a record by their names, and checks the names and how deeply the values are nested. `device` is the source
/// of the device id that the telemetry file may name.
fn check(readings: &mut [Reading], device: Option<&Source>) -> Result<(), String> {
    readings.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    if let Some(reading) = readings.iter().find(|reading| !is_reading_name(&reading.name)) {
        let name = shortened(&reading.name);
        let problem = if name.is_empty() { "empty" } else { "reserved in the state document" };
        let device = device.filter(|_| name == "id").map(|source| format!("\"device\": \"{source}\", "));
        return Err(format!(
            "{name:?} cannot be the name of a reading: it is {problem}. Give it another name in the telemetry file, or leave it \
             out with {}\"readings\": {{\"*\": {{\"exclude\": [{name:?}]}}}}",
            device.unwrap_or_default()
        ));
    }
    if let Some(reading) = readings.iter().find(|reading| !is_nested_at_most(MAX_VALUE_DEPTH, &reading.value)) {
        let name = shortened(&reading.name);
        return Err(format!("the reading {name:?} is nested more deeply than {MAX_VALUE_DEPTH} levels"));
    }
    match readings.windows(2).find(|pair| pair[0].name == pair[1].name) {
        Some(pair) => Err(format!("the reading {:?} is given twice", shortened(&pair[0].name))),
        None => Ok(()),
    }
}
