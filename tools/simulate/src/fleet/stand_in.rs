//! temporary
use super::mapped::Format;
use devicestate_engine::{batch::Event, device_state::Reading, telemetry::{Poison, Records, RecordTime, Telemetry}};
use serde_json::Value;
pub(super) struct StandIn(pub(super) Format);
impl Telemetry for StandIn {
    fn decode_into<'e>(&self, event: &'e Event, records: &mut Records<'_, 'e>) -> Result<(), Poison> {
        let bad = || Poison::Undecodable("bad".into());
        let mut values: Vec<Value> = serde_json::Deserializer::from_slice(&event.body).into_iter().collect::<Result<_, _>>().map_err(|_| bad())?;
        if let [Value::Array(elements)] = &values[..] { values = elements.clone(); }
        let body = values.first().ok_or_else(bad)?.clone();
        if self.0 == Format::Gateway { values = body["samples"].as_array().ok_or_else(bad)?.clone(); }
        for value in values {
            if record(self.0, &value, &body, records).is_err() {  records.fail(None, bad()); }
        }
        Ok(())
    }
}
fn flat(prefix: &str, value: &Value, into: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(members) => for (name, value) in members { flat(&if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") }, value, into); },
        _ => into.push((prefix.into(), value.clone())),
    }
}
fn record(format: Format, value: &Value, body: &Value, records: &mut Records<'_, '_>) -> Result<(), ()> {
    let mut all = Vec::new();
    flat("", value, &mut all);
    let of = |name: &str| all.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
    let device = of("device").or(body.get("gateway").cloned()).and_then(|d| d.as_str().map(str::to_owned)).ok_or(())?;
    let at = of("at").or(body.get("sent").cloned());
    let time = match at {
        None => RecordTime::Enqueued,
        Some(at) => {
            let ms = match format { Format::Records => at.as_i64().ok_or(())?, Format::Gateway => {
                let text = at.as_str().ok_or(())?;
                // yyyy-
                if text < "2024" { 0 } else { text.parse::<jiff::Timestamp>().map_err(|_| ())?.as_millisecond() }
            }};
            if ms < 1_577_836_800_000 { RecordTime::Unusable } else { RecordTime::Device(ms) }
        }
    };
    let mut seen = std::collections::BTreeSet::new();
    for (name, value) in &all {
        let (name, value) = match (format, name.as_str()) {
            (_, "device" | "at") => continue,
            (Format::Records, "battery") => ("Battery", if value.is_string() { return Err(()) } else { value.clone() }),
            (Format::Records, "position.altitude") => ("Altitude", if value.as_f64() < Some(-100.0) && !value.is_null() { return Err(()) } else { value.clone() }),
            (Format::Records, "mode") => ("Mode", match value.as_str() { Some("idle") => 0.into(), Some("Running") => 1.into(), Some(_) => return Err(()), None => value.clone() }),
            (Format::Records, "motor.on") => ("motor.on", value.clone()),
            (Format::Records, other) => { records.skip(other.into()); continue }
            (Format::Gateway, name) => (name, value.clone()),
        };
        if !seen.insert(name) || name.starts_with('_') { return Err(()) }
        records.push(Reading { name: name.into(), value });
    }
    records.finish(device, time);
    Ok(())
}
