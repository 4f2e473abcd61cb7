//! Chooses the device id, the time and the readings among the fields.

mod names;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use devicestate_engine::device_state::is_reading_name;
use serde_json::Value;

use names::{device_certainty, has_ids, time_rank};
pub(super) use names::{is_device_name, is_time_name, may_be_device_name};

use super::{
    count,
    sample::{Field, Sample, SampleEvent, Table},
};
use crate::mapping::{MAX_NAME_BYTES, TimeFormat, USUAL_MS, shortened};

/// The most readings that are listed. More are taken by a rule for all members.
const MAX_READINGS: usize = 200;

/// If a time differs more from that at which the service enqueued the event, events are late.
const MAX_DELAY_MS: u64 = 60_000;

/// The device id.
pub(super) struct Device {
    pub(super) from: Vec<String>,
    pub(super) note: String,
}

/// Returns the sources of the device id.
pub(super) fn device(table: &Table, sample: &Sample) -> Option<Device> {
    let mut ranked: Vec<_> = table
        .fields
        .iter()
        .filter_map(|(source, field)| {
            let certainty = device_certainty(field)?;
            let distinct = distinct(field);
            // An id that is another one in each record is that of a message.
            let is_message_id = field.count >= 5 && distinct == field.count && certainty.is_weak();
            let key =
                (is_message_id, certainty.is_weak(), field.is_outer, certainty, Reverse(distinct), field.path.len());
            Some((key, certainty, source, field))
        })
        .collect();
    ranked.sort_by_key(|(key, ..)| *key);
    let best = ranked.first();
    let is_in_all = |has: fn(&SampleEvent) -> bool| sample.events.iter().all(has);
    let is_weak = best.is_none_or(|(_, certainty, ..)| certainty.is_weak());
    if is_weak && is_in_all(|event| event.has_iot_hub_device) {
        let note = "device id: the device that IoT Hub authenticated".into();
        return Some(Device { from: vec!["iothub".into()], note });
    }
    let Some((_, _, source, field)) = best else {
        let note = "device id: the partition key; check that it is the device id".into();
        return is_in_all(|event| event.has_partition_key).then(|| Device { from: vec!["partitionKey".into()], note });
    };
    let mut from = vec![(*source).clone()];
    let missing = table.records.saturating_sub(field.count);
    if missing > 0 {
        // A few records may name it otherwise.
        let mut remaining = missing;
        for (_, _, source, field) in ranked.iter().skip(1).filter(|(_, certainty, ..)| !certainty.is_weak()).take(2) {
            if remaining > 0 {
                from.push((*source).clone());
            }
            remaining = remaining.saturating_sub(field.count);
        }
    }
    let mut note = format!("device id: {}, with {}", from.join(" or "), count(distinct(field), "different value"));
    if missing > 0 {
        note = format!("{note}; not in {}", count(missing, "record"));
    }
    if is_weak {
        note.push_str("; check that it is the device id, or name it with --device");
    }
    Some(Device { from, note })
}

/// Returns the device id that the caller chose.
pub(super) fn chosen_device(table: &Table, source: &str) -> Device {
    let found = table.fields.get(source);
    let values = found.map(|field| format!(", with {}", count(distinct(field), "different value")));
    Device { from: vec![source.to_owned()], note: format!("device id: {source}{}", values.unwrap_or_default()) }
}

/// Returns what may be the device id, for an error: the first fields of texts or integers.
pub(super) fn device_candidates(table: &Table) -> String {
    const SHOWN: usize = 20;
    let fields = table.fields.iter().filter(|(_, field)| has_ids(field));
    let shown = fields
        .take(SHOWN)
        .map(|(source, field)| format!("`{}` ({})", shortened(source), count(distinct(field), "different value")));
    let shown = shown.collect::<Vec<_>>();
    if shown.is_empty() {
        return "such as `cloudevent:source` or `property:NAME`: no field has only texts or integers".into();
    }
    format!("one of the fields {}", shown.join(", "))
}

/// Returns the number of different values.
fn distinct(field: &Field) -> usize {
    field.values.iter().map(|(_, value)| value.to_string()).collect::<BTreeSet<_>>().len()
}

/// The time.
pub(super) struct Time {
    pub(super) from: String,
    pub(super) format: &'static str,
    pub(super) is_newest: bool,
    pub(super) note: String,
}

/// Returns the field of the device's time.
pub(super) fn time(table: &Table, sample: &Sample, device: &[String]) -> Option<Time> {
    let candidates = table.fields.iter().filter(|(source, _)| !device.contains(source));
    let best = candidates
        .filter_map(|(source, field)| {
            time_format(field, Agreement::Most)?;
            Some(((field.is_outer, time_rank(field)?, field.path.len()), source, field))
        })
        .min_by_key(|(key, ..)| *key);
    let (_, source, field) = best?;
    time_at(source, field, sample)
}

