//! The usual event: what nearly every drone sends, read in one go. Whatever is unusual about an event, and be it a fault, is
//! left to the whole reader; where this one finds an event, the whole reader finds the same.

use std::borrow::Cow;

use super::super::{FLIGHT_MODES, Fields, Health, Position};
use crate::json::{Quotes, each, ends, ordinary, value, without_blanks};

/// The fields of an event; `None` where the whole reader is needed.
pub(super) fn decode(text: &[u8]) -> Option<Fields<'_>> {
    let mut fields = Fields::default();
    let (mut has_position, mut has_health, mut is_key_frame) = (None, None, None);
    let rest = each(without_blanks(text), *b"{}", |text| {
        if let Some(text) = behind(text, b"deviceId") {
            device_id(&mut fields.device_id, text)
        } else if let Some(text) = behind(text, b"battery") {
            number(&mut fields.battery, text)
        } else if let Some(text) = behind(text, b"flightMode") {
            flight_mode(&mut fields.flight_mode, text)
        } else if let Some(text) = behind(text, b"position") {
            once(&mut has_position, (), position(&mut fields.position, text)?)
        } else if let Some(text) = behind(text, b"health") {
            once(&mut has_health, (), health(&mut fields.health, text)?)
        } else if let Some(text) = behind(text, b"isKeyFrame") {
            boolean(&mut is_key_frame, text)
        } else {
            behind_another(text, &["deviceId", "battery", "flightMode", "position", "health", "isKeyFrame"])
        }
    })?;
    ends(rest)?;
    Some(fields)
}

fn position<'a>(position: &mut Position, text: &'a [u8]) -> Option<&'a [u8]> {
    each(text, *b"{}", |text| {
        if let Some(text) = behind(text, b"latitude") {
            number(&mut position.latitude, text)
        } else if let Some(text) = behind(text, b"longitude") {
            number(&mut position.longitude, text)
        } else if let Some(text) = behind(text, b"altitude") {
            number(&mut position.altitude, text)
        } else {
            behind_another(text, &["latitude", "longitude", "altitude"])
        }
    })
}

fn health<'a>(health: &mut Health, text: &'a [u8]) -> Option<&'a [u8]> {
    each(text, *b"{}", |text| {
        if let Some(text) = behind(text, b"gyrometerOK") {
            boolean(&mut health.gyrometer, text)
        } else if let Some(text) = behind(text, b"accelerometerOK") {
            boolean(&mut health.accelerometer, text)
        } else if let Some(text) = behind(text, b"magnetometerOK") {
            boolean(&mut health.magnetometer, text)
        } else {
            behind_another(text, &["gyrometerOK", "accelerometerOK", "magnetometerOK"])
        }
    })
}

/// The text from the value on of a member with this name, in camelCase or in PascalCase.
#[inline]
fn behind<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let ([b'"', first], rest) = text.split_first_chunk()? else { return None };
    let is_first = first.eq_ignore_ascii_case(&name[0]);
    let value = rest.strip_prefix(&name[1..]).filter(|_| is_first)?.strip_prefix(b"\":")?;
    Some(without_blanks(value))
}

/// The text behind a member that is none of these: it does not matter, whatever it is.
fn behind_another<'a>(text: &'a [u8], known: &[&str]) -> Option<&'a [u8]> {
    let (name, rest) = text_in_quotes(text)?;
    if known.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name)) {
        return None;
    }
    value(without_blanks(without_blanks(rest).strip_prefix(b":")?), Quotes::Plain).map(|(_, rest)| rest)
}

/// A field that is there twice is a fault.
fn once<'a, T>(field: &mut Option<T>, value: T, rest: &'a [u8]) -> Option<&'a [u8]> {
    field.replace(value).is_none().then_some(rest)
}

fn device_id<'a>(field: &mut Option<Cow<'a, str>>, text: &'a [u8]) -> Option<&'a [u8]> {
    let (id, rest) = text_in_quotes(text)?;
    once(field, Cow::Borrowed(str::from_utf8(id).ok()?), rest)
}

fn flight_mode<'a>(field: &mut Option<i64>, text: &'a [u8]) -> Option<&'a [u8]> {
    if let Some((name, rest)) = text_in_quotes(text) {
        let known = (0..).zip(FLIGHT_MODES).find(|(_, mode)| mode.as_bytes().eq_ignore_ascii_case(name));
        return once(field, known?.0, rest);
    }
    let (digits, rest) = text.split_at(text.iter().take_while(|byte| byte.is_ascii_digit()).count());
    match digits {
        [digit] => once(field, i64::from(digit - b'0'), rest),
        _ => None,
    }
}

/// A text of ASCII without escapes.
fn text_in_quotes(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.strip_prefix(b"\"")?;
    let (inner, rest) = text.split_at(ordinary(text));
    Some((inner, rest.strip_prefix(b"\"")?))
}

fn boolean<'a>(field: &mut Option<bool>, text: &'a [u8]) -> Option<&'a [u8]> {
    match text.strip_prefix(b"true") {
        Some(rest) => once(field, true, rest),
        None => once(field, false, text.strip_prefix(b"false")?),
    }
}

/// A decimal number: `-122.024382`. One of few digits is exactly a whole number, which a double holds as it is, divided by a
/// power of ten, which it also holds as it is; so the quotient is the double nearest to it. One of more digits is read by
/// the standard library, which also finds the nearest.
fn number<'a>(field: &mut Option<f64>, text: &'a [u8]) -> Option<&'a [u8]> {
    const POWERS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    /// As many digits as are exact in any number.
    const DIGITS: usize = 15;
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let mut whole = 0;
    let before_point = digits(&mut whole, unsigned);
    let behind = &unsigned[before_point..];
    let (behind_point, rest) = match behind.strip_prefix(b".") {
        Some(fraction) => {
            let behind_point = digits(&mut whole, fraction);
            (behind_point, &fraction[behind_point..])
        }
        None => (0, behind),
    };
    let is_number = before_point > 0
        && (before_point == 1 || unsigned[0] != b'0')
        && (behind_point > 0 || !behind.starts_with(b"."));
    let is_negative = unsigned.len() < text.len();
    // Zero has a sign, too.
    if !is_number || is_negative && whole == 0 {
        return None;
    }
    if before_point + behind_point > DIGITS {
        let number = text.get(..text.len() - rest.len()).filter(|_| behind_point > 0)?;
        let value: f64 = str::from_utf8(number).ok()?.parse().ok()?;
        return once(field, Some(value).filter(|value| value.is_finite())?, rest);
    }
    #[expect(clippy::cast_precision_loss, reason = "15 digits are below 2^53")]
    let value = whole as f64 / POWERS[behind_point];
    once(field, if is_negative { -value } else { value }, rest)
}

/// Reads the digits with which the text begins on to what was read, and tells how many there are. Too many make no sense.
fn digits(whole: &mut u64, text: &[u8]) -> usize {
    let mut count = 0;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        *whole = whole.wrapping_mul(10).wrapping_add(u64::from(digit));
        count += 1;
    }
    count
}
