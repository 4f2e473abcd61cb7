//! The devices: the events that they send, with the expected effect of each event.

mod drone;
mod mapped;

use std::sync::Arc;

use devicestate_engine::telemetry::{Telemetry, drone::Drone};
use devicestate_local::hub::Sent;
use fastrand::Rng;
use serde_json::{Value, json};

use super::{
    expected::ExpectedEvent,
    store::{BAD_REQUEST, TOO_LARGE},
};
use mapped::Format;

/// Device names with special characters, and the ids of their documents.
const SPECIAL_NAMES: [(&str, &str); 6] = [
    ("lab/7", "lab~2F7"),
    ("what?", "what~3F"),
    ("100%", "100~25"),
    ("#1", "~231"),
    ("Gerät ☃", "Ger~C3~A4t ~E2~98~83"),
    ("back\\slash", "back~5Cslash"),
];

#[derive(Debug)]
struct Device {
    name: String,
    id: String,
    /// Whether its events have a partition key, which keeps them in order.
    is_keyed: bool,
    uses_protobuf: bool,
}

/// The devices of a run.
#[derive(Debug)]
pub(crate) struct Fleet {
    devices: Vec<Device>,
    kind: Kind,
    rng: Rng,
}

/// What the devices of a run send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Telemetry of drones.
    Drone,
    /// Telemetry that a telemetry file maps.
    Mapped(Format),
}

impl Kind {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        match rng.u8(..20) {
            0..14 => Self::Drone,
            14..17 => Self::Mapped(Format::Records),
            _ => Self::Mapped(Format::Gateway),
        }
    }

    /// Returns whether the times of the devices order the events.
    pub(crate) fn has_device_times(self) -> bool {
        self != Self::Drone
    }

    /// Returns the product's decoder.
    pub(crate) fn telemetry(self) -> Arc<dyn Telemetry> {
        match self {
            Self::Drone => Arc::new(Drone::default()),
            Self::Mapped(format) => format.telemetry(),
        }
    }
}

impl Fleet {
    pub(crate) fn new(mut rng: Rng, devices: usize, kind: Kind) -> Self {
        let device = |number: usize| {
            let (name, id) = match SPECIAL_NAMES.get(number) {
                Some((name, id)) if rng.u8(..3) == 0 => ((*name).to_owned(), (*id).to_owned()),
                _ => (format!("drone-{number}"), format!("drone-{number}")),
            };
            Device { name, id, is_keyed: rng.u8(..4) > 0, uses_protobuf: rng.u8(..3) == 0 }
        };
        let devices = (0..devices).map(device).collect();
        Self { devices, kind, rng: rng.fork() }
    }

    /// Returns the ids of all possible documents.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.devices.iter().map(|device| device.id.clone()).collect()
    }

    /// Returns whether the events of this document's device stay in order.
    pub(crate) fn is_keyed(&self, id: &str) -> bool {
        self.devices.iter().any(|device| device.id == id && device.is_keyed)
    }

    /// Returns the next event, of a random device, with its expected effect. `now_ms` is the correct time.
    pub(crate) fn next_event(&mut self, now_ms: i64) -> (Sent, ExpectedEvent) {
        let Self { devices, kind, rng } = self;
        let device = &devices[rng.usize(..devices.len())];
        let (sent, expected) = match kind {
            Kind::Drone => drone::next_event(rng, device),
            Kind::Mapped(format) => format.next_event(rng, device, devices, now_ms),
        };
        (Sent { partition_key: device.is_keyed.then(|| device.name.clone()), ..sent }, expected)
    }
}

/// Returns an altitude with which the store rejects a document.
fn rejected_altitude(rng: &mut Rng) -> Value {
    json!(if rng.bool() { TOO_LARGE } else { BAD_REQUEST })
}
