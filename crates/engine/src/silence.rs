//! The silence watch: finds the devices that fall silent and those that are back, and marks the documents of silent ones.
//!
//! A device is silent if its newest stored event was enqueued at least `SilentAfter` plus `HeardEvery` ago: the documents may be
//! `HeardEvery` older than the last event. The mark in the document, `SilentSince`, makes the records edge-triggered. It outlives
//! the process and is shared by all of them.
//!
//! The watch reads documents in the order of their last writes. One that was written less than the threshold ago cannot be of a
//! silent device, apart from an event that was late, and each other one is examined about once: by then it is either marked, or
//! its write has moved it to the end.

mod cursor;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    clock::Clock,
    device_state::{Document, device_id},
    observer::Observer,
    record::{DeviceBackRecord, DeviceSilentRecord, Record, SilenceWatchRecord},
    settings::{ConfigError, Settings},
    store::{ETag, Filter, RequestCharge, StateStore, StoreError, Stored, WrittenRange},
    text::iso8601,
    timespan,
};
use cursor::Cursor;

/// Limits the records of devices of each kind in a run. The summary counts all devices.
pub const MAX_DEVICE_RECORDS: u64 = 100;

/// How many documents are read at once. A store without an index of the times reads all rows for each page.
const PAGE_DOCUMENTS: usize = 1_000;

/// Reads the setting `SilentAfter`: how long a device must not have been heard to be silent; `None` if the watch is off, as by
/// default.
///
/// # Errors
///
/// Returns a [`ConfigError`] if the value is not a duration, or is shorter than twice `heard_every`.
pub fn silent_after(settings: &Settings, heard_every: Duration) -> Result<Option<Duration>, ConfigError> {
    let expected = "a duration such as 00:30:00, longer than zero and at least twice `HeardEvery`, which is 00:05:00 unless it \
                    is set (documents say when a device was last heard only to within `HeardEvery`; lower that, or raise this)";
    settings.parse("SilentAfter", None, expected, |value| {
        let span = timespan::parse(value)?;
        (span > Duration::ZERO && span >= heard_every.saturating_mul(2)).then_some(Some(span))
    })
}

/// Finds the devices that fall silent, and those that are back.
pub struct SilenceWatch {
    store: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
    /// The least age of a silent device's newest stored event, in milliseconds.
    threshold_ms: i64,
    concurrency: usize,
    /// How far the marked documents are examined for devices that are back.
    back: Cursor,
    /// How far all documents are examined for silent devices.
    silent: Cursor,
}

/// Why a run ended early. Its summary counts what was done before.
#[derive(Debug, thiserror::Error)]
pub enum SilenceError {
    /// An operation on the store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store did not answer in time.
    #[error("the store did not answer within {} s", .0.as_secs())]
    Timeout(Duration),
}

/// The two parts of a run.
#[derive(Debug, Clone, Copy)]
enum Search {
    /// The marked documents whose devices are back.
    Back,
    /// The documents whose devices are silent.
    Silent,
}

/// One run of the watch.
struct Run<'a> {
    watch: &'a SilenceWatch,
    /// A device is silent if it was last heard at this time or before, in milliseconds since 1970.
    silent_until_ms: i64,
    now_ms: i64,
    /// When the run stops examining documents.
    end: Instant,
    charge: RequestCharge,
    examined: AtomicU64,
    silent: AtomicU64,
    back: AtomicU64,
    rejected: AtomicU64,
}

impl SilenceWatch {
    /// Creates a watch of the devices whose documents are in this store. `silent_after` and `heard_every` are the settings, and
    /// `concurrency` limits the writes at the same time.
    #[must_use]
    pub fn new(
        store: Arc<dyn StateStore>,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn Observer>,
        (silent_after, heard_every): (Duration, Duration),
        concurrency: usize,
    ) -> Self {
        let threshold = silent_after.saturating_add(heard_every);
        let threshold_ms = i64::try_from(threshold.as_millis()).unwrap_or(i64::MAX);
        let (back, silent) = (Cursor::default(), Cursor::default());
        Self { store, clock, observer, threshold_ms, concurrency, back, silent }
    }

