//! Decodes the events of a batch and groups them by device.

use std::{
    borrow::Cow,
    collections::HashMap,
    ops::Range,
    panic::{self, AssertUnwindSafe},
    sync::atomic::Ordering::Relaxed,
    vec,
};

use serde_json::{Map, Value};
use tokio::{task::yield_now, time::Instant};

use super::{
    IotHubTime, Outcome, Processor,
    decoded_bytes::DecodedBytes,
    future_times::{FutureEvent, is_far_ahead},
};
use crate::{
    batch::{Batch, Event, EventPosition},
    device_state::{MAX_ID_BYTES, Reading, Version, document_id, is_reading_name},
    failure::{ErrorClass, Failure, Stage},
    telemetry::{Poison, RecordEnd, RecordResult, RecordTime, Records, Telemetry, is_unrecognized, max_unpacked_bytes},
    text::panic_message,
};

/// The decoded records of a batch. Most events have one. A batch that does not fit in memory is decoded in portions.
#[derive(Default)]
pub(super) struct DecodedBatch<'b> {
    /// The indexes of the events that are not decoded yet. Large bodies are last: the ordinary events of a batch do not wait for
    /// them, whatever they cost.
    undecoded: vec::IntoIter<usize>,
    /// One entry for each record of this portion: `None` for those that are to be written. An event that cannot be decoded counts as
    /// one record.
    pub(super) outcomes: Vec<Option<Outcome>>,
    /// The index of the event of each record. Those of an event are adjacent.
    pub(super) events: Vec<usize>,
    /// The readings of the records of this portion, one after the other.
    readings: Vec<Reading>,
    /// The devices of this portion.
    devices: Vec<NamedDevice<'b>>,
    /// The records of this portion, in the order of their events in the batch.
    records: Vec<DecodedRecord>,
    /// The arrival time of events without a position.
    arrival_ms: Option<i64>,
    /// The skipped fields of the first unrecognized record of this portion.
    pub(super) unrecognized: Option<Vec<String>>,
    /// The number of records whose device time is unusable.
    pub(super) unusable_times: usize,
}

/// A device id as the events contain it.
struct NamedDevice<'b> {
    name: Cow<'b, str>,
    /// The number of its records.
    records: usize,
}

/// A decoded record.
struct DecodedRecord {
    /// The record's index in the batch.
    index: usize,
    /// The index of the device in [`DecodedBatch::devices`].
    device: usize,
    /// The version of its event, by the times of the service.
    position: Version,
    version: Version,
    /// The range of the record's readings in [`DecodedBatch::readings`].
    readings: Range<usize>,
}

/// The records of one device, in the batch's order.
#[derive(Default)]
pub(super) struct Device<'d> {
    /// The id of the device's document.
    pub(super) id: Cow<'d, str>,
    /// The device id as the events contain it.
    pub(super) name: &'d str,
    pub(super) records: Vec<DeviceRecord<'d>>,
}

/// A decoded record of a [`Device`].
pub(super) struct DeviceRecord<'d> {
    /// The record's index in the batch.
    pub(super) index: usize,
    /// The version of its event, by the times of the service.
    pub(super) position: Version,
    pub(super) version: Version,
    pub(super) readings: &'d [Reading],
}

impl<'b> DecodedBatch<'b> {
    /// Returns a batch of which nothing is decoded.
    pub(super) fn new(batch: &'b Batch) -> Self {
        /// The number of readings in an event of drone telemetry.
        const READINGS_PER_EVENT: usize = 8;
        let events = batch.events.len();
        let mut order: Vec<_> = (0..events).collect();
        order.sort_by_key(|index| max_unpacked_bytes(&batch.events[*index].body) > CHUNK_BYTES / 16);
        Self {
            undecoded: order.into_iter(),
            outcomes: Vec::with_capacity(events),
            events: Vec::with_capacity(events),
            readings: Vec::with_capacity(events * READINGS_PER_EVENT),
            records: Vec::with_capacity(events),
            ..Self::default()
        }
    }

