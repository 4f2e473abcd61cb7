//! Limits the rate of operations and of lines of the log.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// Limits operations to a number per second, evenly spaced. Without a number there is no limit.
#[derive(Debug, Clone, Copy)]
pub struct RateLimit {
    per_second: Option<u32>,
    next: Instant,
}

impl RateLimit {
    /// Creates a limit of `per_second` operations per second; `None` is unlimited.
    #[must_use]
    pub fn new(per_second: Option<u32>) -> Self {
        Self { per_second, next: Instant::now() }
    }

    /// Returns how many operations to start together: at most `limit`, and at most those of one second.
    #[must_use]
    pub fn batch_size(&self, limit: usize) -> usize {
        self.per_second.map_or(limit, |rate| limit.min(rate as usize))
    }

    /// Waits until `count` operations may start.
    pub async fn wait(&mut self, count: usize) {
        let Some(rate) = self.per_second else { return };
        let start = self.next.max(Instant::now());
        self.next = start + Duration::from_secs(1) * u32::try_from(count).unwrap_or(u32::MAX) / rate.max(1);
        sleep_until(start).await;
    }
}

/// Limits a line of the log that every request or batch could cause to one a minute.
#[derive(Debug, Default)]
pub struct OncePerMinute(Mutex<Option<Instant>>);

impl OncePerMinute {
    /// Returns true if the last time was at least a minute ago.
    #[must_use]
    pub fn is_due(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| last.elapsed() >= Duration::from_mins(1));
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }
}
