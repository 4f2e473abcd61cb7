//! Applies the events of one device: read, merge, conditional write, backoff.
//!
//! This is the only loop of optimistic concurrency in the product. A write is conditional on the document's tag, so a
//! stale base (from the cache) costs a conflict and a repeat, and never a lost update. Two rules keep the counts right:
//!
//! * Only a document that was just read may show that nothing has to be written. A cached one may be out of date.
//! * After a write whose response was lost, the document before that write is kept. If the next read shows that the write
//!   was done, the events are counted against the document before it: they are applied, not superseded.

use std::{
    future::Future,
    mem,
    pin::pin,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use futures_util::future::poll_immediate;
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    DocumentCache, Outcome,
    backoff::Backoff,
    decoded::{Device, DeviceEvent, device_state},
};
use crate::{
    clock::Random,
    device_state::{Document, Update},
    failure::{ErrorClass, Failure, Stage},
    store::{ETag, Operations, RequestCharge, StateStore, StoreError, Stored},
};

/// The result for one device.
#[derive(Default)]
pub(super) struct DeviceResult {
    /// One outcome for each of the device's events, in their order.
    pub(super) outcomes: Vec<Outcome>,
    /// The document, if it already held all events. Rewriting it shows whether the store accepts writes at all.
    pub(super) probe_candidate: Option<Stored>,
    /// The document, if a write to it was rejected. It is used for the probe only if there is no `probe_candidate`, since
    /// the document itself may be the cause of the rejection.
    pub(super) fallback_candidate: Option<Stored>,
    /// The batch indexes of the events whose writes were rejected as bad requests. These events failed, unless the store
    /// rejected the writes of all devices.
    pub(super) bad_requests: Vec<usize>,
    /// The reason of a systemic failure, which affects all other devices as well.
    pub(super) systemic: Option<String>,
}

/// Writes the devices of one batch.
pub(super) struct Writer<'a> {
    pub(super) store: &'a dyn StateStore,
    pub(super) cache: &'a DocumentCache,
    pub(super) random: &'a dyn Random,
    pub(super) counters: &'a Counters,
    /// The number of writes that the store accepted, over all batches of the process.
    pub(super) accepted_writes: &'a AtomicU64,
    /// When all operations of this batch must be completed.
    pub(super) deadline: Instant,
    /// A device that started before this has had enough time when it reaches the deadline.
    pub(super) start_deadline: Instant,
}

/// The [`Operations`] of a batch while they are counted.
#[derive(Default)]
pub(super) struct Counters {
    reads: AtomicU64,
    writes: AtomicU64,
    conflicts: AtomicU64,
    retries: AtomicU64,
    throttled: AtomicU64,
    charge: RequestCharge,
}

impl Counters {
    pub(super) fn total(&self) -> Operations {
        let Self { reads, writes, conflicts, retries, throttled, charge } = self;
        let [reads, writes, conflicts, retries, throttled] =
            [reads, writes, conflicts, retries, throttled].map(|count| count.load(Relaxed));
        Operations { reads, writes, conflicts, retries, throttled, request_units: charge.units() }
    }
}

/// The write of one device, with what is known about its document.
struct DeviceWrite<'a> {
    writer: &'a Writer<'a>,
    device: &'a Device<'a>,
    base: Base,
    /// Whether the device started early enough. If it then reaches the deadline, that is a failure of the device. If it
    /// started late, it only shows that the store is slow or the batch is large.
    started_in_time: bool,
    /// Whether the store rejected the read of the document. Then writing the events one by one would fail as well.
    is_read_rejected: bool,
    /// The last error of the store that was retried.
    last_failure: Option<StoreError>,
}

/// The assumed state of the document. It may be the base of a conditional write, but never the reason to skip one.
#[derive(Default)]
enum Base {
    #[default]
    Unknown,
    Absent,
    Stored(Stored),
}

impl From<Option<Stored>> for Base {
    fn from(stored: Option<Stored>) -> Self {
        stored.map_or(Self::Absent, Self::Stored)
    }
}

/// The document over which a write was tried; `None` if there was none.
struct WriteBase {
    document: Option<Document>,
}

