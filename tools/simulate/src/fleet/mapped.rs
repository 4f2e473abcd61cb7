//! Devices of other kinds: events with one record or several, of one device or of several, whose readings and times a telemetry
//! file describes.

use std::sync::Arc;

use devicestate_engine::{telemetry::Telemetry, text::iso8601};
use devicestate_local::hub::Sent;
use devicestate_telemetry::{AnyTelemetry, file::TelemetryFile, formats::Formats};
use fastrand::Rng;
use serde_json::{Map, Value, json};

use super::{Device, rejected_altitude};
use crate::{
    expected::{DeviceTime, ExpectedEffect, ExpectedEvent, ExpectedRecord, Readings},
    handler::MAX_READINGS,
};

/// The form of the events, each with a telemetry file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Records as an object, as an array or as lines, each with its device. Other members than the named ones are skipped.
    Records,
    /// Records in an envelope of a gateway, whose device and time are those of the records without their own. All members of a
    /// record are readings.
    Gateway,
}

const RECORDS: &str = r#"{
    "device": "/device",
    "time": {"from": "/at", "format": "unix_ms", "newest": "device"},
    "readings": {
        "Battery": {"from": "/battery", "type": "number"},
        "Altitude": {"from": "/position/altitude", "type": "number", "range": [-100, null]},
        "Mode": {"from": "/mode", "values": {"idle": 0, "running": 1}},
        "motor.on": {"from": "/motor/on", "type": "boolean"}
    },
    "null": "clear",
    "ignore": [{"from": "/kind", "equals": "diagnostics"}]
}"#;

const GATEWAY: &str = r#"{
    "device": ["/device", "body:/gateway"],
    "records": "/samples",
    "time": {"from": ["/at", "body:/sent"], "format": "rfc3339", "newest": "device", "notBefore": "2024-01-01T00:00:00Z"},
    "readings": {"*": ""},
    "null": "clear",
    "ignore": [{"from": "/kind", "equals": "diagnostics"}, {"from": "body:/kind", "equals": "diagnostics"}]
}"#;

impl Format {
    pub(super) fn telemetry(self) -> Arc<dyn Telemetry> {
        let file = match self {
            Self::Records => RECORDS,
            Self::Gateway => GATEWAY,
        };
        let TelemetryFile { mapping, .. } = TelemetryFile::parse(file.as_bytes()).expect("a valid telemetry file");
        Arc::new(AnyTelemetry::new(mapping, Formats::default()))
    }

    /// Returns the next event, which this device sends, with its expected effect.
    pub(super) fn next_event(
        self,
        rng: &mut Rng,
        device: &Device,
        devices: &[Device],
        now_ms: i64,
    ) -> (Sent, ExpectedEvent) {
        if rng.u8(..60) == 0 {
            return (sent(poison_body(rng, device)), ExpectedEvent(vec![ExpectedEffect::Poison]));
        }
        let count = match rng.u8(..32) {
            0..22 => 1,
            22..31 => rng.usize(2..=4),
            _ => rng.usize(5..=12),
        };
        let (sent_at, sent_time) = self.draw_time(rng, now_ms);
        let mut effects = Vec::with_capacity(count);
        let mut records = Vec::with_capacity(count);
        for number in 0..count {
            let of_other = number > 0 && rng.u8(..3) == 0;
            let device = if of_other { &devices[rng.usize(..devices.len())] } else { device };
            let is_named = of_other || self == Self::Records || rng.bool();
            let mut record = Map::new();
            if is_named {
                record.insert("device".into(), json!(device.name));
            }
            let (at, mut time) = self.draw_time(rng, now_ms);
            match at {
                Some(at) => drop(record.insert("at".into(), at)),
                None if self == Self::Gateway => time = sent_time,
                None => {}
            }
            effects.push(self.add_members(rng, &mut record, device, time));
            records.push(Value::Object(record));
        }
        let body = match self {
            Self::Records if count == 1 && rng.bool() => records[0].to_string(),
            Self::Records if rng.bool() => {
                records.iter().flat_map(|record| [record.to_string(), "\n".into()]).collect()
            }
            Self::Records => Value::Array(records).to_string(),
            Self::Gateway => {
                let mut body = json!({"gateway": device.name, "samples": records});
                if rng.u8(..60) == 0 {
                    body["kind"] = json!("diagnostics");
                    effects = vec![ExpectedEffect::Ignored];
                }
                if let Some(sent_at) = sent_at {
                    body["sent"] = sent_at;
                }
                body.to_string()
            }
        };
        if rng.u8(..60) == 0 {
            let ignored = ExpectedEvent(vec![ExpectedEffect::Ignored]);
            return (Sent { message_source: Some("twinChangeEvents"), ..sent(body) }, ignored);
        }
        (sent(body), ExpectedEvent(effects))
    }

