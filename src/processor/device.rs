//! One device: read, merge, write under a condition, back off. The loop of optimistic concurrency stands here, once.

use std::{
    future::Future,
    mem,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tokio::time::{Instant, sleep, timeout_at};

use super::{DocumentCache, Operations, Outcome, backoff::Backoff, device_state};
use crate::{
    dead_letter::{ErrorClass, Failure, Stage},
    device_state::{Document, Reading, Update, Version},
    store::{ETag, RequestCharge, StateStore, StoreError, Stored},
    surroundings::Random,
};

/// A decoded event.
pub(super) struct DeviceEvent {
    /// Its place in the batch.
    pub(super) index: usize,
    pub(super) version: Version,
    pub(super) readings: Vec<Reading>,
}

/// What became of a device.
#[derive(Default)]
pub(super) struct Settled {
    /// One outcome for each of its events.
    pub(super) outcomes: Vec<Outcome>,
    /// Its document as it is stored, when there was nothing to write or what there was to write was refused. It can be
    /// written again to learn whether the store takes writes at all.
    pub(super) witness: Option<Stored>,
    /// A failure that says something about the other devices, too.
    pub(super) fault: Option<Fault>,
}

/// A failure that says something about the other devices, too.
pub(super) enum Fault {
    /// The store called each write a bad request: a fault of the device's events unless all devices fare so.
    BadRequest,
    /// No other device will fare better.
    Systemic(String),
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
    /// An operation that began before this and is cut off in the end had time enough.
    pub(super) fair_until: Instant,
}

/// [`Operations`] while they are being counted.
#[derive(Default)]
pub(super) struct Counters {
    reads: AtomicU64,
    writes: AtomicU64,
    conflicts: AtomicU64,
    retries: AtomicU64,
    charge: RequestCharge,
    /// The last transient failure of any device, for those who wonder why the time was up.
    last_failure: Mutex<Option<String>>,
}

impl Counters {
    pub(super) fn total(&self) -> Operations {
        let Self { reads, writes, conflicts, retries, charge, .. } = self;
        let [reads, writes, conflicts, retries] = [reads, writes, conflicts, retries].map(|count| count.load(Relaxed));
        Operations { reads, writes, conflicts, retries, request_units: charge.units() }
    }
}

/// A device on its way.
struct Device<'a> {
    id: &'a str,
    base: Base,
    /// Whether it began early enough. A device that then is cut off has had time enough, and that is its own failure;
    /// of one that began late it says only that the store is slow and the batch large.
    is_fair: bool,
    /// Whether its document is refused already when it is read: then no event of the device fares better alone.
    is_unreadable: bool,
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
    pub(super) async fn settle(&self, id: &str, events: &[DeviceEvent]) -> Settled {
        let is_fair = Instant::now() < self.fair_until;
        let base = self.cache.get(id).map_or(Base::Unknown, Base::Stored);
        let mut device = Device { id, base, is_fair, is_unreadable: false };
        let mut settled = Settled::default();
        let mut bad_requests = 0;
        let mut parts = vec![events];
        while let Some(part) = parts.pop() {
            match self.write(&mut device, part).await {
                Ok(End::Written(before)) => settled.outcomes.extend(outcomes(before.as_ref(), part)),
                Ok(End::Held(stored, before)) => {
                    settled.outcomes.extend(outcomes(before.as_ref(), part));
                    settled.witness = Some(stored);
                }
                Err(error @ (StoreError::Rejected(_) | StoreError::BadRequest(_))) => {
                    if let (None, Base::Stored(stored)) = (&settled.witness, &device.base) {
                        settled.witness = Some(stored.clone());
                    }
                    if part.len() > 1 && !device.is_unreadable {
                        let (first, second) = part.split_at(part.len() / 2);
                        parts.extend([second, first]);
                        continue;
                    }
                    settled.outcomes.extend(part.iter().map(|event| unwritten(id, event, &error)));
                    bad_requests += if matches!(error, StoreError::BadRequest(_)) { part.len() } else { 0 };
                }
                // The time is up, or the store is broken: what is left fares no better.
                Err(error) => {
                    let left = &events[settled.outcomes.len()..];
                    settled.outcomes.extend(left.iter().map(|event| unwritten(id, event, &error)));
                    settled.fault = Fault::of(&error);
                    return settled;
                }
            }
        }
        settled.fault = (bad_requests == events.len()).then_some(Fault::BadRequest);
        settled
    }

    /// Brings the document to what the events say, however often another writer comes first or the store stumbles.
    ///
    /// Ends with the error that stands when it is final or the time is up.
    async fn write(&self, device: &mut Device<'_>, events: &[DeviceEvent]) -> Result<End, StoreError> {
        let mut update = Update::default();
        for event in events {
            update.fold(event.version, &event.readings);
        }
        let mut backoff = Backoff::default();
        // The document before a write of ours of which it is not known whether it was done.
        let mut tried: Option<Option<Document>> = None;
        loop {
            let (stored, is_read) = match mem::take(&mut device.base) {
                Base::Stored(stored) => (Some(stored), false),
                Base::Absent => (None, false),
                Base::Unknown => match self.read(device).await {
                    Ok(stored) => (stored, true),
                    Err(error) => {
                        device.is_unreadable = matches!(error, StoreError::Rejected(_) | StoreError::BadRequest(_));
                        self.wait(&mut backoff, error).await?;
                        continue;
                    }
                },
            };
            let before = stored.as_ref().map(|stored| &stored.document);
            let mut document = before.cloned().unwrap_or_else(|| Document::new(device.id.to_owned()));
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
                Some(ref stored) => self.replace(&document, &stored.etag, device.is_fair).await,
                None => self.create(&document, device.is_fair).await,
            };
            match written {
                Ok(etag) => {
                    device.base = Base::Stored(Stored { document, etag });
                    return Ok(End::Written(stored.map(|stored| stored.document)));
                }
                Err(error) => {
                    tried = Some(stored.as_ref().map(|stored| stored.document.clone()));
                    if is_undone(&error) {
                        device.base = stored.into();
                    }
                    self.wait(&mut backoff, error).await?;
                }
            }
        }
    }

    async fn read(&self, device: &Device<'_>) -> Result<Option<Stored>, StoreError> {
        self.counters.reads.fetch_add(1, Relaxed);
        let read = self.in_time(self.store.read(device.id, &self.counters.charge), device.is_fair).await?;
        if let Some(stored) = &read {
            self.cache.keep(&stored.document, &stored.etag);
        }
        Ok(read)
    }

    async fn create(&self, document: &Document, is_fair: bool) -> Result<ETag, StoreError> {
        self.taken(document, self.store.create(document, &self.counters.charge), is_fair).await
    }

    async fn replace(&self, document: &Document, if_match: &ETag, is_fair: bool) -> Result<ETag, StoreError> {
        self.taken(document, self.store.replace(document, if_match, &self.counters.charge), is_fair).await
    }

    /// Writes a document as it is, to learn whether the store takes writes at all.
    pub(super) async fn write_again(&self, Stored { document, etag }: &Stored) {
        let _ = self.replace(document, etag, false).await;
    }

    /// A write, and what the cache and the count of writes are to know of it.
    async fn taken(
        &self,
        document: &Document,
        write: impl Future<Output = Result<ETag, StoreError>>,
        is_fair: bool,
    ) -> Result<ETag, StoreError> {
        self.counters.writes.fetch_add(1, Relaxed);
        let written = self.in_time(write, is_fair).await;
        match &written {
            Ok(etag) => {
                self.writes_taken.fetch_add(1, Relaxed);
                self.cache.keep(document, etag);
            }
            Err(error) if is_undone(error) => {}
            Err(_) => self.cache.forget(&document.id),
        }
        written
    }

    /// An operation, cut off when the time is up.
    async fn in_time<T>(
        &self,
        operation: impl Future<Output = Result<T, StoreError>>,
        is_fair: bool,
    ) -> Result<T, StoreError> {
        timeout_at(self.until, operation).await.unwrap_or_else(|_| {
            let before = match &*self.last_failure() {
                Some(failure) => format!("; before that: {failure}"),
                None => String::new(),
            };
            Err(if is_fair {
                StoreError::Transient(format!("the store did not answer within InvocationBudget{before}"))
            } else {
                // The devices behind it will fare no better.
                StoreError::Systemic(format!(
                    "the store was too slow for the whole batch within InvocationBudget{before}"
                ))
            })
        })
    }

    fn last_failure(&self) -> MutexGuard<'_, Option<String>> {
        self.counters.last_failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits before the next try; gives the error back when there is to be none.
    async fn wait(&self, backoff: &mut Backoff, error: StoreError) -> Result<(), StoreError> {
        let delay = match &error {
            StoreError::Conflict => {
                self.counters.conflicts.fetch_add(1, Relaxed);
                backoff.after_conflict(self.random)
            }
            StoreError::Transient(reason) => {
                *self.last_failure() = Some(reason.clone());
                backoff.after_failure(self.random)
            }
            StoreError::Throttled { reason, delay } => {
                *self.last_failure() = Some(reason.clone());
                backoff.after_failure(self.random).max(*delay)
            }
            StoreError::Rejected(_) | StoreError::BadRequest(_) | StoreError::Systemic(_) => return Err(error),
        };
        if Instant::now() + delay >= self.until {
            // Answered early rather than slept through: the host's own delay comes next.
            return Err(error);
        }
        if error != StoreError::Conflict {
            self.counters.retries.fetch_add(1, Relaxed);
        }
        sleep(delay).await;
        Ok(())
    }
}

