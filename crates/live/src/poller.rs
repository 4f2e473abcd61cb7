//! Reads the devices of the store repeatedly into the memory that all readers share.

use std::{collections::HashSet, sync::Arc, time::Duration};

use devicestate_engine::{
    store::{Filter, Pages, RequestCharge, StoreError, WrittenRange},
    text::truncated,
};
use tokio::time::{Instant, sleep, timeout};

use crate::{fleet::MAX_DEVICES, shared::Shared};

/// Limits the documents that are read at once. A store may read all documents for each page.
const MAX_PAGE_DOCUMENTS: usize = 5_000;

/// Limits the pages of one read.
const MAX_PAGES: usize = 100;

/// Limits the time of one operation of the store.
const STORE_TIME: Duration = Duration::from_secs(30);

/// The first read of what was written begins this long before the server was started, in milliseconds: the list that was read
/// before it may be that old, and the clock of the store that far behind.
const FIRST_RANGE_MS: i64 = 60_000;

/// The wait after a failed read.
const MIN_DELAY_AFTER_FAILURE: Duration = Duration::from_secs(1);
const MAX_DELAY_AFTER_FAILURE: Duration = Duration::from_mins(1);

/// Reads the store until it is dropped.
pub(crate) struct Poller {
    shared: Arc<Shared>,
    /// The time of the last write that was read; `None` before the first list.
    after_ms: Option<i64>,
    /// How many documents of the last list were invalid.
    invalid: u64,
    counted: Instant,
    /// How long the last read of what was written took.
    took: Duration,
}

impl Poller {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, after_ms: None, invalid: 0, counted: Instant::now(), took: Duration::ZERO }
    }

    pub(crate) async fn run(mut self) {
        let poll = self.shared.options.poll;
        loop {
            if !self.is_wanted() {
                sleep(poll.every).await;
                continue;
            }
            let result = self.read().await;
            // A large store is read less often, so that reading it takes at most a quarter of the time.
            let mut delay = poll.every.max(self.took * 3);
            self.shared.fleet().end_read(result.as_ref().err().map(problem));
            if let Err(error) = result {
                delay = delay.max(delay_after(&error)).min(MAX_DELAY_AFTER_FAILURE);
            }
            sleep(delay).await;
        }
    }

    /// Returns whether the store is read.
    fn is_wanted(&self) -> bool {
        !self.shared.options.poll.only_for_readers || self.shared.has_readers()
    }

    async fn read(&mut self) -> Result<(), StoreError> {
        if self.after_ms.is_none() {
            let now_ms = self.shared.now_ms();
            self.read_list().await?;
            self.after_ms = Some(now_ms - FIRST_RANGE_MS);
            self.count().await?;
        }
        let started = Instant::now();
        self.read_written().await?;
        self.took = started.elapsed();
        if self.counted.elapsed() >= self.shared.options.poll.count_every && self.count().await? {
            self.read_list().await?;
            self.count().await?;
        }
        Ok(())
    }

    /// Reads what was written since the last read.
    async fn read_written(&mut self) -> Result<(), StoreError> {
        let (charge, every) = (RequestCharge::default(), Filter::EVERY);
        let store = &self.shared.options.store;
        let settled_ms = store.settled_ms();
        let mut after_ms = self.after_ms.unwrap_or_default();
        // Devices that are written faster than the store is read are read again later.
        for _ in 0..MAX_PAGES {
            let range = WrittenRange { filter: &every, after_ms, until_ms: i64::MAX, limit: MAX_PAGE_DOCUMENTS };
            let written = in_time(store.written(range, &charge)).await?;
            let Some(last_ms) = written.last().map(|last| last.written_ms) else { break };
            let is_last_page = written.len() < MAX_PAGE_DOCUMENTS || last_ms <= after_ms;
            self.shared.fleet().apply_all(written);
            after_ms = last_ms.max(after_ms);
            // The newest documents are read again until no other write of their time can follow.
            self.after_ms = self.after_ms.max(Some(after_ms.min(settled_ms)));
            if is_last_page {
                break;
            }
        }
        Ok(())
    }

    /// Reads the documents in the order of their ids, as far as there is room, and removes the devices that are not there.
    async fn read_list(&mut self) -> Result<(), StoreError> {
        let mut pages = Pages::new(&*self.shared.options.store, MAX_DEVICES);
        let (mut seen, mut invalid, mut last_id) = (HashSet::new(), 0, None);
        loop {
            let page = match in_time(pages.next()).await {
                Ok(Some(page)) => page,
                Ok(None) => break,
                // Only this page is read again: those before it have cost request units.
                Err(error @ StoreError::Throttled { .. }) if self.is_wanted() => {
                    self.shared.fleet().end_read(Some(problem(&error)));
                    sleep(delay_after(&error)).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let mut fleet = self.shared.fleet();
            for document in page.documents {
                seen.insert(document.id.clone());
                fleet.apply_listed(document);
            }
            invalid += page.invalid.len();
            last_id = page.last_id.or(last_id);
        }
        let is_complete = seen.len() + invalid < MAX_DEVICES;
        self.invalid = invalid as u64;
        let is_listed = |id: &str| is_complete || last_id.as_deref().is_some_and(|last| id <= last);
        self.shared.fleet().retain(|id| seen.contains(id) || !is_listed(id));
        Ok(())
    }

    /// Counts the documents, and returns whether the devices in memory must be read again: some were deleted, or one is missing.
    async fn count(&mut self) -> Result<bool, StoreError> {
        let stored = in_time(self.shared.options.store.count(&Filter::EVERY, &RequestCharge::default())).await?;
        // Invalid documents are counted, too, and are never shown.
        let stored = stored.saturating_sub(self.invalid);
        self.counted = Instant::now();
        let mut fleet = self.shared.fleet();
        let held = fleet.len() as u64;
        fleet.missing = stored.saturating_sub(held);
        Ok(stored < held || (stored > held && fleet.has_room()))
    }
}

fn problem(error: &StoreError) -> String {
    truncated(&format!("the store cannot be read: {error}"))
}

/// Returns how long the store is left alone after an error.
fn delay_after(error: &StoreError) -> Duration {
    let asked = if let StoreError::Throttled { delay, .. } = error { *delay } else { Duration::ZERO };
    asked.clamp(MIN_DELAY_AFTER_FAILURE, MAX_DELAY_AFTER_FAILURE)
}

/// Ends an operation of the store that takes too long.
pub(crate) async fn in_time<T>(operation: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let late = |_| StoreError::Transient(format!("it did not answer within {} s", STORE_TIME.as_secs()));
    timeout(STORE_TIME, operation).await.map_err(late)?
}

#[cfg(test)]
mod tests;
