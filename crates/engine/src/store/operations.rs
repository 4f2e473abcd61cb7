//! The operations that a batch asks of the store, counted.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// What was asked of the store, and what it cost.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Operations {
    /// Documents read.
    pub reads: u64,
    /// Documents created or replaced, or tried to be.
    pub writes: u64,
    /// Writes that found the document changed by another writer.
    pub conflicts: u64,
    /// Operations repeated after a transient failure.
    pub retries: u64,
    /// Answers of the store that it is asked for more than it does.
    pub throttled: u64,
    /// What all of them cost, in request units; 0 for a store without a price.
    pub request_units: f64,
}

impl AddAssign for Operations {
    fn add_assign(&mut self, more: Self) {
        self.reads += more.reads;
        self.writes += more.writes;
        self.conflicts += more.conflicts;
        self.retries += more.retries;
        self.throttled += more.throttled;
        self.request_units += more.request_units;
    }
}
