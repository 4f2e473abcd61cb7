//! Writes down what one run of the tools does.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use devicestate_engine::{clock::Clock, text::iso8601};

use super::{Action, Audit, AuditError, AuditLine, Outcome, Summary};

/// The audit trail of one run.
pub struct Auditor {
    /// Where its lines go.
    pub trail: Arc<dyn Audit>,
    /// What is done.
    pub action: Action,
    /// Who does it.
    pub who: String,
    /// The queue's name and place.
    pub queue: String,
    /// The store of the documents, where it is known.
    pub store: Option<String>,
    /// The body before and after an edit.
    pub edit: Option<Edit>,
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
}

/// What an edit changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The body as it came.
    pub original: Vec<u8>,
    /// The body as it was replayed.
    pub edited: Vec<u8>,
}

impl Auditor {
    /// The line of what was done with a message.
    #[must_use]
    pub fn line(&self, summary: &Summary, outcome: Outcome, issue: Option<String>) -> AuditLine {
        let base64 = |body: fn(&Edit) -> &[u8]| self.edit.as_ref().map(|edit| BASE64_STANDARD.encode(body(edit)));
        AuditLine {
            time: iso8601(self.clock.now_ms()),
            who: self.who.clone(),
            action: self.action,
            outcome,
            queue: self.queue.clone(),
            // Only these two write documents.
            store: self.store.clone().filter(|_| matches!(self.action, Action::Replay | Action::Edit)),
            message_id: summary.message_id.clone(),
            id: summary.id.clone(),
            device_id: summary.device().map(str::to_owned),
            // Of what went well, why it had failed before.
            issue: issue.or_else(|| Some(summary.issue.clone())),
            original: base64(|edit| &edit.original),
            edited: base64(|edit| &edit.edited),
        }
    }

    /// Adds these lines to the trail; they are there for good when this returns.
    ///
    /// # Errors
    ///
    /// [`AuditError`]: then what they tell of must not be done.
    pub async fn append(&self, lines: &[AuditLine]) -> Result<(), AuditError> {
        self.trail.append(lines).await
    }
}
