//! Drone telemetry: the wire formats and the fields of the reference implementation of this architecture.
//!
//! An event is a JSON object or a protobuf message. Its content type decides, or the setting `TelemetryFormat`, or the body
//! itself.

mod json;
mod protobuf;

use std::{borrow::Cow, fmt::Write as _};

use arcstr::literal;
use serde_json::Value;

use super::{Poison, RecordTime, Records, Telemetry, compression};
use crate::{
    batch::Event,
    device_state::{Name, Reading},
    settings::{ConfigError, Settings},
    text::truncated,
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
    /// What the device that IoT Hub authenticated is for: the setting `DeviceIdFromIoTHub`.
    pub device_id_from_iot_hub: DeviceIdFromIotHub,
}

/// What the device that IoT Hub authenticated is for: the setting `DeviceIdFromIoTHub`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceIdFromIotHub {
    /// It is not used.
    #[default]
    Unused,
    /// It is the device id of an event whose body has none.
    Fallback,
    /// The same, and a body with another device id is invalid.
    Required,
}

impl Drone {
    /// Reads `TelemetryFormat` (`auto` by default, `json` or `protobuf`) and `DeviceIdFromIoTHub` (`false` by default, `true`
    /// or `required`).
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
            device_id_from_iot_hub: DeviceIdFromIotHub::from_settings(settings, DeviceIdFromIotHub::Unused)?,
        })
    }
}

impl DeviceIdFromIotHub {
    /// Reads `DeviceIdFromIoTHub`: `false`, `true` or `required`.
    ///
    /// # Errors
    ///
    /// Returns a [`ConfigError`] that names the setting if its value is invalid.
    pub fn from_settings(settings: &Settings, default: Self) -> Result<Self, ConfigError> {
        settings.parse("DeviceIdFromIoTHub", default, "`false`, `true` or `required`", |value| {
            match value.to_ascii_lowercase().as_str() {
                "false" => Some(Self::Unused),
                "true" => Some(Self::Fallback),
                "required" => Some(Self::Required),
                _ => None,
            }
        })
    }
}

/// The format of one body.
#[derive(Debug, Clone, Copy)]
enum BodyFormat {
    Json,
    Protobuf,
    /// Either of them.
    Ambiguous,
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
    fn setting(&self) -> &'static str {
        "drone"
    }

    fn decode_into<'e>(&self, event: &'e Event, records: &mut Records<'_, 'e>) -> Result<(), Poison> {
        let device_id = match compression::unpacked_gzip(&event.body)? {
            Cow::Borrowed(body) => self.decode_body(event, body, records)?,
            Cow::Owned(body) => Cow::Owned(self.decode_body(event, &body, records)?.into_owned()),
        };
        records.finish(device_id, RecordTime::Service);
        Ok(())
    }

    fn to_json(&self, event: &Event) -> Option<Value> {
        let body = &*compression::unpacked_gzip(&event.body).ok()?;
        match self.detect_format(event, body)? {
            BodyFormat::Json => json::to_value(body),
            BodyFormat::Protobuf => protobuf::decode(body).ok().map(|fields| json::from_fields(&fields)),
            BodyFormat::Ambiguous => {
                json::to_value(body).or_else(|| protobuf::decode(body).ok().map(|fields| json::from_fields(&fields)))
            }
        }
    }
}

impl Drone {
    /// Decodes the unpacked body of an event.
    fn decode_body<'b>(
        self,
        event: &'b Event,
        body: &'b [u8],
        readings: &mut Records<'_, '_>,
    ) -> Result<Cow<'b, str>, Poison> {
        let format = self
            .detect_format(event, body)
            .ok_or_else(|| Poison::Undecodable("the body is empty, so the device id is missing".into()))?;
        let mut is_json = !matches!(format, BodyFormat::Protobuf);
        let fields = match format {
            BodyFormat::Json => json::decode(body),
            BodyFormat::Protobuf => protobuf::decode(body).map_err(|poison| self.with_format_note(event, poison)),
            // A protobuf message is practically never also a complete JSON object. Each way is tried once.
            BodyFormat::Ambiguous => json::decode(body).or_else(|invalid_json| {
                is_json = false;
                protobuf::decode(body).map_err(|_| invalid_json)
            }),
        }?;
        fields.add_to(readings)?;
        if fields.has_no_reading() {
            if is_json {
                for name in json::unknown_fields(body) {
                    readings.skip(json::with_hint(&name));
                }
            } else {
                for name in protobuf::unknown_fields(body) {
                    readings.skip(name);
                }
            }
        }
        let near_misses = || if is_json { json::near_misses(body, "deviceId") } else { Vec::new() };
        self.device_id(fields.device_id, event.iot_hub_device_id.as_deref(), near_misses)
    }

    /// Returns the format of a body; `None` if it is empty.
    fn detect_format(self, event: &Event, body: &[u8]) -> Option<BodyFormat> {
        let first = body.first()?;
        Some(match content_type_format(event).unwrap_or(self.format) {
            Format::Json => BodyFormat::Json,
            Format::Protobuf => BodyFormat::Protobuf,
            Format::Auto => detect_format(*first, body),
        })
    }

    /// Adds why the body was read as protobuf, for senders of JSON.
    fn with_format_note(self, event: &Event, poison: Poison) -> Poison {
        match content_type_format(event) {
            None if self.format == Format::Auto => Poison::Undecodable(format!(
                "{poison}; it was read as protobuf, because it is not text and has no content type"
            )),
            _ => poison,
        }
    }

    /// Returns the device id of an event: from the body, or the one that IoT Hub authenticated. `near_misses` returns names of
    /// fields that may be meant as the device id.
    fn device_id<'b>(
        self,
        named: Option<Cow<'b, str>>,
        authenticated: Option<&'b str>,
        near_misses: impl FnOnce() -> Vec<String>,
    ) -> Result<Cow<'b, str>, Poison> {
        let named = named.filter(|id| !id.is_empty());
        let authenticated = authenticated.filter(|id| !id.is_empty());
        match (self.device_id_from_iot_hub, named, authenticated) {
            (DeviceIdFromIotHub::Required, Some(named), Some(authenticated)) if named != authenticated => {
                Err(Poison::Invalid(format!(
                    "the body names the device {:?}, but IoT Hub authenticated {authenticated:?}: with \
                     `DeviceIdFromIoTHub` `required` they must be equal",
                    truncated(&named)
                )))
            }
            (DeviceIdFromIotHub::Required, Some(named), None) => Err(Poison::Invalid(format!(
                "the body names the device {:?}, but IoT Hub authenticated none: with `DeviceIdFromIoTHub` `required` \
                 they must be equal",
                truncated(&named)
            ))),
            (_, Some(named), _) => Ok(named),
            (DeviceIdFromIotHub::Fallback | DeviceIdFromIotHub::Required, None, Some(authenticated)) => {
                Ok(Cow::Borrowed(authenticated))
            }
            (_, None, _) => {
                let mut issue = "the device id is missing or empty: each event needs one".to_owned();
                for name in near_misses() {
                    let _ = write!(issue, "; there is {name:?}: it must be `deviceId`");
                }
                Err(Poison::Undecodable(issue))
            }
        }
    }
}

