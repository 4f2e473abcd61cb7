//! What happened in a run: how often, what must not have, and, for who watches, each step.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Something that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Count {
    Runs,
    Events,
    PoisonEvents,
    Deliveries,
    Attempts,
    FinalReplies,
    ExactCounts,
    DeadLetters,
    Replayed,
    StoreOperations,
    /// Attempts beside another one of the same partition.
    Overlaps,
    /// Events that were delivered before.
    Redelivered,
    /// Writes that a failover of the store has lost.
    LostWrites,
    Fault(Fault),
}

/// Something that goes wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    Conflict,
    ConflictWithItself,
    Throttled,
    Unavailable,
    WriteRegionMoved,
    Denied,
    CutBefore,
    CutAfter,
    Stalled,
    TooLarge,
    BadRequest,
    IllDevice,
    StoreOutage,
    StoreFailover,
    RegionLost,
    HandlerKilled,
    HostKilled,
    InvocationTimeout,
    LostReply,
    LostLease,
    ScaleIn,
    KilledWhileDraining,
    ScaleOut,
    FailedPut,
    FailedOverflow,
    ReplayKilled,
}

impl Fault {
    pub const ALL: [Self; 26] = [
        Self::Conflict,
        Self::ConflictWithItself,
        Self::Throttled,
        Self::Unavailable,
        Self::WriteRegionMoved,
        Self::Denied,
        Self::CutBefore,
        Self::CutAfter,
        Self::Stalled,
        Self::TooLarge,
        Self::BadRequest,
        Self::IllDevice,
        Self::StoreOutage,
        Self::StoreFailover,
        Self::RegionLost,
        Self::HandlerKilled,
        Self::HostKilled,
        Self::InvocationTimeout,
        Self::LostReply,
        Self::LostLease,
        Self::ScaleIn,
        Self::KilledWhileDraining,
        Self::ScaleOut,
        Self::FailedPut,
        Self::FailedOverflow,
        Self::ReplayKilled,
    ];

    /// What it is, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Conflict => "409 and 412: another writer came first",
            Self::ConflictWithItself => "409 and 412 against one's own write",
            Self::Throttled => "429: throttled",
            Self::Unavailable => "503: unavailable",
            Self::WriteRegionMoved => "403/3: the write region moved",
            Self::Denied => "403: denied",
            Self::CutBefore => "connection cut, not written",
            Self::CutAfter => "connection cut, written sooner or later",
            Self::Stalled => "no answer at all",
            Self::TooLarge => "413: document refused",
            Self::BadRequest => "400: document refused",
            Self::IllDevice => "operations on a document that fails for long",
            Self::StoreOutage => "outages of the store",
            Self::StoreFailover => "failovers of the store",
            Self::RegionLost => "regions lost, with their hub",
            Self::HandlerKilled => "handlers killed",
            Self::HostKilled => "hosts killed",
            Self::InvocationTimeout => "invocations that timed out",
            Self::LostReply => "replies lost after the work was done",
            Self::LostLease => "leases lost",
            Self::ScaleIn => "hosts drained",
            Self::KilledWhileDraining => "hosts killed while they drained",
            Self::ScaleOut => "hosts added",
            Self::FailedPut => "dead letters that the queue did not take",
            Self::FailedOverflow => "large dead letters that found no place",
            Self::ReplayKilled => "replays killed in the middle",
        }
    }
}

/// How often each thing happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Tally(BTreeMap<Count, u64>);

impl Tally {
    pub(crate) fn add(&mut self, what: Count, times: u64) {
        *self.0.entry(what).or_default() += times;
    }

    pub fn of(&self, what: Count) -> u64 {
        self.0.get(&what).copied().unwrap_or_default()
    }

    pub fn faults(&self) -> u64 {
        Fault::ALL.into_iter().map(|fault| self.of(Count::Fault(fault))).sum()
    }

    pub(crate) fn join(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            self.add(*what, *times);
        }
    }
}

/// The book of one run.
pub(crate) struct Book {
    tally: Mutex<Tally>,
    violations: Mutex<Vec<String>>,
    trace: Option<Mutex<Vec<String>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Book {
    pub(crate) fn new(is_watched: bool) -> Self {
        Self { tally: Mutex::default(), violations: Mutex::default(), trace: is_watched.then(Mutex::default) }
    }

    pub(crate) fn count(&self, what: Count, times: u64) {
        if times > 0 {
            lock(&self.tally).add(what, times);
        }
    }

    pub(crate) fn fault(&self, fault: Fault) {
        self.count(Count::Fault(fault), 1);
    }

    pub(super) fn trace(&self, at: Duration, what: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            lock(trace).push(format!("{:>12.3} s  {}", at.as_secs_f64(), what()));
        }
    }

    pub(super) fn violation(&self, at: Duration, what: &str) {
        self.trace(at, || format!("VIOLATION: {what}"));
        let mut violations = lock(&self.violations);
        if violations.len() < MOST_VIOLATIONS {
            violations.push(format!("at {:.3} s: {what}", at.as_secs_f64()));
        }
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        lock(&self.violations).clone()
    }

    pub(crate) fn tally(&self) -> Tally {
        lock(&self.tally).clone()
    }

    pub(crate) fn steps(&self) -> Vec<String> {
        self.trace.as_ref().map(|trace| lock(trace).clone()).unwrap_or_default()
    }
}

/// One fault breaks many rules; the first ones tell what it is.
const MOST_VIOLATIONS: usize = 10;
