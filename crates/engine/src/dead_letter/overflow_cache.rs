//! Stores the large dead letters of a batch in the overflow. If one attempt is too short, the next one continues.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use quick_cache::sync::Cache;
use tokio::time::{Instant, timeout_at};

use super::{DeadLetter, Overflow, OverflowError, Pointer};

/// Stores dead letters in the overflow, and caches the pointers to those that an earlier attempt of the batch has stored.
///
/// The cache is bounded and lost with the process. A dead letter whose pointer was evicted is stored once more.
pub struct OverflowCache {
    overflow: Arc<dyn Overflow>,
    batches: Cache<String, Arc<StoredPointers>>,
}

/// The stored dead letters of a batch, by the event's index and the dead letter's id. Both are needed: events without a
/// sequence number may have the same id, and without an invocation id another batch with the same first event has the same key.
type StoredPointers = Mutex<HashMap<(usize, String), Pointer>>;

/// The maximum number of batches in the cache: far more than the partitions that one process owns.
const MAX_TRACKED_BATCHES: usize = 256;

impl OverflowCache {
    /// Creates a cache over an overflow.
    #[must_use]
    pub fn new(overflow: Arc<dyn Overflow>) -> Self {
        Self { overflow, batches: Cache::new(MAX_TRACKED_BATCHES) }
    }

    /// Stores the dead letter of the event with this index in the batch with this key, unless it is stored already.
    ///
    /// # Errors
    ///
    /// Returns an [`OverflowError`] if it is not certain that it is stored at the deadline.
    pub async fn store(
        &self,
        batch: &str,
        index: usize,
        letter: &DeadLetter,
        deadline: Instant,
    ) -> Result<Pointer, OverflowError> {
        let stored = self.batches.get_or_insert_with(batch, || Ok::<_, OverflowError>(Arc::default()))?;
        let event = (index, letter.id.clone());
        if let Some(pointer) = stored.lock().unwrap_or_else(PoisonError::into_inner).get(&event) {
            return Ok(pointer.clone());
        }
        if Instant::now() >= deadline {
            return Err(OverflowError::too_slow(&letter.id));
        }
        let put = timeout_at(deadline, letter.store_in(&*self.overflow)).await;
        let pointer = put.unwrap_or_else(|_| Err(OverflowError::too_slow(&letter.id)))?;
        stored.lock().unwrap_or_else(PoisonError::into_inner).insert(event, pointer.clone());
        Ok(pointer)
    }

    /// Removes a completed batch.
    pub fn forget(&self, batch: &str) {
        self.batches.remove(batch);
    }
}
