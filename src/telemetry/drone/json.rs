//! Drone telemetry as a JSON object: names in camelCase or PascalCase, unknown fields ignored.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Unexpected, Visitor, value::MapAccessDeserializer},
};

use super::{FLIGHT_MODES, Fields, Health, Position};
use crate::telemetry::Poison;

/// Some senders put it in front of UTF-8 text.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

pub(super) fn decode(body: &[u8]) -> Result<Fields, Poison> {
    let text = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err(Poison::Undecodable("the body is not a JSON object".into()));
    }
    let event: JsonEvent = serde_json::from_slice(text)
        .map_err(|error| Poison::Undecodable(format!("the body is not valid JSON telemetry: {error}")))?;
    Ok(Fields {
        device_id: event.device_id,
        battery: event.battery,
        flight_mode: event.flight_mode.map(|FlightMode(number)| number),
        position: event.position.unwrap_or_default().into(),
        health: event.health.unwrap_or_default().into(),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonEvent {
    #[serde(alias = "DeviceId")]
    device_id: Option<String>,
    #[serde(alias = "Battery")]
    battery: Option<f64>,
    #[serde(alias = "FlightMode")]
    flight_mode: Option<FlightMode>,
    #[serde(alias = "Position", default, deserialize_with = "object")]
    position: Option<JsonPosition>,
    #[serde(alias = "Health", default, deserialize_with = "object")]
    health: Option<JsonHealth>,
    /// Not stored, but no less part of the format: a wrong type is a fault.
    #[serde(alias = "IsKeyFrame", rename = "isKeyFrame")]
    _is_key_frame: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct JsonPosition {
    #[serde(alias = "Latitude")]
    latitude: Option<f64>,
    #[serde(alias = "Longitude")]
    longitude: Option<f64>,
    #[serde(alias = "Altitude")]
    altitude: Option<f64>,
}

#[derive(Deserialize, Default)]
struct JsonHealth {
    #[serde(rename = "gyrometerOK", alias = "GyrometerOK")]
    gyrometer: Option<bool>,
    #[serde(rename = "accelerometerOK", alias = "AccelerometerOK")]
    accelerometer: Option<bool>,
    #[serde(rename = "magnetometerOK", alias = "MagnetometerOK")]
    magnetometer: Option<bool>,
}

impl From<JsonPosition> for Position {
    fn from(JsonPosition { latitude, longitude, altitude }: JsonPosition) -> Self {
        Self { latitude, longitude, altitude }
    }
}

impl From<JsonHealth> for Health {
    fn from(JsonHealth { gyrometer, accelerometer, magnetometer }: JsonHealth) -> Self {
        Self { gyrometer, accelerometer, magnetometer }
    }
}

/// A flight mode by its number or its name. Which numbers are defined is not a matter of the format.
struct FlightMode(i64);

impl<'de> Deserialize<'de> for FlightMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrName;

        impl Visitor<'_> for NumberOrName {
            type Value = FlightMode;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a flight mode: its number or its name")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<FlightMode, E> {
                Ok(FlightMode(number))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<FlightMode, E> {
                // A number too large for the type is no flight mode in any case; what is said of it must be true.
                i64::try_from(number).map(FlightMode).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<FlightMode, E> {
                let known = (0..).zip(FLIGHT_MODES).find(|(_, mode)| mode.eq_ignore_ascii_case(name));
                known.map(|(number, _)| FlightMode(number)).ok_or_else(|| {
                    E::custom(format!("unknown flight mode {name:?}: one of {}", FLIGHT_MODES.join(", ")))
                })
            }
        }

        deserializer.deserialize_any(NumberOrName)
    }
}

/// A JSON object or null. A derived struct would also take an array, its members in order: nobody sends that, so
/// nobody should have it guessed.
fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    struct ObjectOrNull<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectOrNull<T> {
        type Value = Option<T>;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a JSON object")
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map)).map(Some)
        }
    }

    deserializer.deserialize_any(ObjectOrNull(PhantomData))
}
