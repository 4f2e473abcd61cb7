//! The figures of a run so far, for the live page.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use devicestate_live::{Run, RunFigures};

use crate::{
    broker::Broker,
    statistics::{Batches, Statistics},
};

/// Returns the figures of a run from its counters and its broker.
pub(super) struct Figures<B> {
    pub(super) statistics: Arc<Statistics>,
    pub(super) broker: Arc<B>,
}

impl<B: Broker> Run for Figures<B> {
    fn figures(&self) -> RunFigures {
        let Batches { count, sum, next_unprocessed, .. } = self.statistics.batches();
        let operations = sum.attempt.operations;
        RunFigures {
            received: self.statistics.received.load(Relaxed),
            processed: self.statistics.processed.load(Relaxed),
            applied: sum.applied,
            superseded: sum.superseded,
            dead_lettered: sum.dead_lettered,
            unrecognized: sum.unrecognized,
            ignored: sum.ignored,
            batches: count,
            failed_attempts: self.statistics.failed_attempts.load(Relaxed),
            handler_restarts: self.statistics.handler_restarts.load(Relaxed),
            reads: operations.reads,
            writes: operations.writes,
            conflicts: operations.conflicts,
            request_units: operations.request_units,
            partitions: self.broker.waiting(&next_unprocessed),
        }
    }
}
