//! Decodes the events of a batch and groups them by device.

use std::{
    borrow::Cow,
    collections::HashMap,
    ops::Range,
    panic::{self, AssertUnwindSafe},
    sync::atomic::Ordering::Relaxed,
};

use serde_json::{Map, Value};

use super::{
    IotHubTime, Outcome, Processor,
    future_times::{FutureEvent, is_far_ahead},
};
use crate::{
    batch::{Batch, Event, EventPosition},
    device_state::{MAX_ID_BYTES, Reading, Version, document_id, is_reading_name},
    failure::{ErrorClass, Failure, Stage},
    telemetry::{Poison, Readings, Telemetry},
    text::panic_message,
};

/// The decoded events of a batch.
#[derive(Default)]
pub(super) struct DecodedBatch<'b> {
    /// One entry for each event: the outcome of those that failed, `None` for those that were decoded.
    pub(super) outcomes: Vec<Option<Outcome>>,
    /// The readings of all decoded events, one after the other.
    readings: Vec<Reading>,
    devices: Vec<NamedDevice<'b>>,
    /// The events that were decoded, in the batch's order.
    events: Vec<DecodedEvent>,
}

/// A device id as the events contain it.
struct NamedDevice<'b> {
    name: Cow<'b, str>,
    /// The number of its events.
    events: usize,
}

/// A decoded event.
struct DecodedEvent {
    /// The event's index in the batch.
    index: usize,
    /// The index of the device in [`DecodedBatch::devices`].
    device: usize,
    version: Version,
    /// The range of the event's readings in [`DecodedBatch::readings`].
    readings: Range<usize>,
}

/// The events of one device, in the batch's order.
#[derive(Default)]
pub(super) struct Device<'d> {
    /// The id of the device's document.
    pub(super) id: Cow<'d, str>,
    /// The device id as the events contain it.
    pub(super) name: &'d str,
    pub(super) events: Vec<DeviceEvent<'d>>,
}

/// A decoded event of a [`Device`].
pub(super) struct DeviceEvent<'d> {
    /// The event's index in the batch.
    pub(super) index: usize,
    pub(super) version: Version,
    pub(super) readings: &'d [Reading],
}

impl DecodedBatch<'_> {
    /// Groups the events by device. This is a separate step, because the readings cannot be borrowed while they grow.
    pub(super) fn group_by_device(&self) -> Vec<Device<'_>> {
        let devices = self.devices.iter().map(|NamedDevice { name, events }| {
            let events = Vec::with_capacity(*events);
            Device { id: document_id(name), name, events }
        });
        let mut devices: Vec<_> = devices.collect();
        for DecodedEvent { index, device, version, readings } in &self.events {
            let readings = &self.readings[readings.clone()];
            devices[*device].events.push(DeviceEvent { index: *index, version: *version, readings });
        }
        devices
    }
}

