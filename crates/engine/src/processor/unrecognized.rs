//! The warning of unrecognized events.

use super::Outcome;
use crate::{batch::Batch, rate_limit::OncePerMinute};

/// Warns of unrecognized events, at most once a minute: such events usually come by the thousand.
#[derive(Debug, Default)]
pub(super) struct UnrecognizedWarning(OncePerMinute);

impl UnrecognizedWarning {
    /// Warns of the unrecognized events of a batch. `skipped` are the fields of one of them.
    pub(super) fn warn(&self, batch: &Batch, outcomes: &[Option<Outcome>], skipped: &[String]) {
        if !self.0.is_due() {
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
