//! One event that fails.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use devicestate_ordering::plan::Numbered;
use tokio::sync::watch;

/// The number of attempts that fail. Without a delay between attempts, a time limit would only measure the machine's speed. It
/// is below Service Bus's default maximum delivery count of 10, after which a message is dead-lettered.
pub(crate) const FAILURES: u32 = 4;

/// An event that fails until no other event can be processed: the last failing attempt is held until [`Fault::release`], and
/// then fails like the others. The next attempt succeeds.
pub(crate) struct Fault {
    pub(crate) event: Numbered,
    attempts: AtomicU32,
    held: watch::Sender<bool>,
    release: watch::Sender<bool>,
}

impl Fault {
    pub(crate) fn new(event: Numbered) -> Self {
        let unset = || watch::Sender::new(false);
        Self { event, attempts: AtomicU32::new(0), held: unset(), release: unset() }
    }

    /// Returns whether an invocation with these events fails.
    pub(crate) async fn should_fail(&self, events: &[Numbered]) -> bool {
        if !events.contains(&self.event) {
            return false;
        }
        let attempt = self.attempts.fetch_add(1, Relaxed) + 1;
        if attempt == FAILURES {
            self.held.send_replace(true);
            self.release.subscribe().wait_for(|is_released| *is_released).await.expect("the sender exists");
        }
        attempt <= FAILURES
    }

    /// Waits until the last failing attempt is held.
    pub(crate) async fn wait_until_held(&self) {
        self.held.subscribe().wait_for(|held| *held).await.expect("the sender exists");
    }

    /// Releases the held attempt.
    pub(crate) fn release(&self) {
        self.release.send_replace(true);
    }

    /// Returns the number of attempts so far.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts.load(Relaxed)
    }
}
