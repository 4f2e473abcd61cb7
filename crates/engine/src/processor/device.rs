//! One device: read, merge, write under a condition, back off. The loop of optimistic concurrency stands here, once.

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

/// What became of a device.
#[derive(Default)]
pub(super) struct Settled {
    /// One outcome for each of its events.
    pub(super) outcomes: Vec<Outcome>,
    /// Its document, when that already held everything. It can be written again to learn whether the store takes writes.
    pub(super) witness: Option<Stored>,
    /// Its document, when what there was to write was refused: a witness, too, but one under suspicion.
    pub(super) suspect: Option<Stored>,
    /// The places in the batch of the events whose writes were called bad requests: their fault, unless all devices fare so.
    pub(super) bad_requests: Vec<usize>,
    /// Why no other device will fare better.
    pub(super) systemic: Option<String>,
}

/// Writes the devices of one batch.
pub(super) struct Writer<'a> {
    pub(super) store: &'a dyn StateStore,
    pub(super) cache: &'a DocumentCache,
    pub(super) random: &'a dyn Random,
    pub(super) counters: &'a Counters,
    /// Counts the writes that the store took, of all batches.
    pub(super) writes_taken: &'a AtomicU64,
    /// When to give up.
    pub(super) until: Instant,
    /// A device that began before this and is cut off in the end had time enough.
    pub(super) fair_until: Instant,
}

/// [`Operations`] while they are being counted.
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

/// A device on its way.
struct Settling<'a> {
    writer: &'a Writer<'a>,
    device: &'a Device<'a>,
    base: Base,
    /// Whether it began early enough. If it is cut off then, it has had time enough, and that is its own failure; of one
    /// that began late it says only that the store is slow and the batch large.
    is_fair: bool,
    /// Whether its document is refused already when it is read: then no event of the device fares better alone.
    is_unreadable: bool,
    /// What the store itself said last.
    last_failure: Option<StoreError>,
}

/// A document as it is taken to be: good enough for a write, whose condition tells, and never a ground for not writing.
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

/// How the writing of some events of a device ended.
enum End {
    /// Written, over this document.
    Written(Option<Document>),
    /// Nothing to write: the document holds it all. With it, the document against which the events are to be counted.
    Held(Stored, Option<Document>),
}

impl Writer<'_> {
    /// Applies the events of one device: folded into one write; when the store refuses that, in halves and halves of
    /// halves, in order, down to the single events that it refuses.
    pub(super) async fn settle(&self, device: &Device<'_>) -> Settled {
        let mut settling = Settling::new(self, device);
        let mut settled = Settled::default();
        let mut parts = vec![device.events.as_slice()];
        while let Some(part) = parts.pop() {
            match settling.write(part).await {
                Ok(End::Written(before)) => settled.outcomes.extend(outcomes(before.as_ref(), part)),
                Ok(End::Held(stored, before)) => {
                    settled.outcomes.extend(outcomes(before.as_ref(), part));
                    settled.witness = Some(stored);
                }
                Err(error @ (StoreError::Rejected(_) | StoreError::BadRequest(_))) => {
                    if let Base::Stored(stored) = &settling.base {
                        settled.suspect = Some(stored.clone());
                    }
                    if part.len() > 1 && !settling.is_unreadable {
                        let (first, second) = part.split_at(part.len() / 2);
                        parts.extend([second, first]);
                        continue;
                    }
                    settled.outcomes.extend(part.iter().map(|event| unwritten(device, event, &error)));
                    if let StoreError::BadRequest(_) = error {
                        settled.bad_requests.extend(part.iter().map(|event| event.index));
                    }
                }
                // The time is up, or the store is broken: what is left fares no better.
                Err(error) => {
                    let left = &device.events[settled.outcomes.len()..];
                    settled.outcomes.extend(left.iter().map(|event| unwritten(device, event, &error)));
                    if let StoreError::Systemic(reason) = error {
                        settled.systemic = Some(reason);
                    }
                    return settled;
                }
            }
        }
        settled
    }

    /// Writes a document as it is, to learn whether the store takes writes at all.
    ///
    /// That another writer came first is no answer: he may have written it before this was asked. So it is asked anew, and
    /// not for ever, of a document that others write again and again.
    pub(super) async fn write_again(&self, mut stored: Stored) {
        const TRIES: usize = 5;
        let device = Device { id: stored.document.id.clone().into(), ..Device::default() };
        let settling = Settling::new(self, &device);
        for _ in 0..TRIES {
            match settling.replace(&stored.document, &stored.etag).await {
                Err(StoreError::Conflict) => {}
                _ => return,
            }
            match settling.read().await {
                Ok(Some(now)) => stored = now,
                _ => return,
            }
        }
    }
}

