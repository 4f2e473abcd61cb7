//! The interface between the engine and the devices: an event becomes a device id and a set of named readings.
//!
//! The engine depends only on the trait [`Telemetry`]. [`drone`] is the implementation that ships.

pub mod drone;
mod gzip;

use std::borrow::Cow;

use serde_json::Value;

use crate::{batch::Event, device_state::Reading};
pub(crate) use gzip::max_unpacked_bytes;

/// Decodes the telemetry of one kind of device.
///
/// ```
/// use std::borrow::Cow;
///
/// use devicestate_engine::{
///     batch::Event,
///     device_state::Reading,
///     telemetry::{Poison, Readings, Telemetry},
/// };
///
/// /// Events such as `sensor-1=21.5`.
/// struct Thermometer;
///
/// impl Telemetry for Thermometer {
///     fn decode_into<'e>(&self, event: &'e Event, readings: &mut Readings<'_>) -> Result<Cow<'e, str>, Poison> {
///         let undecodable = || Poison::Undecodable("the body must be ID=CELSIUS".into());
///         let text = str::from_utf8(&event.body).map_err(|_| undecodable())?;
///         let (device_id, celsius) = text.split_once('=').ok_or_else(undecodable)?;
///         let celsius: f64 = celsius.parse().map_err(|_| undecodable())?;
///         if celsius < -273.15 {
///             return Err(Poison::Invalid(format!("{celsius} °C is below absolute zero")));
///         }
///         readings.push(Reading { name: "Celsius".into(), value: celsius.into() });
///         Ok(device_id.into())
///     }
/// }
///
/// let event = Event { body: "sensor-1=21.5".into(), ..Event::default() };
/// let decoded = Thermometer.decode(&event).expect("a valid event");
/// assert_eq!(decoded.device_id, "sensor-1");
/// assert_eq!(decoded.readings[0].value, 21.5);
/// ```
pub trait Telemetry: Send + Sync {
    /// Decodes one event: returns the device id, which must not be empty, and adds the event's readings, if it has any. If it
    /// fails, the readings that it has added are discarded. An event without readings is recorded as unrecognized, and its
    /// document is not created, if the decoder has [skipped](Readings::skip) a field of it.
    ///
    /// The result must depend on the event alone. A field that is absent or null is not a reading. Names of readings must
    /// follow [`is_reading_name`](crate::device_state::is_reading_name).
    ///
    /// # Errors
    ///
    /// Returns a [`Poison`] if the event can never be decoded or has invalid values. A panic has the same effect.
    fn decode_into<'e>(&self, event: &'e Event, readings: &mut Readings<'_>) -> Result<Cow<'e, str>, Poison>;

    /// Decodes a single event.
    ///
    /// # Errors
    ///
    /// The same as [`Telemetry::decode_into`].
    fn decode(&self, event: &Event) -> Result<Decoded, Poison> {
        let (mut readings, mut skipped) = (Vec::new(), Vec::new());
        let device_id = self.decode_into(event, &mut Readings::new(&mut readings, &mut skipped))?.into_owned();
        Ok(Decoded { device_id, readings, skipped })
    }

    /// Returns the event as JSON, for an operator to read and edit. As a body of content type `application/json` it decodes to
    /// the same device id and readings.
    ///
    /// Values that [`Telemetry::decode`] rejects as invalid are included, and numbers that JSON cannot represent are texts.
    /// `None` if the body cannot be decoded or represented in JSON. Fields that decoding ignores may be missing.
    fn to_json(&self, event: &Event) -> Option<Value> {
        let _ = event;
        None
    }

    /// Returns the device id of an event that [`Telemetry::decode`] rejects as invalid, for its dead letter: the member
    /// `deviceId` of its JSON, in any letter case. `None` if there is none, or if the body is too large to be parsed once more.
    fn rejected_device_id(&self, event: &Event) -> Option<String> {
        const MAX_BYTES: usize = 65_536;
        let json = if max_unpacked_bytes(&event.body) <= MAX_BYTES { self.to_json(event)? } else { return None };
        let (_, id) = json.as_object()?.iter().find(|(name, _)| name.eq_ignore_ascii_case("deviceId"))?;
        id.as_str().filter(|id| !id.is_empty()).map(str::to_owned)
    }
}

/// Collects the readings of an event. A decoder can only add: the readings of earlier events are neither readable nor
/// changeable.
pub struct Readings<'a> {
    readings: &'a mut Vec<Reading>,
    skipped: &'a mut Vec<String>,
}

/// The number of skipped fields that are recorded of an event.
pub const MAX_SKIPPED_FIELDS: usize = 10;

impl<'a> Readings<'a> {
    pub(crate) fn new(readings: &'a mut Vec<Reading>, skipped: &'a mut Vec<String>) -> Self {
        Self { readings, skipped }
    }

    /// Adds a reading.
    pub fn push(&mut self, reading: Reading) {
        self.readings.push(reading);
    }

    /// Records the name of a field that the telemetry does not have; a hint may follow it. Only the first
    /// [`MAX_SKIPPED_FIELDS`] are kept. It is needed only for an event without readings.
    pub fn skip(&mut self, field: String) {
        if self.skipped.len() < MAX_SKIPPED_FIELDS {
            self.skipped.push(field);
        }
    }
}

/// A decoded event: its device id and its readings.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The device id, never empty.
    pub device_id: String,
    /// The readings; there may be none.
    pub readings: Vec<Reading>,
    /// The first fields that the telemetry does not have, if there are no readings.
    pub skipped: Vec<String>,
}

impl Decoded {
    /// Returns true if the event has other fields than those of the telemetry and no reading, so that nothing of it is stored.
    #[must_use]
    pub fn is_unrecognized(&self) -> bool {
        is_unrecognized(&self.readings, &self.skipped)
    }
}

/// Returns true if an event with these readings and skipped fields is unrecognized. A null is not a reading.
pub(crate) fn is_unrecognized(readings: &[Reading], skipped: &[String]) -> bool {
    !skipped.is_empty() && readings.iter().all(|reading| reading.value.is_null())
}

/// Why an event can never be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Poison {
    /// The bytes are not valid telemetry.
    #[error("{0}")]
    Undecodable(String),
    /// The bytes were decoded, but their values are not valid.
    #[error("{0}")]
    Invalid(String),
}
