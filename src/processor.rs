//! A batch in, what became of each of its events out: decode, fold by device, write each device once.
//!
//! Nothing here knows of HTTP, of dead letters on their way or of attempts: see [`handler`](crate::handler).

mod backoff;
mod cache;
mod device;

use std::{
    borrow::Cow,
    collections::HashMap,
    mem,
    ops::{AddAssign, Range},
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, future::poll_immediate, stream::FuturesUnordered};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::{
    batch::{Batch, Event},
    dead_letter::{ErrorClass, Failure, Stage},
    device_state::{MAX_ID_BYTES, Reading, Version, document_id, is_reading_name},
    otlp,
    store::{StateStore, Stored},
    surroundings::{Clock, Random},
    telemetry::{Poison, Telemetry},
};
pub use cache::DocumentCache;
use device::{DeviceEvent, Settled, Writer};

/// What became of one event.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// At least one of its readings is newer than the document before this batch, or it has no readings at all.
    Applied,
    /// It has readings, and none of them is newer.
    Superseded,
    /// It will never be applied.
    Failed(Failure),
    /// It could not be applied now.
    Unresolved(Failure),
}

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Processed {
    /// One outcome for each event, in the batch's order.
    pub outcomes: Vec<Outcome>,
    /// How many devices the decoded events belong to.
    pub devices: usize,
    /// What was asked of the store.
    pub operations: Operations,
    /// Whether the store took a write while this batch was processed. Only then is a device that stays unresolved
    /// itself to blame.
    pub store_takes_writes: bool,
    /// Whether the enqueued times of the batch go back somewhere. The service's times should not.
    pub times_go_back: bool,
    /// The time for decoding.
    pub decode_time: Duration,
    /// The time for reading and writing documents.
    pub store_time: Duration,
}

/// What was asked of the store, and what it cost.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Operations {
    /// Documents read.
    pub reads: u64,
    /// Documents created or replaced, or tried to be.
    pub writes: u64,
    /// Writes that found the document changed by another writer.
    pub conflicts: u64,
    /// Operations repeated after a transient failure.
    pub retries: u64,
    /// Answers of the store that it is asked for more than it does.
    pub throttled: u64,
    /// What all of them cost, in request units; 0 for a store without a price.
    pub request_units: f64,
}

impl AddAssign for Operations {
    fn add_assign(&mut self, more: Self) {
        self.reads += more.reads;
        self.writes += more.writes;
        self.conflicts += more.conflicts;
        self.retries += more.retries;
        self.throttled += more.throttled;
        self.request_units += more.request_units;
    }
}

/// The engine: everything that it needs comes from outside.
pub struct Processor {
    /// What an event says.
    pub telemetry: Arc<dyn Telemetry>,
    /// Where the documents are.
    pub store: Arc<dyn StateStore>,
    /// The documents that it was asked for last.
    pub cache: DocumentCache,
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub random: Arc<dyn Random>,
    /// The time within which a batch is done with, one way or the other.
    pub budget: Duration,
    /// How many devices are written at the same time.
    pub concurrency: usize,
    /// What all batches of this process share.
    pub shared: Shared,
}

/// What all batches of a process share.
#[derive(Debug, Default)]
pub struct Shared {
    /// How many writes the store took.
    writes_taken: AtomicU64,
    /// How many batches had more devices than are written at the same time.
    turns: AtomicUsize,
    /// The last time of arrival given to an event without a place.
    last_arrival_ms: AtomicI64,
}

/// What the events of a batch say.
#[derive(Default)]
struct Decoded<'b> {
    /// Those that failed have their outcome; the others wait with their device.
    outcomes: Vec<Option<Outcome>>,
    /// The readings of all events, one after the other.
    readings: Vec<Reading>,
    /// Each device, as it calls itself, with the number of its events.
    names: Vec<(Cow<'b, str>, usize)>,
    /// Each event that waits, with the number of its device and the place of its readings.
    events: Vec<(usize, usize, Version, Range<usize>)>,
}

/// The events of one device, in the batch's order.
#[derive(Default)]
struct Device<'d> {
    /// Its document's id.
    id: Cow<'d, str>,
    /// What it calls itself.
    name: &'d str,
    events: Vec<DeviceEvent<'d>>,
}

