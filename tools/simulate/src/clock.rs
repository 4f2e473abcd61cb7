//! The time and the random numbers of one run. Both depend only on the seed, and nothing else may influence a run.

use std::sync::{Mutex, PoisonError};

use devicestate_engine::clock::{Clock, Random};
use fastrand::Rng;
use tokio::time::{Duration, Instant};

use super::metrics::Metrics;

/// The start time of each run, in milliseconds since 1970.
pub(crate) const START_MS: i64 = 1_732_150_000_000;

/// The clock, random numbers and metrics that all parts of a run share.
pub(crate) struct SimulatedClock {
    started: Instant,
    rng: Mutex<Rng>,
    /// The counts, violations and trace so far.
    pub(crate) metrics: Metrics,
}

impl SimulatedClock {
    pub(crate) fn new(rng: Rng, metrics: Metrics) -> Self {
        Self { started: Instant::now(), rng: Mutex::new(rng), metrics }
    }

    /// Returns the time since the run began.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn draw<T>(&self, draw: impl FnOnce(&mut Rng) -> T) -> T {
        draw(&mut self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns true with this probability.
    pub(crate) fn chance(&self, per_mille: u32) -> bool {
        per_mille > 0 && self.draw(|rng| rng.u32(..1_000) < per_mille)
    }

    /// Returns a random duration of up to `max` milliseconds.
    pub(crate) fn random_millis(&self, max: u64) -> Duration {
        Duration::from_millis(self.draw(|rng| rng.u64(..=max)))
    }

    /// Adds a line to the trace, if the run is traced.
    pub(crate) fn trace(&self, what: impl FnOnce() -> String) {
        self.metrics.trace(self.now(), what);
    }

    /// Records a violation: something that must never happen.
    pub(crate) fn record_violation(&self, what: &str) {
        self.metrics.record_violation(self.now(), what);
    }
}

impl Clock for SimulatedClock {
    fn now_ms(&self) -> i64 {
        START_MS + i64::try_from(self.now().as_millis()).unwrap_or(i64::MAX)
    }
}

impl Random for SimulatedClock {
    fn fraction(&self) -> f64 {
        self.draw(Rng::f64)
    }
}
