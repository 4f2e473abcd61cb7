//! Drone telemetry as a JSON object: names in camelCase or PascalCase, unknown fields ignored.

mod fast_path;

use std::{borrow::Cow, collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Unexpected, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Map, Value, error::Category, value::RawValue};

use super::{FLIGHT_MODES, Fields, Health, Position};
use crate::telemetry::Poison;

/// The byte order mark that some senders put before UTF-8 text.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Decodes the body of an event.
pub(super) fn decode(body: &[u8]) -> Result<Fields<'_>, Poison> {
    let text = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err(Poison::Undecodable("the body is not a JSON object".into()));
    }
    fast_path::decode(text).map_or_else(|| decode_any(text), Ok)
}

/// Decodes an event of any form: the general parser.
fn decode_any(text: &[u8]) -> Result<Fields<'_>, Poison> {
    let event = match str::from_utf8(text) {
        // Checks UTF-8 once instead of for each name and text.
        Ok(text) => serde_json::from_str(text),
        // Invalid UTF-8 is an error only in fields that are read; ignored fields may contain anything.
        Err(_) => serde_json::from_slice(text),
    };
    let event: JsonEvent = event.map_err(|error| {
        Poison::Undecodable(format!("the body is not valid JSON telemetry: {}", describe_error(text, &error)))
    })?;
    Ok(Fields {
        device_id: event.device_id.map(|Text(text)| text),
        battery: event.battery,
        flight_mode: event.flight_mode.map(|FlightMode(number)| number),
        position: event.position.unwrap_or_default().into(),
        health: event.health.unwrap_or_default().into(),
    })
}

/// Describes an error without terms of the library, and with the name of the field.
fn describe_error(text: &[u8], error: &serde_json::Error) -> String {
    let issue = error.to_string().replace("expected f64", "expected a number");
    match error.classify() {
        Category::Eof => format!("the text ends in the middle ({issue})"),
        Category::Data => match invalid_field(text) {
            Some(field) => format!("{field}: {issue}"),
            None => issue,
        },
        _ => issue,
    }
}

/// Returns the first field that would be invalid in an event of its own.
fn invalid_field(text: &[u8]) -> Option<String> {
    fn members(json: &str) -> Option<BTreeMap<String, &RawValue>> {
        serde_json::from_str(json).ok()
    }
    let is_invalid = |event: &str| serde_json::from_str::<JsonEvent>(event).is_err();
    for (name, value) in members(str::from_utf8(text).ok()?)? {
        let quoted = Value::from(name.as_str());
        if !is_invalid(&format!("{{{quoted}:{value}}}")) {
            continue;
        }
        let within = members(value.get()).into_iter().flatten().find_map(|(member, value)| {
            let member_quoted = Value::from(member.as_str());
            is_invalid(&format!("{{{quoted}:{{{member_quoted}:{value}}}}}")).then_some(member)
        });
        return Some(within.map_or(name.clone(), |member| format!("{member} of {name}")));
    }
    None
}

/// Returns a JSON body as a value that decodes to the same fields. `None` if that is not possible: an object with a
/// duplicate field loses one of them in a value.
pub(super) fn to_value(body: &[u8]) -> Option<Value> {
    let text = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let value: Value = serde_json::from_slice(text).ok()?;
    (decode(value.to_string().as_bytes()).ok() == decode(body).ok()).then_some(value)
}

/// Returns the fields as a JSON event, without absent ones.
pub(super) fn from_fields(fields: &Fields) -> Value {
    let Fields { device_id, battery, flight_mode, position, health } = fields;
    let Position { latitude, longitude, altitude } = position;
    let Health { gyrometer, accelerometer, magnetometer } = health;
    let position = [("latitude", latitude), ("longitude", longitude), ("altitude", altitude)];
    let health = [("gyrometerOK", gyrometer), ("accelerometerOK", accelerometer), ("magnetometerOK", magnetometer)];
    object_of([
        ("deviceId", device_id.as_deref().map(Value::from)),
        ("battery", battery.map(number_or_text)),
        ("flightMode", flight_mode.map(Value::from)),
        ("position", non_empty(object_of(position.map(|(name, value)| (name, value.map(number_or_text)))))),
        ("health", non_empty(object_of(health.map(|(name, value)| (name, value.map(Value::from)))))),
    ])
}

fn object_of<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let present = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    present.collect::<Map<_, _>>().into()
}

fn non_empty(object: Value) -> Option<Value> {
    Some(object).filter(|object| object.as_object().is_some_and(|members| !members.is_empty()))
}

/// Returns a number, or its text if JSON cannot represent it. The issue of such a number shows the same text.
fn number_or_text(value: f64) -> Value {
    serde_json::Number::from_f64(value).map_or_else(|| value.to_string().into(), Value::Number)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonEvent<'a> {
    #[serde(alias = "DeviceId", borrow)]
    device_id: Option<Text<'a>>,
    #[serde(alias = "Battery")]
    battery: Option<f64>,
    #[serde(alias = "FlightMode")]
    flight_mode: Option<FlightMode>,
    #[serde(alias = "Position", default, deserialize_with = "deserialize_object")]
    position: Option<JsonPosition>,
    #[serde(alias = "Health", default, deserialize_with = "deserialize_object")]
    health: Option<JsonHealth>,
    /// Not stored, but a part of the format: a wrong type is invalid.
    #[serde(alias = "IsKeyFrame", rename = "isKeyFrame")]
    _is_key_frame: Option<bool>,
}

