//! Drone telemetry: the wire formats and the fields of the reference implementation of this architecture.
//!
//! An event is a JSON object or a protobuf message. Its content type decides, or the setting `TelemetryFormat`, or the body
//! itself.

mod json;
mod protobuf;

use std::borrow::Cow;

use serde_json::Value;

use super::{Poison, Readings, Telemetry};
use crate::{
    batch::Event,
    device_state::Reading,
    settings::{ConfigError, Settings},
};

/// The format of events without a content type: the setting `TelemetryFormat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Detected from the body of each event.
    #[default]
    Auto,
    /// JSON.
    Json,
    /// Protobuf.
    Protobuf,
}

/// The decoder of drone telemetry.
#[derive(Debug, Clone, Copy, Default)]
pub struct Drone {
    /// The format of events without a content type.
    pub format: Format,
    /// Whether the device that IoT Hub authenticated is used if the body has no device id: the setting `DeviceIdFromIoTHub`.
    pub device_id_from_iot_hub: bool,
}

impl Drone {
    /// Reads `TelemetryFormat` (`auto` by default, `json` or `protobuf`) and `DeviceIdFromIoTHub` (`false` by default).
    ///
    /// # Errors
    ///
    /// Returns a [`ConfigError`] that names the setting if a value is invalid.
    pub fn from_settings(settings: &Settings) -> Result<Self, ConfigError> {
        Ok(Self {
            format: settings.parse(
                "TelemetryFormat",
                Format::Auto,
                "`auto`, `json` or `protobuf`",
                |value| match value {
                    "auto" => Some(Format::Auto),
                    "json" => Some(Format::Json),
                    "protobuf" => Some(Format::Protobuf),
                    _ => None,
                },
            )?,
            device_id_from_iot_hub: settings
                .parse("DeviceIdFromIoTHub", false, "true or false", |value| value.to_ascii_lowercase().parse().ok())?,
        })
    }
}

/// The format of one body.
enum BodyFormat {
    Json,
    Protobuf,
}

/// The fields of one event in either format. `None` is absent; 0, false and `Unknown` are readings.
#[derive(Debug, Default, Clone, PartialEq)]
struct Fields<'a> {
    device_id: Option<Cow<'a, str>>,
    battery: Option<f64>,
    flight_mode: Option<i64>,
    position: Position,
    health: Health,
}

#[derive(Debug, Default, Clone, PartialEq)]
struct Position {
    latitude: Option<f64>,
    longitude: Option<f64>,
    altitude: Option<f64>,
}

#[derive(Debug, Default, Clone, PartialEq)]
struct Health {
    gyrometer: Option<bool>,
    accelerometer: Option<bool>,
    magnetometer: Option<bool>,
}

/// The names of the flight modes, indexed by their numbers.
pub const FLIGHT_MODES: [&str; 6] = ["Unknown", "Ready", "Takeoff", "Inflight", "Landing", "Offline"];

impl Telemetry for Drone {
    fn decode_into<'e>(&self, event: &'e Event, readings: &mut Readings<'_>) -> Result<Cow<'e, str>, Poison> {
        let body = &*event.body;
        if body.is_empty() {
            return Err(Poison::Undecodable("the body is empty, so the device id is missing".into()));
        }
        let fields = match self.format_of(event) {
            BodyFormat::Json => json::decode(body)?,
            BodyFormat::Protobuf => protobuf::decode(body).map_err(|poison| match content_type(event) {
                None if self.format == Format::Auto => with_format_note(&poison),
                _ => poison,
            })?,
        };
        fields.add_to(readings)?;
        let authenticated = event.iot_hub_device_id.as_deref().filter(|_| self.device_id_from_iot_hub);
        fields.into_device_id(authenticated)
    }

    fn to_json(&self, event: &Event) -> Option<Value> {
        let body = &*event.body;
        if body.is_empty() {
            return None;
        }
        match self.format_of(event) {
            BodyFormat::Json => json::value(body),
            BodyFormat::Protobuf => protobuf::decode(body).ok().map(|fields| json::from_fields(&fields)),
        }
    }
}

