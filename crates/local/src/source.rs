//! Events from a file or standard input.

use std::path::Path;

use devicestate_event_files::{EventFile, EventFileError, FileEvent};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::hub::{Property, Sent};

/// Why a source cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{0} (option --file)")]
pub struct SourceError(EventFileError);

/// Opens a file, or standard input for `-`, and reads the first event.
pub(super) fn open(path: &Path) -> Result<impl Iterator<Item = Result<Sent, SourceError>> + Send + use<>, SourceError> {
    let events = EventFile::open(path).map_err(SourceError)?;
    Ok(events.map(|event| event.map(to_sent).map_err(SourceError)))
}

/// Returns an event as it is sent. The hub gives it a new position and time.
fn to_sent(event: FileEvent) -> Sent {
    let FileEvent { body, partition_key, properties, system_properties, .. } = event;
    // What Event Hubs sets itself is set again.
    let is_kept = |name: &str| !name.starts_with("x-opt-") && !name.starts_with(char::is_uppercase);
    let system_properties = system_properties.into_iter().filter(|(name, _)| is_kept(name)).collect();
    Sent {
        partition_key: partition_key.or_else(|| device_id(&body)),
        body,
        properties: to_properties(properties),
        system_properties: to_properties(system_properties),
        ..Sent::default()
    }
}

fn to_properties(members: Map<String, Value>) -> Vec<(String, Property)> {
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

/// Returns the partition key of an event without one: its device id. An event without a device id is sent without a key.
fn device_id(text: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Device {
        #[serde(rename = "deviceId", alias = "DeviceId", alias = "device_id")]
        device_id: Option<String>,
        id: Option<String>,
    }

    let device = serde_json::from_slice::<Device>(text).ok()?;
    device.device_id.or(device.id).filter(|id| !id.is_empty())
}
