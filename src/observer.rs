//! Passes the engine's records to the log and to OpenTelemetry.

use std::time::Duration;

use devicestate_engine::{observer::Observer, record::Record};

use crate::{log, otlp};

/// Passes the engine's records to the log and to OpenTelemetry.
#[derive(Debug, Clone, Copy)]
pub struct Reporter;

impl Observer for Reporter {
    fn record(&self, record: &Record) {
        // The host logs the records of a final reply. It does not read the body of a failed attempt's reply, and a record of a
        // device must be logged before its document is changed.
        if let Record::FailedAttempt(_) | Record::DeviceSilent(_) | Record::DeviceBack(_) = record {
            log::write_record(record);
        }
        otlp::export_record(record);
    }

    fn record_decoding(&self, took: Duration) {
        otlp::export_decoding(took);
    }
}
