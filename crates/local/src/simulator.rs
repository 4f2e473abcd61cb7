//! Simulated devices: flying drones that send key frames with every field, and between them deltas with the changed fields.
//!
//! (The simulator of the C# reference implementation sends without a partition key, in parallel, and its deltas are empty.)

use devicestate_engine::telemetry::drone::FLIGHT_MODES;
use fastrand::Rng;
use prost::encoding::{self, WireType};
use serde::Serialize;

use super::hub::Sent;

/// The number of frames from one key frame to the next.
const KEY_FRAME_INTERVAL: u64 = 10;

/// The encoding of the events of simulated devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Encoding {
    /// A JSON object
    Json,
    /// A protobuf message
    Protobuf,
}

/// An iterator of events: the devices send in turn.
pub struct Simulator {
    drones: Vec<Drone>,
    encoding: Encoding,
    sent: u64,
    events: u64,
    turn: u64,
}

impl Simulator {
    /// Returns this many devices, which send `events` events in total. The same seed returns the same events.
    #[must_use]
    pub fn new(devices: usize, events: u64, encoding: Encoding, seed: u64) -> Self {
        let mut seeds = Rng::with_seed(seed);
        let drones = (0..devices).map(|number| Drone::new(format!("drone-{number:05}"), seeds.fork())).collect();
        Self { drones, encoding, sent: 0, events, turn: 1 }
    }

    /// Makes each device send this many events in its turn. Its events stay the same.
    #[must_use]
    pub fn in_turns_of(self, events: u32) -> Self {
        Self { turn: events.into(), ..self }
    }
}

impl Iterator for Simulator {
    type Item = Sent;

    fn next(&mut self) -> Option<Sent> {
        if self.sent == self.events || self.drones.is_empty() {
            return None;
        }
        let devices = self.drones.len() as u64;
        let in_round = self.sent % (devices * self.turn);
        // The last round has what is left.
        let round = (devices * self.turn).min(self.events - (self.sent - in_round));
        let device = usize::try_from(in_round / round.div_ceil(devices)).ok()?;
        self.sent += 1;
        let drone = &mut self.drones[device];
        let frame = drone.next_frame();
        let (body, content_type) = match self.encoding {
            Encoding::Json => (frame.to_json(&drone.id), "application/json"),
            Encoding::Protobuf => (frame.to_protobuf(&drone.id), "application/x-protobuf"),
        };
        Some(Sent { body, partition_key: Some(drone.id.clone()), content_type: Some(content_type), ..Sent::default() })
    }
}

/// The readings of a drone.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Readings {
    battery: f64,
    flight_mode: usize,
    position: [f64; 3],
    health: [bool; 3],
}

/// A frame of a drone: every reading, or the changed ones.
#[derive(Debug, Clone, Copy, Default)]
struct DroneFrame {
    battery: Option<f64>,
    flight_mode: Option<usize>,
    position: Option<[f64; 3]>,
    health: Option<[bool; 3]>,
    is_key_frame: bool,
}

/// A frame as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    battery: Option<f64>,
    device_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    flight_mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<Health>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_key_frame: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<Position>,
}

#[derive(Serialize)]
struct Health {
    #[serde(rename = "accelerometerOK")]
    accelerometer_ok: bool,
    #[serde(rename = "gyrometerOK")]
    gyrometer_ok: bool,
    #[serde(rename = "magnetometerOK")]
    magnetometer_ok: bool,
}

#[derive(Serialize)]
struct Position {
    altitude: f64,
    latitude: f64,
    longitude: f64,
}

struct Drone {
    id: String,
    random: Rng,
    tick: u64,
    now: Readings,
    sent: Option<Readings>,
}

impl Drone {
    fn new(id: String, mut random: Rng) -> Self {
        let position = [47.3 + random.f64() * 0.5, -122.5 + random.f64() * 0.6, 0.0];
        let now = Readings { battery: 1.0, flight_mode: 1, position, health: [true; 3] };
        // The devices are in different phases of their flights at the start.
        let tick = random.u64(0..600);
        Self { id, random, tick, now, sent: None }
    }

    fn next_frame(&mut self) -> DroneFrame {
        let is_key_frame = self.sent.is_none() || self.tick.is_multiple_of(KEY_FRAME_INTERVAL);
        let sent = self.sent.filter(|_| !is_key_frame);
        let now = self.now;
        let frame = DroneFrame {
            battery: changed(now.battery, sent.map(|sent| sent.battery)),
            flight_mode: changed(now.flight_mode, sent.map(|sent| sent.flight_mode)),
            position: changed(now.position, sent.map(|sent| sent.position)),
            health: changed(now.health, sent.map(|sent| sent.health)),
            is_key_frame,
        };
        self.sent = Some(now);
        self.fly();
        frame
    }

