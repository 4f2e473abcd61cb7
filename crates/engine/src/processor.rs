//! Processes a batch: decodes the events, folds them by device and writes each device once.
//!
//! HTTP, dead letters and retries are in [`handler`](crate::handler).

mod backoff;
mod cache;
mod decoded;
mod device;
mod unrecognized;

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
use device::{DeviceResult, Writer};
use unrecognized::UnrecognizedWarning;

/// The outcome of one event.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// At least one reading is newer than the document before this batch, or the event has no readings.
    Applied,
    /// The event has readings, and none of them is newer.
    Superseded,
    /// The event has fields, but no reading, so nothing of it is stored.
    Unrecognized,
    /// The event is no telemetry: IoT Hub reports a change of a device.
    Ignored,
    /// The event can never be applied.
    Failed(Failure),
    /// The event could not be applied in this attempt.
    Unresolved(Failure),
}

/// The result of processing a batch.
#[derive(Debug, Default)]
pub struct Processed {
    /// One outcome for each event, in the batch's order.
    pub outcomes: Vec<Outcome>,
    /// How many devices the decoded events belong to.
    pub devices: usize,
    /// The operations on the store.
    pub operations: Operations,
    /// Whether the store accepted a write while this batch was processed. Only then may an unresolved device be the
    /// cause of its own failure.
    pub store_accepts_writes: bool,
    /// Whether an event has an earlier enqueued time than the one before it. The service should never send that.
    pub enqueued_times_decrease: bool,
    /// The time for decoding.
    pub decode_time: Duration,
    /// The time for reading and writing documents.
    pub store_time: Duration,
}

/// Processes batches. All dependencies are passed in, so that tests and simulations can replace them.
pub struct Processor {
    /// Decodes the events.
    pub telemetry: Arc<dyn Telemetry>,
    /// Stores the documents.
    pub store: Arc<dyn StateStore>,
    /// Caches the documents that were read or written last.
    pub cache: DocumentCache,
    /// The wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Randomness for the jitter of backoffs.
    pub random: Arc<dyn Random>,
    /// Receives the records.
    pub observer: Arc<dyn Observer>,
    /// The time limit of a batch. An event without an outcome at that time is unresolved.
    pub budget: Duration,
    /// The maximum number of devices that are written at the same time.
    pub concurrency: usize,
    /// The state that all batches of this process share.
    pub shared: Shared,
}

/// The state that all batches of a process share.
#[derive(Debug, Default)]
pub struct Shared {
    /// The number of writes that the store accepted.
    accepted_writes: AtomicU64,
    /// The number of batches that had more devices than are written at the same time.
    rotations: AtomicUsize,
    /// The warning of unrecognized events.
    unrecognized: UnrecognizedWarning,
    /// The last arrival time that was given to events without a position, in milliseconds since 1970.
    last_arrival_ms: AtomicI64,
}

impl Processor {
    /// Processes a batch, and returns one outcome for each event. Takes no longer than the budget.
    ///
    /// Decoding has at most the first half of it, so that the store has the rest, whatever devices send. If the last bodies
    /// take longer, the batch does, too: otherwise no attempt would have time for the store.
    pub async fn process(&self, batch: &Batch) -> Processed {
        let started = Instant::now();
        let mut decoded = self.decode(batch, started + self.budget / 2).await;
        self.observer.record_decoding(started.elapsed());
        let outcomes = mem::take(&mut decoded.outcomes);
        if let Some(skipped) = &decoded.unrecognized {
            self.shared.unrecognized.warn(batch, &outcomes, skipped, self.clock.now_ms());
        }
        let devices = decoded.group_by_device();
        let decoded_at = Instant::now();
        let times = batch.events.iter().filter_map(|event| event.position).map(|position| position.enqueued_ms);
        let mut run = Run {
            outcomes,
            can_reclassify: devices.len() > 1 || batch.message.is_some(),
            processed: Processed {
                devices: devices.len(),
                enqueued_times_decrease: !times.is_sorted(),
                decode_time: decoded_at - started,
                ..Processed::default()
            },
        };
        let overrun = decoded_at.saturating_duration_since(started + self.budget / 2);
        self.write(&mut run, devices, started + overrun, decoded_at).await;
        let outcomes = run.outcomes.into_iter();
        run.processed.outcomes = outcomes.map(|outcome| outcome.expect("each event has an outcome")).collect();
        run.processed.store_time = decoded_at.elapsed();
        run.processed
    }

