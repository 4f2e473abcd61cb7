//! The faults of the demonstration, and the switches by which a host kills its handler and loses the lease of a partition.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use serde::Serialize;
use tokio::sync::watch;

/// The faults that a demonstration has injected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InjectedFaults {
    /// Handlers that were killed during a batch.
    pub handlers_killed: u64,
    /// Leases of partitions that were lost during a batch.
    pub leases_lost: u64,
    /// How often the checkpoints were rewound.
    pub rewinds: u64,
    /// Events that were read again because of lost leases and rewinds.
    pub events_read_again: u64,
}

/// Kills a handler during a batch.
#[derive(Debug, Default)]
pub(super) struct KillSwitch {
    is_armed: AtomicBool,
    killed: AtomicU64,
}

impl KillSwitch {
    /// Arms the switch: at the next reply its handler is killed, and the reply is lost.
    pub(super) fn arm(&self) {
        self.is_armed.store(true, Relaxed);
    }

    /// Returns whether the handler must be killed now: once after each [`arm`](Self::arm).
    pub(super) fn disarm(&self) -> bool {
        let is_armed = self.is_armed.swap(false, Relaxed);
        self.killed.fetch_add(is_armed.into(), Relaxed);
        is_armed
    }

    /// Returns how many handlers were killed.
    pub(super) fn killed(&self) -> u64 {
        self.killed.load(Relaxed)
    }
}

/// Loses the lease of a partition during a batch, and delays the old owner's call until the new owner is far ahead.
#[derive(Debug, Default)]
pub(super) struct LeaseSwitch {
    is_armed: AtomicBool,
    lost: AtomicU64,
    /// The events of the batches during which a lease was lost.
    events: AtomicU64,
    is_released: watch::Sender<bool>,
}

impl LeaseSwitch {
    /// Arms the switch: the lease of the next batch is lost.
    pub(super) fn arm(&self) {
        self.is_armed.store(true, Relaxed);
    }

    /// Loses the lease of a batch of this many events: once after [`arm`](Self::arm). Returns what delays the call of the old
    /// owner, who must keep it until the call has ended.
    pub(super) fn lose(&self, events: usize) -> Option<watch::Receiver<bool>> {
        let is_lost = self.is_armed.swap(false, Relaxed);
        is_lost.then(|| {
            self.lost.fetch_add(1, Relaxed);
            self.events.fetch_add(events as u64, Relaxed);
            self.is_released.subscribe()
        })
    }

    /// Lets the old owner's call go on, and waits for its end.
    pub(super) async fn release(&self) {
        self.is_released.send_replace(true);
        self.is_released.closed().await;
    }

    /// Returns how many leases were lost, and the events of their batches.
    pub(super) fn lost(&self) -> (u64, u64) {
        (self.lost.load(Relaxed), self.events.load(Relaxed))
    }
}
