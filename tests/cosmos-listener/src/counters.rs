//! Counts of requests and responses.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;

use crate::{operation::Kind, response::CosmosResponse};

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
    /// Counts a request.
    pub(crate) fn count_request(&self, kind: Kind) {
        *self.counts().operations.entry(kind).or_default() += 1;
    }

    /// Counts a response and its request charge, which is due even if the response is dropped.
    pub(crate) fn count_response(&self, response: &CosmosResponse) {
        let mut counts = self.counts();
        *counts.statuses.entry(response.status.as_u16()).or_default() += 1;
        counts.request_units += response.charge();
    }

    /// Returns the counts, with request units rounded to two decimals, as Cosmos DB does.
    pub(crate) fn snapshot(&self) -> Counts {
        let mut counts = self.counts().clone();
        counts.request_units = (counts.request_units * 100.0).round() / 100.0;
        counts
    }

    /// Resets all counts to 0.
    pub(crate) fn reset(&self) {
        *self.counts() = Counts::default();
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
