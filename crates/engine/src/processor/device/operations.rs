//! The operations of one device on the store: each until the deadline, with its result in the cache and the counters.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::atomic::Ordering::Relaxed,
    task::Poll,
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout_at};

use super::{DeviceWrite, Writer};
use crate::{
    device_state::Document,
    processor::backoff::Backoff,
    store::{ETag, StoreError, Stored},
};

impl DeviceWrite<'_> {
    pub(super) async fn read(&self) -> Result<Option<Stored>, StoreError> {
        let Writer { store, cache, counters, .. } = self.writer;
        counters.reads.fetch_add(1, Relaxed);
        let read = self.before_deadline(store.read(&self.device.id, &counters.charge)).await?;
        if let Some(stored) = &read {
            cache.insert(&stored.document, &stored.etag);
        }
        Ok(read)
    }

    pub(super) async fn create(&self, document: &Document) -> Result<ETag, StoreError> {
        self.record_write(document, self.writer.store.create(document, &self.writer.counters.charge)).await
    }

    pub(super) async fn replace(&self, document: &Document, if_match: &ETag) -> Result<ETag, StoreError> {
        self.record_write(document, self.writer.store.replace(document, if_match, &self.writer.counters.charge)).await
    }

    /// Runs a write and updates the cache and the counters from its result.
    async fn record_write(
        &self,
        document: &Document,
        write: impl Future<Output = Result<ETag, StoreError>>,
    ) -> Result<ETag, StoreError> {
        let Writer { cache, counters, .. } = self.writer;
        counters.writes.fetch_add(1, Relaxed);
        let written = self.before_deadline(write).await;
        match &written {
            Ok(etag) => cache.insert(document, etag),
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
        if Instant::now() >= self.deadline {
            return Err(self.deadline_error());
        }
        let response = self.unless_straggling(timeout_at(self.deadline, operation)).await.and_then(Result::ok);
        if let Some(Err(StoreError::Throttled { .. })) = response {
            self.writer.counters.throttled.fetch_add(1, Relaxed);
        }
        response.unwrap_or_else(|| Err(self.deadline_error()))
    }

    /// Runs a future unless the stragglers must end, before or while it runs: then returns `None`. A throttled device is no
    /// straggler, since it must wait; nor is one after a conflict, since another writer was first.
    async fn unless_straggling<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let is_waiting = matches!(self.last_failure, Some(StoreError::Throttled { .. } | StoreError::Conflict));
        let mut future = pin!(future);
        poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Pending if !is_waiting && self.writer.must_stragglers_end.load(Relaxed) => Poll::Ready(None),
            polled => polled.map(Some),
        })
        .await
    }

    /// Returns the error of an operation that reached the deadline.
    fn deadline_error(&self) -> StoreError {
        let before = match &self.last_failure {
            Some(failure) => format!("; before that: {failure}"),
            None => String::new(),
        };
        let is_at_end = Instant::now() >= self.writer.deadline;
        let limit = if is_at_end { "`InvocationBudget`" } else { "the time that the other devices took" };
        let reason = format!("the store did not respond within {limit}{before}");
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
    pub(super) async fn wait(&mut self, backoff: &mut Backoff, error: StoreError) -> Result<(), StoreError> {
        let Writer { random, counters, .. } = *self.writer;
        let delay = match &error {
            StoreError::Conflict => {
                counters.conflicts.fetch_add(1, Relaxed);
                backoff.after_conflict(random)
            }
            StoreError::Transient(_) if self.is_faulty => return Err(error),
            StoreError::Transient(_) => backoff.after_failure(random),
            StoreError::Throttled { delay, .. } => backoff.after_failure(random).max(*delay),
            StoreError::Rejected(_) | StoreError::BadRequest(_) | StoreError::Refused(_) | StoreError::Systemic(_) => {
                return Err(error);
            }
        };
        if Instant::now() + delay >= self.deadline {
            // Failing early is better than sleeping until the deadline: the host's own retry delay comes next.
            return Err(if self.started_in_time { error } else { slow_store_error(&format!("; the last: {error}")) });
        }
        if error != StoreError::Conflict {
            counters.retries.fetch_add(1, Relaxed);
        }
        self.last_failure = Some(error.clone());
        self.unless_straggling(sleep(delay)).await.ok_or(error)
    }
}

/// Returns the error of a device that started too late: the load of the store is the cause, not the device.
fn slow_store_error(before: &str) -> StoreError {
    let reason = format!("the store was too slow for the entire batch within `InvocationBudget`{before}");
    StoreError::Throttled { reason, delay: Duration::ZERO }
}

/// Returns true if the store rejected the write, so that the document is most likely unchanged.
pub(super) fn is_rejected_write(error: &StoreError) -> bool {
    match error {
        StoreError::Rejected(_) | StoreError::BadRequest(_) | StoreError::Refused(_) | StoreError::Throttled { .. } => {
            true
        }
        StoreError::Conflict | StoreError::Transient(_) | StoreError::Systemic(_) => false,
    }
}