/// Counts events against the document before them.
fn outcomes(before: Option<&Document>, events: &[DeviceEvent]) -> Vec<Outcome> {
    let is_news = |event: &DeviceEvent| match before {
        Some(document) => document.is_older_than(event.version, &event.readings),
        None => true,
    };
    let has_readings = |event: &DeviceEvent| event.readings.iter().any(|reading| !reading.value.is_null());
    let applied = |event: &DeviceEvent| is_news(event) || !has_readings(event);
    events.iter().map(|event| if applied(event) { Outcome::Applied } else { Outcome::Superseded }).collect()
}

impl Fault {
    fn of(error: &StoreError) -> Option<Self> {
        match error {
            StoreError::BadRequest(_) => Some(Self::BadRequest),
            StoreError::Systemic(reason) => Some(Self::Systemic(reason.clone())),
            StoreError::Conflict
            | StoreError::Rejected(_)
            | StoreError::Transient(_)
            | StoreError::Throttled { .. } => None,
        }
    }
}

/// Whether this error says that the write was surely not done, and so that the document is as it was.
fn is_undone(error: &StoreError) -> bool {
    match error {
        StoreError::Rejected(_) | StoreError::BadRequest(_) | StoreError::Throttled { .. } => true,
        StoreError::Conflict | StoreError::Transient(_) | StoreError::Systemic(_) => false,
    }
}

fn unwritten(id: &str, event: &DeviceEvent, error: &StoreError) -> Outcome {
    let failure = |class| failure(id, event, class, &error.to_string());
    match error {
        StoreError::Rejected(_) | StoreError::BadRequest(_) => Outcome::Failed(failure(ErrorClass::Poison)),
        StoreError::Conflict | StoreError::Transient(_) => Outcome::Unresolved(failure(ErrorClass::Transient)),
        StoreError::Throttled { .. } => Outcome::Unresolved(failure(ErrorClass::Throttled)),
        StoreError::Systemic(_) => Outcome::Unresolved(failure(ErrorClass::Systemic)),
    }
}

/// The failure of an event whose device could not be written.
pub(super) fn failure(id: &str, event: &DeviceEvent, class: ErrorClass, reason: &str) -> Failure {
    Failure {
        stage: Stage::Update,
        class,
        issue: format!("the state document {id:?} was not written: {reason}"),
        device_id: Some(id.to_owned()),
        device_state: Some(device_state(id, &event.readings)),
    }
}