/// Returns the format that the content type names; `None` for any other content type.
fn content_type_format(event: &Event) -> Option<Format> {
    let name = event.content_type.as_deref()?.split(';').next()?.trim().as_bytes();
    let has_suffix = |suffix: &[u8]| name.last_chunk::<5>().is_some_and(|last| last.eq_ignore_ascii_case(suffix));
    if has_suffix(b"/json") || has_suffix(b"+json") {
        Some(Format::Json)
    } else if name.windows(8).any(|part| part.eq_ignore_ascii_case(b"protobuf")) {
        Some(Format::Protobuf)
    } else {
        None
    }
}

/// Detects the format from a body and its first byte.
///
/// A body that starts with `{` (after white space) is JSON, and so is any other plain text, since a protobuf message contains
/// control characters. Only a line feed before `{` is ambiguous: it is also protobuf's tag of the device id.
fn detect_format(first: u8, body: &[u8]) -> BodyFormat {
    let text = body.strip_prefix(json::BYTE_ORDER_MARK).unwrap_or(body).trim_ascii_start();
    let is_plain = |text: &str| !text.chars().any(|c| c.is_control() && !c.is_whitespace());
    match (first, text.first()) {
        (b'\n', Some(b'{')) => BodyFormat::Ambiguous,
        (b'\n', _) => BodyFormat::Protobuf,
        (_, Some(b'{')) => BodyFormat::Json,
        _ if str::from_utf8(body).is_ok_and(is_plain) => BodyFormat::Json,
        _ => BodyFormat::Protobuf,
    }
}

impl Fields<'_> {
    fn into_owned(self) -> Fields<'static> {
        Fields { device_id: self.device_id.map(|id| id.into_owned().into()), ..self }
    }

    fn has_no_reading(&self) -> bool {
        self.battery.is_none()
            && self.flight_mode.is_none()
            && self.position == Position::default()
            && self.health == Health::default()
    }

    /// Adds the readings, in the order of their names.
    fn add_to(&self, readings: &mut Records<'_, '_>) -> Result<(), Poison> {
        let mut add = |name: Name, value: Option<Value>| {
            if let Some(value) = value {
                readings.push(Reading { name, value });
            }
        };
        let Position { latitude, longitude, altitude } = self.position;
        let Health { gyrometer, accelerometer, magnetometer } = self.health;
        add(literal!("AccelerometerOK"), accelerometer.map(Value::Bool));
        add(literal!("Altitude"), finite_value("altitude", altitude)?);
        add(literal!("Battery"), finite_value("battery", self.battery)?);
        add(literal!("FlightMode"), self.flight_mode.map(flight_mode_value).transpose()?);
        add(literal!("GyrometerOK"), gyrometer.map(Value::Bool));
        add(literal!("Latitude"), finite_value("latitude", latitude)?);
        add(literal!("Longitude"), finite_value("longitude", longitude)?);
        add(literal!("MagnetometerOK"), magnetometer.map(Value::Bool));
        Ok(())
    }
}

fn finite_value(field: &str, value: Option<f64>) -> Result<Option<Value>, Poison> {
    let Some(number) = value else { return Ok(None) };
    match serde_json::Number::from_f64(number) {
        Some(number) => Ok(Some(Value::Number(number))),
        None => Err(Poison::Invalid(format!("{field} is {number}, which JSON cannot represent"))),
    }
}

fn flight_mode_value(number: i64) -> Result<Value, Poison> {
    match usize::try_from(number) {
        Ok(index) if index < FLIGHT_MODES.len() => Ok(Value::from(number)),
        _ => Err(Poison::Invalid(format!("flight mode {number} is undefined: it must be 0 (Unknown) to 5 (Offline)"))),
    }
}
