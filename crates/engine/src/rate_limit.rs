//! Limits the rate of operations and of lines of the log.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// Limits how far a [`RateLimit`] lets operations catch up. Timers fire up to some milliseconds late, and a busy machine runs a
/// task later still; after a longer delay, a burst of everything that is due would exceed the rate for a noticeable time.
const MAX_CATCH_UP: Duration = Duration::from_millis(100);

/// Limits operations to a number per second, evenly spaced. Without a number there is no limit.
///
/// Operations that were up to 100 ms late are caught up, so that the rate is reached although timers are not exact.
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
        let now = Instant::now();
        let start = self.next.max(now.checked_sub(MAX_CATCH_UP).unwrap_or(now));
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

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    /// The timers of tokio have a resolution of one millisecond, also with a paused clock.
    #[tokio::test(start_paused = true)]
    async fn a_rate_above_the_resolution_of_timers_is_reached() {
        let started = Instant::now();
        let mut rate_limit = RateLimit::new(Some(3_000));
        for _ in 0..30_001 {
            rate_limit.wait(1).await;
        }
        let millis = started.elapsed().as_millis();
        assert!((10_000..=10_001).contains(&millis), "{millis} ms");
    }

    #[tokio::test(start_paused = true)]
    async fn at_most_a_tenth_of_a_second_is_caught_up() {
        let mut rate_limit = RateLimit::new(Some(100));
        rate_limit.wait(1).await;
        advance(Duration::from_mins(1)).await;
        let started = Instant::now();
        let mut at_once = 0;
        while started.elapsed().is_zero() {
            rate_limit.wait(1).await;
            at_once += 1;
        }
        // The ten that were due within the last 100 ms, the one that is due, and the first one that had to wait.
        assert_eq!(at_once, 12);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_number_nothing_waits() {
        let started = Instant::now();
        let mut rate_limit = RateLimit::new(None);
        rate_limit.wait(1_000_000).await;
        assert!(started.elapsed().is_zero());
    }
}