impl<'a> Settling<'a> {
    fn new(writer: &'a Writer<'a>, device: &'a Device<'a>) -> Self {
        let base = writer.cache.get(&device.id).map_or(Base::Unknown, Base::Stored);
        let is_fair = Instant::now() < writer.fair_until;
        Self { writer, device, base, is_fair, is_unreadable: false, last_failure: None }
    }

    /// Brings the document to what the events say, however often another writer comes first or the store stumbles.
    ///
    /// Ends with the error that stands when it is final or the time is up.
    async fn write(&mut self, events: &[DeviceEvent<'_>]) -> Result<End, StoreError> {
        let mut update = Update::default();
        // Neither order makes a difference, but from the newest on most readings are overtaken already.
        for event in events.iter().rev() {
            update.fold(event.version, event.readings);
        }
        self.is_unreadable = false;
        let mut backoff = Backoff::default();
        // The document before a write of ours of which it is not known whether it was done.
        let mut tried: Option<Option<Document>> = None;
        loop {
            let (stored, is_read) = match mem::take(&mut self.base) {
                Base::Stored(stored) => (Some(stored), false),
                Base::Absent => (None, false),
                Base::Unknown => match self.read().await {
                    Ok(stored) => (stored, true),
                    Err(error) => {
                        self.is_unreadable = matches!(error, StoreError::Rejected(_) | StoreError::BadRequest(_));
                        self.wait(&mut backoff, error).await?;
                        continue;
                    }
                },
            };
            let before = stored.as_ref().map(|stored| &stored.document);
            let mut document = before.cloned().unwrap_or_else(|| Document::new(self.device.id.clone().into_owned()));
            let changed = document.merge(&update);
            let written = match stored {
                // Only what was read just now may be the ground for not writing.
                Some(_) if !changed && !is_read => continue,
                Some(stored) if !changed => {
                    // A write whose answer was lost was done after all: the events are news to what was before it.
                    let ours = tried.filter(|before| stored.document.holds(&update, before.as_ref()));
                    let before = ours.unwrap_or_else(|| Some(stored.document.clone()));
                    return Ok(End::Held(stored, before));
                }
                Some(ref stored) => self.replace(&document, &stored.etag).await,
                None => self.create(&document).await,
            };
            match written {
                Ok(etag) => {
                    self.base = Base::Stored(Stored { document, etag });
                    return Ok(End::Written(stored.map(|stored| stored.document)));
                }
                Err(error) => {
                    tried = Some(stored.as_ref().map(|stored| stored.document.clone()));
                    if is_refusal(&error) {
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
        let read = self.in_time(store.read(&self.device.id, &counters.charge)).await?;
        if let Some(stored) = &read {
            cache.keep(&stored.document, &stored.etag);
        }
        Ok(read)
    }

    async fn create(&self, document: &Document) -> Result<ETag, StoreError> {
        self.put(document, self.writer.store.create(document, &self.writer.counters.charge)).await
    }

    async fn replace(&self, document: &Document, if_match: &ETag) -> Result<ETag, StoreError> {
        self.put(document, self.writer.store.replace(document, if_match, &self.writer.counters.charge)).await
    }

    /// A write, and what the cache and the count of writes are to know of it.
    async fn put(
        &self,
        document: &Document,
        write: impl Future<Output = Result<ETag, StoreError>>,
    ) -> Result<ETag, StoreError> {
        let Writer { cache, counters, writes_taken, .. } = self.writer;
        counters.writes.fetch_add(1, Relaxed);
        let written = self.in_time(write).await;
        match &written {
            Ok(etag) => {
                writes_taken.fetch_add(1, Relaxed);
                cache.keep(document, etag);
            }
            Err(error) if is_refusal(error) => {}
            Err(_) => cache.forget(&document.id),
        }
        written
    }

    /// An operation, cut off when the time is up, and not begun after that.
    async fn in_time<T>(&self, operation: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let until = self.writer.until;
        if Instant::now() >= until {
            return Err(self.out_of_time());
        }
        // What needs no waiting needs no timer.
        let mut operation = pin!(operation);
        let answer = match poll_immediate(operation.as_mut()).await {
            Some(answer) => Ok(answer),
            None => timeout_at(until, operation).await,
        };
        if let Ok(Err(StoreError::Throttled { .. })) = answer {
            self.writer.counters.throttled.fetch_add(1, Relaxed);
        }
        answer.unwrap_or_else(|_| Err(self.out_of_time()))
    }

    fn out_of_time(&self) -> StoreError {
        let before = match &self.last_failure {
            Some(failure) => format!("; before that: {failure}"),
            None => String::new(),
        };
        let reason = format!("the store did not answer within InvocationBudget{before}");
        match self.last_failure {
            _ if !self.is_fair => too_slow(&before),
            Some(StoreError::Throttled { delay, .. }) => StoreError::Throttled { reason, delay },
            _ => StoreError::Transient(reason),
        }
    }

    /// Waits before the next try; gives the error back when there is to be none.
    async fn wait(&mut self, backoff: &mut Backoff, error: StoreError) -> Result<(), StoreError> {
        let Writer { random, counters, until, .. } = *self.writer;
        let delay = match &error {
            StoreError::Conflict => {
                counters.conflicts.fetch_add(1, Relaxed);
                backoff.after_conflict(random)
            }
            StoreError::Transient(_) => backoff.after_failure(random),
            StoreError::Throttled { delay, .. } => backoff.after_failure(random).max(*delay),
            StoreError::Rejected(_) | StoreError::BadRequest(_) | StoreError::Systemic(_) => return Err(error),
        };
        if Instant::now() + delay >= until {
            // Answered early rather than slept through: the host's own delay comes next.
            return Err(if self.is_fair { error } else { too_slow(&format!("; the last: {error}")) });
        }
        if error != StoreError::Conflict {
            counters.retries.fetch_add(1, Relaxed);
        }
        self.last_failure = Some(error);
        sleep(delay).await;
        Ok(())
    }
}

/// A device came to its turn too late to be judged.
fn too_slow(before: &str) -> StoreError {
    let reason = format!("the store was too slow for the whole batch within InvocationBudget{before}");
    StoreError::Throttled { reason, delay: Duration::ZERO }
}

/// Counts events against the document before them.
fn outcomes(before: Option<&Document>, events: &[DeviceEvent]) -> impl Iterator<Item = Outcome> {
    let is_news = move |event: &DeviceEvent| match before {
        Some(document) => document.is_older_than(event.version, event.readings),
        None => true,
    };
    let has_readings = |event: &DeviceEvent| event.readings.iter().any(|reading| !reading.value.is_null());
    let applied = move |event: &DeviceEvent| is_news(event) || !has_readings(event);
    events.iter().map(move |event| if applied(event) { Outcome::Applied } else { Outcome::Superseded })
}

/// Whether the store refused the write, so that the document is most likely as it was.
fn is_refusal(error: &StoreError) -> bool {
    match error {
        StoreError::Rejected(_) | StoreError::BadRequest(_) | StoreError::Throttled { .. } => true,
        StoreError::Conflict | StoreError::Transient(_) | StoreError::Systemic(_) => false,
    }
}

fn unwritten(device: &Device, event: &DeviceEvent, error: &StoreError) -> Outcome {
    let failure = |class| failure(device, event, class, &error.to_string());
    match error {
        StoreError::Rejected(_) | StoreError::BadRequest(_) => Outcome::Failed(failure(ErrorClass::Poison)),
        StoreError::Conflict | StoreError::Transient(_) => Outcome::Unresolved(failure(ErrorClass::Transient)),
        StoreError::Throttled { .. } => Outcome::Unresolved(failure(ErrorClass::Throttled)),
        StoreError::Systemic(_) => Outcome::Unresolved(failure(ErrorClass::Systemic)),
    }
}

/// The failure of an event whose device could not be written.
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
