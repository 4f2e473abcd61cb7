//! Who watches the engine at work: the process's log, an exporter of metrics and traces, a test.

use std::time::Duration;

use crate::record::Record;

/// Watches the engine at work. What it does takes no part in a reply, but the reply waits for it; a panic in it fails the
/// attempt.
///
/// Each method is called within the future of the invocation that it is about.
pub trait Observer: Send + Sync {
    /// A batch was answered, an attempt failed, or an event was dead-lettered.
    ///
    /// The records of a final reply are in its `Logs` as well, where the host logs them. Those of a failed attempt are in
    /// no reply that the host reads.
    fn record(&self, record: &Record);

    /// The events of a batch have just been decoded, which took so long.
    fn decoded(&self, _took: Duration) {}
}

/// Nobody watches.
impl Observer for () {
    fn record(&self, _: &Record) {}
}
