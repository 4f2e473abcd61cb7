//! Drone telemetry as protobuf, byte-compatible with the reference's serializer (protobuf-net).
//!
//! ```proto
//! syntax = "proto2";
//! enum DroneFlightMode { Unknown=0; Ready=1; Takeoff=2; Inflight=3; Landing=4; Offline=5; }
//! message DroneState {
//!   optional string DeviceId = 1;
//!   optional double Battery = 2;
//!   optional DroneFlightMode FlightMode = 3;
//!   optional Position Position = 4;   // { optional double latitude=1, longitude=2, altitude=3; }
//!   optional Health Health = 5;       // { optional bool gyrometerOK=1, accelerometerOK=2, magnetometerOK=3; }
//!   optional bool IsKeyFrame = 6 [default=false];
//! }
//! ```
//!
//! It uses prost's wire primitives instead of its derive, because the reference also accepts a 32-bit float for a double,
//! and devices in the field may rely on that.

use std::borrow::Cow;

use prost::{
    DecodeError,
    encoding::{self, DecodeContext, WireType},
};

use super::Fields;
use crate::telemetry::{MAX_SKIPPED_FIELDS, Poison};

/// The rest of a body that is not read yet.
type Bytes<'a> = &'a [u8];

/// Decodes each field of the message. Duplicates follow the rules of protobuf: the last scalar wins, sub-messages are merged.
pub(super) fn decode(mut body: &[u8]) -> Result<Fields<'_>, Poison> {
    let mut fields = Fields::default();
    while !body.is_empty() {
        encoding::decode_key(&mut body)
            .and_then(|(tag, wire)| merge_field(&mut fields, tag, wire, &mut body))
            .map_err(|error| {
                Poison::Undecodable(format!("the body is not valid protobuf telemetry: {}", describe_error(&error)))
            })?;
    }
    Ok(fields)
}

/// Returns the first fields of a valid message that are not part of the format, such as `field 9` or `field 4 of field 5`.
pub(super) fn unknown_fields(body: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    // The message is valid, so there are no errors.
    let _ = add_unknown_fields(body, 6, "", &mut names);
    names
}

fn add_unknown_fields(
    mut body: &[u8],
    last_known_tag: u32,
    within: &str,
    names: &mut Vec<String>,
) -> Result<(), DecodeError> {
    while !body.is_empty() && names.len() < MAX_SKIPPED_FIELDS {
        let (tag, wire) = encoding::decode_key(&mut body)?;
        let before = body;
        skip_field(tag, wire, &mut body)?;
        if tag > last_known_tag {
            names.push(format!("field {tag}{within}"));
        } else if within.is_empty() && matches!(tag, 4 | 5) {
            let mut message = &before[..before.len() - body.len()];
            encoding::decode_varint(&mut message)?;
            add_unknown_fields(message, 3, &format!(" of field {tag}"), names)?;
        }
    }
    Ok(())
}

/// Describes an error without terms of the format, followed by the library's text.
fn describe_error(error: &DecodeError) -> String {
    let text = error.to_string();
    let detail = text.strip_prefix("failed to decode Protobuf message: ").unwrap_or(&text);
    let begins = |words: &[&str]| words.iter().any(|word| detail.starts_with(word));
    if begins(&["buffer underflow", "delimited length exceeded"]) {
        format!("the message ends in the middle of a field ({detail})")
    } else if begins(&["invalid wire type: "]) {
        format!("a field has the wrong type ({detail})")
    } else if begins(&[
        "invalid key",
        "invalid tag",
        "invalid wire type value",
        "invalid varint",
        "unexpected end group",
    ]) {
        format!("the bytes are not a protobuf message ({detail})")
    } else {
        detail.to_owned()
    }
}

