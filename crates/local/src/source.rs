//! Events from a file or standard input.

use std::{path::Path, sync::Arc};

use devicestate_engine::{
    processor::{InspectedRecord, inspect},
    telemetry::Telemetry,
};
use devicestate_event_files::{EventFile, EventFileError, FileEvent};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::hub::{Property, Sent};

/// Why a source cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{0} (option --file)")]
pub struct SourceError(EventFileError);

/// Opens a file, or standard input for `-`, and reads the first event.
pub(super) fn open(
    path: &Path,
    telemetry: Arc<dyn Telemetry>,
) -> Result<impl Iterator<Item = Result<Sent, SourceError>> + Send + use<>, SourceError> {
    let events = EventFile::open(path).map_err(SourceError)?;
    Ok(events.map(move |event| event.map(|event| to_sent(event, &*telemetry)).map_err(SourceError)))
}

/// Returns an event as it is sent. The hub gives it a new position and new times. An event without a partition key gets its
/// device id, as most senders do, so that the events of a device stay in order.
fn to_sent(event: FileEvent, telemetry: &dyn Telemetry) -> Sent {
    let device_id = if event.partition_key.is_none() { device_id(&event, telemetry) } else { None };
    let FileEvent { body, partition_key, properties, system_properties, .. } = event;
    // What Event Hubs sets itself is set again.
    let is_kept = |name: &str| {
        !name.starts_with("x-opt-") && !name.starts_with(char::is_uppercase) && name != "iothub-enqueuedtime"
    };
    let system_properties = system_properties.into_iter().filter(|(name, _)| is_kept(name)).collect();
    Sent {
        partition_key: partition_key.or(device_id),
        body,
        properties: to_properties(properties),
        system_properties: to_properties(system_properties),
        ..Sent::default()
    }
}

/// Returns properties with values of JSON.
pub(super) fn to_properties(members: Map<String, Value>) -> Vec<(String, Property)> {
    let property = |value: Value| match value {
        Value::Null => Property::Null,
        Value::Bool(value) => Property::Boolean(value),
        Value::String(text) => Property::Text(text),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => Property::Integer(integer),
            None => Property::Float(number.as_f64().unwrap_or_default()),
        },
        Value::Array(_) | Value::Object(_) => Property::Text(value.to_string()),
    };
    members.into_iter().map(|(name, value)| (name, property(value))).collect()
}

/// Returns the device id of the first record, or of JSON that cannot be decoded.
fn device_id(event: &FileEvent, telemetry: &dyn Telemetry) -> Option<String> {
    #[derive(Deserialize)]
    struct Device {
        #[serde(rename = "deviceId", alias = "DeviceId", alias = "device_id", alias = "id")]
        device_id: String,
    }

    let id = match inspect(telemetry, &event.to_event(), usize::MAX).swap_remove(0) {
        InspectedRecord::Decoded(decoded) | InspectedRecord::Unrecognized(decoded) => Some(decoded.device_id),
        InspectedRecord::Failed(failure) => failure.device_id,
        InspectedRecord::Ignored => None,
    };
    let id = id.or_else(|| Some(serde_json::from_slice::<Device>(&event.body).ok()?.device_id));
    id.filter(|id| !id.is_empty())
}
