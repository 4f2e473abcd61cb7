//! Work that is done at a pace.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// So much a second, evenly; as fast as it goes without a number.
#[derive(Debug, Clone, Copy)]
pub struct RateLimit {
    per_second: Option<u32>,
    next: Instant,
}

impl RateLimit {
    /// At this pace; as fast as it goes without one.
    #[must_use]
    pub fn new(per_second: Option<u32>) -> Self {
        Self { per_second, next: Instant::now() }
    }

    /// How many to take at a time, up to this many.
    #[must_use]
    pub fn batch_size(&self, most: usize) -> usize {
        self.per_second.map_or(most, |rate| most.min(rate as usize))
    }

    /// Waits until so many may be done.
    pub async fn wait(&mut self, how_many: usize) {
        let Some(rate) = self.per_second else { return };
        let begin = self.next.max(Instant::now());
        self.next = begin + Duration::from_secs(1) * u32::try_from(how_many).unwrap_or(u32::MAX) / rate.max(1);
        sleep_until(begin).await;
    }
}
