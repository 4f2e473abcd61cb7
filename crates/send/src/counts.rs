//! What has been done so far.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::failure::Failure;

/// Counts that all lanes add to.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Events that were made.
    pub(crate) made: AtomicU64,
    /// Events that the hub has.
    pub(crate) events: AtomicU64,
    /// Batches that the hub has.
    pub(crate) batches: AtomicU64,
    /// Their bytes on the wire.
    pub(crate) bytes: AtomicU64,
    /// Attempts that failed and were followed by another one.
    pub(crate) retries: AtomicU64,
    /// Events that were sent again without anybody knowing whether the hub had them.
    pub(crate) perhaps_twice: AtomicU64,
    last_retry: Mutex<Option<String>>,
}

impl Counts {
    /// The hub has a batch.
    pub(crate) fn sent(&self, events: u64, bytes: u64) {
        self.events.fetch_add(events, Relaxed);
        self.batches.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// There will be another attempt, and so many events are in the hub perhaps.
    pub(crate) fn retry(&self, reason: &Failure, perhaps_twice: u64) {
        self.retries.fetch_add(1, Relaxed);
        self.perhaps_twice.fetch_add(perhaps_twice, Relaxed);
        *self.last_retry.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_string());
    }

    /// Why there was the last of these attempts.
    pub(crate) fn last_retry(&self) -> Option<String> {
        self.last_retry.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