    /// Returns true if no portion is left.
    pub(super) fn is_complete(&self) -> bool {
        self.undecoded.len() == 0
    }

    /// Returns an outcome for each event that is not decoded, because the store fails.
    pub(super) fn undecoded_outcomes(&mut self) -> impl Iterator<Item = (usize, Outcome)> {
        let failure = undecoded("the store failed for other events of the batch");
        let failure = Failure { stage: Stage::Update, class: ErrorClass::Systemic, ..failure };
        self.undecoded.by_ref().map(move |index| (index, Outcome::Unresolved(failure.clone())))
    }

    /// Adds a record with its outcome, and returns the index of the record.
    fn add(&mut self, event: usize, outcome: Option<Outcome>) -> usize {
        self.outcomes.push(outcome);
        self.events.push(event);
        self.outcomes.len() - 1
    }

    /// Groups the records by device. This is a separate step, because the readings cannot be borrowed while they grow.
    pub(super) fn group_by_device(&self) -> Vec<Device<'_>> {
        let devices = self.devices.iter().map(|NamedDevice { name, records }| {
            let records = Vec::with_capacity(*records);
            Device { id: document_id(name), name, records }
        });
        let mut devices: Vec<_> = devices.collect();
        for DecodedRecord { index, device, position, version, readings } in &self.records {
            let readings = &self.readings[readings.clone()];
            let record = DeviceRecord { index: *index, position: *position, version: *version, readings };
            devices[*device].records.push(record);
        }
        devices
    }
}

/// After this many bytes of bodies, unpacked, decoding yields to other batches and checks its deadline.
const CHUNK_BYTES: usize = 1024 * 1024;

/// The fixed cost of an event in [`CHUNK_BYTES`], so that many small events are a chunk, too.
const EVENT_BYTES: usize = 4 * 1024;

