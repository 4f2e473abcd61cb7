//! The backoff between the tries of one device.

use std::time::Duration;

use crate::clock::Random;

/// Computes the delays between the tries of one device. Conflicts and failures are counted separately.
#[derive(Default)]
pub(super) struct Backoff {
    conflicts: u32,
    failures: u32,
}

impl Backoff {
    /// Returns the delay after a conflict: none the first time, since the other write is done when a conflict is noticed.
    pub(super) fn after_conflict(&mut self, random: &dyn Random) -> Duration {
        self.conflicts += 1;
        jittered(Duration::from_millis(5), self.conflicts - 1, Duration::from_millis(500), random)
    }

    /// Returns the delay after a transient failure or a throttled operation.
    pub(super) fn after_failure(&mut self, random: &dyn Random) -> Duration {
        self.failures += 1;
        jittered(Duration::from_millis(50), self.failures, Duration::from_secs(5), random)
    }
}

/// Returns a random delay between half and all of a delay that doubles with each try. The jitter keeps the devices of a
/// batch, and of other instances, from retrying at the same time.
fn jittered(first: Duration, tries: u32, longest: Duration, random: &dyn Random) -> Duration {
    if tries == 0 {
        return Duration::ZERO;
    }
    let doubled = first.saturating_mul(2_u32.saturating_pow(tries - 1));
    doubled.min(longest).mul_f64(0.5 + random.fraction() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct FixedRandom(f64);

    impl Random for FixedRandom {
        fn fraction(&self) -> f64 {
            self.0
        }
    }

    /// Returns the first delays, in microseconds.
    fn delays(fraction: f64, next: fn(&mut Backoff, &dyn Random) -> Duration) -> [u128; 9] {
        let mut backoff = Backoff::default();
        std::array::from_fn(|_| next(&mut backoff, &FixedRandom(fraction)).as_micros())
    }

    #[test]
    fn delays_double_up_to_a_maximum_and_jitter_halves_them_at_most() {
        let full_ms = [50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000];
        for (fraction, per_mille) in [(0.0, 500), (0.5, 750), (1.0, 1_000)] {
            assert_eq!(delays(fraction, Backoff::after_failure), full_ms.map(|ms| ms * per_mille), "{fraction}");
        }
    }

    #[test]
    fn the_first_conflict_is_retried_without_a_delay() {
        let full_ms = [0, 5, 10, 20, 40, 80, 160, 320, 500];
        assert_eq!(delays(1.0, Backoff::after_conflict), full_ms.map(|ms| ms * 1_000));
    }

    #[test]
    fn conflicts_and_failures_are_counted_separately() {
        let mut backoff = Backoff::default();
        backoff.after_failure(&FixedRandom(1.0));
        assert_eq!(backoff.after_conflict(&FixedRandom(1.0)), Duration::ZERO);
        assert_eq!(backoff.after_failure(&FixedRandom(1.0)), Duration::from_millis(100));
    }
}
