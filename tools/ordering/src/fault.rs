//! One event that fails.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use devicestate_ordering::plan::Numbered;
use tokio::sync::watch;

/// How often it fails. Without a delay between attempts, a number that goes by time would only tell how fast the machine is.
/// It stays below the 10 deliveries behind which Service Bus dead-letters a message by itself.
pub(crate) const FAILURES: u32 = 4;

/// An event that fails for as long as anything else can move: the last failing attempt is held until somebody has seen
/// that nothing does, and is then answered like those before. The next one succeeds.
pub(crate) struct Fault {
    pub(crate) event: Numbered,
    attempts: AtomicU32,
    held: watch::Sender<bool>,
    nothing_moves: watch::Sender<bool>,
}

impl Fault {
    pub(crate) fn of(event: Numbered) -> Self {
        let no = || watch::Sender::new(false);
        Self { event, attempts: AtomicU32::new(0), held: no(), nothing_moves: no() }
    }

    /// Whether an invocation with these events fails.
    pub(crate) async fn strikes(&self, events: &[Numbered]) -> bool {
        if !events.contains(&self.event) {
            return false;
        }
        let attempt = self.attempts.fetch_add(1, Relaxed) + 1;
        if attempt == FAILURES {
            self.held.send_replace(true);
            self.nothing_moves.subscribe().wait_for(|nothing| *nothing).await.expect("the sender is here");
        }
        attempt <= FAILURES
    }

    /// Waits until the last failing attempt is held.
    pub(crate) async fn held(&self) {
        self.held.subscribe().wait_for(|held| *held).await.expect("the sender is here");
    }

    /// Everything has moved that could.
    pub(crate) fn nothing_moves(&self) {
        self.nothing_moves.send_replace(true);
    }

    /// How often the event came.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts.load(Relaxed)
    }
}
