//! What the readers share: the devices, the dead letters and the options.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::{Options, fleet::Fleet, letters::Letters};

/// Limits the readers of events at the same time.
const MAX_READERS: usize = 32;

pub(crate) struct Shared {
    pub(crate) options: Options,
    fleet: Mutex<Fleet>,
    letters: Mutex<Arc<Letters>>,
    readers: Arc<Semaphore>,
    /// Becomes true when the server ends.
    pub(crate) is_ending: watch::Sender<bool>,
}

impl Shared {
    pub(crate) fn new(options: Options) -> Arc<Self> {
        Arc::new(Self {
            options,
            fleet: Mutex::default(),
            letters: Mutex::default(),
            readers: Arc::new(Semaphore::new(MAX_READERS)),
            is_ending: watch::channel(false).0,
        })
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.options.api.clock.now_ms()
    }

    /// Returns the id of the partition of a version's source, if it is known.
    pub(crate) fn partition(&self, source: u64) -> Option<&str> {
        // The lowest bit says only how the events of the source are ordered.
        self.options.partitions.get(&(source & !1)).map(String::as_str)
    }

    /// Returns the devices. No caller holds them over an operation that waits.
    pub(crate) fn fleet(&self) -> MutexGuard<'_, Fleet> {
        // A panic leaves at most one device out.
        self.fleet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn letters(&self) -> Arc<Letters> {
        Arc::clone(&self.letters.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set_letters(&self, letters: Letters) {
        let mut held = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        // A reader sends what it has not sent, which it recognizes by its address.
        if **held != letters {
            *held = Arc::new(letters);
        }
    }

    /// Admits a reader of events; `None` if there are too many.
    pub(crate) fn admit_reader(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.readers).try_acquire_owned().ok()
    }

    pub(crate) fn has_readers(&self) -> bool {
        self.readers.available_permits() < MAX_READERS
    }
}
