//! The device id of a record.

use std::{borrow::Cow, fmt::Write as _};

use devicestate_engine::{
    device_state::MAX_ID_BYTES,
    telemetry::{Poison, drone::DeviceIdFromIotHub},
};
use serde_json::Value;

use super::{
    Source, Sources,
    shown::{shortened, shown},
    source::{Found, Scope},
};

/// A device id, and the source that it is from; `None` if that is not one of the mapping.
#[derive(Debug, PartialEq)]
pub(super) struct DeviceId<'v, 'e> {
    pub(super) id: Cow<'e, str>,
    pub(super) source: Option<&'v Source>,
}

/// Returns the device id: from the sources, or the one that IoT Hub authenticated. `is_named` is true if the telemetry file names
/// the sources.
pub(super) fn find_device<'v, 'e>(
    sources: &'v Sources,
    is_named: bool,
    from_iot_hub: DeviceIdFromIotHub,
    scope: Scope<'v, 'e>,
) -> Result<DeviceId<'v, 'e>, Poison> {
    let named = named_device(sources, scope)?;
    let authenticated = scope.context.event.iot_hub_device_id.as_deref().filter(|id| !id.is_empty());
    match (named, authenticated) {
        (Some(named), authenticated) => {
            if from_iot_hub == DeviceIdFromIotHub::Required && authenticated != Some(&*named.id) {
                let authenticated = authenticated.map_or_else(|| "none".into(), |id| format!("{:?}", shortened(id)));
                return Err(Poison::Invalid(format!(
                    "the event names the device {:?}, but IoT Hub authenticated {authenticated}: with \
                     `DeviceIdFromIoTHub` `required` they must be equal",
                    shortened(&named.id)
                )));
            }
            Ok(named)
        }
        (None, Some(id)) if from_iot_hub != DeviceIdFromIotHub::Unused => {
            Ok(DeviceId { id: Cow::Borrowed(id), source: None })
        }
        (None, _) => Err(Poison::Undecodable(describe_missing(sources, is_named, scope))),
    }
}

fn named_device<'v, 'e>(sources: &'v Sources, scope: Scope<'v, 'e>) -> Result<Option<DeviceId<'v, 'e>>, Poison> {
    let Found::Value(value, source) = sources.find_accepted(scope, |value| value.as_str() != Some("")) else {
        return Ok(None);
    };
    let id = match &*value {
        // Each record has a copy. The engine also checks how long the id is as that of a document.
        Value::String(id) if id.len() > MAX_ID_BYTES => {
            let (id, bytes) = (shortened(id), id.len());
            return Err(Poison::Invalid(format!(
                "the device id {id:?} at {source} has {bytes} bytes: {MAX_ID_BYTES} are allowed"
            )));
        }
        Value::String(id) => id.clone(),
        Value::Number(number) if !number.is_f64() => number.to_string(),
        other => {
            let issue = format!("the device id at {source} must be a text or an integer, found {}", shown(other));
            return Err(Poison::Invalid(issue));
        }
    };
    Ok(Some(DeviceId { id: id.into(), source: Some(source) }))
}

/// Returns the members that are not readings, because they are the device id or another source of it.
pub(super) fn ids_in_body<'v>(
    sources: &'v Sources,
    used: Option<&'v Source>,
    takes_others: bool,
    scope: Scope<'v, '_>,
) -> impl Iterator<Item = *const Value> {
    let is_left_out = move |source: &Source, value: &Value| {
        !takes_others || used == Some(source) || value.is_null() || value.as_str() == Some("")
    };
    sources.0.iter().filter_map(move |source| match source.find(scope)? {
        Cow::Borrowed(value) if is_left_out(source, value) => Some(std::ptr::from_ref(value)),
        _ => None,
    })
}

/// Says which names were looked for, and which members may be meant.
fn describe_missing(sources: &Sources, is_named: bool, scope: Scope<'_, '_>) -> String {
    const SHOWN: usize = 5;
    let Value::Object(members) = scope.record else {
        return format!("the device id is missing: nothing is at {sources}; the record is {}", shown(scope.record));
    };
    let mut issue = format!("the device id is missing or empty: nothing is at {sources}");
    if is_named {
        issue.push_str(" in this record");
    }
    let candidates = members.iter().filter(|(name, value)| is_candidate(name, value, sources));
    for (name, _) in candidates.take(SHOWN) {
        let _ = write!(issue, "; there is {:?}", shortened(name));
    }
    let outside = sources.0.iter().find(|source| match source {
        Source::Record(pointer) => !std::ptr::eq(scope.record, scope.body) && pointer.find(scope.body).is_some(),
        _ => false,
    });
    if let Some(source) = outside {
        let _ = write!(issue, "; outside of the records there is `body:{source}`");
    }
    if is_named { issue } else { issue + ": name its place with `device` in the telemetry file" }
}

/// Returns true if a member may be meant as the device id.
fn is_candidate(name: &str, value: &Value, sources: &Sources) -> bool {
    let letters = |text: &str| shortened(text).replace(|c: char| !c.is_alphanumeric(), "").to_lowercase();
    let name = letters(name);
    let is_near = |source: &Source| match source {
        Source::Record(pointer) | Source::Body(pointer) => pointer.steps.last().is_some_and(|step| {
            let step = letters(step);
            strsim::osa_distance(&name, &step) <= step.chars().count() / 4
        }),
        _ => false,
    };
    let is_id = ["id", "eui"].iter().any(|end| name.ends_with(end)) || name.starts_with("device");
    let is_text = matches!(value, Value::String(text) if !text.is_empty()) || value.is_i64() || value.is_u64();
    is_text && (is_id || sources.0.iter().any(is_near))
}
