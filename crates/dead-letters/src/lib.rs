//! Inspects and repairs dead letters: lists, shows, replays, edits, discards, exports and imports the messages of a
//! dead-letter queue, and records each change in an audit trail.
//!
//! # Where to begin
//!
//! [`QueueScan`] receives every message of a queue once and passes it to a [`MessageVisitor`]. The visitors are [`Overview`]
//! (list), [`Finder`] (show), [`Replay`], [`Discard`] and [`Export`]. [`parse_export_line`] reads an export for an import.
//! [`Entry`] is one message, [`Filter`] selects messages, [`AuditWriter`] writes the audit trail, and [`Replayer`] applies
//! single dead letters.
//!
//! A replay uses the engine as the handler does: the event is decoded, folded and written under its own version, so newer
//! readings stay.

mod audit;
mod discard;
mod entry;
mod error;
mod examine;
mod filter;
mod overview;
mod pretty;
mod queue_scan;
mod replay;
mod transfer;

pub use audit::{
    Action, AuditError, AuditLine, AuditTrail, AuditWriter, Edit, FileAuditTrail, LockWait, Outcome, operator_name,
};
pub use discard::Discard;
pub use entry::{Entry, Identity, MessageContent, Summary};
pub use error::ScanError;
pub use examine::{BodyForm, Finder, ReadableBody, log_query, readable_body};
pub use filter::Filter;
pub use overview::{Group, GroupBy, ListEntry, Overview, without_names_and_numbers};
pub use queue_scan::{MessageAction, MessageVisitor, QueueScan, ScanSummary, VisitResult};
pub use replay::{
    FailureGroup, MAX_REPLAYS, Replay, ReplaySummary,
    replayer::{Candidate, ReplayOutcome, Replayer, rebuild_edited, rebuild_event},
};
pub use transfer::{Export, ExportLine, ImportError, parse_export_line};
