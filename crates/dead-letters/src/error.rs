//! Why the tools end early.

use devicestate_engine::{dead_letter::OverflowError, queue::QueueError};

use crate::audit::AuditError;

/// Why a way through the queue ended early. What was done until then stays done, and it can be begun again.
#[derive(Debug, thiserror::Error)]
pub enum TriageError {
    /// The queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The overflow.
    #[error(transparent)]
    Overflow(#[from] OverflowError),
    /// The audit trail: nothing is done that leaves no trace.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// What is written cannot be.
    #[error("the output cannot be written: {0}")]
    Output(#[from] std::io::Error),
}
