//! What the engine reports, to the log and to OpenTelemetry.

use std::time::Duration;

use devicestate_engine::{observer::Observer, record::Record};

use crate::{log, otlp};

/// Passes on what the engine reports.
#[derive(Debug, Clone, Copy)]
pub struct Reporter;

impl Observer for Reporter {
    fn record(&self, record: &Record) {
        // The host logs what a final reply has, and does not look into one that fails.
        if let Record::FailedAttempt(_) = record {
            log::tell(record);
        }
        otlp::told(record);
    }

    fn decoded(&self, took: Duration) {
        otlp::decoded(took);
    }
}
