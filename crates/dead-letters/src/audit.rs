//! The audit trail: a line for each action, with who did what, when, to which dead letter, and the outcome.
//!
//! A line is durable before its action becomes final: a message is deleted only after its line is stored. So the trail may
//! contain an action that was interrupted, but it never lacks one that was completed.

mod file;
mod lock;
mod operator;
mod writer;

use std::{fmt, path::PathBuf};

use async_trait::async_trait;
use devicestate_engine::{failure::Cause, text::escape_json};
use serde::{Deserialize, Serialize};

pub use file::FileAuditTrail;
pub use lock::LockWait;
pub use operator::operator_name;
pub use writer::{AuditWriter, Edit};

/// Stores the lines of an audit trail.
#[async_trait]
pub trait AuditTrail: Send + Sync {
    /// Appends these lines in this order. They are durable when this returns. Without lines, it only checks that lines can
    /// be written.
    ///
    /// # Errors
    ///
    /// Returns an [`AuditError`]. Some of the lines may be stored, the last of them in part. The caller must stop: an action without a
    /// line must not be done.
    async fn append(&self, lines: &[AuditLine]) -> Result<(), AuditError>;

    /// Returns the location of the lines, as commands print it.
    fn location(&self) -> String;
}

/// What an operator did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Applied the event again.
    Replay,
    /// Applied it with another body.
    Edit,
    /// Deleted the message.
    Discard,
    /// Put messages of a file into a queue.
    Import,
    /// Wrote messages of a queue into a file.
    Export,
}

impl fmt::Display for Action {
    /// Writes the action as in an audit line.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Replay => "replay",
            Self::Edit => "edit",
            Self::Discard => "discard",
            Self::Import => "import",
            Self::Export => "export",
        })
    }
}

/// The outcome of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// The event is in its device's document.
    Applied,
    /// The document already has newer readings.
    Superseded,
    /// The event is not telemetry, and nothing of it is to be stored.
    Ignored,
    /// The event has no known reading, and the message stays.
    Unrecognized,
    /// The event failed again, and the message stays; `issue` has the reason.
    FailedAgain,
    /// The message is deleted, and the event was not applied.
    Discarded,
    /// The message is in the queue.
    Imported,
    /// The message is in the file.
    Exported,
}

impl fmt::Display for Outcome {
    /// Writes the outcome as in an audit line.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Applied => "applied",
            Self::Superseded => "superseded",
            Self::Ignored => "ignored",
            Self::Unrecognized => "unrecognized",
            Self::FailedAgain => "failedAgain",
            Self::Discarded => "discarded",
            Self::Imported => "imported",
            Self::Exported => "exported",
        })
    }
}

/// A line of the audit trail. Members without a value are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditLine {
    /// When, in UTC, in the format of [`iso8601`](devicestate_engine::text::iso8601).
    pub time: String,
    /// Who did it: the result of [`operator_name`].
    pub operator: String,
    /// What was done.
    pub action: Action,
    /// The outcome.
    pub outcome: Outcome,
    /// The queue's name and address.
    pub queue: String,
    /// The store of the documents that were written.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub store: Option<String>,
    /// The queue's id of the message.
    pub message_id: String,
    /// The dead letter's id, if the message is a dead letter.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<String>,
    /// The device, if it is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device_id: Option<String>,
    /// What failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub issue: Option<String>,
    /// The body before an edit, in base64.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub original: Option<String>,
    /// The body after an edit, in base64.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub edited: Option<String>,
}

impl AuditLine {
    /// Returns compact JSON with a line end. Hidden characters are escaped: an operator may print the trail.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let json = serde_json::to_string(self).expect("texts are always JSON");
        format!("{}\n", escape_json(&json)).into_bytes()
    }
}

/// Why audit lines were not stored.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file cannot be written.
    #[error(
        "the audit trail {} cannot be written: {}. Nothing is done without an audit line: free disk space, or grant \
         write access to that file",
        path.display(),
        devicestate_engine::text::error_message(error)
    )]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        error: std::io::Error,
    },
    /// The operator stopped the wait for the lock of the file.
    #[error(
        "stopped while another process held the lock of the audit trail {}: the current messages stay in the queue. Run the \
         command again",
        .0.display()
    )]
    Stopped(PathBuf),
    /// Another kind of trail cannot be written.
    #[error("the audit trail cannot be written, and nothing is done without an audit line: {0}")]
    WriteFailed(Cause),
}
