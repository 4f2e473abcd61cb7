//! Counts of a run.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::failure::Failure;

/// Counts that all workers add to.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Events that were created.
    pub(crate) created: AtomicU64,
    /// Events that the hub accepted.
    pub(crate) events: AtomicU64,
    /// Records in these events: more than events if they are packed.
    pub(crate) records: AtomicU64,
    /// Batches that the hub accepted.
    pub(crate) batches: AtomicU64,
    /// Their bytes on the wire.
    pub(crate) bytes: AtomicU64,
    /// Attempts that failed and were followed by another one.
    pub(crate) retries: AtomicU64,
    /// Events that were sent again although the hub may have accepted them.
    pub(crate) possible_duplicates: AtomicU64,
    last_retry: Mutex<Option<String>>,
}

impl Counts {
    /// Counts a batch that the hub accepted.
    pub(crate) fn record_accepted(&self, events: u64, records: u64, bytes: u64) {
        self.events.fetch_add(events, Relaxed);
        self.records.fetch_add(records, Relaxed);
        self.batches.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// Counts an attempt that failed and is repeated. The hub may have accepted this many of its events.
    pub(crate) fn record_retry(&self, reason: &Failure, possible_duplicates: u64) {
        self.retries.fetch_add(1, Relaxed);
        self.possible_duplicates.fetch_add(possible_duplicates, Relaxed);
        *self.last_retry.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_string());
    }

    /// Returns the reason of the last retry.
    pub(crate) fn last_retry_reason(&self) -> Option<String> {
        self.last_retry.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
