//! The fast path: parses the form that nearly all drones send, in one pass.
//!
//! An event in any other form, including an invalid one, is left to the general parser. Invariant: if the fast path returns
//! fields, the general parser returns the same fields.

use std::borrow::Cow;

use super::super::{FLIGHT_MODES, Fields, Health, Position};
use crate::{
    json::{Quotes, each_part, expect_end, ordinary_len, parse_value, trim_start},
    telemetry::decimal::{MAX_DIGITS, digits, nearest_double},
};

/// Returns the fields of an event; `None` if the general parser is needed.
pub(super) fn decode(text: &[u8]) -> Option<Fields<'_>> {
    let mut fields = Fields::default();
    let (mut has_position, mut has_health, mut is_key_frame) = (None, None, None);
    let rest = each_part(trim_start(text), *b"{}", |text| {
        if let Some(text) = member_value(text, b"deviceId") {
            parse_device_id(&mut fields.device_id, text)
        } else if let Some(text) = member_value(text, b"battery") {
            parse_number(&mut fields.battery, text)
        } else if let Some(text) = member_value(text, b"flightMode") {
            parse_flight_mode(&mut fields.flight_mode, text)
        } else if let Some(text) = member_value(text, b"position") {
            set_once(&mut has_position, (), parse_position(&mut fields.position, text)?)
        } else if let Some(text) = member_value(text, b"health") {
            set_once(&mut has_health, (), parse_health(&mut fields.health, text)?)
        } else if let Some(text) = member_value(text, b"isKeyFrame") {
            parse_boolean(&mut is_key_frame, text)
        } else {
            skip_unknown_member(text, &["deviceId", "battery", "flightMode", "position", "health", "isKeyFrame"])
        }
    })?;
    expect_end(rest)?;
    Some(fields)
}

fn parse_position<'a>(position: &mut Position, text: &'a [u8]) -> Option<&'a [u8]> {
    each_part(text, *b"{}", |text| {
        if let Some(text) = member_value(text, b"latitude") {
            parse_number(&mut position.latitude, text)
        } else if let Some(text) = member_value(text, b"longitude") {
            parse_number(&mut position.longitude, text)
        } else if let Some(text) = member_value(text, b"altitude") {
            parse_number(&mut position.altitude, text)
        } else {
            skip_unknown_member(text, &["latitude", "longitude", "altitude"])
        }
    })
}

fn parse_health<'a>(health: &mut Health, text: &'a [u8]) -> Option<&'a [u8]> {
    each_part(text, *b"{}", |text| {
        if let Some(text) = member_value(text, b"gyrometerOK") {
            parse_boolean(&mut health.gyrometer, text)
        } else if let Some(text) = member_value(text, b"accelerometerOK") {
            parse_boolean(&mut health.accelerometer, text)
        } else if let Some(text) = member_value(text, b"magnetometerOK") {
            parse_boolean(&mut health.magnetometer, text)
        } else {
            skip_unknown_member(text, &["gyrometerOK", "accelerometerOK", "magnetometerOK"])
        }
    })
}

/// Returns the text from the value on, if the text starts with a member of this name, in camelCase or PascalCase.
#[inline]
fn member_value<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let ([b'"', first], rest) = text.split_first_chunk()? else { return None };
    let is_first = first.eq_ignore_ascii_case(&name[0]);
    let value = rest.strip_prefix(&name[1..]).filter(|_| is_first)?.strip_prefix(b"\":")?;
    Some(trim_start(value))
}

/// Returns the text after a member with another name, whatever its value is. `None` if its name is one of `known` in any
/// case, because then the general parser must decide.
fn skip_unknown_member<'a>(text: &'a [u8], known: &[&str]) -> Option<&'a [u8]> {
    let (name, rest) = parse_plain_string(text)?;
    if known.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name)) {
        return None;
    }
    parse_value(trim_start(trim_start(rest).strip_prefix(b":")?), Quotes::Plain).map(|(_, rest)| rest)
}

/// Sets a field and returns the rest; `None` if the field was set before: a duplicate is invalid.
fn set_once<'a, T>(field: &mut Option<T>, value: T, rest: &'a [u8]) -> Option<&'a [u8]> {
    field.replace(value).is_none().then_some(rest)
}

fn parse_device_id<'a>(field: &mut Option<Cow<'a, str>>, text: &'a [u8]) -> Option<&'a [u8]> {
    let (id, rest) = parse_plain_string(text)?;
    set_once(field, Cow::Borrowed(str::from_utf8(id).ok()?), rest)
}

fn parse_flight_mode<'a>(field: &mut Option<i64>, text: &'a [u8]) -> Option<&'a [u8]> {
    if let Some((name, rest)) = parse_plain_string(text) {
        let known = (0..).zip(FLIGHT_MODES).find(|(_, mode)| mode.as_bytes().eq_ignore_ascii_case(name));
        return set_once(field, known?.0, rest);
    }
    let (digits, rest) = text.split_at(text.iter().take_while(|byte| byte.is_ascii_digit()).count());
    match digits {
        [digit] => set_once(field, i64::from(digit - b'0'), rest),
        _ => None,
    }
}

/// Returns the content of a string of plain ASCII without escapes, and the rest.
fn parse_plain_string(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.strip_prefix(b"\"")?;
    let (inner, rest) = text.split_at(ordinary_len(text));
    Some((inner, rest.strip_prefix(b"\"")?))
}

fn parse_boolean<'a>(field: &mut Option<bool>, text: &'a [u8]) -> Option<&'a [u8]> {
    match text.strip_prefix(b"true") {
        Some(rest) => set_once(field, true, rest),
        None => set_once(field, false, text.strip_prefix(b"false")?),
    }
}

/// Parses a decimal number such as `-122.024382`. One with too many digits for an integer is parsed by the standard library,
/// which also returns the nearest double.
fn parse_number<'a>(field: &mut Option<f64>, text: &'a [u8]) -> Option<&'a [u8]> {
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let mut integer = 0;
    let before_point = digits(&mut integer, unsigned);
    let after = &unsigned[before_point..];
    let (after_point, rest) = match after.strip_prefix(b".") {
        Some(fraction) => {
            let after_point = digits(&mut integer, fraction);
            (after_point, &fraction[after_point..])
        }
        None => (0, after),
    };
    let is_number =
        before_point > 0 && (before_point == 1 || unsigned[0] != b'0') && (after_point > 0 || !after.starts_with(b"."));
    let is_negative = unsigned.len() < text.len();
    // A double has a negative zero, which the general parser must decide on.
    if !is_number || is_negative && integer == 0 {
        return None;
    }
    if before_point + after_point > MAX_DIGITS {
        let number = text.get(..text.len() - rest.len()).filter(|_| after_point > 0)?;
        let value: f64 = str::from_utf8(number).ok()?.parse().ok()?;
        return set_once(field, Some(value).filter(|value| value.is_finite())?, rest);
    }
    let value = nearest_double(integer, after_point);
    set_once(field, if is_negative { -value } else { value }, rest)
}