impl Processor {
    /// Decodes the next portion of a batch: all events that are left, or as many as fit in memory. Events that are not decoded until
    /// the deadline are unresolved.
    pub(super) async fn decode<'b>(&self, batch: &'b Batch, decoded: &mut DecodedBatch<'b>, deadline: Instant) {
        let source = batch.source.number();
        let now_ms = self.clock.now_ms();
        let mut is_warned = false;
        // There are at most as many devices as records, too few for a hash that must resist attacks.
        let mut known: HashMap<Cow<'b, str>, usize, foldhash::fast::RandomState> = HashMap::default();
        decoded.outcomes.clear();
        decoded.events.clear();
        decoded.readings.clear();
        decoded.devices.clear();
        decoded.records.clear();
        decoded.unrecognized = None;
        let mut ends = Vec::new();
        let (mut chunk, mut is_late) = (0, false);
        let mut decoded_bytes = DecodedBytes::default();
        while !decoded_bytes.are_too_many()
            && let Some(index) = decoded.undecoded.next()
        {
            let event = &batch.events[index];
            let body_bytes = max_unpacked_bytes(&event.body);
            chunk += body_bytes + EVENT_BYTES;
            if chunk >= CHUNK_BYTES {
                chunk = 0;
                yield_now().await;
                is_late = Instant::now() >= deadline;
            }
            if is_late {
                let issue = "decoding the batch took half of `InvocationBudget`";
                decoded.add(index, Some(Outcome::Unresolved(undecoded(issue))));
                continue;
            }
            if is_other_message(event) {
                decoded.add(index, Some(Outcome::Ignored));
                continue;
            }
            let first = decoded.readings.len();
            if let Err(failure) = decode(&*self.telemetry, event, &mut decoded.readings, &mut ends) {
                decoded.readings.truncate(first);
                ends.clear();
                decoded.add(index, Some(Outcome::Failed(failure)));
                continue;
            }
            if ends.is_empty() {
                decoded.add(index, Some(Outcome::Ignored));
                continue;
            }
            decoded_bytes.add(body_bytes, &decoded.readings[first..], ends.len());
            let position = position(event, source).unwrap_or_else(|| {
                let arrival_ms = *decoded.arrival_ms.get_or_insert_with(|| self.next_arrival_ms());
                Version::ordered_by_time(arrival_ms, i64::try_from(index).unwrap_or(i64::MAX), source)
            });
            for (record, RecordEnd { readings, result }) in (0..).zip(ends.drain(..)) {
                let ValidRecord { device_id: name, time, skipped } =
                    match check(result, &decoded.readings[readings.clone()], self.max_readings) {
                        Ok(Some(valid)) => valid,
                        Ok(None) => {
                            decoded.add(index, Some(Outcome::Ignored));
                            continue;
                        }
                        Err(failure) => {
                            decoded.add(index, Some(Outcome::Failed(failure)));
                            continue;
                        }
                    };
                if is_unrecognized(&decoded.readings[readings.clone()], &skipped) {
                    decoded.unrecognized.get_or_insert(skipped);
                    decoded.add(index, Some(Outcome::Unrecognized));
                    continue;
                }
                let version = Version { record, ..self.record_version(position, event, time) };
                decoded.unusable_times += usize::from(time == RecordTime::Unusable);
                if !is_warned && is_far_ahead(version.time_ms, now_ms) {
                    is_warned = true;
                    let event = FutureEvent { device_id: &name, version };
                    self.shared.future_times.warn(batch, &event, now_ms);
                }
                let devices = &mut decoded.devices;
                let device = *known.entry(name).or_insert_with_key(|name| {
                    devices.push(NamedDevice { name: name.clone(), records: 0 });
                    devices.len() - 1
                });
                devices[device].records += 1;
                let index = decoded.add(index, None);
                decoded.records.push(DecodedRecord { index, device, position, version, readings });
            }
        }
        if !decoded.events.is_sorted() {
            let events = &decoded.events;
            decoded.records.sort_unstable_by_key(|record| (events[record.index], record.index));
        }
    }

    /// Returns the version of a record of the event at this position.
    #[inline]
    fn record_version(&self, position: Version, event: &Event, time: RecordTime) -> Version {
        let time_ms = match time {
            RecordTime::Service => match event.created_ms {
                Some(created_ms) if self.iot_hub_time == IotHubTime::Created && event.position.is_some() => created_ms,
                _ => return position,
            },
            RecordTime::Device(time_ms) => time_ms,
            RecordTime::Enqueued | RecordTime::Unusable => position.time_ms,
        };
        // A device's clock that is ahead must not hold off later records.
        Version::ordered_by_time(time_ms.min(position.time_ms), position.sequence_number, position.source)
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

/// Returns true if IoT Hub sent this event itself, such as a change of a twin or the deletion of a device. It is not telemetry.
pub(super) fn is_other_message(event: &Event) -> bool {
    event.iot_hub_message_source.as_deref().is_some_and(|source| !source.eq_ignore_ascii_case("telemetry"))
}

/// Returns the failure of an event that was not decoded, for this reason. It counts as a failure of the event, so that a batch that
/// can never be decoded in time does not block its partition forever.
fn undecoded(reason: &str) -> Failure {
    Failure {
        stage: Stage::Deserialize,
        class: ErrorClass::Transient,
        issue: format!("the event was not decoded: {reason}"),
        device_id: None,
        device_state: None,
        other_devices: Vec::new(),
    }
}

/// Returns the version of an event by the times of the service; `None` without a usable position.
fn position(event: &Event, source: u64) -> Option<Version> {
    let EventPosition { enqueued_ms, sequence_number } = event.position?;
    Some(match event.time_ms {
        // IoT Hub may send a message again, with another position and the same time.
        Some(time_ms) => Version::ordered_by_time(time_ms, sequence_number, source),
        None => Version { time_ms: enqueued_ms, sequence_number, source, record: 0 },
    })
}

fn poison(stage: Stage, issue: String) -> Failure {
    Failure { stage, class: ErrorClass::Poison, issue, device_id: None, device_state: None, other_devices: Vec::new() }
}

/// Decodes one event: appends its readings and its records.
///
/// A panic in the decoder fails this event only.
pub(super) fn decode<'e>(
    telemetry: &dyn Telemetry,
    event: &'e Event,
    readings: &mut Vec<Reading>,
    ends: &mut Vec<RecordEnd<'e>>,
) -> Result<(), Failure> {
    if let Some(fault) = &event.fault {
        return Err(poison(Stage::Envelope, fault.clone()));
    }
    let decode = || {
        telemetry.decode_into(event, &mut Records::new(readings, ends)).map_err(|error| match error {
            Poison::Undecodable(issue) => poison(Stage::Deserialize, issue),
            Poison::Invalid(issue) => {
                Failure { device_id: telemetry.rejected_device_id(event), ..poison(Stage::Validate, issue) }
            }
        })
    };
    panic::catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|panic| {
        Err(poison(Stage::Deserialize, format!("the decoder panicked: {}", panic_message(&*panic))))
    })
}