impl Drone {
    /// Returns the format of the event's body, which must not be empty.
    fn format_of(self, event: &Event) -> BodyFormat {
        match content_type(event).unwrap_or(self.format) {
            Format::Json => BodyFormat::Json,
            Format::Protobuf => BodyFormat::Protobuf,
            Format::Auto => detect_format(&event.body),
        }
    }
}

/// Returns the format that the content type names; `None` for any other content type.
fn content_type(event: &Event) -> Option<Format> {
    let name = event.content_type.as_deref()?.split(';').next()?.trim().as_bytes();
    let ends = |end: &[u8]| name.last_chunk::<5>().is_some_and(|last| last.eq_ignore_ascii_case(end));
    if ends(b"/json") || ends(b"+json") {
        Some(Format::Json)
    } else if name.windows(8).any(|part| part.eq_ignore_ascii_case(b"protobuf")) {
        Some(Format::Protobuf)
    } else {
        None
    }
}

/// Detects the format from the body, which must not be empty.
///
/// A body that starts with `{` (after white space) is JSON, and so is any other plain text, since a protobuf message contains
/// control characters. Only a line feed at the start is ambiguous: it is also protobuf's tag of the device id. Then JSON is
/// tried first, because a protobuf message is practically never also a complete JSON object.
fn detect_format(body: &[u8]) -> BodyFormat {
    let text = body.strip_prefix(json::BYTE_ORDER_MARK).unwrap_or(body).trim_ascii_start();
    let is_ambiguous = body[0] == b'\n';
    let is_json = if text.first() == Some(&b'{') {
        !is_ambiguous || json::decode(body).is_ok() || protobuf::decode(body).is_err()
    } else {
        let is_plain = |text: &str| !text.chars().any(|c| c.is_control() && !c.is_whitespace());
        !is_ambiguous && str::from_utf8(body).is_ok_and(is_plain)
    };
    if is_json { BodyFormat::Json } else { BodyFormat::Protobuf }
}

/// Adds why the body was read as protobuf, for senders of JSON.
fn with_format_note(poison: &Poison) -> Poison {
    Poison::Undecodable(format!("{poison}; it was read as protobuf, because it is not text and has no content type"))
}

impl<'a> Fields<'a> {
    /// Returns the device id; `authenticated` is used if the event has none.
    fn into_device_id(self, authenticated: Option<&'a str>) -> Result<Cow<'a, str>, Poison> {
        let named = self.device_id.filter(|id| !id.is_empty());
        let authenticated = authenticated.filter(|id| !id.is_empty());
        named
            .or(authenticated.map(Cow::Borrowed))
            .ok_or_else(|| Poison::Undecodable("the device id is missing or empty: each event needs one".into()))
    }

    /// Adds the readings, in the order of their names.
    fn add_to(&self, readings: &mut Readings<'_>) -> Result<(), Poison> {
        let mut reading = |name: &'static str, value: Option<Value>| {
            if let Some(value) = value {
                readings.push(Reading { name: name.into(), value });
            }
        };
        let Position { latitude, longitude, altitude } = self.position;
        let Health { gyrometer, accelerometer, magnetometer } = self.health;
        reading("AccelerometerOK", accelerometer.map(Value::Bool));
        reading("Altitude", finite("altitude", altitude)?);
        reading("Battery", finite("battery", self.battery)?);
        reading("FlightMode", self.flight_mode.map(flight_mode).transpose()?);
        reading("GyrometerOK", gyrometer.map(Value::Bool));
        reading("Latitude", finite("latitude", latitude)?);
        reading("Longitude", finite("longitude", longitude)?);
        reading("MagnetometerOK", magnetometer.map(Value::Bool));
        Ok(())
    }
}

fn finite(field: &str, value: Option<f64>) -> Result<Option<Value>, Poison> {
    let Some(number) = value else { return Ok(None) };
    match serde_json::Number::from_f64(number) {
        Some(number) => Ok(Some(Value::Number(number))),
        None => Err(Poison::Invalid(format!("{field} is {number}, which JSON cannot represent"))),
    }
}

fn flight_mode(number: i64) -> Result<Value, Poison> {
    match usize::try_from(number) {
        Ok(index) if index < FLIGHT_MODES.len() => Ok(Value::from(number)),
        _ => Err(Poison::Invalid(format!("flight mode {number} is undefined: it must be 0 (Unknown) to 5 (Offline)"))),
    }
}
