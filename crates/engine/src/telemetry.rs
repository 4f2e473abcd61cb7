//! The seam between the engine and the devices: an event becomes a device id and a set of named readings.
//!
//! The engine knows this trait and nothing of drones. [`drone`] is the implementation that ships.

pub mod drone;

use std::borrow::Cow;

use serde_json::Value;

use crate::{batch::Event, device_state::Reading};

/// Telemetry of one kind of device.
pub trait Telemetry: Send + Sync {
    /// Decodes one event: tells the device, as it names itself, never empty, and adds the event's readings; there may be
    /// none. When it fails, what it has added until then does not count.
    ///
    /// The result is a function of the event alone. A field that the event does not have is no reading; neither is
    /// one that is null. Reading names follow [`is_reading_name`](crate::device_state::is_reading_name).
    ///
    /// # Errors
    ///
    /// [`Poison`], when the event can never be decoded or says what cannot be. A panic counts as one, too.
    fn decode_into<'e>(&self, event: &'e Event, readings: &mut Readings<'_>) -> Result<Cow<'e, str>, Poison>;

    /// Decodes one event that is alone.
    ///
    /// # Errors
    ///
    /// As [`Telemetry::decode_into`].
    fn decode(&self, event: &Event) -> Result<Decoded, Poison> {
        let mut readings = Vec::new();
        let device_id = self.decode_into(event, &mut Readings::after(&mut readings))?.into_owned();
        Ok(Decoded { device_id, readings })
    }

    /// The event as JSON that decodes to the same as a body of content type `application/json`, for people to read and
    /// to edit.
    ///
    /// What [`Telemetry::decode`] finds invalid is shown, too; a number that JSON cannot hold as text. `None` where the
    /// body cannot be read, or cannot be said in JSON. Fields that decoding skips may be missing.
    fn to_json(&self, event: &Event) -> Option<Value> {
        let _ = event;
        None
    }
}

/// Where a decoder puts an event's readings. They come behind those of the events before, which it can neither see nor
/// change: one event's decoder must harm no other event.
pub struct Readings<'a>(&'a mut Vec<Reading>);

impl<'a> Readings<'a> {
    pub(crate) fn after(others: &'a mut Vec<Reading>) -> Self {
        Self(others)
    }

    /// Adds one.
    pub fn push(&mut self, reading: Reading) {
        self.0.push(reading);
    }
}

/// What an event says: whose it is, and its readings.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The device, as it names itself. Never empty.
    pub device_id: String,
    /// Its readings; there may be none.
    pub readings: Vec<Reading>,
}

/// Why an event can never be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Poison {
    /// The bytes are not the telemetry that they should be.
    #[error("{0}")]
    Undecodable(String),
    /// The bytes were read, but what they say is not valid.
    #[error("{0}")]
    Invalid(String),
}