/// The result of writing some events of a device.
enum WriteEnd {
    /// The events were written over the document `before`, if there was one.
    Written { before: Option<Document> },
    /// The document `stored` already holds the events. They are counted against the document `before`.
    AlreadyHeld { stored: Stored, before: Option<Document> },
}

/// The maximum number of writes of one probe: see [`Writer::rewrite_unchanged`].
const MAX_PROBE_WRITES: usize = 5;

impl Writer<'_> {
    /// Applies the events of one device, folded into one write.
    ///
    /// If the store rejects that write, the events are bisected, in order, until the single events that the store rejects
    /// are found: one invalid event must not fail the device's other events.
    pub(super) async fn apply_events(&self, device: &Device<'_>) -> DeviceResult {
        let mut device_write = DeviceWrite::new(self, device);
        let mut result = DeviceResult::default();
        let mut parts = vec![device.events.as_slice()];
        // The events of later parts are counted against it, too: a series that IoT Hub repeats may be in both.
        let mut before_batch: Option<Option<Document>> = None;
        while let Some(part) = parts.pop() {
            match device_write.write(part).await {
                Ok(WriteEnd::Written { before }) => {
                    let before = before_batch.get_or_insert(before);
                    result.outcomes.extend(outcomes(before.as_ref(), part));
                }
                Ok(WriteEnd::AlreadyHeld { stored, before }) => {
                    let before = before_batch.get_or_insert(before);
                    result.outcomes.extend(outcomes(before.as_ref(), part));
                    result.probe_candidate = Some(stored);
                }
                Err(error @ (StoreError::Rejected(_) | StoreError::BadRequest(_))) => {
                    if let Base::Stored(stored) = &device_write.base {
                        result.fallback_candidate = Some(stored.clone());
                    }
                    if part.len() > 1 && !device_write.is_read_rejected {
                        let (first, second) = part.split_at(part.len() / 2);
                        parts.extend([second, first]);
                        continue;
                    }
                    result.outcomes.extend(part.iter().map(|event| unwritten_outcome(device, event, &error)));
                    if let StoreError::BadRequest(_) = error {
                        result.bad_requests.extend(part.iter().map(|event| event.index));
                    }
                }
                // The deadline has passed or the store has failed: the remaining events would fail as well.
                Err(error) => {
                    let left = &device.events[result.outcomes.len()..];
                    result.outcomes.extend(left.iter().map(|event| unwritten_outcome(device, event, &error)));
                    if let StoreError::Systemic(reason) = error {
                        result.systemic = Some(reason);
                    }
                    return result;
                }
            }
        }
        result
    }

    /// Writes a document unchanged, to learn whether the store accepts writes at all.
    ///
    /// A conflict does not answer that: the other write may be from before the probe. So the probe is repeated with the
    /// current document, at most [`MAX_PROBE_WRITES`] times, since others may write the document continuously.
    pub(super) async fn rewrite_unchanged(&self, mut stored: Stored) {
        let device = Device { id: stored.document.id.clone().into(), ..Device::default() };
        let device_write = DeviceWrite::new(self, &device);
        for _ in 0..MAX_PROBE_WRITES {
            match device_write.replace(&stored.document, &stored.etag).await {
                Err(StoreError::Conflict) => {}
                _ => return,
            }
            match device_write.read().await {
                Ok(Some(now)) => stored = now,
                _ => return,
            }
        }
    }
}

impl<'a> DeviceWrite<'a> {
    fn new(writer: &'a Writer<'a>, device: &'a Device<'a>) -> Self {
        let base = writer.cache.get(&device.id).map_or(Base::Unknown, Base::Stored);
        let started_in_time = Instant::now() < writer.start_deadline;
        Self { writer, device, base, started_in_time, is_read_rejected: false, last_failure: None }
    }

