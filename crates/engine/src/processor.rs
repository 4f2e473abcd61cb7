//! A batch in, what became of each of its events out: decode, fold by device, write each device once.
//!
//! Nothing here knows of HTTP, of dead letters on their way or of attempts: see [`handler`](crate::handler).

mod backoff;
mod cache;
mod decoded;
mod device;

use std::{
    mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, future::poll_immediate, stream::FuturesUnordered};
use tokio::time::Instant;

use crate::{
    batch::Batch,
    clock::{Clock, Random},
    failure::{ErrorClass, Failure},
    observer::Observer,
    store::{Operations, StateStore, Stored},
    telemetry::Telemetry,
};
pub use cache::DocumentCache;
use decoded::Device;
use device::{Settled, Writer};

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
    pub enqueued_times_decrease: bool,
    /// The time for decoding.
    pub decode_time: Duration,
    /// The time for reading and writing documents.
    pub store_time: Duration,
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
    /// Who watches.
    pub observer: Arc<dyn Observer>,
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

impl Processor {
    /// Processes a batch. Takes no longer than the budget, but for decoding.
    pub async fn process(&self, batch: &Batch) -> Processed {
        let started = Instant::now();
        let mut decoded = self.decode(batch);
        self.observer.decoded(started.elapsed());
        let outcomes = mem::take(&mut decoded.outcomes);
        let devices = decoded.devices();
        let decoded_at = Instant::now();
        let times = batch.events.iter().filter_map(|event| event.position).map(|position| position.enqueued_ms);
        let mut run = Run {
            outcomes,
            may_blame_the_store: devices.len() > 1 || batch.message.is_some(),
            processed: Processed {
                devices: devices.len(),
                enqueued_times_decrease: !times.is_sorted(),
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
        let mut position: Option<Pin<Box<_>>> = None;
        let (mut witness, mut suspect) = (None, None);
        let mut systemic = None;
        let mut bad_requests = Vec::new();
        loop {
            let mut next = None;
            while next.is_none()
                && under_way.len() < self.concurrency
                && let Some(device) = left.next()
            {
                // A store in memory needs no waiting, and then one place is enough for all.
                let mut settling = match position.take() {
                    Some(mut position) => {
                        Pin::set(&mut position, settle(writer, device));
                        position
                    }
                    None => Box::pin(settle(writer, device)),
                };
                next = poll_immediate(&mut settling).await;
                if next.is_none() {
                    under_way.push(settling);
                } else {
                    position = Some(settling);
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
