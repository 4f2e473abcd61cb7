//! The interface between the engine and the devices: an event becomes records, each with a device id and named readings.
//!
//! The engine depends only on the trait [`Telemetry`]. [`drone`] is the implementation that ships.

pub mod compression;
pub mod decimal;
pub mod drone;

use std::{borrow::Cow, mem, ops::Range};

use serde_json::Value;

use crate::{batch::Event, device_state::Reading};
pub(crate) use compression::max_unpacked_bytes;

/// Decodes the telemetry of one kind of device.
///
/// ```
/// use devicestate_engine::{
///     batch::Event,
///     device_state::Reading,
///     telemetry::{Poison, RecordTime, Records, Telemetry},
/// };
///
/// /// Events such as `sensor-1=21.5`.
/// struct Thermometer;
///
/// impl Telemetry for Thermometer {
///     fn decode_into<'e>(&self, event: &'e Event, records: &mut Records<'_, 'e>) -> Result<(), Poison> {
///         let undecodable = || Poison::Undecodable("the body must be ID=CELSIUS".into());
///         let text = str::from_utf8(&event.body).map_err(|_| undecodable())?;
///         let (device_id, celsius) = text.split_once('=').ok_or_else(undecodable)?;
///         let celsius: f64 = celsius.parse().map_err(|_| undecodable())?;
///         if celsius < -273.15 {
///             return Err(Poison::Invalid(format!("{celsius} °C is below absolute zero")));
///         }
///         records.push(Reading { name: "Celsius".into(), value: celsius.into() });
///         records.finish(device_id, RecordTime::Service);
///         Ok(())
///     }
/// }
///
/// let event = Event { body: "sensor-1=21.5".into(), ..Event::default() };
/// let decoded = Thermometer.decode(&event).expect("a valid event");
/// assert_eq!(decoded.device_id, "sensor-1");
/// assert_eq!(decoded.readings[0].value, 21.5);
/// ```
pub trait Telemetry: Send + Sync {
    /// Decodes one event: adds its records, mostly one. A record is the telemetry of one device: its readings, then
    /// [`Records::finish`] with the device id.
    ///
    /// The result must depend on the event alone. A field that is absent is not a reading. A reading whose value is null clears
    /// the field: the null has a version, so that an older event does not bring the value back. A record without readings
    /// only shows that the device was heard; it is recorded as unrecognized, and its document is not created, if the decoder has
    /// [skipped](Records::skip) a field of it. Names of readings must follow
    /// [`is_reading_name`](crate::device_state::is_reading_name).
    ///
    /// A record that is not valid [fails](Records::fail) alone: the others are applied, and the event becomes a dead letter that
    /// names the record.
    ///
    /// # Errors
    ///
    /// Returns a [`Poison`] if nothing of the event can be decoded; its records are discarded then. A panic has the same effect.
    fn decode_into<'e>(&self, event: &'e Event, records: &mut Records<'_, 'e>) -> Result<(), Poison>;

    /// Returns the value of the setting `Telemetry` that selects it. Dead letters name it, so that they are not replayed as other
    /// telemetry by mistake.
    fn setting(&self) -> &'static str {
        "json"
    }

    /// Decodes a single event to its records.
    ///
    /// # Errors
    ///
    /// The same as [`Telemetry::decode_into`].
    fn decode_records(&self, event: &Event) -> Result<Vec<DecodedRecord>, Poison> {
        let (mut readings, mut ends) = (Vec::new(), Vec::new());
        self.decode_into(event, &mut Records::new(&mut readings, &mut ends))?;
        let mut readings = readings.into_iter();
        let decoded = ends.into_iter().map(|RecordEnd { readings: range, result }| {
            let readings = readings.by_ref().take(range.len()).collect();
            match result {
                RecordResult::Valid { device_id, time, skipped } => {
                    DecodedRecord::Valid(Decoded { device_id: device_id.into_owned(), time, readings, skipped })
                }
                RecordResult::Failed { device_id, poison } => DecodedRecord::Failed { device_id, poison },
                RecordResult::Ignored => DecodedRecord::Ignored,
            }
        });
        Ok(decoded.collect())
    }

    /// Decodes an event that has one record.
    ///
    /// # Errors
    ///
    /// The same as [`Telemetry::decode_into`], and if the event has no record, several, or one that is not valid.
    fn decode(&self, event: &Event) -> Result<Decoded, Poison> {
        let mut records = self.decode_records(event)?;
        match (records.pop(), records.len()) {
            (Some(DecodedRecord::Valid(decoded)), 0) => Ok(decoded),
            (Some(DecodedRecord::Failed { poison, .. }), 0) => Err(poison),
            (Some(DecodedRecord::Ignored) | None, 0) => Err(Poison::Undecodable("the event is not telemetry".into())),
            (_, others) => Err(Poison::Invalid(format!("the event has {} records", others + 1))),
        }
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

/// Collects the records of an event. A decoder can only add: the records of earlier events are neither readable nor changeable.
pub struct Records<'a, 'e> {
    readings: &'a mut Vec<Reading>,
    ends: &'a mut Vec<RecordEnd<'e>>,
    /// The index of the first reading of the record that is being decoded.
    first: usize,
    skipped: Vec<String>,
}

/// A place between the [`Records`] of an event.
#[derive(Debug, Clone, Copy)]
pub struct RecordsMark {
    ends: usize,
    first: usize,
}

/// A completed record.
#[derive(Debug)]
pub(crate) struct RecordEnd<'e> {
    /// The range of its readings.
    pub(crate) readings: Range<usize>,
    pub(crate) result: RecordResult<'e>,
}