    fn fly(&mut self) {
        self.tick += 1;
        let Self { random, now, .. } = self;
        let (flight_mode, climb, speed) = match self.tick % 600 {
            0..20 => (1, 0.0, 0.0),
            20..80 => (2, 2.0, 0.000_01),
            80..520 => (3, random.f64() - 0.5, 0.000_12),
            _ => (4, -2.0, 0.000_02),
        };
        now.flight_mode = flight_mode;
        let round = |value: f64, digits: f64| (value * digits).round() / digits;
        now.position[0] = round(now.position[0] + speed, 1e6);
        now.position[1] = round(now.position[1] - speed / 2.0, 1e6);
        now.position[2] = round((now.position[2] + climb).max(0.0), 10.0);
        if self.tick.is_multiple_of(5) {
            now.battery = if now.battery < 0.1 { 1.0 } else { round(now.battery - 0.001, 1e4) };
        }
        now.health[2] = random.u8(..) > 1;
    }
}

/// Returns the value if it differs from the one that was sent last.
fn changed<T: PartialEq + Copy>(now: T, sent: Option<T>) -> Option<T> {
    (sent != Some(now)).then_some(now)
}

impl DroneFrame {
    fn to_json(self, id: &str) -> Vec<u8> {
        let position = |[latitude, longitude, altitude]: [f64; 3]| Position { altitude, latitude, longitude };
        let health = |[gyrometer_ok, accelerometer_ok, magnetometer_ok]: [bool; 3]| Health {
            accelerometer_ok,
            gyrometer_ok,
            magnetometer_ok,
        };
        let event = Event {
            battery: self.battery,
            device_id: id,
            flight_mode: self.flight_mode.map(|mode| FLIGHT_MODES[mode].to_ascii_lowercase()),
            health: self.health.map(health),
            is_key_frame: self.is_key_frame.then_some(true),
            position: self.position.map(position),
        };
        serde_json::to_vec(&event).expect("its numbers are finite and its keys are strings")
    }

    fn to_protobuf(self, id: &str) -> Vec<u8> {
        let mut body = Vec::new();
        encoding::string::encode(1, &id.to_owned(), &mut body);
        if let Some(battery) = self.battery {
            encoding::double::encode(2, &battery, &mut body);
        }
        if let Some(mode) = self.flight_mode {
            encoding::uint64::encode(3, &(mode as u64), &mut body);
        }
        if let Some(position) = self.position {
            encode_message(4, &mut body, |inner| {
                for (tag, value) in (1..).zip(position) {
                    encoding::double::encode(tag, &value, inner);
                }
            });
        }
        if let Some(health) = self.health {
            encode_message(5, &mut body, |inner| {
                for (tag, value) in (1..).zip(health) {
                    encoding::bool::encode(tag, &value, inner);
                }
            });
        }
        if self.is_key_frame {
            encoding::bool::encode(6, &true, &mut body);
        }
        body
    }
}

/// Appends a sub-message with this tag.
fn encode_message(tag: u32, body: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    fill(&mut inner);
    encoding::encode_key(tag, WireType::LengthDelimited, body);
    encoding::encode_varint(inner.len() as u64, body);
    body.extend(inner);
}

#[cfg(test)]
mod tests {
    use super::*;
    use devicestate_engine::{
        batch::Event,
        telemetry::{Decoded, Telemetry as _, drone::Drone as Decoder},
    };

    fn decoded(encoding: Encoding) -> Vec<Decoded> {
        let decode = |sent: Sent| {
            let content_type = sent.content_type.map(Into::into);
            let event = Event { body: sent.body.into(), content_type, ..Event::default() };
            Decoder::default().decode(&event).expect("valid telemetry")
        };
        Simulator::new(7, 300, encoding, 42).map(decode).collect()
    }

    #[test]
    fn both_encodings_have_the_same_readings_and_a_seed_repeats_them() {
        assert_eq!(decoded(Encoding::Json), decoded(Encoding::Protobuf));
        assert_eq!(decoded(Encoding::Json), decoded(Encoding::Json));
    }

    #[test]
    fn longer_turns_change_only_which_device_is_next() {
        let bodies = |devices, events, turn| -> Vec<String> {
            let sent = Simulator::new(devices, events, Encoding::Json, 1).in_turns_of(turn);
            sent.map(|sent| String::from_utf8(sent.body).expect("text")).collect()
        };
        let devices = |bodies: &[String]| -> String {
            let device = |body: &String| body.split("drone-0000").nth(1)?.chars().next();
            bodies.iter().filter_map(device).collect()
        };
        assert_eq!(devices(&bodies(2, 10, 3)), "0001110011");
        assert_eq!(devices(&bodies(3, 7, 1)), "0120120");
        let (mut alternating, mut in_turns) = (bodies(3, 60, 1), bodies(3, 60, 8));
        alternating.sort();
        in_turns.sort();
        assert_eq!(alternating, in_turns);
    }

    #[test]
    fn the_first_frame_of_a_device_has_every_field_and_a_delta_only_changed_fields() {
        let events = decoded(Encoding::Json);
        assert!(events[..7].iter().all(|event| event.readings.len() == 8), "key frames");
        let deltas: Vec<_> = events.iter().filter(|event| event.readings.len() < 8).collect();
        assert!(deltas.len() > 200, "most frames are deltas");
        assert!(deltas.iter().any(|event| !event.readings.is_empty()), "and they are not empty");
    }
}
