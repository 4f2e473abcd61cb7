//! The warning of unrecognized events.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use super::Outcome;
use crate::batch::Batch;

/// Warns of unrecognized events, at most once a minute: such events usually come by the thousand.
#[derive(Debug, Default)]
pub(super) struct UnrecognizedWarning {
    /// The time of the last warning, in milliseconds since 1970; 0 if there was none.
    last_ms: AtomicI64,
}

const INTERVAL_MS: i64 = 60_000;

impl UnrecognizedWarning {
    /// Warns of the unrecognized events of a batch. `skipped` are the fields of one of them.
    pub(super) fn warn(&self, batch: &Batch, outcomes: &[Option<Outcome>], skipped: &[String], now_ms: i64) {
        let is_due = |last_ms: i64| last_ms == 0 || (now_ms - last_ms).abs() >= INTERVAL_MS;
        let set = |last_ms| is_due(last_ms).then_some(now_ms);
        if self.last_ms.fetch_update(Relaxed, Relaxed, set).is_err() {
            return;
        }
        let is_unrecognized = |outcome: &&Option<Outcome>| **outcome == Some(Outcome::Unrecognized);
        tracing::warn!(
            eventHubName = batch.source.entity(),
            partitionId = batch.source.partition_id,
            unrecognized = outcomes.iter().filter(is_unrecognized).count(),
            fields = ?skipped,
            "events have no known reading, so nothing of them is stored; the fields are those of one of them"
        );
    }
}