/// What a record was decoded to.
#[derive(Debug)]
pub(crate) enum RecordResult<'e> {
    Valid { device_id: Cow<'e, str>, time: RecordTime, skipped: Vec<String> },
    Failed { device_id: Option<String>, poison: Poison },
    Ignored,
}

/// The time that orders a record among those of its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RecordTime {
    /// The event's position, as the service assigned it.
    #[default]
    Service,
    /// The device's own time in milliseconds since 1970, UTC, but at most the time at which the service enqueued the event.
    Device(i64),
    /// The time at which the service enqueued the event, because this record has no time of the device. It is compared with the
    /// times of other records.
    Enqueued,
    /// The same, because the time of the device is earlier than its clock can be right. Such records are counted.
    Unusable,
}

/// The number of skipped fields that are recorded of an event.
pub const MAX_SKIPPED_FIELDS: usize = 10;

impl<'a, 'e> Records<'a, 'e> {
    pub(crate) fn new(readings: &'a mut Vec<Reading>, ends: &'a mut Vec<RecordEnd<'e>>) -> Self {
        let first = readings.len();
        Self { readings, ends, first, skipped: Vec::new() }
    }

    /// Returns a mark after the records that were completed.
    #[must_use]
    pub fn mark(&self) -> RecordsMark {
        RecordsMark { ends: self.ends.len(), first: self.first }
    }

    /// Discards what was added since a mark.
    pub fn return_to(&mut self, mark: RecordsMark) {
        self.ends.truncate(mark.ends);
        self.first = mark.first;
        self.discard();
    }

    /// Adds a reading to the record that is being decoded.
    #[inline]
    pub fn push(&mut self, reading: Reading) {
        self.readings.push(reading);
    }

    /// Returns the readings of the record that is being decoded.
    #[must_use]
    pub fn current(&mut self) -> &mut [Reading] {
        &mut self.readings[self.first..]
    }

    /// Records the name of a field that the telemetry does not have; a hint may follow it. Only the first
    /// [`MAX_SKIPPED_FIELDS`] are kept. It is needed only for a record without readings.
    pub fn skip(&mut self, field: String) {
        if self.skipped.len() < MAX_SKIPPED_FIELDS {
            self.skipped.push(field);
        }
    }

    /// Completes the record: the readings that were added since the last one are of this device, whose id must not be empty.
    #[inline]
    pub fn finish(&mut self, device_id: impl Into<Cow<'e, str>>, time: RecordTime) {
        let skipped = mem::take(&mut self.skipped);
        self.end(RecordResult::Valid { device_id: device_id.into(), time, skipped });
    }

    /// Completes the record: it is not valid. The readings that were added since the last one are discarded.
    pub fn fail(&mut self, device_id: Option<String>, poison: Poison) {
        self.discard();
        self.end(RecordResult::Failed { device_id, poison });
    }

    /// Completes the record: it is not telemetry. The readings that were added since the last one are discarded.
    pub fn ignore(&mut self) {
        self.discard();
        self.end(RecordResult::Ignored);
    }

    /// Discards the readings that were added since the last record.
    pub fn discard(&mut self) {
        self.readings.truncate(self.first);
        self.skipped.clear();
    }

    #[inline]
    fn end(&mut self, result: RecordResult<'e>) {
        let readings = self.first..self.readings.len();
        self.first = readings.end;
        self.ends.push(RecordEnd { readings, result });
    }
}

/// A decoded record of an event.
#[derive(Debug, Clone, PartialEq)]
pub enum DecodedRecord {
    /// The telemetry of a device.
    Valid(Decoded),
    /// The record is not valid; the id is that of its device, if it is known.
    Failed {
        /// The device id, if it is known.
        device_id: Option<String>,
        /// The reason.
        poison: Poison,
    },
    /// The record is not telemetry.
    Ignored,
}

/// A decoded record: its device id and its readings.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The device id, never empty.
    pub device_id: String,
    /// What orders the record among those of its device.
    pub time: RecordTime,
    /// The readings; there may be none.
    pub readings: Vec<Reading>,
    /// The first fields that the telemetry does not have, if there are no readings.
    pub skipped: Vec<String>,
}

impl Decoded {
    /// Returns true if the record has other fields than those of the telemetry and no reading, so that nothing of it is stored.
    #[must_use]
    pub fn is_unrecognized(&self) -> bool {
        is_unrecognized(&self.readings, &self.skipped)
    }
}

/// Returns true if a record with these readings and skipped fields is unrecognized.
pub(crate) fn is_unrecognized(readings: &[Reading], skipped: &[String]) -> bool {
    !skipped.is_empty() && readings.is_empty()
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
