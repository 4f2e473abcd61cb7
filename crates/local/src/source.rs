//! Events from a file or standard input.

use std::path::Path;

use devicestate_engine::{
    processor::{InspectedRecord, inspect},
    telemetry::Telemetry,
};
use devicestate_event_files::{EventFile, EventFileError, FileEvent};
use devicestate_telemetry::LoadedTelemetry;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    feed::Events,
    hub::{Property, Sent},
    packing::{Packing, pack},
};

/// Why a source cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file cannot be read.
    #[error("{0} (option --file)")]
    File(#[from] EventFileError),
    /// An event cannot be packed.
    #[error(
        "event {number} of the file cannot be packed: the telemetry ({telemetry}) reads it alone, but not in an array of JSON \
         objects; only events whose body is a JSON object can be packed (option --pack)"
    )]
    NotPackable {
        /// Its number in the file, from 1.
        number: u64,
        /// The description of the telemetry.
        telemetry: String,
    },
}

/// Opens a file, or standard input for `-`, and reads the first event. Up to `max_records` records of a device are packed into
/// one event.
pub(super) fn open(path: &Path, telemetry: &LoadedTelemetry, max_records: u32) -> Result<Events, SourceError> {
    let LoadedTelemetry { telemetry, description } = telemetry.clone();
    let events = EventFile::open(path)?;
    if max_records == 1 {
        return Ok(Box::new(events.map(move |event| Ok(to_sent(event?, &*telemetry)))));
    }
    let records = (1..).zip(events).map(move |(number, event)| {
        let event = event?;
        let not_packable = || SourceError::NotPackable { number, telemetry: description.clone() };
        let packing = packing(&event, &*telemetry).ok_or_else(not_packable)?;
        Ok((to_sent(event, &*telemetry), packing))
    });
    Ok(Box::new(pack(records, max_records)))
}

/// Returns how an event is packed. An event that is invalid, or has several records, is sent as it is. Returns `None` for one record
/// that an array does not decode to: it is not JSON, or the telemetry does not read arrays.
fn packing(event: &FileEvent, telemetry: &dyn Telemetry) -> Option<Packing> {
    let alone = inspect(telemetry, &event.to_event(), usize::MAX);
    let is_array = event.body.trim_ascii_start().starts_with(b"[");
    if let ([InspectedRecord::Decoded(decoded) | InspectedRecord::Unrecognized(decoded)], false) =
        (&alone[..], is_array)
    {
        let body = [b"[", &event.body[..], b"]"].concat();
        let packed = inspect(telemetry, &FileEvent { body, ..event.clone() }.to_event(), usize::MAX);
        return (packed == alone).then(|| Packing::Record(decoded.device_id.clone()));
    }
    let devices = alone.into_iter().filter_map(|record| match record {
        InspectedRecord::Decoded(decoded) | InspectedRecord::Unrecognized(decoded) => Some(decoded.device_id),
        InspectedRecord::Failed(_) | InspectedRecord::Ignored => None,
    });
    Some(Packing::Alone(devices.collect()))
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
