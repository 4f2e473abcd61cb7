//! Maps the records of an event to device ids and readings.

use devicestate_engine::{
    batch::Event,
    device_state::Reading,
    telemetry::{Poison, RecordTime, Records},
};
use serde_json::Value;

/// Maps one record, a JSON object.
pub(crate) fn map_record<'e>(record: &Value, event: &'e Event, records: &mut Records<'_, 'e>) -> Result<(), Poison> {
    const DEVICE: [&str; 4] = ["deviceId", "DeviceId", "device_id", "id"];
    let object = record.as_object().ok_or_else(|| Poison::Undecodable("the record is not a JSON object".into()))?;
    let named = DEVICE.iter().find_map(|name| Some((*name, object.get(*name)?.as_str()?)));
    let (used, device_id) = match (named, &event.iot_hub_device_id) {
        (Some((name, id)), _) => (name, id.to_owned()),
        (None, Some(id)) => ("", id.clone()),
        (None, None) => return Err(Poison::Undecodable("the record has no device id".into())),
    };
    for (name, value) in object.iter().filter(|(name, _)| *name != used) {
        add(name, value, records);
    }
    records.finish(device_id, RecordTime::Service);
    Ok(())
}

fn add(name: &str, value: &Value, records: &mut Records<'_, '_>) {
    match value {
        Value::Null => {}
        Value::Object(members) => {
            for (member, value) in members {
                add(&format!("{name}.{member}"), value, records);
            }
        }
        value => records.push(Reading { name: name.into(), value: value.clone() }),
    }
}