    /// Examines the documents that are due, and returns a summary. What half of the budget does not suffice for is left to the
    /// next run.
    ///
    /// The record of a device is written before its mark is set or removed: if the process ends between them, the next run
    /// records the device again. So each edge is recorded at least once.
    ///
    /// # Errors
    ///
    /// Returns, besides the summary, a [`SilenceError`] if the store fails, or does not answer within the budget. The next run
    /// examines again what this one could not complete.
    pub async fn run(&self, budget: Duration) -> (SilenceWatchRecord, Result<(), SilenceError>) {
        let now_ms = self.clock.now_ms();
        let started = Instant::now();
        let run = Run {
            watch: self,
            silent_until_ms: now_ms.saturating_sub(self.threshold_ms),
            now_ms,
            end: started + budget / 2,
            charge: RequestCharge::default(),
            examined: AtomicU64::default(),
            silent: AtomicU64::default(),
            back: AtomicU64::default(),
            rejected: AtomicU64::default(),
        };
        let searches = async {
            // First the devices that are back: they are few, and their documents must lose the marks to be found silent again.
            let has_all_back = run.search(Search::Back, started + budget / 4).await?;
            Ok(run.search(Search::Silent, run.end).await? && has_all_back)
        };
        let result = timeout(budget, searches).await.unwrap_or(Err(SilenceError::Timeout(budget)));
        let summary = SilenceWatchRecord {
            examined: run.examined.load(Relaxed),
            silent: run.silent.load(Relaxed),
            back: run.back.load(Relaxed),
            rejected: run.rejected.load(Relaxed),
            is_complete: matches!(result, Ok(true)),
            request_units: run.charge.units(),
        };
        (summary, result.map(drop))
    }
}