    /// Adds the readings of a record and returns its expected effect.
    fn add_members(
        self,
        rng: &mut Rng,
        record: &mut Map<String, Value>,
        device: &Device,
        time: DeviceTime,
    ) -> ExpectedEffect {
        let mut is_rejected = false;
        let readings = match rng.u8(..120) {
            0..3 => {
                self.add_invalid_member(rng, record);
                return ExpectedEffect::Poison;
            }
            3..6 if self == Self::Records => {
                record.insert("pressure".into(), json!(1));
                return ExpectedEffect::Unrecognized;
            }
            6..8 => {
                record.insert("kind".into(), json!("diagnostics"));
                return ExpectedEffect::Ignored;
            }
            8..10 => {
                is_rejected = true;
                vec![("Altitude", rejected_altitude(rng))]
            }
            // The device only shows that it works.
            10..30 => Readings::new(),
            _ => draw_readings(rng),
        };
        for (name, value) in &readings {
            let value = value.clone();
            match (*name, self) {
                ("motor.on", _) => drop(record.insert("motor".into(), json!({"on": value}))),
                ("Mode", Self::Records) => {
                    let name = match value.as_i64() {
                        Some(0) if rng.bool() => json!("idle"),
                        Some(1) if rng.bool() => json!("Running"),
                        _ => value,
                    };
                    record.insert("mode".into(), name);
                }
                ("Altitude", Self::Records) => drop(record.insert("position".into(), json!({"altitude": value}))),
                ("Battery", Self::Records) => drop(record.insert("battery".into(), value)),
                _ => drop(record.insert((*name).into(), value)),
            }
        }
        let record = ExpectedRecord { id: device.id.clone(), time, readings };
        if is_rejected { ExpectedEffect::Rejected(record) } else { ExpectedEffect::Valid(record) }
    }

    /// Draws the time of a record as the device gives it, if it gives one: mostly the correct one, or that of a record which is
    /// uploaded late, or of a clock that is ahead or was reset.
    fn draw_time(self, rng: &mut Rng, now_ms: i64) -> (Option<Value>, DeviceTime) {
        const HOUR_MS: i64 = 3_600_000;
        let time_ms = match rng.u8(..10) {
            0..4 => now_ms - rng.i64(0..3_000),
            4..6 => now_ms - rng.i64(0..2 * HOUR_MS),
            6 => now_ms + rng.i64(0..72 * HOUR_MS),
            7 => rng.i64(-1_000..1_000 * HOUR_MS),
            _ => return (None, DeviceTime::Absent),
        };
        let time = if time_ms < 1_000 * HOUR_MS { DeviceTime::Unusable } else { DeviceTime::Known(time_ms) };
        let text = match self {
            Self::Records => json!(time_ms),
            Self::Gateway => json!(iso8601(time_ms)),
        };
        (Some(text), time)
    }

    /// Adds a member because of which the record cannot be decoded.
    fn add_invalid_member(self, rng: &mut Rng, record: &mut Map<String, Value>) {
        let large = || "x".repeat(70_000);
        let (name, value) = match (self, rng.u8(..5)) {
            (_, 0) => ("at", json!(true)),
            (Self::Records, 1) => ("battery", json!("full")),
            (Self::Records, 2) => ("position", json!({"altitude": -101})),
            (Self::Records, _) => ("mode", json!(large())),
            (Self::Gateway, 1) => (["Versions", "Heard"][rng.usize(..2)], json!(1)),
            (Self::Gateway, 2) => ("_ts", json!(large())),
            (Self::Gateway, 3) => {
                let members = (0..MAX_READINGS).map(|number| (format!("m{number}"), json!(number)));
                record.extend(members);
                ("m", json!(0))
            }
            (Self::Gateway, _) => {
                record.insert("motor".into(), json!({"on": true}));
                ("motor.on", json!(true))
            }
        };
        record.insert(name.into(), value);
    }
}

fn sent(body: impl Into<Vec<u8>>) -> Sent {
    Sent { body: body.into(), ..Sent::default() }
}

/// Returns random readings. Each has few possible values, so that equal ones follow each other, and one in eight is null.
fn draw_readings(rng: &mut Rng) -> Readings {
    let mut readings = Readings::new();
    for name in ["Battery", "Altitude", "Mode", "motor.on"] {
        if rng.u8(..5) < 2 {
            let value = match name {
                _ if rng.u8(..8) == 0 => Value::Null,
                "Mode" => json!(rng.u8(..2)),
                "motor.on" => json!(rng.bool()),
                _ => json!(f64::from(rng.u8(..4)) * 0.25),
            };
            readings.push((name, value));
        }
    }
    readings
}

/// Returns bytes of which nothing can be decoded.
fn poison_body(rng: &mut Rng, device: &Device) -> String {
    match rng.u8(..3) {
        0 => " ".into(),
        1 => format!("{{\"device\":{}", json!(device.name)),
        _ => "[]".into(),
    }
}
