//! The figures of a run, which the page draws.

use serde::Serialize;

/// The figures of a run so far, of which the page draws the changes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunFigures {
    /// Events that were sent to the hub or the queue.
    pub received: u64,
    /// Events that are processed.
    pub processed: u64,
    /// Events with at least one newer reading.
    pub applied: u64,
    /// Events without a newer reading.
    pub superseded: u64,
    /// Events that became dead letters.
    pub dead_lettered: u64,
    /// Events without any reading.
    pub unrecognized: u64,
    /// Events that are not telemetry.
    pub ignored: u64,
    /// Completed batches.
    pub batches: u64,
    /// Failed attempts of batches.
    pub failed_attempts: u64,
    /// Restarts of handlers.
    pub handler_restarts: u64,
    /// Reads of documents.
    pub reads: u64,
    /// Writes of documents.
    pub writes: u64,
    /// Writes that another writer had overtaken.
    pub conflicts: u64,
    /// Request units of all store operations.
    pub request_units: f64,
    /// The partitions, in the order of their numbers.
    pub partitions: Vec<PartitionFigures>,
}

/// A partition of the hub.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionFigures {
    /// Its id.
    pub partition: String,
    /// Events that are not yet processed.
    pub waiting: u64,
    /// The age of the oldest of them in milliseconds; 0 if none waits.
    pub lag_ms: u64,
}

/// A run whose figures the page shows.
pub trait Run: Send + Sync {
    /// Returns the figures so far.
    fn figures(&self) -> RunFigures;
}