impl Run<'_> {
    /// Examines the documents of a search in pages. Returns false if the deadline passed before the last document.
    async fn search(&self, search: Search, deadline: Instant) -> Result<bool, SilenceError> {
        let SilenceWatch { store, concurrency, back, silent, .. } = self.watch;
        let (cursor, filter, until_ms) = match search {
            // Whatever the clock of the store says: a device that sends all the time was always written just now.
            Search::Back => (back, Filter::IsMarkedSilent, i64::MAX),
            Search::Silent => (silent, Filter::EVERY, self.silent_until_ms),
        };
        let mut after_ms = cursor.begin();
        loop {
            let range = WrittenRange { filter: &filter, after_ms, until_ms, limit: PAGE_DOCUMENTS };
            let page = store.written(range, &self.charge).await?;
            let Some(last_ms) = page.last().map(|written| written.written_ms) else { break };
            let is_last = page.len() < PAGE_DOCUMENTS || last_ms <= after_ms;
            let examinations: Vec<_> =
                page.into_iter().map(|written| self.examine_until(deadline, search, written.stored)).collect();
            let mut examinations = stream::iter(examinations).buffer_unordered(*concurrency);
            let mut are_all_examined = true;
            while let Some(is_examined) = examinations.try_next().await? {
                are_all_examined &= is_examined;
            }
            if !are_all_examined {
                return Ok(false);
            }
            // Only now: a page that was not completed is read again by the next run.
            cursor.advance(last_ms, self.now_ms);
            if is_last {
                break;
            }
            after_ms = last_ms;
        }
        cursor.complete(self.now_ms);
        Ok(true)
    }

    /// Examines a document, and returns true; returns false without doing so after the deadline.
    async fn examine_until(&self, deadline: Instant, search: Search, stored: Stored) -> Result<bool, StoreError> {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        self.examine(search, stored).await.map(|()| true)
    }

    async fn examine(&self, search: Search, stored: Stored) -> Result<(), StoreError> {
        self.examined.fetch_add(1, Relaxed);
        // A document of another program does not say when its device was heard. It is never marked.
        let Some(heard_ms) = stored.document.last_heard_ms() else { return Ok(()) };
        match (search, stored.document.silent_since()) {
            (Search::Back, Some(since_ms)) if heard_ms > since_ms => self.unmark(stored, since_ms, heard_ms).await,
            (Search::Silent, None) if heard_ms <= self.silent_until_ms => self.mark(stored, heard_ms).await,
            _ => Ok(()),
        }
    }

    /// Records a device that is silent, and marks its document.
    async fn mark(&self, Stored { mut document, etag }: Stored, heard_ms: i64) -> Result<(), StoreError> {
        let is_recorded = self.silent.fetch_add(1, Relaxed) < MAX_DEVICE_RECORDS;
        if is_recorded {
            self.watch.observer.record(&Record::DeviceSilent(DeviceSilentRecord {
                device_id: device_id(&document.id).into_owned(),
                silent_since: iso8601(heard_ms),
                silent_ms: self.now_ms.saturating_sub(heard_ms),
            }));
        }
        document.set_silent_since(Some(heard_ms));
        match self.replace(&document, &etag).await {
            Err(StoreError::Conflict) if is_recorded => self.take_back(&document.id, heard_ms).await,
            result => self.accept(result),
        }
    }

    /// Records that a device is back if that is why its document could not be marked: nothing else would end what was recorded.
    /// Another reason needs nothing. Another watch has set the mark, or a write of other readings has made the document due later.
    async fn take_back(&self, id: &str, since_ms: i64) -> Result<(), StoreError> {
        let stored = self.watch.store.read(id, &self.charge).await?;
        let heard_ms = stored.and_then(|stored| stored.document.last_heard_ms());
        if let Some(heard_ms) = heard_ms.filter(|heard_ms| *heard_ms > since_ms) {
            self.back.fetch_add(1, Relaxed);
            self.record_back(id, since_ms, heard_ms);
        }
        Ok(())
    }

    /// Records a device that is back, and removes the mark of its document.
    async fn unmark(
        &self,
        Stored { mut document, etag }: Stored,
        since_ms: i64,
        heard_ms: i64,
    ) -> Result<(), StoreError> {
        if self.back.fetch_add(1, Relaxed) < MAX_DEVICE_RECORDS {
            self.record_back(&document.id, since_ms, heard_ms);
        }
        document.set_silent_since(None);
        // After a conflict the document is still marked, and written again. The next run finds it.
        self.accept(self.replace(&document, &etag).await)
    }

    fn record_back(&self, id: &str, since_ms: i64, heard_ms: i64) {
        self.watch.observer.record(&Record::DeviceBack(DeviceBackRecord {
            device_id: device_id(id).into_owned(),
            silent_since: iso8601(since_ms),
            heard: iso8601(heard_ms),
            silent_ms: heard_ms.saturating_sub(since_ms),
        }));
    }

    /// Replaces a document. A store that limits the load is given the time that it asks for: otherwise a run would end after the few
    /// writes that the store allows at once, and the devices of a large site would be found over hours.
    async fn replace(&self, document: &Document, etag: &ETag) -> Result<(), StoreError> {
        loop {
            match self.watch.store.replace(document, etag, &self.charge).await {
                Err(StoreError::Throttled { delay, .. }) if !delay.is_zero() && Instant::now() + delay < self.end => {
                    sleep(delay).await;
                }
                result => return result.map(drop),
            }
        }
    }

    /// Accepts the result of a write, unless the store cannot write any document.
    fn accept(&self, result: Result<(), StoreError>) -> Result<(), StoreError> {
        match result {
            // Only this document is affected. It would fail each run and keep the watch from the documents after it.
            Err(StoreError::Rejected(reason) | StoreError::BadRequest(reason)) => {
                self.rejected.fetch_add(1, Relaxed);
                tracing::warn!("the silence watch cannot change a document: {reason}");
                Ok(())
            }
            Err(StoreError::Conflict) => Ok(()),
            result => result,
        }
    }
}