    /// Writes the devices, up to `concurrency` at a time, until each has a result, the budget is spent or the store reports
    /// a systemic failure.
    ///
    /// If devices stay unresolved and the store accepted no write meanwhile, it is not yet clear whether the devices or the
    /// store failed. The last tenth of the budget is for a probe: one document of the batch is written again, unchanged. If
    /// the store accepts it, the store works and the devices failed; otherwise the failures count as failures of the store.
    async fn write(&self, run: &mut Run, mut devices: Vec<Device<'_>>, started: Instant, decoded_at: Instant) {
        if devices.len() > self.concurrency {
            // Each batch, and each attempt of it, starts with other devices. Otherwise devices whose documents do not respond
            // would be first each time, and no other device would be written.
            let rotation = self.shared.rotations.fetch_add(1, Relaxed);
            let first = rotation.wrapping_mul(self.concurrency) % devices.len();
            devices.rotate_left(first);
        }
        let operations = device::Counters::default();
        let accepted_before = self.shared.accepted_writes.load(Relaxed);
        // The last tenth of the budget is reserved for the probe.
        let (write_deadline, probe_deadline) = (started + self.budget * 9 / 10, started + self.budget);
        let writer = &Writer {
            store: &*self.store,
            cache: &self.cache,
            random: &*self.random,
            counters: &operations,
            accepted_writes: &self.shared.accepted_writes,
            deadline: write_deadline,
            // A device needs four ninths of the time that is left.
            start_deadline: decoded_at + (write_deadline - decoded_at) * 5 / 9,
        };
        let mut remaining = devices.iter();
        let mut running = FuturesUnordered::new();
        let mut reusable: Option<Pin<Box<_>>> = None;
        let (mut probe_candidate, mut fallback_candidate) = (None, None);
        let mut systemic = None;
        let mut bad_requests = Vec::new();
        loop {
            let mut next = None;
            while next.is_none()
                && running.len() < self.concurrency
                && let Some(device) = remaining.next()
            {
                // A store in memory completes at the first poll. Then one allocation serves the futures of all devices.
                let mut write = match reusable.take() {
                    Some(mut completed) => {
                        Pin::set(&mut completed, write_device(writer, device));
                        completed
                    }
                    None => Box::pin(write_device(writer, device)),
                };
                next = poll_immediate(&mut write).await;
                if next.is_none() {
                    running.push(write);
                } else {
                    reusable = Some(write);
                }
            }
            if next.is_none() {
                next = running.next().await;
            }
            let Some((device, result)) = next else { break };
            run.record_outcomes(device, result.outcomes);
            probe_candidate = probe_candidate.or(result.probe_candidate);
            fallback_candidate = fallback_candidate.or(result.fallback_candidate);
            bad_requests.extend(result.bad_requests);
            if result.systemic.is_some() {
                systemic = result.systemic;
                break;
            }
        }
        drop(running);
        let is_systemic = systemic.is_some();
        if let Some(reason) = systemic {
            run.mark_remaining_systemic(&devices, &reason);
        }
        let accepts_writes = || self.shared.accepted_writes.load(Relaxed) > accepted_before;
        if !is_systemic && (run.has_transient_failure() || !bad_requests.is_empty()) && !accepts_writes() {
            probe_store_writes(&Writer { deadline: probe_deadline, ..*writer }, probe_candidate.or(fallback_candidate))
                .await;
        }
        if run.can_reclassify && !accepts_writes() {
            run.reclassify_as_systemic(&bad_requests);
        }
        run.processed.store_accepts_writes = accepts_writes();
        run.processed.operations = operations.total();
    }
}

async fn write_device<'d>(writer: &Writer<'_>, device: &'d Device<'d>) -> (&'d Device<'d>, DeviceResult) {
    (device, writer.apply_events(device).await)
}

/// Writes a document of the batch again, unchanged, to learn whether the store accepts writes at all.
///
/// In a repeated batch most devices have nothing left to write, so without this probe nothing would show whether the store
/// works. The write is conditional and changes nothing. An accepted write is counted in `accepted_writes`.
async fn probe_store_writes(writer: &Writer<'_>, probe_document: Option<Stored>) {
    if let Some(stored) = probe_document {
        writer.rewrite_unchanged(stored).await;
    }
}

/// The progress of a batch in [`Processor::write`].
struct Run {
    outcomes: Vec<Option<Outcome>>,
    /// Whether bad requests may be reclassified as a failure of the store. If a batch has one device, its bad request is
    /// counted as the device's failure, because a retry would block the other devices of the partition. A Service Bus
    /// message blocks only its own session, so it may always be retried.
    can_reclassify: bool,
    processed: Processed,
}

impl Run {
    fn record_outcomes(&mut self, device: &Device, outcomes: Vec<Outcome>) {
        for (event, outcome) in device.events.iter().zip(outcomes) {
            self.outcomes[event.index] = Some(outcome);
        }
    }

    /// Marks each event without an outcome as unresolved because of a systemic failure.
    fn mark_remaining_systemic(&mut self, devices: &[Device], reason: &str) {
        for device in devices {
            for event in &device.events {
                self.outcomes[event.index].get_or_insert_with(|| {
                    Outcome::Unresolved(device::failure(device, event, ErrorClass::Systemic, reason))
                });
            }
        }
    }

    /// Reclassifies the events with these indexes from failed to unresolved: the store rejected their writes as bad
    /// requests, but it accepted no other write either, so the events are not the cause.
    fn reclassify_as_systemic(&mut self, bad_requests: &[usize]) {
        for index in bad_requests {
            if let Some(Outcome::Failed(failure)) = &self.outcomes[*index] {
                let failure = Failure { class: ErrorClass::Systemic, ..failure.clone() };
                self.outcomes[*index] = Some(Outcome::Unresolved(failure));
            }
        }
    }

    /// Returns true if an event has a transient failure: it is not known whether the device or the store caused it.
    fn has_transient_failure(&self) -> bool {
        let is_transient = |failure: &Failure| failure.class == ErrorClass::Transient;
        self.outcomes
            .iter()
            .any(|outcome| matches!(outcome, Some(Outcome::Unresolved(failure)) if is_transient(failure)))
    }
}
