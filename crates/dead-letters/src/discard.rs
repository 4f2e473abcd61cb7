//! Deletes dead letters. Their content in the overflow stays, because another message may point to it.

use async_trait::async_trait;

use super::{AuditWriter, Entry, Filter, MessageAction, MessageVisitor, Outcome, Overview, ScanError, VisitResult};

/// Deletes the messages that a filter matches.
pub struct Discard<'a> {
    /// Selects the messages.
    pub filter: &'a Filter,
    /// The audit trail; `None` for a dry run, which deletes nothing.
    pub audit: Option<&'a AuditWriter>,
    /// The number of messages that matched so far.
    pub matched: u64,
    /// The dead letters that matched so far.
    pub overview: Overview,
}

#[async_trait]
impl MessageVisitor for Discard<'_> {
    async fn visit(&mut self, entries: &[Entry]) -> Result<VisitResult, ScanError> {
        let mut actions = vec![MessageAction::Keep; entries.len()];
        let mut lines = Vec::new();
        for (entry, action) in entries.iter().zip(&mut actions) {
            let summary = entry.summary();
            if !self.filter.selects(entry) {
                continue;
            }
            self.matched += 1;
            self.overview.add(entry);
            if let Some(audit) = self.audit {
                lines.push(audit.line(&summary, Outcome::Discarded, None));
                *action = MessageAction::Delete;
            }
        }
        if let Some(audit) = self.audit {
            audit.append(&lines).await?;
        }
        Ok(VisitResult { actions, is_complete: false })
    }
}