impl Decoded<'_> {
    fn devices(&self) -> Vec<Device<'_>> {
        let devices = self.names.iter().map(|(name, events)| {
            let events = Vec::with_capacity(*events);
            Device { id: document_id(name), name, events }
        });
        let mut devices: Vec<_> = devices.collect();
        for (index, device, version, readings) in &self.events {
            let readings = &self.readings[readings.clone()];
            devices[*device].events.push(DeviceEvent { index: *index, version: *version, readings });
        }
        devices
    }
}

impl Processor {
    /// Processes a batch. Takes no longer than the budget, but for decoding.
    pub async fn process(&self, batch: &Batch) -> Processed {
        let started = Instant::now();
        let mut decoded = {
            let _span = otlp::decoding();
            self.decode(batch)
        };
        let outcomes = mem::take(&mut decoded.outcomes);
        let devices = decoded.devices();
        let decoded_at = Instant::now();
        let times = batch.events.iter().filter_map(|event| event.place).map(|place| place.enqueued_ms);
        let mut run = Run {
            outcomes,
            may_blame_the_store: devices.len() > 1 || batch.message.is_some(),
            processed: Processed {
                devices: devices.len(),
                times_go_back: !times.is_sorted(),
                decode_time: decoded_at - started,
                ..Processed::default()
            },
        };
        self.write(&mut run, devices, started).await;
        let outcomes = run.outcomes.into_iter();
        run.processed.outcomes = outcomes.map(|outcome| outcome.expect("each event has an outcome")).collect();
        run.processed.store_time = decoded_at.elapsed();
        run.processed
    }

