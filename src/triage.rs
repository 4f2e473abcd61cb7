//! What becomes of dead letters: the out-of-band process in which a person examines them and decides.
//!
//! It uses the engine as the handler does: a replayed event goes through the same decoding, folding and writing, under
//! its own version, so that newer readings stay.

mod audit;
mod auditor;
mod discard;
mod entry;
mod examine;
mod filter;
mod overview;
mod pretty;
mod redrive;
mod replay;
mod sweep;
mod transfer;

use crate::{dead_letter::OverflowError, queue::QueueError};

pub use audit::{Action, Audit, AuditError, AuditLine, BlobAudit, FileAudit, Outcome, who};
pub use auditor::{Auditor, Edit};
pub use discard::Discard;
pub use entry::{Content, Entry, Summary};
pub use examine::{Find, Form, Readable, log_query, readable};
pub use filter::Filter;
pub use overview::{Group, GroupBy, Listed, Overview};
pub use redrive::{Alike, Redrive, Tally};
pub use replay::{Candidate, NotWhole, Replayed, Replayer, body, event, whole};
pub use sweep::{Fate, Judge, Judged, Sweep, Swept};
pub use transfer::{Export, ImportError, Line, import};

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
