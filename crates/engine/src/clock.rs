//! Time and chance, as the processor takes them from outside, so that a simulation can own both.
//!
//! Waiting is not here: it goes through `tokio::time`, whose clock a test can pause.

use std::time::{SystemTime, UNIX_EPOCH};

/// Wall-clock time.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970, UTC.
    fn now_ms(&self) -> i64;
}

/// Chance, for the jitter of back-offs.
pub trait Random: Send + Sync {
    /// A number in `0.0..1.0`.
    fn fraction(&self) -> f64;
}

/// The machine's clock and a generator seeded by the operating system.
#[derive(Debug, Default, Clone, Copy)]
pub struct System;

impl Clock for System {
    #[expect(clippy::disallowed_methods, reason = "this is the place where time comes in")]
    fn now_ms(&self) -> i64 {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
    }
}

impl Random for System {
    #[expect(clippy::disallowed_methods, reason = "this is the place where chance comes in")]
    fn fraction(&self) -> f64 {
        fastrand::f64()
    }
}
