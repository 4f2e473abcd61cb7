//! Time and chance of one run, both made from its seed: nothing else may decide anything.

use std::sync::{Mutex, PoisonError};

use devicestate_engine::clock::{Clock, Random};
use fastrand::Rng;
use tokio::time::{Duration, Instant};

use super::book::Book;

/// When each run begins, in milliseconds since 1970.
pub(crate) const T0: i64 = 1_732_150_000_000;

/// What everything in a run shares.
pub(crate) struct Surroundings {
    started: Instant,
    rng: Mutex<Rng>,
    /// What has happened.
    pub(crate) book: Book,
}

impl Surroundings {
    pub(crate) fn new(rng: Rng, book: Book) -> Self {
        Self { started: Instant::now(), rng: Mutex::new(rng), book }
    }

    /// The time since the run began.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn draw<T>(&self, of: impl FnOnce(&mut Rng) -> T) -> T {
        of(&mut self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// True so often in a thousand times.
    pub(crate) fn happens(&self, per_mille: u32) -> bool {
        per_mille > 0 && self.draw(|rng| rng.u32(..1_000) < per_mille)
    }

    /// Some milliseconds, up to so many.
    pub(crate) fn millis(&self, most: u64) -> Duration {
        Duration::from_millis(self.draw(|rng| rng.u64(..=most)))
    }

    /// Writes down what happens, in the trace of a run that is watched.
    pub(crate) fn trace(&self, what: impl FnOnce() -> String) {
        self.book.trace(self.now(), what);
    }

    /// Writes down that something happened that must never happen.
    pub(crate) fn violation(&self, what: &str) {
        self.book.violation(self.now(), what);
    }
}

impl Clock for Surroundings {
    fn now_ms(&self) -> i64 {
        T0 + i64::try_from(self.now().as_millis()).unwrap_or(i64::MAX)
    }
}

impl Random for Surroundings {
    fn fraction(&self) -> f64 {
        self.draw(Rng::f64)
    }
}
