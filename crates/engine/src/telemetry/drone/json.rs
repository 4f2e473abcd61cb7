//! Drone telemetry as a JSON object: names in any letter case, unknown fields ignored.

mod fast_path;
mod general;
mod unknown;

use std::borrow::Cow;

use serde::{
    Deserializer as _,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

use super::{Fields, Health, Position};
use crate::telemetry::Poison;
pub(super) use unknown::{near_misses, unknown_fields, with_hint};

/// The byte order mark that some senders put before UTF-8 text.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The names of an event's fields.
const EVENT_NAMES: &[&str] = &["deviceId", "battery", "flightMode", "position", "health", "isKeyFrame"];
/// The names of a position's fields.
const POSITION_NAMES: &[&str] = &["latitude", "longitude", "altitude"];
/// The names of the fields of a device's health.
const HEALTH_NAMES: &[&str] = &["gyrometerOK", "accelerometerOK", "magnetometerOK"];

/// Decodes the body of an event.
pub(super) fn decode(body: &[u8]) -> Result<Fields<'_>, Poison> {
    let text = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    if is_object(text) {
        return decode_text(text);
    }
    match object_text(body) {
        Some(text) => decode_text(&text).map(Fields::into_owned),
        None => Err(Poison::Undecodable(describe_other_json(body))),
    }
}

fn is_object(text: &[u8]) -> bool {
    text.trim_ascii_start().first() == Some(&b'{')
}

fn decode_text(text: &[u8]) -> Result<Fields<'_>, Poison> {
    fast_path::decode(text).map_or_else(|| general::decode(text), Ok)
}

/// Returns the text of the object that a body is, or that it contains as a JSON string: some clients encode a text once more.
/// `None` if it is not an object.
fn object_text(body: &[u8]) -> Option<Cow<'_, [u8]>> {
    let text = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    if is_object(text) {
        return Some(Cow::Borrowed(text));
    }
    if text.trim_ascii_start().first() != Some(&b'"') {
        return None;
    }
    let inner: String = serde_json::from_slice(text).ok()?;
    Some(inner.into_bytes()).filter(|inner| is_object(inner)).map(Cow::Owned)
}

/// Describes a body that is not an object.
fn describe_other_json(body: &[u8]) -> String {
    struct Count;

    impl<'de> Visitor<'de> for Count {
        type Value = usize;

        fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<usize, A::Error> {
            let mut count = 0;
            while elements.next_element::<IgnoredAny>()?.is_some() {
                count += 1;
            }
            Ok(count)
        }
    }

    let text = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let mut json = serde_json::Deserializer::from_slice(text);
    match json.deserialize_seq(Count) {
        Ok(elements) if json.end().is_ok() => {
            format!(
                "the body is not a JSON object, but an array of {elements} elements: send one event for each, or use the setting Telemetry=json"
            )
        }
        _ => "the body is not a JSON object".into(),
    }
}

/// Returns a JSON body as a value that decodes to the same fields. `None` if that is not possible: an object with a
/// duplicate field loses one of them in a value.
pub(super) fn to_value(body: &[u8]) -> Option<Value> {
    let text = object_text(body).unwrap_or_else(|| body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body).into());
    let value: Value = serde_json::from_slice(&text).ok()?;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Asserts that the general parser returns the same fields as the fast path; false if the fast path returns none.
    fn assert_same(text: &[u8]) -> bool {
        let Some(fast) = fast_path::decode(text) else { return false };
        let general = general::decode(text).expect("an event");
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
