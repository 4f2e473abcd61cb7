//! Triggers the crash of an instance.

use std::{
    future::pending,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use tokio::sync::watch;

/// Fires when a batch is half appended, after a threshold of events. From then on every task that appends waits forever, until
/// the instance is dropped.
pub(crate) struct CrashTrigger {
    threshold: usize,
    appended: AtomicUsize,
    fired: watch::Sender<bool>,
}

impl CrashTrigger {
    pub(crate) fn new(threshold: usize) -> Self {
        Self { threshold, appended: AtomicUsize::new(0), fired: watch::Sender::new(false) }
    }

    /// Records that `events` more events were appended; `is_half` if that was half of their batch.
    pub(crate) async fn advance(&self, events: usize, is_half: bool) {
        let appended = self.appended.fetch_add(events, Relaxed) + events;
        if appended >= self.threshold && is_half {
            self.fired.send_replace(true);
        }
        if *self.fired.borrow() {
            pending::<()>().await;
        }
    }

    /// Waits until the trigger has fired.
    pub(crate) async fn wait_until_fired(&self) {
        let mut fired = self.fired.subscribe();
        fired.wait_for(|fired| *fired).await.expect("the sender exists");
    }
}
