//! Receives the records of the engine: implemented by the process's log, an exporter of metrics and traces, or a test.

use std::time::Duration;

use crate::record::Record;

/// Receives the records of the engine. An observer does not change a reply, but the reply waits for it, and a panic in it
/// fails the attempt.
///
/// Each method is called within the future of the invocation that it concerns.
pub trait Observer: Send + Sync {
    /// Receives a record: a batch was completed, an attempt failed, or an event was dead-lettered.
    ///
    /// The records of a final reply are also in its `Logs`, which the host logs. The host does not read the reply of a
    /// failed attempt.
    fn record(&self, record: &Record);

    /// Receives the time that the decoding of a batch took.
    fn record_decoding(&self, _took: Duration) {}
}

/// Discards all records.
impl Observer for () {
    fn record(&self, _: &Record) {}
}
