//! Creates and appends the audit lines of one run.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use devicestate_engine::{clock::Clock, text::iso8601};

use super::{Action, AuditError, AuditLine, AuditTrail, Outcome};
use crate::Summary;

/// Writes the audit lines of one run.
pub struct AuditWriter {
    /// Stores the lines.
    pub trail: Arc<dyn AuditTrail>,
    /// What is done.
    pub action: Action,
    /// Who does it.
    pub operator: String,
    /// The queue's name and address.
    pub queue: String,
    /// The store of the documents, if it is known.
    pub store: Option<String>,
    /// The body before and after an edit.
    pub edit: Option<Edit>,
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
}

/// What an edit changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The original body.
    pub original: Vec<u8>,
    /// The body that was replayed.
    pub edited: Vec<u8>,
}

impl AuditWriter {
    /// Returns the line of an action on a message.
    #[must_use]
    pub fn line(&self, summary: &Summary, outcome: Outcome, issue: Option<String>) -> AuditLine {
        let base64 = |body: fn(&Edit) -> &[u8]| self.edit.as_ref().map(|edit| BASE64_STANDARD.encode(body(edit)));
        AuditLine {
            time: iso8601(self.clock.now_ms()),
            operator: self.operator.clone(),
            action: self.action,
            outcome,
            queue: self.queue.clone(),
            // Only these two write documents.
            store: self.store.clone().filter(|_| matches!(self.action, Action::Replay | Action::Edit)),
            message_id: summary.message_id.clone(),
            id: summary.id.clone(),
            device_id: summary.device().map(str::to_owned),
            // Without a new issue, the one of the last failure.
            issue: issue.or_else(|| Some(summary.issue.clone())),
            original: base64(|edit| &edit.original),
            edited: base64(|edit| &edit.edited),
        }
    }

    /// Appends lines to the trail. They are durable when this returns.
    ///
    /// # Errors
    ///
    /// Returns an [`AuditError`]. Then the actions of these lines must not be done.
    pub async fn append(&self, lines: &[AuditLine]) -> Result<(), AuditError> {
        self.trail.append(lines).await
    }
}
