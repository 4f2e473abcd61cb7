//! Whether a batch is answered for good or sent again, and whose fault it is when a device stays unresolved.
//!
//! The shipped retry policy has no end, since only the handler knows whose fault a failure is: an outage of the store
//! holds the partition, while one device that the store will not have must not hold it for ever.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
};

use crate::{
    failure::{ErrorClass, Failure, Stage},
    processor::Outcome,
};

/// What is done with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is answered for good: what is unresolved is dead-lettered.
    Complete,
    /// The invocation is failed, and the host sends the batch again.
    Retry,
}

/// How often batches failed by a fault of their own, in memory. A restart of the handler starts the count again, which
/// only delays a dead letter.
#[derive(Debug)]
pub struct Attempts {
    limit: u32,
    batches: Mutex<HashMap<String, Batch>>,
}

#[derive(Debug, Default)]
struct Batch {
    /// By device; a failure outside any device has its count under the empty name.
    failed: HashMap<String, u32>,
    /// When it was last seen, as a count of decisions: the oldest is forgotten first.
    seen: u64,
}

/// The most batches to remember: far more than partitions that one process owns.
const REMEMBERED: usize = 4_096;

impl Attempts {
    /// Dead-letters what failed by its own fault in this many attempts.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self { limit, batches: Mutex::default() }
    }

    /// Decides on an attempt of the batch with this key.
    ///
    /// `will_retry` says whether the host sends the batch again when this attempt fails; failing is never the last
    /// word, because the host checkpoints past a batch that failed for the last time.
    #[must_use]
    pub fn decide(&self, key: &str, outcomes: &[Outcome], will_retry: bool, store_takes_writes: bool) -> Decision {
        let mut batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        let unresolved = || {
            outcomes.iter().filter_map(|outcome| match outcome {
                Outcome::Unresolved(failure) => Some(failure),
                Outcome::Applied | Outcome::Superseded | Outcome::Failed(_) => None,
            })
        };
        if !will_retry || unresolved().next().is_none() {
            return Decision::Complete;
        }
        let seen = batches.values().map(|batch| batch.seen).max().unwrap_or_default() + 1;
        if batches.len() >= REMEMBERED && !batches.contains_key(key) {
            let oldest = batches.iter().min_by_key(|(_, batch)| batch.seen).map(|(key, _)| key.clone());
            oldest.map(|key| batches.remove(&key));
        }
        let batch = batches.entry(key.to_owned()).or_default();
        batch.seen = seen;
        let is_blamed = |failure: &Failure| is_device_failure(failure, store_takes_writes);
        let blamed: BTreeSet<&str> = unresolved().filter(|failure| is_blamed(failure)).map(device).collect();
        for device in blamed {
            *batch.failed.entry(device.to_owned()).or_default() += 1;
        }
        let is_due = |device: &str| batch.failed.get(device).is_some_and(|failed| *failed >= self.limit);
        // One reply is for the whole batch: it waits until nothing in it is worth another attempt.
        if unresolved().all(|failure| is_blamed(failure) && is_due(device(failure))) {
            Decision::Complete
        } else {
            Decision::Retry
        }
    }

    /// In how many attempts this batch has failed by a fault of its own.
    #[must_use]
    pub fn failures(&self, key: &str) -> u32 {
        let batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        batches.get(key).and_then(|batch| batch.failed.values().copied().max()).unwrap_or_default()
    }

    /// Forgets a batch that has been answered for good.
    pub fn forget(&self, key: &str) {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// Whether what stays unresolved is a fault of the event or its device, and not of the store.
#[must_use]
pub fn is_device_failure(unresolved: &Failure, store_takes_writes: bool) -> bool {
    match unresolved.stage {
        // What is not the store's fault comes again the same.
        Stage::Envelope | Stage::Deserialize | Stage::Validate => true,
        Stage::Update => match unresolved.class {
            ErrorClass::Poison | ErrorClass::Transient => store_takes_writes,
            // However often: that is the store's load, or its state, and says nothing of the device.
            ErrorClass::Throttled | ErrorClass::Systemic => false,
        },
    }
}

/// Whom a failure is counted for.
fn device(failure: &Failure) -> &str {
    failure.device_id.as_deref().unwrap_or_default()
}
