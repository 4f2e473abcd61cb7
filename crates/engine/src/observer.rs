//! Receives the records of the engine's work: the process's log, an exporter of metrics and traces, a test.

use std::time::Duration;

use crate::record::Record;

/// Receives the records of the engine's work. It does not change a reply, but the reply waits for it, and a panic in it
/// fails the attempt.
///
/// Each method is called within the future of the invocation that it concerns.
pub trait Observer: Send + Sync {
    /// Receives a record: a batch was completed, an attempt failed, or an event was dead-lettered.
    ///
    /// The records of a final reply are also in its `Logs`, which the host logs. The host does not read the reply of a
    /// failed attempt.
    fn record(&self, record: &Record);

    /// Reports that the events of a batch were decoded, and how long that took.
    fn decoded(&self, _took: Duration) {}
}

/// Discards all records.
impl Observer for () {
    fn record(&self, _: &Record) {}
}
