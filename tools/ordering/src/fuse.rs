//! The moment at which an instance dies.

use std::{
    future::pending,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use tokio::sync::watch;

/// Blows when a batch is half appended, once so many events have been. From then on nobody who has it appends any
/// more: whoever comes to it stands still, until the instance is gone.
pub(crate) struct Fuse {
    length: usize,
    burnt: AtomicUsize,
    blown: watch::Sender<bool>,
}

impl Fuse {
    pub(crate) fn new(length: usize) -> Self {
        Self { length, burnt: AtomicUsize::new(0), blown: watch::Sender::new(false) }
    }

    /// So many events more have been appended, and maybe half of their batch by that.
    pub(crate) async fn burn(&self, events: usize, is_half: bool) {
        let burnt = self.burnt.fetch_add(events, Relaxed) + events;
        if burnt >= self.length && is_half {
            self.blown.send_replace(true);
        }
        if *self.blown.borrow() {
            pending::<()>().await;
        }
    }

    /// Waits until it is blown.
    pub(crate) async fn blown(&self) {
        let mut blown = self.blown.subscribe();
        blown.wait_for(|blown| *blown).await.expect("the sender is here");
    }
}
