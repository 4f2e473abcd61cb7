//! The fault injector: random faults at given rates, and outages while they last.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use devicestate_engine::store::StoreError;

use super::{
    clock::SimulatedClock,
    metrics::{Count, Fault},
};

/// The rates of the random faults, per mille.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FaultRates {
    /// The store responds 503.
    pub(crate) unavailable: u32,
    /// The store responds 429.
    pub(crate) throttled: u32,
    /// The store responds 403/3.
    pub(crate) moved: u32,
    /// The connection to the store is lost before the write.
    pub(crate) cut_before: u32,
    /// The connection is lost, and the write is done anyway, perhaps later.
    pub(crate) cut_after: u32,
    /// The client repeats a write after its response was lost, and gets a conflict with its own write.
    pub(crate) doubled: u32,
    /// The store never responds.
    pub(crate) stalled: u32,
    /// The store responds slowly.
    pub(crate) slow: u32,
    /// The handler's reply does not reach the host.
    pub(crate) reply_lost: u32,
    /// The host's request does not reach the handler; the host waits until `functionTimeout`.
    pub(crate) request_lost: u32,
    /// The handler is killed while it processes a batch.
    pub(crate) killed: u32,
    /// The host loses the lease while it has a call in flight.
    pub(crate) lease_lost: u32,
    /// The queue rejects a dead letter.
    pub(crate) put_failed: u32,
    /// The overflow rejects a dead letter.
    pub(crate) overflow_failed: u32,
}

/// The kind of a store outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outage {
    /// It responds 403: a key was rotated, or a role was removed.
    Denied,
    /// It responds 503.
    Unavailable,
    /// It responds 429.
    Throttled,
    /// It does not respond.
    Silent,
}

/// The fault of one device's document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DocumentFault {
    /// The store responds 503 for it.
    Failing,
    /// The store does not respond for it.
    Silent,
    /// The store responds 401 for it.
    Refused,
}

/// The outcome of a store operation.
#[derive(Debug)]
pub(crate) enum OperationOutcome {
    /// It succeeds.
    Done,
    /// It is not done, and this error is returned.
    Fails(StoreError),
    /// It is done after this delay, and the client gets a connection error.
    Cut(Duration),
    /// It is done, and the client gets a conflict.
    Doubled,
    /// The client never gets a response; the operation may be done.
    Silent { is_done: bool },
}

/// Decides which operations of a run fail, and how.
pub(crate) struct FaultInjector {
    clock: Arc<SimulatedClock>,
    active: Mutex<ActiveFaults>,
}

#[derive(Default)]
struct ActiveFaults {
    rates: FaultRates,
    store: Option<Outage>,
    document_faults: BTreeMap<String, DocumentFault>,
    /// The documents of a part of the store that is out.
    documents_out: BTreeMap<String, DocumentFault>,
    /// The documents that ever had a fault: their events may be dead-lettered.
    ever_faulty: Vec<String>,
    is_queue_out: bool,
    is_overflow_out: bool,
}

impl FaultInjector {
    pub(crate) fn new(clock: Arc<SimulatedClock>, rates: FaultRates) -> Self {
        Self { clock, active: Mutex::new(ActiveFaults { rates, ..ActiveFaults::default() }) }
    }

    fn active(&self) -> MutexGuard<'_, ActiveFaults> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all faults.
    pub(crate) fn clear(&self) {
        let ever_faulty = std::mem::take(&mut self.active().ever_faulty);
        *self.active() = ActiveFaults { ever_faulty, ..ActiveFaults::default() };
    }

    pub(crate) fn rates(&self) -> FaultRates {
        self.active().rates
    }

    pub(crate) fn set_store_outage(&self, outage: Option<Outage>) {
        self.active().store = outage;
    }

    pub(crate) fn start_document_fault(&self, id: &str, fault: DocumentFault) {
        let mut active = self.active();
        active.document_faults.insert(id.to_owned(), fault);
        active.ever_faulty.push(id.to_owned());
    }

    pub(crate) fn end_document_fault(&self, id: &str) {
        self.active().document_faults.remove(id);
    }

    /// Starts the outage of a part of the store: no event of these documents may be dead-lettered.
    pub(crate) fn start_partial_outage(&self, ids: Vec<String>, fault: DocumentFault) {
        self.active().documents_out = ids.into_iter().map(|id| (id, fault)).collect();
    }

    pub(crate) fn end_partial_outage(&self) {
        self.active().documents_out.clear();
    }

