//! The events of a batch, decoded and told apart by device.

use std::{
    borrow::Cow,
    collections::HashMap,
    ops::Range,
    panic::{self, AssertUnwindSafe},
    sync::atomic::Ordering::Relaxed,
};

use serde_json::{Map, Value};

use super::{Outcome, Processor};
use crate::{
    batch::{Batch, Event},
    device_state::{MAX_ID_BYTES, Reading, Version, document_id, is_reading_name},
    failure::{ErrorClass, Failure, Stage},
    telemetry::{Poison, Readings, Telemetry},
    text::panic_message,
};

/// What the events of a batch say.
#[derive(Default)]
pub(super) struct DecodedBatch<'b> {
    /// Those that failed have their outcome; the others wait with their device.
    pub(super) outcomes: Vec<Option<Outcome>>,
    /// The readings of all events, one after the other.
    readings: Vec<Reading>,
    names: Vec<Named<'b>>,
    /// The events that wait.
    events: Vec<Waiting>,
}

/// A device, as it calls itself.
struct Named<'b> {
    name: Cow<'b, str>,
    /// How many events wait for it.
    events: usize,
}

/// A decoded event.
struct Waiting {
    /// Its place in the batch.
    index: usize,
    /// The place of its device's name.
    device: usize,
    version: Version,
    /// The places of its readings.
    readings: Range<usize>,
}

/// The events of one device, in the batch's order.
#[derive(Default)]
pub(super) struct Device<'d> {
    /// Its document's id.
    pub(super) id: Cow<'d, str>,
    /// What it calls itself.
    pub(super) name: &'d str,
    pub(super) events: Vec<DeviceEvent<'d>>,
}

/// A decoded event.
pub(super) struct DeviceEvent<'d> {
    /// Its place in the batch.
    pub(super) index: usize,
    pub(super) version: Version,
    pub(super) readings: &'d [Reading],
}

impl DecodedBatch<'_> {
    /// The devices, each with its events. Only now, since nothing can borrow the readings as long as they grow.
    pub(super) fn devices(&self) -> Vec<Device<'_>> {
        let devices = self.names.iter().map(|Named { name, events }| {
            let events = Vec::with_capacity(*events);
            Device { id: document_id(name), name, events }
        });
        let mut devices: Vec<_> = devices.collect();
        for Waiting { index, device, version, readings } in &self.events {
            let readings = &self.readings[readings.clone()];
            devices[*device].events.push(DeviceEvent { index: *index, version: *version, readings });
        }
        devices
    }
}

impl Processor {
    /// Decodes each event.
    pub(super) fn decode<'b>(&self, batch: &'b Batch) -> DecodedBatch<'b> {
        /// As many readings as an event of the telemetry that ships has.
        const READINGS: usize = 8;
        let source = batch.source.number();
        let count = batch.events.len();
        let mut arrival_ms = None;
        // As many as a batch has events: too few to be worth a hash that nobody can foresee.
        let mut known: HashMap<Cow<'b, str>, usize, foldhash::fast::RandomState> = HashMap::default();
        let mut decoded = DecodedBatch {
            outcomes: Vec::with_capacity(count),
            readings: Vec::with_capacity(count * READINGS),
            events: Vec::with_capacity(count),
            names: Vec::new(),
        };
        let DecodedBatch { outcomes, readings, names, events } = &mut decoded;
        for (index, event) in batch.events.iter().enumerate() {
            let version = if let Some(position) = event.position {
                Version(position.enqueued_ms, position.sequence_number, source)
            } else {
                let arrival_ms = *arrival_ms.get_or_insert_with(|| self.arrival_ms());
                Version(arrival_ms, i64::try_from(index).unwrap_or(i64::MAX), source)
            };
            let first = readings.len();
            match decode(&*self.telemetry, event, readings) {
                Ok(name) => {
                    let device = *known.entry(name).or_insert_with_key(|name| {
                        names.push(Named { name: name.clone(), events: 0 });
                        names.len() - 1
                    });
                    names[device].events += 1;
                    events.push(Waiting { index, device, version, readings: first..readings.len() });
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

    /// The time of arrival, for events without a usable place. It rises with each batch, so that of two such events
    /// the later one wins also within one millisecond.
    fn arrival_ms(&self) -> i64 {
        let now = self.clock.now_ms();
        let later = |last: i64| Some(now.max(last + 1));
        let last = self.shared.last_arrival_ms.fetch_update(Relaxed, Relaxed, later).unwrap_or_default();
        now.max(last + 1)
    }
}

/// Decodes one event and checks what every telemetry must keep to: gives back the device, and adds the readings. A panic
/// in a decoder is this event's fault alone.
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
    let decoded =
        panic::catch_unwind(AssertUnwindSafe(|| telemetry.decode_into(event, &mut Readings::behind(readings))))
            .map_err(|panic| poison(Stage::Deserialize, format!("the decoder panicked: {}", panic_message(&*panic))))?;
    let device = decoded.map_err(|error| match error {
        Poison::Undecodable(issue) => poison(Stage::Deserialize, issue),
        Poison::Invalid(issue) => poison(Stage::Validate, issue),
    })?;
    let readings = &readings[first..];
    // Encoding makes three bytes of one at the most.
    let id_bytes = if device.len() <= MAX_ID_BYTES / 3 { device.len() } else { document_id(&device).len() };
    let issue = if device.is_empty() {
        "the device id is empty".to_owned()
    } else if id_bytes > MAX_ID_BYTES {
        format!("the device id makes a document id of {id_bytes} bytes; Cosmos DB takes {MAX_ID_BYTES} at most")
    } else if let Some(reading) = readings.iter().find(|reading| !is_reading_name(&reading.name)) {
        format!("{:?} cannot be the name of a reading: it has another meaning in the document", reading.name)
    } else {
        return Ok(device);
    };
    let device_state = Some(device_state(&device, readings));
    Err(Failure { device_id: Some(device.into_owned()), device_state, ..poison(Stage::Validate, issue) })
}

/// What was decoded, as the fields of a state document.
pub(super) fn device_state(id: &str, readings: &[Reading]) -> Value {
    let id = [("id".to_owned(), Value::from(id))];
    let readings = readings.iter().map(|Reading { name, value }| (name.to_string(), value.clone()));
    Value::Object(id.into_iter().chain(readings).collect::<Map<_, _>>())
}