    /// Decodes each event.
    fn decode<'b>(&self, batch: &'b Batch) -> Decoded<'b> {
        /// As many readings as an event of the telemetry that ships has.
        const READINGS: usize = 8;
        let source = batch.source.number();
        let count = batch.events.len();
        let mut arrival_ms = None;
        // As many as a batch has events: too few to be worth a hash that nobody can foresee.
        let mut known: HashMap<Cow<'b, str>, usize, foldhash::fast::RandomState> = HashMap::default();
        let mut decoded = Decoded {
            outcomes: Vec::with_capacity(count),
            readings: Vec::with_capacity(count * READINGS),
            events: Vec::with_capacity(count),
            names: Vec::new(),
        };
        let Decoded { outcomes, readings, names, events } = &mut decoded;
        for (index, event) in batch.events.iter().enumerate() {
            let version = if let Some(place) = event.place {
                Version(place.enqueued_ms, place.sequence_number, source)
            } else {
                let arrival_ms = *arrival_ms.get_or_insert_with(|| self.arrival_ms());
                Version(arrival_ms, i64::try_from(index).unwrap_or(i64::MAX), source)
            };
            let first = readings.len();
            match decode(&*self.telemetry, event, readings) {
                Ok(name) => {
                    let device = *known.entry(name).or_insert_with_key(|name| {
                        names.push((name.clone(), 0));
                        names.len() - 1
                    });
                    names[device].1 += 1;
                    events.push((index, device, version, first..readings.len()));
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

    /// Writes the devices, some at a time, until each is settled, the budget is spent or the store is found broken.
    async fn write(&self, run: &mut Run, mut devices: Vec<Device<'_>>, started: Instant) {
        if devices.len() > self.concurrency {
            // Each batch, and each attempt of it, begins with other devices: those whose documents hang must not be the
            // first each time, and keep all others from their turn.
            let turn = self.shared.turns.fetch_add(1, Relaxed);
            let first = turn.wrapping_mul(self.concurrency) % devices.len();
            devices.rotate_left(first);
        }
        let operations = device::Counters::default();
        let taken_before = self.shared.writes_taken.load(Relaxed);
        // A tenth of the budget is kept for the question whose fault it is when something stays unresolved.
        let (devices_until, answer_until) = (started + self.budget * 9 / 10, started + self.budget);
        let writer = &Writer {
            store: &*self.store,
            cache: &self.cache,
            random: &*self.random,
            counters: &operations,
            writes_taken: &self.shared.writes_taken,
            until: devices_until,
            fair_until: started + self.budget / 2,
        };
        let mut left = devices.iter();
        let mut under_way = FuturesUnordered::new();
        let (mut witness, mut suspect) = (None, None);
        let mut systemic = None;
        let mut bad_requests = Vec::new();
        loop {
            let mut next = None;
            while next.is_none()
                && under_way.len() < self.concurrency
                && let Some(device) = left.next()
            {
                let mut settling = Box::pin(settle(writer, device));
                // A store in memory needs no waiting.
                next = poll_immediate(&mut settling).await;
                if next.is_none() {
                    under_way.push(settling);
                }
            }
            if next.is_none() {
                next = under_way.next().await;
            }
            let Some((device, done)) = next else { break };
            run.settle(device, done.outcomes);
            witness = witness.or(done.witness);
            suspect = suspect.or(done.suspect);
            bad_requests.extend(done.bad_requests);
            if done.systemic.is_some() {
                systemic = done.systemic;
                break;
            }
        }
        drop(under_way);
        let is_systemic = systemic.is_some();
        if let Some(reason) = systemic {
            run.stop(&devices, &reason);
        }
        let takes_writes = || self.shared.writes_taken.load(Relaxed) > taken_before;
        if !is_systemic && (run.has_transient() || !bad_requests.is_empty()) && !takes_writes() {
            ask_whose_fault(&Writer { until: answer_until, ..*writer }, witness.or(suspect)).await;
        }
        if run.may_blame_the_store && !takes_writes() {
            run.blame_the_store(&bad_requests);
        }
        run.processed.store_takes_writes = takes_writes();
        run.processed.operations = operations.total();
    }
}

async fn settle<'d>(writer: &Writer<'_>, device: &'d Device<'d>) -> (&'d Device<'d>, Settled) {
    (device, writer.settle(device).await)
}

/// Writes a document of the batch once more as it is, to learn whether the store takes writes at all.
///
/// When a batch is repeated, most of its devices have nothing left to write, and so would say nothing about the
/// store. The write is conditional and changes nothing.
async fn ask_whose_fault(writer: &Writer<'_>, witness: Option<Stored>) {
    if let Some(stored) = witness {
        writer.write_again(stored).await;
    }
}

/// A batch on its way through [`Processor::write`].
struct Run {
    outcomes: Vec<Option<Outcome>>,
    /// Whether bad requests alone may be the store's fault. A device that is alone in its batch is taken for bad, since
    /// holding it would hold all others of its partition; but behind a message waits only its own session.
    may_blame_the_store: bool,
    processed: Processed,
}

impl Run {
    fn settle(&mut self, device: &Device, outcomes: Vec<Outcome>) {
        for (event, outcome) in device.events.iter().zip(outcomes) {
            self.outcomes[event.index] = Some(outcome);
        }
    }

    /// A systemic failure: whatever has not been settled stays unresolved.
    fn stop(&mut self, devices: &[Device], reason: &str) {
        for device in devices {
            for event in &device.events {
                self.outcomes[event.index].get_or_insert_with(|| {
                    Outcome::Unresolved(device::failure(device, event, ErrorClass::Systemic, reason))
                });
            }
        }
    }

    /// The writes of these events were called bad requests, and the store took no other: the fault is in none of them.
    fn blame_the_store(&mut self, bad_requests: &[usize]) {
        for index in bad_requests {
            if let Some(Outcome::Failed(failure)) = &self.outcomes[*index] {
                let failure = Failure { class: ErrorClass::Systemic, ..failure.clone() };
                self.outcomes[*index] = Some(Outcome::Unresolved(failure));
            }
        }
    }

    /// Whether something failed of which it is not clear yet whose fault it is.
    fn has_transient(&self) -> bool {
        let is_transient = |failure: &Failure| failure.class == ErrorClass::Transient;
        self.outcomes
            .iter()
            .any(|outcome| matches!(outcome, Some(Outcome::Unresolved(failure)) if is_transient(failure)))
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
    let decoded = panic::catch_unwind(AssertUnwindSafe(|| telemetry.decode_into(event, readings)))
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
fn device_state(id: &str, readings: &[Reading]) -> Value {
    let id = [("id".to_owned(), Value::from(id))];
    let readings = readings.iter().map(|Reading { name, value }| (name.to_string(), value.clone()));
    Value::Object(id.into_iter().chain(readings).collect::<Map<_, _>>())
}

/// What a panic said.
#[must_use]
pub fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}
