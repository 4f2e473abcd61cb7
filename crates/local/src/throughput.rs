//! The throughput limit of a hub.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// Events and bytes per second that one throughput unit of a Standard namespace accepts.
const EVENTS_PER_UNIT: u64 = 1_000;
const BYTES_PER_UNIT: u64 = 1_000_000;

/// The throughput units of a hub. An event above the limit of a second is throttled, as the service does with `ServerBusy`,
/// and sent again in the next second, as the service's clients do.
pub struct Throughput {
    units: u64,
    throttled: AtomicU64,
    second: Mutex<Second>,
}

/// The events and bytes accepted in the current second.
struct Second {
    ends: Instant,
    events: u64,
    bytes: u64,
}

impl Throughput {
    /// Returns a limit of this many units.
    #[must_use]
    pub fn new(units: u32) -> Self {
        let second = Second { ends: Instant::now(), events: 0, bytes: 0 };
        Self { units: units.into(), throttled: AtomicU64::new(0), second: Mutex::new(second) }
    }

    /// Returns how many attempts to send were throttled.
    #[must_use]
    pub fn throttled(&self) -> u64 {
        self.throttled.load(Relaxed)
    }

    /// Waits until an event with this many bytes is accepted.
    pub(super) async fn admit(&self, bytes: usize) {
        while let Err(ends) = self.try_admit(bytes as u64) {
            self.throttled.fetch_add(1, Relaxed);
            sleep_until(ends).await;
        }
    }

    /// Accepts the event.
    ///
    /// # Errors
    ///
    /// The time at which to try again.
    fn try_admit(&self, bytes: u64) -> Result<(), Instant> {
        let mut second = self.second.lock().unwrap_or_else(PoisonError::into_inner);
        if Instant::now() >= second.ends {
            *second = Second { ends: Instant::now() + Duration::from_secs(1), events: 0, bytes: 0 };
        }
        let is_over_limit =
            second.events >= EVENTS_PER_UNIT * self.units || second.bytes + bytes > BYTES_PER_UNIT * self.units;
        // An event that is larger than the limit gets a second for itself; otherwise it would never be accepted.
        if is_over_limit && second.events > 0 {
            return Err(second.ends);
        }
        second.events += 1;
        second.bytes += bytes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_unit_accepts_a_thousand_events_or_a_megabyte_per_second_and_throttles_the_rest() {
        for (units, events, bytes, seconds) in
            [(1, 3_000, 10, 2), (3, 3_000, 10, 0), (1, 4, 500_000, 1), (1, 3, 2_000_000, 2)]
        {
            let throughput = Throughput::new(units);
            let began = Instant::now();
            for _ in 0..events {
                throughput.admit(bytes).await;
            }
            assert_eq!(
                (began.elapsed().as_secs(), throughput.throttled()),
                (seconds, seconds),
                "{units} {events} {bytes}"
            );
        }
    }
}