/// A text that is borrowed if it has no escapes. In an `Option`, `Cow` alone would always be owned.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

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

/// A flight mode by number or name. Undefined numbers are rejected later, since they are not an error of the format.
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
                // A number above `i64::MAX` is not a flight mode, and the error must show the number as it was sent.
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

/// Deserializes a JSON object or null. A derived struct would also accept an array of its members in order, which no device
/// sends.
fn deserialize_object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Asserts that the general parser returns the same fields as the fast path; false if the fast path returns none.
    fn assert_same(text: &[u8]) -> bool {
        let Some(fast) = fast_path::decode(text) else { return false };
        let general = decode_any(text).expect("an event");
        let shown = String::from_utf8_lossy(text);
        assert_eq!(fast, general, "{shown}");
        // Compares each bit of the numbers, since there are two zeros.
        let bits = |fields: &Fields| {
            let Position { latitude, longitude, altitude } = fields.position;
            [fields.battery, latitude, longitude, altitude].map(|number| number.map(f64::to_bits))
        };
        assert_eq!(bits(&fast), bits(&general), "{shown}");
        true
    }

    const EVENT: &str = r#"{"deviceId":"drone-00011","battery":0.6749,"flightMode":"inflight","note":{"a":[1,"x"]},
        "position":{"latitude":47.609226,"longitude":-122.024382,"altitude":120,"accuracy":"m"},
        "health":{"gyrometerOK":true,"accelerometerOK":false,"magnetometerOK":true},"isKeyFrame":false}"#;

    #[test]
    fn the_fast_path_reads_the_common_form_in_either_case() {
        assert!(assert_same(EVENT.as_bytes()));
        for (name, upper) in [("deviceId", "DeviceId"), ("health", "Health"), ("gyrometerOK", "GyrometerOK")] {
            assert!(assert_same(EVENT.replace(name, upper).as_bytes()), "{upper}");
        }
        assert!(assert_same(EVENT.replace("\"inflight\"", "3").as_bytes()));
        assert!(assert_same(b" { } "));
    }

    #[test]
    fn other_forms_are_left_to_the_general_parser() {
        for (common, uncommon) in [
            ("drone-00011", "dr\\u006fne"),
            ("drone-00011", "dröhne"),
            ("\"drone-00011\"", "null"),
            ("\"inflight\"", "12"),
            ("\"inflight\"", "\"hovering\""),
            ("\"note\"", "\"battery\""),
            ("\"note\"", "\"Battery\""),
            ("\"note\"", "\"BATTERY\""),
            ("\"accuracy\"", "\"latitude\""),
            ("0.6749", "-0"),
            ("0.6749", "-0.0"),
            ("0.6749", "00.5"),
            ("0.6749", ".5"),
            ("0.6749", "5."),
            ("0.6749", "5e2"),
            ("0.6749", "\"5\""),
            ("0.6749", "12345678901234567890"),
            ("false}", "nil}"),
        ] {
            let text = EVENT.replacen(common, uncommon, 1);
            assert!(fast_path::decode(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn a_truncated_event_is_rejected() {
        for end in 0..EVENT.len() {
            assert!(!assert_same(&EVENT.as_bytes()[..end]), "{}", &EVENT[..end]);
        }
    }

    #[test]
    fn both_parsers_agree_on_changed_events() {
        let mut random = fastrand::Rng::with_seed(9);
        let alphabet = b"{}[]\",:.-+0123456789eEtrufalsnD \\\n\x80\x01";
        let mut on_fast_path = 0;
        for _ in 0..50_000 {
            let mut text = EVENT.as_bytes().to_vec();
            for _ in 0..random.usize(1..3) {
                let (at, byte) = (random.usize(..text.len()), alphabet[random.usize(..alphabet.len())]);
                match random.u8(..3) {
                    0 => text[at] = byte,
                    1 => text.insert(at, byte),
                    _ => drop(text.remove(at)),
                }
            }
            on_fast_path += u32::from(assert_same(&text));
        }
        assert!(on_fast_path > 1_000, "only {on_fast_path} of the changed events were read by the fast path");
    }

    #[test]
    fn numbers_are_exact_to_the_last_bit() {
        let mut random = fastrand::Rng::with_seed(9);
        for _ in 0..50_000 {
            let digits = random.usize(2..=25);
            let mut number: String = (0..digits).map(|_| random.digit(10)).collect();
            number.insert(random.usize(1..digits), '.');
            let number = number.as_str();
            let zeros = number.find(|c| c != '0').unwrap_or_default();
            let number = &number[if number[zeros..].starts_with('.') { zeros.saturating_sub(1) } else { zeros }..];
            let sign = if random.bool() { "-" } else { "" };
            let text = format!(r#"{{"battery":{sign}{number}}}"#);
            let is_minus_zero = sign == "-" && number.bytes().all(|byte| matches!(byte, b'0' | b'.'));
            assert!(assert_same(text.as_bytes()) || is_minus_zero, "{text}");
        }
    }
}