fn merge_field<'a>(
    fields: &mut Fields<'a>,
    tag: u32,
    wire: WireType,
    bytes: &mut Bytes<'a>,
) -> Result<(), DecodeError> {
    match tag {
        1 => merge_string(&mut fields.device_id, wire, bytes),
        2 => merge_double(&mut fields.battery, wire, bytes),
        3 => merge_integer(&mut fields.flight_mode, wire, bytes),
        4 => merge_message(&mut fields.position, wire, bytes, |position, tag, wire, bytes| match tag {
            1 => merge_double(&mut position.latitude, wire, bytes),
            2 => merge_double(&mut position.longitude, wire, bytes),
            3 => merge_double(&mut position.altitude, wire, bytes),
            _ => skip_field(tag, wire, bytes),
        }),
        5 => merge_message(&mut fields.health, wire, bytes, |health, tag, wire, bytes| match tag {
            1 => merge_boolean(&mut health.gyrometer, wire, bytes),
            2 => merge_boolean(&mut health.accelerometer, wire, bytes),
            3 => merge_boolean(&mut health.magnetometer, wire, bytes),
            _ => skip_field(tag, wire, bytes),
        }),
        6 => merge_boolean(&mut None, wire, bytes),
        _ => skip_field(tag, wire, bytes),
    }
}

fn merge_message<T>(
    into: &mut T,
    wire: WireType,
    bytes: &mut Bytes,
    mut field: impl FnMut(&mut T, u32, WireType, &mut Bytes) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    encoding::check_wire_type(WireType::LengthDelimited, wire)?;
    encoding::merge_loop(into, bytes, DecodeContext::default(), |into, bytes, _| {
        let (tag, wire) = encoding::decode_key(bytes)?;
        field(into, tag, wire, bytes)
    })
}

fn merge_string<'a>(into: &mut Option<Cow<'a, str>>, wire: WireType, bytes: &mut Bytes<'a>) -> Result<(), DecodeError> {
    // The library copies the string, so it is used only to report the error of an invalid one.
    if let Some((text, rest)) = split_string(wire, bytes) {
        *bytes = rest;
        *into = Some(Cow::Borrowed(text));
    } else {
        let mut value = String::new();
        encoding::string::merge(wire, &mut value, bytes, DecodeContext::default())?;
        *into = Some(Cow::Owned(value));
    }
    Ok(())
}

/// Returns a valid string without copying it, and the rest.
fn split_string(wire: WireType, mut bytes: Bytes<'_>) -> Option<(&str, Bytes<'_>)> {
    encoding::check_wire_type(WireType::LengthDelimited, wire).ok()?;
    let length = usize::try_from(encoding::decode_varint(&mut bytes).ok()?).ok()?;
    let (text, rest) = bytes.split_at_checked(length)?;
    Some((str::from_utf8(text).ok()?, rest))
}

fn merge_double(into: &mut Option<f64>, wire: WireType, bytes: &mut Bytes) -> Result<(), DecodeError> {
    let value = if wire == WireType::ThirtyTwoBit {
        let mut value = 0.0_f32;
        encoding::float::merge(wire, &mut value, bytes, DecodeContext::default())?;
        f64::from(value)
    } else {
        let mut value = 0.0_f64;
        encoding::double::merge(wire, &mut value, bytes, DecodeContext::default())?;
        value
    };
    *into = Some(value);
    Ok(())
}

fn merge_integer(into: &mut Option<i64>, wire: WireType, bytes: &mut Bytes) -> Result<(), DecodeError> {
    let mut value = 0_i64;
    encoding::int64::merge(wire, &mut value, bytes, DecodeContext::default())?;
    *into = Some(value);
    Ok(())
}

fn merge_boolean(into: &mut Option<bool>, wire: WireType, bytes: &mut Bytes) -> Result<(), DecodeError> {
    let mut value = false;
    encoding::bool::merge(wire, &mut value, bytes, DecodeContext::default())?;
    *into = Some(value);
    Ok(())
}

fn skip_field(tag: u32, wire: WireType, bytes: &mut Bytes) -> Result<(), DecodeError> {
    encoding::skip_field(wire, tag, bytes, DecodeContext::default())
}
