//! The telemetry of any device.

use devicestate_engine::{
    batch::Event,
    telemetry::{Poison, Records, Telemetry, drone::DeviceIdFromIotHub},
};
use serde_json::Value;

use crate::{
    formats::Formats,
    mapping,
    unwrapping::{Content, unwrap},
};

/// Decodes events that are JSON, or become JSON when they are unwrapped.
#[derive(Debug, Clone)]
pub struct AnyTelemetry {
    /// What the device that IoT Hub authenticated is for.
    pub device_id_from_iot_hub: DeviceIdFromIotHub,
}

impl Telemetry for AnyTelemetry {
    fn decode_into<'e>(&self, event: &'e Event, records: &mut Records<'_, 'e>) -> Result<(), Poison> {
        let value = to_value(event)?;
        match value {
            Value::Array(elements) => {
                for element in elements {
                    if let Err(poison) = mapping::map_record(&element, event, records) {
                        records.fail(None, poison);
                    }
                }
                Ok(())
            }
            value => mapping::map_record(&value, event, records),
        }
    }

    fn to_json(&self, event: &Event) -> Option<Value> {
        to_value(event).ok()
    }
}

fn to_value(event: &Event) -> Result<Value, Poison> {
    match unwrap(event, &Formats::default())?.content {
        Content::Json(text) => serde_json::from_slice(&text)
            .map_err(|error| Poison::Undecodable(format!("the body is not valid JSON: {error}"))),
        Content::Value(value) => Ok(value),
        Content::Parts(_) => Err(Poison::Undecodable("a batch".into())),
    }
}
