//! Dead letters too large for the queue, put into the overflow over as many attempts of their batch as that takes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use quick_cache::sync::Cache;
use tokio::time::{Instant, timeout_at};

use super::{DeadLetter, Overflow, OverflowError, Pointer};

/// Keeps dead letters in the overflow, and knows which ones an earlier attempt of their batch has already put there.
///
/// This memory is lost with the process, and bounded: what is forgotten too soon is only put there once more.
pub struct OverflowCache {
    overflow: Arc<dyn Overflow>,
    batches: Cache<String, Arc<StoredPointers>>,
}

/// What is kept of a batch, by the event's index and the dead letter's id. Neither is enough: events without a sequence
/// number may have the same id, and the host may cut the stream into other batches that begin the same.
type StoredPointers = Mutex<HashMap<(usize, String), Pointer>>;

/// The most batches to remember: far more than partitions that one process owns.
const MAX_TRACKED_BATCHES: usize = 256;

impl OverflowCache {
    /// Keeps dead letters there.
    #[must_use]
    pub fn new(overflow: Arc<dyn Overflow>) -> Self {
        Self { overflow, batches: Cache::new(MAX_TRACKED_BATCHES) }
    }

    /// Keeps the dead letter of an event, by its index in the batch with this key, unless it is kept already.
    ///
    /// # Errors
    ///
    /// [`OverflowError`], when it is not surely kept by then.
    pub async fn store(
        &self,
        batch: &str,
        index: usize,
        letter: &DeadLetter,
        until: Instant,
    ) -> Result<Pointer, OverflowError> {
        let stored = self.batches.get_or_insert_with(batch, || Ok::<_, OverflowError>(Arc::default()))?;
        let event = (index, letter.id.clone());
        if let Some(pointer) = stored.lock().unwrap_or_else(PoisonError::into_inner).get(&event) {
            return Ok(pointer.clone());
        }
        if Instant::now() >= until {
            return Err(OverflowError::too_slow(&letter.id));
        }
        let put = timeout_at(until, letter.store_in(&*self.overflow)).await;
        let pointer = put.unwrap_or_else(|_| Err(OverflowError::too_slow(&letter.id)))?;
        stored.lock().unwrap_or_else(PoisonError::into_inner).insert(event, pointer.clone());
        Ok(pointer)
    }

    /// Forgets a batch that has been answered for good.
    pub fn forget(&self, batch: &str) {
        self.batches.remove(batch);
    }
}
