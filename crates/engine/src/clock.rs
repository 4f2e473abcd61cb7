//! The wall clock and the source of randomness, as traits, so that a simulation can control both.
//!
//! Delays use `tokio::time` directly, since a test can pause its clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// A wall clock.
pub trait Clock: Send + Sync {
    /// Returns the current time in milliseconds since 1970, UTC.
    fn now_ms(&self) -> i64;
}

/// A source of randomness, for the jitter of backoffs.
pub trait Random: Send + Sync {
    /// Returns a random number in `0.0..1.0`.
    fn fraction(&self) -> f64;
}

/// The machine's clock, and a random number generator seeded by the operating system.
#[derive(Debug, Default, Clone, Copy)]
pub struct System;

impl Clock for System {
    #[expect(clippy::disallowed_methods, reason = "the only use of the system clock")]
    fn now_ms(&self) -> i64 {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
    }
}

impl Random for System {
    #[expect(clippy::disallowed_methods, reason = "the only use of randomness")]
    fn fraction(&self) -> f64 {
        fastrand::f64()
    }
}
