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

    /// Returns how many operations to start together: at most `most`, and at most those of one second.
    #[must_use]
    pub fn batch_size(&self, most: usize) -> usize {
        self.per_second.map_or(most, |rate| most.min(rate as usize))
    }

    /// Waits until `how_many` operations may start.
    pub async fn wait(&mut self, how_many: usize) {
        let Some(rate) = self.per_second else { return };
        let begin = self.next.max(Instant::now());
        self.next = begin + Duration::from_secs(1) * u32::try_from(how_many).unwrap_or(u32::MAX) / rate.max(1);
        sleep_until(begin).await;
    }
}