impl Processor {
    /// Decodes each event of a batch.
    pub(super) fn decode<'b>(&self, batch: &'b Batch) -> DecodedBatch<'b> {
        /// The number of readings in an event of the telemetry that ships.
        const READINGS_PER_EVENT: usize = 8;
        let source = batch.source.number();
        let count = batch.events.len();
        let now_ms = self.clock.now_ms();
        let mut arrival_ms = None;
        let mut is_warned = false;
        // There are at most as many devices as events, too few for a hash that must resist attacks.
        let mut known: HashMap<Cow<'b, str>, usize, foldhash::fast::RandomState> = HashMap::default();
        let mut decoded = DecodedBatch {
            outcomes: Vec::with_capacity(count),
            readings: Vec::with_capacity(count * READINGS_PER_EVENT),
            events: Vec::with_capacity(count),
            devices: Vec::new(),
        };
        let DecodedBatch { outcomes, readings, devices, events } = &mut decoded;
        for (index, event) in batch.events.iter().enumerate() {
            let version = self.version(event, source).unwrap_or_else(|| {
                let arrival_ms = *arrival_ms.get_or_insert_with(|| self.next_arrival_ms());
                Version::ordered_by_time(arrival_ms, i64::try_from(index).unwrap_or(i64::MAX), source)
            });
            let first = readings.len();
            match decode(&*self.telemetry, event, readings) {
                Ok(name) => {
                    if !is_warned && is_far_ahead(version.time_ms, now_ms) {
                        is_warned = true;
                        let event = FutureEvent { device_id: &name, version };
                        self.shared.future_times.warn(batch, &event, now_ms);
                    }
                    let device = *known.entry(name).or_insert_with_key(|name| {
                        devices.push(NamedDevice { name: name.clone(), events: 0 });
                        devices.len() - 1
                    });
                    devices[device].events += 1;
                    events.push(DecodedEvent { index, device, version, readings: first..readings.len() });
                    outcomes.push(None);
                }
                Err(failure) => {
                    readings.truncate(first);
                    outcomes.push(Some(Outcome::Failed(failure)));
                }
            }
        }
        decoded
    }

    /// Returns the version of an event's readings; `None` without a usable position.
    fn version(&self, event: &Event, source: u64) -> Option<Version> {
        let EventPosition { enqueued_ms, sequence_number } = event.position?;
        let created_ms = event.created_ms.filter(|_| self.iot_hub_time == IotHubTime::Created);
        // A device's clock that is ahead must not hold off later events.
        let created_ms = created_ms.map(|created_ms| created_ms.min(event.time_ms.unwrap_or(enqueued_ms)));
        Some(match created_ms.or(event.time_ms) {
            Some(time_ms) => Version::ordered_by_time(time_ms, sequence_number, source),
            None => Version { time_ms: enqueued_ms, sequence_number, source },
        })
    }

    /// Returns the arrival time for the events of a batch without a usable position, in milliseconds since 1970. It increases
    /// with each batch, so that the later event also wins within one millisecond.
    fn next_arrival_ms(&self) -> i64 {
        let now = self.clock.now_ms();
        let later = |last: i64| Some(now.max(last + 1));
        let last = self.shared.last_arrival_ms.fetch_update(Relaxed, Relaxed, later).unwrap_or_default();
        now.max(last + 1)
    }
}

/// Decodes one event and checks the rules for all telemetry. Returns the device id and appends the readings.
///
/// A panic in the decoder fails this event only.
fn decode<'e>(
    telemetry: &dyn Telemetry,
    event: &'e Event,
    readings: &mut Vec<Reading>,
) -> Result<Cow<'e, str>, Failure> {
    let poison =
        |stage, issue| Failure { stage, class: ErrorClass::Poison, issue, device_id: None, device_state: None };
    if let Some(fault) = &event.fault {
        return Err(poison(Stage::Envelope, fault.clone()));
    }
    let first = readings.len();
    let decode = || {
        telemetry.decode_into(event, &mut Readings::after(readings)).map_err(|error| match error {
            Poison::Undecodable(issue) => poison(Stage::Deserialize, issue),
            Poison::Invalid(issue) => {
                Failure { device_id: telemetry.rejected_device_id(event), ..poison(Stage::Validate, issue) }
            }
        })
    };
    let device = panic::catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|panic| {
        Err(poison(Stage::Deserialize, format!("the decoder panicked: {}", panic_message(&*panic))))
    })?;
    let readings = &readings[first..];
    // Encoding turns one byte into at most three.
    let id_bytes = if device.len() <= MAX_ID_BYTES / 3 { device.len() } else { document_id(&device).len() };
    let issue = if device.is_empty() {
        "the device id is empty".to_owned()
    } else if id_bytes > MAX_ID_BYTES {
        format!("the device id is too long: its document id has {id_bytes} bytes, and Cosmos DB allows {MAX_ID_BYTES}")
    } else if let Some(reading) = readings.iter().find(|reading| !is_reading_name(&reading.name)) {
        format!("{:?} is not a valid name for a reading: it is reserved in the state document", reading.name)
    } else {
        return Ok(device);
    };
    let device_state = Some(device_state(&device, readings));
    Err(Failure { device_id: Some(device.into_owned()), device_state, ..poison(Stage::Validate, issue) })
}

/// Returns the decoded readings as the fields of a state document.
pub(super) fn device_state(id: &str, readings: &[Reading]) -> Value {
    let id = [("id".to_owned(), Value::from(id))];
    let readings = readings.iter().map(|Reading { name, value }| (name.to_string(), value.clone()));
    Value::Object(id.into_iter().chain(readings).collect::<Map<_, _>>())
}
