//! How much a hub takes a second, by its throughput units.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// What one unit of a Standard namespace takes in a second: so many events, and so many bytes.
const EVENTS: u64 = 1_000;
const BYTES: u64 = 1_000_000;

/// The throughput units of a hub. What is too much in a second is refused, as the service does with the answer that it is
/// busy, and sent again in the next one, as its clients do.
pub struct Throughput {
    units: u64,
    refused: AtomicU64,
    second: Mutex<Second>,
}

/// What was taken in the second that goes on.
struct Second {
    ends: Instant,
    events: u64,
    bytes: u64,
}

impl Throughput {
    /// So many units.
    #[must_use]
    pub fn new(units: u32) -> Self {
        let second = Second { ends: Instant::now(), events: 0, bytes: 0 };
        Self { units: units.into(), refused: AtomicU64::new(0), second: Mutex::new(second) }
    }

    /// How often something was refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Waits until an event of so many bytes is taken.
    pub(super) async fn admit(&self, bytes: usize) {
        while let Err(ends) = self.take(bytes as u64) {
            self.refused.fetch_add(1, Relaxed);
            sleep_until(ends).await;
        }
    }

    /// Takes it, or says when to come again.
    fn take(&self, bytes: u64) -> Result<(), Instant> {
        let mut second = self.second.lock().unwrap_or_else(PoisonError::into_inner);
        if Instant::now() >= second.ends {
            *second = Second { ends: Instant::now() + Duration::from_secs(1), events: 0, bytes: 0 };
        }
        let is_too_much = second.events >= EVENTS * self.units || second.bytes + bytes > BYTES * self.units;
        // One that is larger than all of a second would never be taken: it gets a second of its own.
        if is_too_much && second.events > 0 {
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
    async fn a_unit_takes_a_thousand_events_or_a_megabyte_a_second_and_refuses_the_rest_for_the_moment() {
        for (units, events, bytes, seconds) in
            [(1, 3_000, 10, 2), (3, 3_000, 10, 0), (1, 4, 500_000, 1), (1, 3, 2_000_000, 2)]
        {
            let throughput = Throughput::new(units);
            let began = Instant::now();
            for _ in 0..events {
                throughput.admit(bytes).await;
            }
            assert_eq!(
                (began.elapsed().as_secs(), throughput.refused()),
                (seconds, seconds),
                "{units} {events} {bytes}"
            );
        }
    }
}
