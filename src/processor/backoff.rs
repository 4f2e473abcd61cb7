//! How long a device waits before it is tried again.

use std::time::Duration;

use crate::surroundings::Random;

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
