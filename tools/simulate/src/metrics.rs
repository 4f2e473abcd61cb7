//! The metrics of a run: counts, violations, and the trace of a traced run.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// A counted occurrence.
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
    /// Attempts that overlapped another one of the same partition.
    Overlaps,
    /// Events that had been delivered before.
    Redelivered,
    /// Writes that a failover of the store lost.
    LostWrites,
    /// Readings in the documents at the end, and those whose value the order of arrival may decide.
    Readings,
    UnorderedReadings,
    Fault(Fault),
}

/// A fault that the simulation injects or provokes.
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
    FailingDocument,
    RefusedDocument,
    PartialOutage,
    StoreOutage,
    StoreFailover,
    RegionLost,
    ClockStep,
    RepeatedSeries,
    HubCreatedAgain,
    HandlerKilled,
    FailedWithHandler,
    HostEnded,
    HostKilled,
    OutlivedHost,
    InvocationTimeout,
    LostReply,
    LostLease,
    CheckpointSetBack,
    ReadFromSetBack,
    CutOtherwise,
    RetryCancelled,
    ScaleIn,
    HostTerminated,
    FinishedInStop,
    KilledWhileDraining,
    ScaleOut,
    FailedPut,
    PartialOutput,
    FailedOverflow,
    ReplayKilled,
}

impl Fault {
    pub const ALL: [Self; 41] = [
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
        Self::FailingDocument,
        Self::RefusedDocument,
        Self::PartialOutage,
        Self::StoreOutage,
        Self::StoreFailover,
        Self::RegionLost,
        Self::ClockStep,
        Self::RepeatedSeries,
        Self::HubCreatedAgain,
        Self::HandlerKilled,
        Self::FailedWithHandler,
        Self::HostEnded,
        Self::HostKilled,
        Self::OutlivedHost,
        Self::InvocationTimeout,
        Self::LostReply,
        Self::LostLease,
        Self::CheckpointSetBack,
        Self::ReadFromSetBack,
        Self::CutOtherwise,
        Self::RetryCancelled,
        Self::ScaleIn,
        Self::HostTerminated,
        Self::FinishedInStop,
        Self::KilledWhileDraining,
        Self::ScaleOut,
        Self::FailedPut,
        Self::PartialOutput,
        Self::FailedOverflow,
        Self::ReplayKilled,
    ];

    /// Returns the fault's row title in the table.
    pub fn description(self) -> &'static str {
        match self {
            Self::Conflict => "409 and 412: another writer was first",
            Self::ConflictWithItself => "409 and 412 after the client's own write",
            Self::Throttled => "429: throttled",
            Self::Unavailable => "503: unavailable",
            Self::WriteRegionMoved => "403/3: the write region moved",
            Self::Denied => "403: denied",
            Self::CutBefore => "connection lost before the write",
            Self::CutAfter => "connection lost, written anyway",
            Self::Stalled => "no response",
            Self::TooLarge => "413: document rejected",
            Self::BadRequest => "400: document rejected",
            Self::FailingDocument => "operations on a document with a lasting fault",
            Self::RefusedDocument => "401: operations on a refused document",
            Self::PartialOutage => "outages of each third document",
            Self::StoreOutage => "store outages",
            Self::StoreFailover => "store failovers",
            Self::RegionLost => "regions lost, with their hubs",
            Self::ClockStep => "enqueued times that step back",
            Self::RepeatedSeries => "series that the IoT Hub repeats",
            Self::HubCreatedAgain => "hubs created again",
            Self::HandlerKilled => "handlers crashed",
            Self::FailedWithHandler => "batches in flight when the handler ended",
            Self::HostEnded => "hosts that ended after three crashes",
            Self::HostKilled => "hosts killed",
            Self::OutlivedHost => "handlers that outlived their host",
            Self::InvocationTimeout => "invocation timeouts",
            Self::LostReply => "replies lost after the work was done",
            Self::LostLease => "leases lost",
            Self::CheckpointSetBack => "checkpoints set back by a former owner",
            Self::ReadFromSetBack => "owners that began at such a checkpoint",
            Self::CutOtherwise => "overlapping batches with other limits",
            Self::RetryCancelled => "retries cancelled by a lost lease or a stop",
            Self::ScaleIn => "hosts drained",
            Self::HostTerminated => "hosts stopped by a signal",
            Self::FinishedInStop => "batches finished in a stop, no checkpoint",
            Self::KilledWhileDraining => "hosts killed while draining",
            Self::ScaleOut => "hosts added",
            Self::FailedPut => "dead letters rejected by the queue",
            Self::PartialOutput => "outputs that failed after some messages",
            Self::FailedOverflow => "large dead letters rejected by the overflow",
            Self::ReplayKilled => "replays killed before they ended",
        }
    }
}

/// How often each [`Count`] occurred.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Counts(BTreeMap<Count, u64>);

impl Counts {
    pub(crate) fn add(&mut self, what: Count, times: u64) {
        *self.0.entry(what).or_default() += times;
    }

    pub fn get(&self, what: Count) -> u64 {
        self.0.get(&what).copied().unwrap_or_default()
    }

    /// Returns the number of all faults.
    pub fn total_faults(&self) -> u64 {
        Fault::ALL.into_iter().map(|fault| self.get(Count::Fault(fault))).sum()
    }

    pub(crate) fn add_all(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            self.add(*what, *times);
        }
    }
}

/// The metrics of one run.
pub(crate) struct Metrics {
    counts: Mutex<Counts>,
    violations: Mutex<Vec<String>>,
    trace: Option<Mutex<Vec<String>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Metrics {
    pub(crate) fn new(is_traced: bool) -> Self {
        Self { counts: Mutex::default(), violations: Mutex::default(), trace: is_traced.then(Mutex::default) }
    }

    pub(crate) fn count(&self, what: Count, times: u64) {
        if times > 0 {
            lock(&self.counts).add(what, times);
        }
    }

    pub(crate) fn count_fault(&self, fault: Fault) {
        self.count(Count::Fault(fault), 1);
    }

    pub(super) fn trace(&self, at: Duration, what: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            lock(trace).push(format!("{:>12.3} s  {}", at.as_secs_f64(), what()));
        }
    }

    pub(super) fn record_violation(&self, at: Duration, what: &str) {
        self.trace(at, || format!("VIOLATION: {what}"));
        let mut violations = lock(&self.violations);
        if violations.len() < MAX_VIOLATIONS {
            violations.push(format!("at {:.3} s: {what}", at.as_secs_f64()));
        }
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        lock(&self.violations).clone()
    }

    pub(crate) fn counts(&self) -> Counts {
        lock(&self.counts).clone()
    }

    pub(crate) fn steps(&self) -> Vec<String> {
        self.trace.as_ref().map(|trace| lock(trace).clone()).unwrap_or_default()
    }
}

/// Limits the violations that a run reports: one fault causes many, and the first ones are enough to identify it.
const MAX_VIOLATIONS: usize = 10;