/// Returns the time at a source. `None` if the values are not times.
pub(super) fn time_at(source: &str, field: &Field, sample: &Sample) -> Option<Time> {
    let (name, format) = time_format(field, Agreement::Most)?;
    let times = field.values.iter().filter_map(|(event, value)| Some((*event, format.parse_ms(value)?)));
    // A clock that was reset says nothing about the order.
    let times: Vec<_> = times.filter(|(_, ms)| USUAL_MS.contains(ms)).collect();
    let goes_back = times.windows(2).any(|pair| pair[1].1 < pair[0].1);
    let has_several = times.windows(2).any(|pair| pair[0].0 == pair[1].0 && pair[0].1 != pair[1].1);
    let is_late = |(event, ms): &(usize, i64)| {
        let enqueued_ms = sample.events[*event].enqueued_ms;
        enqueued_ms.is_some_and(|enqueued_ms| enqueued_ms.abs_diff(*ms) > MAX_DELAY_MS)
    };
    let is_late = times.iter().any(is_late);
    let is_newest = goes_back || has_several || is_late;
    let why = if has_several {
        "because an event has several times"
    } else if goes_back {
        "because the times are not in the order of the events"
    } else if is_late {
        "because the times differ from those at which the events were enqueued"
    } else {
        "because the times are in the order of the events; for late uploads, set `newest` to `device`"
    };
    let order = if is_newest { "the device's time decides what is newest" } else { "the service's order decides" };
    let note = format!("time: {source} as {name}; {order}, {why}");
    Some(Time { from: source.to_owned(), format: name, is_newest, note })
}

/// How many values of a field must be times of this century. The others may be those of a clock that was reset.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Agreement {
    All,
    Most,
}

/// Returns the format that all values have, and for numbers the one that gives times of this century.
fn time_format(field: &Field, agreement: Agreement) -> Option<(&'static str, TimeFormat)> {
    if field.values.is_empty() {
        return None;
    }
    TimeFormat::NAMES.into_iter().find(|(_, format)| {
        let times: Option<Vec<_>> = field.values.iter().map(|(_, value)| format.parse_ms(value)).collect();
        times.is_some_and(|times| {
            let usual = times.iter().filter(|ms| USUAL_MS.contains(ms)).count();
            usual == times.len() || agreement == Agreement::Most && usual * 2 > times.len()
        })
    })
}

/// The readings.
pub(super) struct Readings {
    /// Name and source with options, as JSON. Empty if a rule takes all members.
    pub(super) rules: Vec<(String, Rule)>,
    pub(super) notes: Vec<String>,
}

/// The rule of a reading.
pub(super) struct Rule {
    pub(super) from: String,
    pub(super) kind: Option<&'static str>,
    pub(super) format: Option<&'static str>,
}

/// Returns a rule for each field that is neither the device id nor the time.
pub(super) fn readings(table: &Table, device: &Device, time: Option<&Time>) -> Readings {
    let is_other = |source: &String| !device.from.contains(source) && time.is_none_or(|time| time.from != *source);
    let fields: Vec<_> = table.fields.iter().filter(|(source, _)| is_other(source)).collect();
    let mut notes = Vec::new();
    if fields.len() > MAX_READINGS {
        notes.push(format!(
            "readings: all members by their own names, because there are {} of them; list those that you need",
            fields.len()
        ));
        return Readings { rules: Vec::new(), notes };
    }
    let mut rules: BTreeMap<String, Rule> = BTreeMap::new();
    let (mut renamed, mut mixed) = (Vec::new(), Vec::new());
    for (source, field) in fields {
        let own = field.path.join(".");
        let mut name = own.clone();
        if !is_reading_name(&name) || name == "*" || name.len() > MAX_NAME_BYTES {
            name = format!("event.{}", name.trim_start_matches('_'));
        }
        while rules.contains_key(&name) || name.len() > MAX_NAME_BYTES {
            name = format!("event{}.{}", rules.len(), field.path.last().map_or("", String::as_str));
            if name.len() > MAX_NAME_BYTES {
                name = format!("event{}", rules.len());
            }
        }
        if name != own {
            renamed.push(format!("{source} is {name}"));
        }
        let (kind, format) = kind(field);
        if kind.is_none() && field.values.iter().any(|(_, value)| !value.is_array()) {
            mixed.push(source.clone());
        }
        rules.insert(name, Rule { from: source.clone(), kind, format });
    }
    notes
        .push(format!("readings: {}; check the types, and add units to the names, ranges and `required`", rules.len()));
    if !renamed.is_empty() {
        notes.push(format!("renamed, because the names are reserved or occur twice: {}", renamed.join(", ")));
    }
    if !mixed.is_empty() {
        notes.push(format!("of several types, so any value is accepted: {}", mixed.join(", ")));
    }
    Readings { rules: rules.into_iter().collect(), notes }
}

/// Returns the type of all values, and the format of times. Integers are numbers, because a later value may not be an integer.
fn kind(field: &Field) -> (Option<&'static str>, Option<&'static str>) {
    /// Doubles have all integers up to here.
    const MAX_EXACT: u64 = 1 << 53;
    let all = |is: fn(&Value) -> bool| !field.values.is_empty() && field.values.iter().all(|(_, value)| is(value));
    let is_large = |value: &Value| {
        value.as_i64().is_some_and(|integer| integer.unsigned_abs() > MAX_EXACT) || value.as_u64() > Some(MAX_EXACT)
    };
    if all(Value::is_number) {
        let has_large = field.values.iter().any(|(_, value)| is_large(value));
        let is_integer = all(|value| value.is_i64() || value.is_u64());
        return (if has_large { is_integer.then_some("integer") } else { Some("number") }, None);
    }
    if all(Value::is_boolean) {
        return (Some("boolean"), None);
    }
    if all(Value::is_string) {
        let is_digits =
            |value: &Value| value.as_str().is_some_and(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let format =
            time_format(field, Agreement::All).filter(|_| !field.values.iter().any(|(_, value)| is_digits(value)));
        return match format {
            Some((format @ ("rfc3339" | "iso8601_utc"), _)) => (Some("time"), Some(format)),
            _ => (Some("string"), None),
        };
    }
    (None, None)
}
