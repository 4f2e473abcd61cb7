//! Counts the operations of a batch on the store.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// The number of operations on the store, and their cost.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Operations {
    /// Documents that were read.
    pub reads: u64,
    /// Writes of documents, including those that failed.
    pub writes: u64,
    /// Writes that found the document changed by another writer.
    pub conflicts: u64,
    /// Operations repeated after a transient failure.
    pub retries: u64,
    /// Operations that the store rejected to limit the load.
    pub throttled: u64,
    /// The cost of all operations, in request units; 0 for a store without request units.
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