    /// Merges the events into the document and writes it, repeating after conflicts and transient errors.
    ///
    /// # Errors
    ///
    /// Returns the last error if it is final or if the deadline leaves no time for another try.
    async fn write(&mut self, events: &[DeviceEvent<'_>]) -> Result<WriteEnd, StoreError> {
        let mut update = Update::default();
        // The order makes no difference to the result. Starting with the newest event skips most older readings.
        for event in events.iter().rev() {
            update.fold(event.version, event.readings);
        }
        self.is_read_rejected = false;
        let mut backoff = Backoff::default();
        // The base of the last write that failed; such a write may have been done although its response was lost.
        let mut ambiguous_base: Option<WriteBase> = None;
        loop {
            let (stored, is_read) = match mem::take(&mut self.base) {
                Base::Stored(stored) => (Some(stored), false),
                Base::Absent => (None, false),
                Base::Unknown => match self.read().await {
                    Ok(stored) => (stored, true),
                    Err(error) => {
                        self.is_read_rejected = matches!(error, StoreError::Rejected(_) | StoreError::BadRequest(_));
                        self.wait(&mut backoff, error).await?;
                        continue;
                    }
                },
            };
            let before = stored.as_ref().map(|stored| &stored.document);
            let mut document = before.cloned().unwrap_or_else(|| Document::new(self.device.id.clone().into_owned()));
            let changed = document.merge(&update);
            let written = match stored {
                // Only a document that was just read may be the reason not to write. This one may be out of date: read it.
                Some(_) if !changed && !is_read => continue,
                Some(stored) if !changed => {
                    // If a write whose response was lost was done, the events are newer than the document before it.
                    let ours = ambiguous_base.filter(|base| stored.document.holds(&update, base.document.as_ref()));
                    let before = ours.map_or_else(|| Some(stored.document.clone()), |base| base.document);
                    return Ok(WriteEnd::AlreadyHeld { stored, before });
                }
                Some(ref stored) => self.replace(&document, &stored.etag).await,
                None => self.create(&document).await,
            };
            match written {
                Ok(etag) => {
                    self.base = Base::Stored(Stored { document, etag });
                    return Ok(WriteEnd::Written { before: stored.map(|stored| stored.document) });
                }
                Err(error) => {
                    ambiguous_base =
                        Some(WriteBase { document: stored.as_ref().map(|stored| stored.document.clone()) });
                    if is_rejected_write(&error) {
                        self.base = stored.into();
                    }
                    self.wait(&mut backoff, error).await?;
                }
            }
        }
    }

    async fn read(&self) -> Result<Option<Stored>, StoreError> {
        let Writer { store, cache, counters, .. } = self.writer;
        counters.reads.fetch_add(1, Relaxed);
        let read = self.before_deadline(store.read(&self.device.id, &counters.charge)).await?;
        if let Some(stored) = &read {
            cache.insert(&stored.document, &stored.etag);
        }
        Ok(read)
    }

    async fn create(&self, document: &Document) -> Result<ETag, StoreError> {
        self.record_write(document, self.writer.store.create(document, &self.writer.counters.charge)).await
    }

    async fn replace(&self, document: &Document, if_match: &ETag) -> Result<ETag, StoreError> {
        self.record_write(document, self.writer.store.replace(document, if_match, &self.writer.counters.charge)).await
    }

    /// Runs a write and updates the cache and the counters from its result.
    async fn record_write(
        &self,
        document: &Document,
        write: impl Future<Output = Result<ETag, StoreError>>,
    ) -> Result<ETag, StoreError> {
        let Writer { cache, counters, accepted_writes, .. } = self.writer;
        counters.writes.fetch_add(1, Relaxed);
        let written = self.before_deadline(write).await;
        match &written {
            Ok(etag) => {
                accepted_writes.fetch_add(1, Relaxed);
                cache.insert(document, etag);
            }
            Err(error) if is_rejected_write(error) => {}
            Err(_) => cache.remove(&document.id),
        }
        written
    }

    /// Runs an operation until the deadline. After the deadline it is not started.
    async fn before_deadline<T>(
        &self,
        operation: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let deadline = self.writer.deadline;
        if Instant::now() >= deadline {
            return Err(self.deadline_error());
        }
        // An operation that completes immediately needs no timer.
        let mut operation = pin!(operation);
        let response = match poll_immediate(operation.as_mut()).await {
            Some(response) => Ok(response),
            None => timeout_at(deadline, operation).await,
        };
        if let Ok(Err(StoreError::Throttled { .. })) = response {
            self.writer.counters.throttled.fetch_add(1, Relaxed);
        }
        response.unwrap_or_else(|_| Err(self.deadline_error()))
    }

    /// Returns the error of an operation that reached the deadline.
    fn deadline_error(&self) -> StoreError {
        let before = match &self.last_failure {
            Some(failure) => format!("; before that: {failure}"),
            None => String::new(),
        };
        let reason = format!("the store did not respond within `InvocationBudget`{before}");
        match self.last_failure {
            _ if !self.started_in_time => slow_store_error(&before),
            Some(StoreError::Throttled { delay, .. }) => StoreError::Throttled { reason, delay },
            _ => StoreError::Transient(reason),
        }
    }

    /// Waits before the next try.
    ///
    /// # Errors
    ///
    /// Returns `error` if it is final or if the next try would be after the deadline.
    async fn wait(&mut self, backoff: &mut Backoff, error: StoreError) -> Result<(), StoreError> {
        let Writer { random, counters, deadline, .. } = *self.writer;
        let delay = match &error {
            StoreError::Conflict => {
                counters.conflicts.fetch_add(1, Relaxed);
                backoff.after_conflict(random)
            }
            StoreError::Transient(_) => backoff.after_failure(random),
            StoreError::Throttled { delay, .. } => backoff.after_failure(random).max(*delay),
            StoreError::Rejected(_) | StoreError::BadRequest(_) | StoreError::Systemic(_) => return Err(error),
        };
        if Instant::now() + delay >= deadline {
            // Failing early is better than sleeping until the deadline: the host's own retry delay comes next.
            return Err(if self.started_in_time { error } else { slow_store_error(&format!("; the last: {error}")) });
        }
        if error != StoreError::Conflict {
            counters.retries.fetch_add(1, Relaxed);
        }
        self.last_failure = Some(error);
        sleep(delay).await;
        Ok(())
    }
}

/// Returns the error of a device that started too late: the load of the store is the cause, not the device.
fn slow_store_error(before: &str) -> StoreError {
    let reason = format!("the store was too slow for the entire batch within `InvocationBudget`{before}");
    StoreError::Throttled { reason, delay: Duration::ZERO }
}

/// Returns the outcome of each event, counted against the document before the batch.
fn outcomes(before: Option<&Document>, events: &[DeviceEvent]) -> impl Iterator<Item = Outcome> {
    let is_newer = move |event: &DeviceEvent| match before {
        Some(document) => document.is_older_than(event.version, event.readings),
        None => true,
    };
    let has_readings = |event: &DeviceEvent| event.readings.iter().any(|reading| !reading.value.is_null());
    let is_applied = move |event: &DeviceEvent| is_newer(event) || !has_readings(event);
    events.iter().map(move |event| if is_applied(event) { Outcome::Applied } else { Outcome::Superseded })
}

/// Returns true if the store rejected the write, so that the document is most likely unchanged.
fn is_rejected_write(error: &StoreError) -> bool {
    match error {
        StoreError::Rejected(_) | StoreError::BadRequest(_) | StoreError::Throttled { .. } => true,
        StoreError::Conflict | StoreError::Transient(_) | StoreError::Systemic(_) => false,
    }
}

/// Returns the outcome of an event whose device could not be written.
fn unwritten_outcome(device: &Device, event: &DeviceEvent, error: &StoreError) -> Outcome {
    let failure = |class| failure(device, event, class, &error.to_string());
    match error {
        StoreError::Rejected(_) | StoreError::BadRequest(_) => Outcome::Failed(failure(ErrorClass::Poison)),
        StoreError::Conflict | StoreError::Transient(_) => Outcome::Unresolved(failure(ErrorClass::Transient)),
        StoreError::Throttled { .. } => Outcome::Unresolved(failure(ErrorClass::Throttled)),
        StoreError::Systemic(_) => Outcome::Unresolved(failure(ErrorClass::Systemic)),
    }
}

/// Returns the failure of an event whose device could not be written.
pub(super) fn failure(device: &Device, event: &DeviceEvent, class: ErrorClass, reason: &str) -> Failure {
    let Device { id, name, .. } = device;
    Failure {
        stage: Stage::Update,
        class,
        issue: format!("the state document {id:?} was not written: {reason}"),
        device_id: Some((*name).to_owned()),
        device_state: Some(device_state(name, event.readings)),
    }
}
