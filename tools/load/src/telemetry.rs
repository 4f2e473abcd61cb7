//! The devices' telemetry: drones in flight; each record has all fields.

use std::io::Write as _;

use fastrand::Rng;

use crate::digits::Device;

/// The position of the device number in a record. It is a multiple of three, so that the number can be replaced in base64; the
/// two digits of the partition before it are for that.
const NUMBER_AT: usize = 21;

/// Returns a device id: `drone-`, the partition in two digits, the number in six.
pub(crate) fn device_id(partition: u8, device: Device) -> String {
    format!("drone-{partition:02}{}", str::from_utf8(&device.digits()).expect("digits"))
}

const END: &[u8] = b"}";

/// The start of a field that handlers ignore.
const PADDING: &[u8] = b",\"padding\":\"";

/// Returns the body of one event: a record, or an array of several. Also returns the position of the device number in each record.
pub(crate) fn body(rng: &mut Rng, partition: u8, records: u32, at_least: usize) -> (Vec<u8>, Vec<usize>) {
    if records == 1 {
        return (record(rng, partition, at_least), vec![NUMBER_AT]);
    }
    let (mut body, mut numbers_at) = (Vec::new(), Vec::new());
    for _ in 0..records {
        body.push(if body.is_empty() { b'[' } else { b',' });
        // Spaces keep each number at a multiple of three.
        body.resize(body.len().next_multiple_of(3), b' ');
        numbers_at.push(body.len() + NUMBER_AT);
        body.extend(record(rng, partition, at_least));
    }
    body.push(b']');
    (body, numbers_at)
}

/// Returns one record: a random second of a ten-minute flight. If it is shorter than `at_least` bytes, a field that
/// handlers ignore pads it.
fn record(rng: &mut Rng, partition: u8, at_least: usize) -> Vec<u8> {
    let (mode, altitude) = match rng.u32(..600) {
        0..20 => ("ready", 0.0),
        second @ 20..80 => ("takeoff", 2.0 * f64::from(second - 20)),
        80..520 => ("inflight", 120.0 + 10.0 * rng.f64()),
        second => ("landing", 1.5 * f64::from(600 - second)),
    };
    let mut body = Vec::with_capacity(at_least.max(320));
    write!(
        body,
        "{{\"deviceId\":\"{}\",\"battery\":{:?},\"flightMode\":\"{mode}\",\"position\":{{\"latitude\":{:?},\
         \"longitude\":{:?},\"altitude\":{:?}}},\"health\":{{\"gyrometerOK\":true,\"accelerometerOK\":{},\
         \"magnetometerOK\":{}}},\"isKeyFrame\":true",
        device_id(partition, Device(0)),
        rounded(0.1 + 0.9 * rng.f64(), 1e4),
        rounded(47.3 + 0.5 * rng.f64(), 1e6),
        rounded(-122.5 + 0.6 * rng.f64(), 1e6),
        rounded(altitude, 1e1),
        rng.u32(..500) > 0,
        rng.u32(..100) > 0,
    )
    .expect("writing to a vector does not fail");
    if body.len() < at_least.saturating_sub(END.len()) {
        body.extend_from_slice(PADDING);
        body.resize(body.len().max(at_least.saturating_sub(b"\"}".len())), b'x');
        body.push(b'"');
    }
    body.extend_from_slice(END);
    body
}

/// Rounds a reading, as devices do.
fn rounded(value: f64, scale: f64) -> f64 {
    (value * scale).round() / scale
}
