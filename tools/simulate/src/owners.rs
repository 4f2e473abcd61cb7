//! The owners of a partition: their leases and their attempts.

use std::{
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::signal::Signal;

/// The owners of a partition, one after another. Each has a lease, and may go on for a while after it has lost it.
#[derive(Default)]
pub(crate) struct Owners {
    leases: Signal<Leases>,
    attempts: Mutex<Attempts>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Leases {
    /// Incremented with each new owner.
    current: u64,
    /// The owners with a lower lease are stopped.
    first_running: u64,
}

/// The attempts of all owners.
#[derive(Debug, Default)]
struct Attempts {
    /// The running ones: number and events.
    active: Vec<(u64, Range<usize>)>,
    /// The number of attempts started so far.
    started: u64,
}

/// An active attempt; it ends when this is dropped.
pub(crate) struct ActiveAttempt<'a> {
    owners: &'a Owners,
    number: u64,
    overlaps: bool,
    is_cut_otherwise: bool,
}

impl Owners {
    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Revokes the current lease and returns the next owner's.
    pub(crate) fn new_lease(&self) -> u64 {
        self.leases.change(|leases| leases.current += 1).current
    }

    /// Revokes the current lease and stops all owners so far, also those that had lost their leases.
    pub(crate) fn stop(&self) {
        self.leases.change(|leases| {
            leases.current += 1;
            leases.first_running = leases.current;
        });
    }

    pub(crate) fn is_current(&self, lease: u64) -> bool {
        self.leases.get().current == lease
    }

    pub(crate) fn is_stopped(&self, lease: u64) -> bool {
        lease < self.leases.get().first_running
    }

    pub(crate) async fn until_lost(&self, lease: u64) {
        self.leases.until(|leases| leases.current != lease).await;
    }

    pub(crate) async fn until_stopped(&self, lease: u64) {
        self.leases.until(|leases| lease < leases.first_running).await;
    }

    /// Starts an attempt with these events.
    pub(crate) fn start_attempt(&self, events: Range<usize>) -> ActiveAttempt<'_> {
        let mut attempts = self.attempts();
        attempts.started += 1;
        let (number, overlaps) = (attempts.started, !attempts.active.is_empty());
        let is_cut_otherwise = attempts
            .active
            .iter()
            .any(|(_, other)| *other != events && other.start.max(events.start) < other.end.min(events.end));
        attempts.active.push((number, events));
        ActiveAttempt { owners: self, number, overlaps, is_cut_otherwise }
    }
}

impl ActiveAttempt<'_> {
    /// Returns whether another attempt of the partition was active when this one began.
    pub(crate) fn overlaps(&self) -> bool {
        self.overlaps
    }

    /// Returns whether one of them had some of this one's events, in another batch.
    pub(crate) fn is_cut_otherwise(&self) -> bool {
        self.is_cut_otherwise
    }

    /// Returns whether no other attempt of the partition has been active since this one began.
    pub(crate) fn is_alone(&self) -> bool {
        !self.overlaps && self.owners.attempts().started == self.number
    }
}

impl Drop for ActiveAttempt<'_> {
    fn drop(&mut self) {
        self.owners.attempts().active.retain(|(number, _)| *number != self.number);
    }
}
