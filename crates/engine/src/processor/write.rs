//! Writes the devices of a batch, several at a time.

use std::{
    mem,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::time::{Instant, timeout_at};

use super::{
    Outcome, Processed, Processor,
    cause::{Cause, Failures, MAX_FAILING},
    counters::Counters,
    decoded::Device,
    device::{DeviceResult, Writer},
    known_documents::random_index,
    outcomes::failure,
};
use crate::{
    failure::{ErrorClass, Failure},
    store::StoreError,
};

/// The minimum time that devices which still fail, or do not respond, get after the last other device has a result. They
/// get as much time as the others have taken, so that a slow store is not mistaken for a faulty device.
const STRAGGLER_TIME: Duration = Duration::from_secs(5);

impl Processor {
    /// Writes the devices, up to `concurrency` at a time, until each has a result, the budget is spent, the store reports a
    /// systemic failure, or it refuses all of the first requests.
    ///
    /// The last tenth of the budget is for finding out what caused the failures: the devices or the store.
    ///
    /// `started` is when the attempt started, later by the time by which decoding exceeded its share of the budget. Returns the cause
    /// of the failures.
    pub(super) async fn write(
        &self,
        run: &mut Run,
        mut devices: Vec<Device<'_>>,
        started: Instant,
        decoded_at: Instant,
    ) -> Cause {
        if devices.len() > self.concurrency {
            // Each attempt starts with other devices. Otherwise devices whose documents do not respond would be first each
            // time, and no other device would be written. With a counter, two batches could take turns in step.
            let first = random_index(&*self.random, devices.len());
            devices.rotate_left(first);
        }
        let operations = Counters::default();
        let must_stragglers_end = AtomicBool::new(false);
        let deadline = started + self.budget * 9 / 10;
        let writer = &Writer {
            store: &*self.store,
            cache: &self.cache,
            random: &*self.random,
            heard_every: self.heard_every,
            max_readings: self.max_readings,
            counters: &operations,
            faulty_documents: &self.shared.documents.failing.faulty_among(devices.iter().map(|device| &*device.id)),
            must_stragglers_end: &must_stragglers_end,
            deadline,
            // A device needs four ninths of the time that is left.
            start_deadline: decoded_at + (deadline - decoded_at) * 5 / 9,
        };
        // A few refusals may be of faulty devices, also if devices are written one by one.
        let max_refusals = self.concurrency.max(MAX_FAILING + 1);
        let mut results = Results::default();
        let mut remaining = devices.iter();
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < self.concurrency
                && (!results.are_all_refused() || results.answered + running.len() < max_refusals)
                && let Some(device) = remaining.next()
            {
                running.push(Box::pin(write_device(writer, device)));
            }
            let must_end = must_stragglers_end.load(Relaxed);
            let end = results.straggler_deadline(decoded_at).filter(|_| remaining.len() == 0 && !must_end);
            let next = match end {
                Some(end) => timeout_at(end, running.next()).await,
                None => Ok(running.next().await),
            };
            let Ok(next) = next else {
                must_stragglers_end.store(true, Relaxed);
                // Only the next poll lets them end, and a future that is added again is polled.
                running = mem::take(&mut running).into_iter().collect();
                continue;
            };
            let Some((device, result)) = next else { break };
            results.add(run, device, result);
            if results.systemic.is_some() {
                break;
            }
        }
        drop(running);
        if remaining.len() > 0 && results.are_all_refused() {
            results.systemic = results.refusal.take();
        }
        if let Some(reason) = &results.systemic {
            run.mark_remaining_systemic(&devices, reason);
        }
        let probe_deadline = (Instant::now() + self.budget / 10).min(started + self.budget);
        let probing = Writer {
            deadline: probe_deadline,
            // A probe that gets no answer has failed.
            start_deadline: probe_deadline,
            must_stragglers_end: &AtomicBool::new(false),
            ..*writer
        };
        let cause = self.find_cause(run, &results, &probing).await;
        run.processed.operations += operations.total();
        cause
    }

    /// Finds out whether the devices or the store caused the failures, and changes the outcomes accordingly.
    async fn find_cause(&self, run: &mut Run, results: &Results<'_>, writer: &Writer<'_>) -> Cause {
        let Results { failing, refused, bad_requests, written, systemic, .. } = results;
        let documents = &self.shared.documents;
        documents.known.add(written.iter().map(|device| &*device.id), &*self.random);
        documents.failing.remove_all(written.iter().map(|device| &*device.id));
        let is_faulty = |device: &&&Device| writer.faulty_documents.contains(&*device.id);
        let failures = Failures {
            devices: run.processed.devices,
            failing: failing.iter().filter(|device| !is_faulty(device)).map(|device| &*device.id).collect(),
            faulty: failing.iter().filter(is_faulty).map(|device| &*device.id).collect(),
            rejected: results.rejected.iter().map(|device| &*device.id).collect(),
        };
        let is_written = !written.is_empty();
        run.processed.has_accepted_write |= is_written;
        let is_known = failing.is_empty() && (bad_requests.is_empty() || is_written);
        let cause = match systemic {
            Some(_) => Cause::Store,
            None if is_known && is_written => Cause::Devices,
            None if is_known => Cause::Unknown,
            None => {
                let (cause, is_accepted) = failures.cause(documents, writer).await;
                run.processed.has_accepted_write |= is_accepted;
                cause
            }
        };
        // An earlier portion has shown that the store works.
        let has_worked = run.processed.store_accepts_writes;
        run.processed.store_accepts_writes = cause == Cause::Devices || has_worked && cause == Cause::Unknown;
        if cause == Cause::Devices {
            for device in failing.iter().filter(is_faulty) {
                documents.failing.set_faulty(&device.id);
                // It has had its only try.
                run.change(device.records.iter().map(|record| record.index), Outcome::Failed);
            }
            return cause;
        }
        let systemic = |failure| Outcome::Unresolved(Failure { class: ErrorClass::Systemic, ..failure });
        let refused = refused.iter().flat_map(|device| &device.records).map(|record| record.index);
        run.change(refused, systemic);
        if (run.can_reclassify || cause == Cause::Store) && !is_written {
            run.change(bad_requests.iter().copied(), systemic);
        }
        cause
    }
}

