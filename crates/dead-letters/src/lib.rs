//! What becomes of dead letters: the out-of-band process in which a person examines them and decides.
//!
//! It uses the engine as the handler does: a replayed event goes through the same decoding, folding and writing, under
//! its own version, so that newer readings stay.

mod audit;
mod auditor;
mod discard;
mod entry;
mod error;
mod examine;
mod filter;
mod overview;
mod pretty;
mod redrive;
mod replay;
mod sweep;
mod transfer;

pub use audit::{Action, Audit, AuditError, AuditLine, FileAudit, Outcome, who};
pub use auditor::{Auditor, Edit};
pub use discard::Discard;
pub use entry::{Content, Entry, Summary};
pub use error::TriageError;
pub use examine::{Find, Form, Readable, log_query, readable};
pub use filter::Filter;
pub use overview::{Group, GroupBy, Listed, Overview};
pub use redrive::{Alike, MOST_REPLAYS, Redrive, Tally};
pub use replay::{Candidate, Replayed, Replayer, event};
pub use sweep::{Fate, Judge, Judged, Sweep, Swept};
pub use transfer::{Export, ImportError, Line, import};
