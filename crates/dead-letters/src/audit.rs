//! The audit trail: each action of the tools leaves a line that says who did what, when, to which dead letter, and what
//! came of it.
//!
//! Lines come before what they tell of cannot be undone: a message is deleted only once its line is there for good. So
//! the trail may tell of something that was cut off before its end, and never leaves out what was done.

mod file;
mod who;

use std::{fmt, path::PathBuf};

use async_trait::async_trait;
use devicestate_engine::failure::Cause;
use serde::{Deserialize, Serialize};

pub use file::FileAudit;
pub use who::who;

/// A place for the lines of the trail.
#[async_trait]
pub trait Audit: Send + Sync {
    /// Adds these lines in this order. They are there for good when this returns. Without any, it only makes sure that
    /// there is a place for lines.
    ///
    /// # Errors
    ///
    /// [`AuditError`]. Some of the lines may be there even so, the last of them perhaps in part. Whatever it is, the run
    /// has to stop: what leaves no line must not be done.
    async fn append(&self, lines: &[AuditLine]) -> Result<(), AuditError>;

    /// Where the lines are, for people.
    fn place(&self) -> String;
}

/// What a person told the tools to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Apply the event once more.
    Replay,
    /// Apply it with another body.
    Edit,
    /// Delete the message.
    Discard,
    /// Put messages of a file into a queue.
    Import,
    /// Write messages of a queue into a file.
    Export,
}

impl fmt::Display for Action {
    /// As in the line.
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

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The event is in its device's state document.
    Applied,
    /// The document has newer readings already.
    Superseded,
    /// The event cannot be applied, now as before. `Issue` says why, and the message stays.
    #[serde(rename = "failed again")]
    FailedAgain,
    /// The message is deleted, and the event is applied nowhere.
    Discarded,
    /// The message is in the queue.
    Imported,
    /// The message is in the file.
    Exported,
}

impl fmt::Display for Outcome {
    /// As in the line.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Applied => "applied",
            Self::Superseded => "superseded",
            Self::FailedAgain => "failed again",
            Self::Discarded => "discarded",
            Self::Imported => "imported",
            Self::Exported => "exported",
        })
    }
}

/// A line of the trail. What is not there is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AuditLine {
    /// When, in UTC, as [`iso8601`](devicestate_engine::text::iso8601) writes it.
    pub time: String,
    /// [`who`].
    pub who: String,
    /// What was to be done.
    pub action: Action,
    /// What came of it.
    pub outcome: Outcome,
    /// The queue's name and place.
    pub queue: String,
    /// The store of the documents that were written.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub store: Option<String>,
    /// The queue's id of the message.
    pub message_id: String,
    /// The dead letter's id, if the message could be read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<String>,
    /// The device, as far as it is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device_id: Option<String>,
    /// What went wrong, for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub issue: Option<String>,
    /// The body before an edit, as base64.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub original: Option<String>,
    /// The body after it, as base64.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub edited: Option<String>,
}

impl AuditLine {
    /// Compact JSON, and the end of the line.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("texts are always JSON");
        bytes.push(b'\n');
        bytes
    }
}

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file.
    #[error(
        "the audit trail {} cannot be written: {error}. What leaves no line is not done: make room, or give whoever runs \
         this the right to write there",
        path.display()
    )]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The place, wherever it is.
    #[error("the audit trail cannot be written, and what leaves no line is not done: {0}")]
    Unwritten(Cause),
}