async fn write_device<'d>(writer: &Writer<'_>, device: &'d Device<'d>) -> (&'d Device<'d>, DeviceResult) {
    (device, writer.apply_events(device).await)
}

/// The results of the devices of an attempt so far.
#[derive(Default)]
struct Results<'d> {
    /// The number of devices with a result.
    answered: usize,
    /// The devices whose documents were written.
    written: Vec<&'d Device<'d>>,
    /// When the last device got a final outcome for all of its events.
    last_settled: Option<Instant>,
    /// The devices that failed; the cause is not known.
    failing: Vec<&'d Device<'d>>,
    /// Those of them that the store refused.
    refused: Vec<&'d Device<'d>>,
    /// The reason of the first refusal.
    refusal: Option<String>,
    /// The devices with events whose writes the store rejected as bad requests.
    rejected: Vec<&'d Device<'d>>,
    /// The batch indexes of these events. They failed, unless the store accepts no writes.
    bad_requests: Vec<usize>,
    /// The reason of a systemic failure, which affects all other devices as well.
    systemic: Option<String>,
}

impl<'d> Results<'d> {
    fn add(&mut self, run: &mut Run, device: &'d Device<'d>, result: DeviceResult) {
        run.record_outcomes(device, result.outcomes);
        self.answered += 1;
        if result.is_written {
            self.written.push(device);
        }
        if !result.bad_requests.is_empty() {
            self.rejected.push(device);
            self.bad_requests.extend(result.bad_requests);
        }
        match result.unwritten {
            None => self.last_settled = Some(Instant::now()),
            Some(StoreError::Refused(reason)) => {
                self.failing.push(device);
                self.refused.push(device);
                self.refusal.get_or_insert(reason);
            }
            Some(StoreError::Systemic(reason)) => self.systemic = Some(reason),
            Some(StoreError::Throttled { .. }) => {}
            Some(_) => self.failing.push(device),
        }
    }

    /// Returns true if the store has refused all devices so far. Then few more are started: a key that was revoked should not
    /// cost a thousand requests.
    fn are_all_refused(&self) -> bool {
        self.answered > 0 && self.refused.len() == self.answered
    }

    /// Returns when the devices end that have no result yet, if all others have one.
    fn straggler_deadline(&self, started: Instant) -> Option<Instant> {
        self.last_settled.map(|settled| settled + STRAGGLER_TIME.max(settled - started))
    }
}

/// The progress of a batch in [`Processor::write`].
#[derive(Default)]
pub(super) struct Run {
    /// The outcome of each record of the current portion.
    pub(super) outcomes: Vec<Option<Outcome>>,
    /// Whether bad requests may be reclassified as a failure of the store. If a batch, or its last portion, has one device, its
    /// bad request is counted as the device's failure, because a retry would block the other devices of the partition, unless
    /// other documents are rejected, too. A Service Bus message blocks only its own session, so it may always be retried.
    pub(super) can_reclassify: bool,
    pub(super) processed: Processed,
}

impl Run {
    fn record_outcomes(&mut self, device: &Device, outcomes: Vec<Outcome>) {
        for (record, outcome) in device.records.iter().zip(outcomes) {
            self.outcomes[record.index] = Some(outcome);
        }
    }

    /// Marks each event without an outcome as unresolved because of a systemic failure.
    fn mark_remaining_systemic(&mut self, devices: &[Device], reason: &str) {
        for device in devices {
            for record in &device.records {
                self.outcomes[record.index]
                    .get_or_insert_with(|| Outcome::Unresolved(failure(device, record, ErrorClass::Systemic, reason)));
            }
        }
    }

    /// Drops the copies of readings in the failures: over all portions of a batch, they would take too much memory.
    pub(super) fn drop_copies(&mut self) {
        for outcome in self.outcomes.iter_mut().flatten() {
            if let Outcome::Failed(failure) | Outcome::Unresolved(failure) = outcome {
                failure.device_state = None;
            }
        }
    }

    /// Changes the outcomes of the events with these indexes, unless they are applied or superseded.
    fn change(&mut self, indexes: impl Iterator<Item = usize>, changed: impl Fn(Failure) -> Outcome) {
        for index in indexes {
            if let Some(Outcome::Failed(failure) | Outcome::Unresolved(failure)) = &self.outcomes[index] {
                self.outcomes[index] = Some(changed(failure.clone()));
            }
        }
    }
}