    /// Returns true if all documents cannot be listed, because the store or a part of it is out.
    pub(crate) fn is_listing_out(&self) -> bool {
        let active = self.active();
        active.store.is_some() || !active.documents_out.is_empty()
    }

    pub(crate) fn has_had_document_fault(&self, id: &str) -> bool {
        self.active().ever_faulty.iter().any(|faulty| faulty == id)
    }

    pub(crate) fn set_queue_outage(&self, is_out: bool) {
        self.active().is_queue_out = is_out;
    }

    pub(crate) fn set_overflow_outage(&self, is_out: bool) {
        self.active().is_overflow_out = is_out;
    }

    /// Returns whether the queue accepts the next message.
    pub(crate) fn queue_accepts(&self) -> bool {
        let fails = self.active().is_queue_out || self.clock.chance(self.rates().put_failed);
        self.is_accepted(Fault::FailedPut, fails)
    }

    /// Returns whether the overflow accepts the next dead letter.
    pub(crate) fn overflow_accepts(&self) -> bool {
        let fails = self.active().is_overflow_out || self.clock.chance(self.rates().overflow_failed);
        self.is_accepted(Fault::FailedOverflow, fails)
    }

    fn is_accepted(&self, fault: Fault, fails: bool) -> bool {
        if fails {
            self.clock.metrics.count_fault(fault);
        }
        !fails
    }

    /// Draws the outcome of the next operation on this document and counts it.
    pub(crate) fn next_outcome(&self, id: &str, is_write: bool) -> OperationOutcome {
        let (outcome, fault) = self.draw_outcome(id, is_write);
        let metrics = &self.clock.metrics;
        metrics.count(Count::StoreOperations, 1);
        if let Some(fault) = fault {
            metrics.count_fault(fault);
        }
        outcome
    }

    fn draw_outcome(&self, id: &str, is_write: bool) -> (OperationOutcome, Option<Fault>) {
        let (rates, outage, document_fault) = {
            let active = self.active();
            let document_fault = active.document_faults.get(id).or_else(|| active.documents_out.get(id));
            (active.rates, active.store, document_fault.copied())
        };
        match (outage, document_fault) {
            (Some(Outage::Denied), _) => return failing(StoreError::Refused("403: denied".into()), Fault::Denied),
            (Some(Outage::Unavailable), _) => return unavailable(),
            (None, Some(DocumentFault::Failing)) => return (unavailable().0, Some(Fault::FailingDocument)),
            (Some(Outage::Throttled), _) => return self.throttled(),
            (Some(Outage::Silent), _) => return (OperationOutcome::Silent { is_done: false }, Some(Fault::Stalled)),
            (None, Some(DocumentFault::Silent)) => {
                return (OperationOutcome::Silent { is_done: false }, Some(Fault::FailingDocument));
            }
            (None, Some(DocumentFault::Refused)) => {
                return failing(StoreError::Refused("401: refused".into()), Fault::RefusedDocument);
            }
            (None, None) => {}
        }
        let chance = |per_mille| self.clock.chance(per_mille);
        if chance(rates.unavailable) {
            unavailable()
        } else if chance(rates.throttled) {
            self.throttled()
        } else if is_write && chance(rates.moved) {
            failing(StoreError::Transient("403/3: the write region moved".into()), Fault::WriteRegionMoved)
        } else if chance(rates.cut_before) {
            failing(connection_lost(), Fault::CutBefore)
        } else if is_write && chance(rates.cut_after) {
            (OperationOutcome::Cut(self.clock.random_millis(2_000)), Some(Fault::CutAfter))
        } else if is_write && chance(rates.doubled) {
            (OperationOutcome::Doubled, Some(Fault::ConflictWithItself))
        } else if chance(rates.stalled) {
            (
                OperationOutcome::Silent { is_done: is_write && self.clock.draw(fastrand::Rng::bool) },
                Some(Fault::Stalled),
            )
        } else {
            (OperationOutcome::Done, None)
        }
    }

    fn throttled(&self) -> (OperationOutcome, Option<Fault>) {
        let delay = self.clock.random_millis(1_000);
        failing(StoreError::Throttled { reason: "429: too many requests".into(), delay }, Fault::Throttled)
    }
}

fn failing(error: StoreError, fault: Fault) -> (OperationOutcome, Option<Fault>) {
    (OperationOutcome::Fails(error), Some(fault))
}

fn unavailable() -> (OperationOutcome, Option<Fault>) {
    failing(StoreError::Transient("503: unavailable".into()), Fault::Unavailable)
}

/// The error of a client whose connection was lost.
pub(crate) fn connection_lost() -> StoreError {
    StoreError::Transient("the connection was lost".into())
}
