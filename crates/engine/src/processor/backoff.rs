//! How long a device waits before it is tried again.

use std::time::Duration;

use crate::clock::Random;

/// The delays between the tries of one device.
#[derive(Default)]
pub(super) struct Backoff {
    conflicts: u32,
    failures: u32,
}

impl Backoff {
    /// A conflict is over when it is noticed: at once the first time, and then soon.
    pub(super) fn after_conflict(&mut self, random: &dyn Random) -> Duration {
        self.conflicts += 1;
        jittered(Duration::from_millis(5), self.conflicts - 1, Duration::from_millis(500), random)
    }

    pub(super) fn after_failure(&mut self, random: &dyn Random) -> Duration {
        self.failures += 1;
        jittered(Duration::from_millis(50), self.failures, Duration::from_secs(5), random)
    }
}

/// Between half of and the whole of a delay that doubles with each try: the devices of a batch, and of other
/// instances, do not come back all at once.
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

    struct Chance(f64);

    impl Random for Chance {
        fn fraction(&self) -> f64 {
            self.0
        }
    }

    /// The first delays, in microseconds.
    fn delays(chance: f64, next: fn(&mut Backoff, &dyn Random) -> Duration) -> [u128; 9] {
        let mut backoff = Backoff::default();
        std::array::from_fn(|_| next(&mut backoff, &Chance(chance)).as_micros())
    }

    #[test]
    fn delays_double_up_to_the_longest_and_chance_takes_up_to_half_of_them() {
        let whole = [50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000];
        for (chance, per_mille) in [(0.0, 500), (0.5, 750), (1.0, 1_000)] {
            assert_eq!(delays(chance, Backoff::after_failure), whole.map(|ms| ms * per_mille), "{chance}");
        }
    }

    #[test]
    fn a_conflict_is_tried_again_at_once_and_only_then_after_delays() {
        let whole = [0, 5, 10, 20, 40, 80, 160, 320, 500];
        assert_eq!(delays(1.0, Backoff::after_conflict), whole.map(|ms| ms * 1_000));
    }

    #[test]
    fn conflicts_and_failures_are_counted_apart() {
        let mut backoff = Backoff::default();
        backoff.after_failure(&Chance(1.0));
        assert_eq!(backoff.after_conflict(&Chance(1.0)), Duration::ZERO);
        assert_eq!(backoff.after_failure(&Chance(1.0)), Duration::from_millis(100));
    }
}
