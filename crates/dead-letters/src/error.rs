//! The errors that end a scan of the queue early.

use devicestate_engine::{dead_letter::OverflowError, queue::QueueError, text::error_message};

use crate::audit::AuditError;

/// Why a scan of the queue ended early. Changes made before the error remain, and the scan can be repeated.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The queue failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The overflow failed.
    #[error(transparent)]
    Overflow(#[from] OverflowError),
    /// The audit trail failed. Nothing is done without an audit line.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The output of an export failed.
    #[error("the output cannot be written: {}", error_message(.0))]
    Output(#[from] std::io::Error),
}
