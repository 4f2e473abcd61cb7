//! Counts the operations of a batch while they run.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::store::{Operations, RequestCharge};

/// The [`Operations`] of a batch while they are counted.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) reads: AtomicU64,
    pub(super) writes: AtomicU64,
    pub(super) conflicts: AtomicU64,
    pub(super) retries: AtomicU64,
    pub(super) throttled: AtomicU64,
    pub(super) charge: RequestCharge,
}

impl Counters {
    pub(super) fn total(&self) -> Operations {
        let Self { reads, writes, conflicts, retries, throttled, charge } = self;
        let [reads, writes, conflicts, retries, throttled] =
            [reads, writes, conflicts, retries, throttled].map(|count| count.load(Relaxed));
        Operations { reads, writes, conflicts, retries, throttled, request_units: charge.units() }
    }
}