/// A record that follows the rules for all telemetry.
pub(super) struct ValidRecord<'e> {
    pub(super) device_id: Cow<'e, str>,
    pub(super) time: RecordTime,
    pub(super) skipped: Vec<String>,
}

/// Checks the rules for all telemetry. Returns `None` for a record that is not telemetry.
pub(super) fn check<'e>(
    result: RecordResult<'e>,
    readings: &[Reading],
    max_readings: usize,
) -> Result<Option<ValidRecord<'e>>, Failure> {
    let valid = match result {
        RecordResult::Valid { device_id, time, skipped } => ValidRecord { device_id, time, skipped },
        RecordResult::Ignored => return Ok(None),
        RecordResult::Failed { device_id, poison: error } => {
            let (stage, issue) = match error {
                Poison::Undecodable(issue) => (Stage::Deserialize, issue),
                Poison::Invalid(issue) => (Stage::Validate, issue),
            };
            return Err(Failure { device_id, ..poison(stage, issue) });
        }
    };
    let device = &valid.device_id;
    // Encoding turns one byte into at most three.
    let id_bytes = if device.len() <= MAX_ID_BYTES / 3 { device.len() } else { document_id(device).len() };
    let issue = if device.is_empty() {
        "the device id is empty".to_owned()
    } else if id_bytes > MAX_ID_BYTES {
        format!("the device id is too long: its document id has {id_bytes} bytes, and Cosmos DB allows {MAX_ID_BYTES}")
    } else if let Some(reading) = readings.iter().find(|reading| !is_reading_name(&reading.name)) {
        format!("{:?} is not a valid name for a reading: it is reserved in the state document", reading.name)
    } else if readings.len() > max_readings {
        // The readings are in the event, and too many for a second copy.
        let issue = format!(
            "the record has {} readings, and the setting `MaxReadings` allows {max_readings} in a document: send fewer, or \
             raise the setting",
            readings.len()
        );
        return Err(Failure { device_id: Some(valid.device_id.into_owned()), ..poison(Stage::Validate, issue) });
    } else {
        return Ok(Some(valid));
    };
    let device_state = Some(device_state(device, readings));
    Err(Failure { device_id: Some(valid.device_id.into_owned()), device_state, ..poison(Stage::Validate, issue) })
}

/// Returns the decoded readings as the fields of a state document.
pub(super) fn device_state(id: &str, readings: &[Reading]) -> Value {
    let id = [("id".to_owned(), Value::from(id))];
    let readings = readings.iter().map(|Reading { name, value }| (name.to_string(), value.clone()));
    Value::Object(id.into_iter().chain(readings).collect::<Map<_, _>>())
}
