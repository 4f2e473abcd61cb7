//! Decides whether an attempt of a batch completes it or fails, so that the host sends the batch again.
//!
//! The shipped retry policy is endless, because only the handler can distinguish an outage of the store from a failure of
//! one device. During an outage the partition must wait; one device that the store rejects must not block it forever.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
};

use crate::{
    failure::{ErrorClass, Failure, Stage},
    processor::Outcome,
};

/// What the handler does with a batch after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Completes the batch: events that are still unresolved become dead letters.
    Complete,
    /// Fails the invocation, so that the host sends the batch again.
    Retry,
}

/// Counts, per batch and device, the attempts that failed because of the device and not because of the store.
///
/// The counts are in memory. A restart of the handler resets them, which only delays a dead letter.
#[derive(Debug)]
pub struct Attempts {
    limit: u32,
    batches: Mutex<HashMap<String, FailedBatch>>,
}

#[derive(Debug, Default)]
struct FailedBatch {
    /// Failed attempts by device id. A failure that belongs to no device counts under the empty id.
    failed_attempts: HashMap<String, u32>,
    /// The number of the last decision about this batch. The batch with the lowest number is evicted first.
    last_decision: u64,
}

/// The maximum number of batches whose failures are counted: far more than the partitions that one process owns.
const MAX_TRACKED_BATCHES: usize = 4_096;

impl Attempts {
    /// Creates counters. The events of a device are dead-lettered after `limit` failed attempts of the device.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self { limit, batches: Mutex::default() }
    }

    /// Decides on an attempt of the batch with this key, from one outcome for each of its events.
    ///
    /// `will_retry` is true if the host sends the batch again when this attempt fails. Without another attempt the decision
    /// is always [`Decision::Complete`], because the host checkpoints past a batch whose last attempt failed.
    /// `store_accepts_writes` is [`Processed::store_accepts_writes`](crate::processor::Processed::store_accepts_writes).
    #[must_use]
    pub fn decide(&self, key: &str, outcomes: &[Outcome], will_retry: bool, store_accepts_writes: bool) -> Decision {
        let mut batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        let unresolved = || {
            outcomes.iter().filter_map(|outcome| match outcome {
                Outcome::Unresolved(failure) => Some(failure),
                _ => None,
            })
        };
        if !will_retry || unresolved().next().is_none() {
            return Decision::Complete;
        }
        let last_decision = batches.values().map(|batch| batch.last_decision).max().unwrap_or_default() + 1;
        if batches.len() >= MAX_TRACKED_BATCHES && !batches.contains_key(key) {
            let oldest = batches.iter().min_by_key(|(_, batch)| batch.last_decision).map(|(key, _)| key.clone());
            oldest.map(|key| batches.remove(&key));
        }
        let batch = batches.entry(key.to_owned()).or_default();
        batch.last_decision = last_decision;
        let is_device_fault = |failure: &Failure| is_device_failure(failure, store_accepts_writes);
        // A device counts once per attempt, however many of its events are unresolved.
        let failed_devices: BTreeSet<&str> =
            unresolved().filter(|failure| is_device_fault(failure)).flat_map(counted_devices).collect();
        for device_id in failed_devices {
            *batch.failed_attempts.entry(device_id.to_owned()).or_default() += 1;
        }
        let is_exhausted =
            |device_id: &str| batch.failed_attempts.get(device_id).is_some_and(|failed| *failed >= self.limit);
        // One reply answers the entire batch, so it completes only when no unresolved event is worth another attempt. A
        // single failure of the store (throttled, systemic) keeps the batch waiting, whatever the counts are.
        if unresolved().all(|failure| is_device_fault(failure) && counted_devices(failure).all(is_exhausted)) {
            Decision::Complete
        } else {
            Decision::Retry
        }
    }

    /// Returns the highest number of failed attempts of any device in this batch; 0 for a batch that has not failed.
    #[must_use]
    pub fn failures(&self, key: &str) -> u32 {
        let batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        batches.get(key).and_then(|batch| batch.failed_attempts.values().copied().max()).unwrap_or_default()
    }

    /// Removes the counts of a completed batch.
    pub fn forget(&self, key: &str) {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// Returns true if an unresolved failure was caused by the event or its device, and not by the store.
///
/// A failed write is the device's only if the store accepted other documents in the same attempt: otherwise the store
/// itself, or a part of it, may be down.
#[must_use]
pub fn is_device_failure(unresolved: &Failure, store_accepts_writes: bool) -> bool {
    match unresolved.stage {
        // These stages do not use the store, so the next attempt fails in the same way.
        Stage::Envelope | Stage::Deserialize | Stage::Validate => true,
        Stage::Update => match unresolved.class {
            ErrorClass::Poison | ErrorClass::Transient => store_accepts_writes,
            // However often it occurs: this is the load or the state of the store, not a property of the device.
            ErrorClass::Throttled | ErrorClass::Systemic => false,
        },
    }
}

/// Returns the device ids under which a failure is counted.
fn counted_devices(failure: &Failure) -> impl Iterator<Item = &str> {
    let no_device = failure.device_id.is_none().then_some("");
    failure.devices().chain(no_device)
}
