//! What arrived and what was answered.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;

use crate::{answer::Answer, operation::Kind};

/// The counts since the start or the last reset.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Counts {
    operations: BTreeMap<Kind, u64>,
    statuses: BTreeMap<u16, u64>,
    request_units: f64,
}

impl Default for Counts {
    fn default() -> Self {
        let operations = Kind::ALL.into_iter().map(|kind| (kind, 0)).collect();
        Self { operations, statuses: BTreeMap::new(), request_units: 0.0 }
    }
}

/// The counts of the data ports, all regions together.
#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<Counts>);

impl Counters {
    /// A request is here.
    pub(crate) fn arrived(&self, kind: Kind) {
        *self.counts().operations.entry(kind).or_default() += 1;
    }

    /// A request has its answer, which may still be lost on the way: it was paid for either way.
    pub(crate) fn answered(&self, answer: &Answer) {
        let mut counts = self.counts();
        *counts.statuses.entry(answer.status.as_u16()).or_default() += 1;
        counts.request_units += answer.charge();
    }

    /// A copy of the counts, in which the request units have the two decimals that Cosmos DB gives them.
    pub(crate) fn now(&self) -> Counts {
        let mut counts = self.counts().clone();
        counts.request_units = (counts.request_units * 100.0).round() / 100.0;
        counts
    }

    /// Begins again at 0.
    pub(crate) fn reset(&self) {
        *self.counts() = Counts::default();
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
