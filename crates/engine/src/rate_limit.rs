//! Limits the rate of operations.

use std::time::Duration;

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
