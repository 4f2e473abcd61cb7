//! The faults of the demonstration, and the switch by which a host kills its handler.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use serde::Serialize;

/// The faults that a demonstration has injected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InjectedFaults {
    /// Handlers that were killed during a batch.
    pub handlers_killed: u64,
    /// How often the checkpoints were set back.
    pub rewinds: u64,
    /// Events that were read again because of that.
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
