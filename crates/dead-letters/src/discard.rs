//! Deletes dead letters that nobody needs any more. What lies in the overflow stays: another message may point at it.

use async_trait::async_trait;

use super::{Auditor, Entry, Filter, Judge, Judged, Outcome, TriageError, sweep::Fate};

/// Discards the messages that are meant.
pub struct Discard<'a> {
    /// Which are meant.
    pub filter: &'a Filter,
    /// The trail of what is done; `None` for a trial, which deletes nothing.
    pub audit: Option<&'a Auditor>,
    /// How many were meant so far.
    pub meant: u64,
}

#[async_trait]
impl Judge for Discard<'_> {
    async fn judge(&mut self, entries: &[Entry]) -> Result<Judged, TriageError> {
        let mut fates = vec![Fate::Keep; entries.len()];
        let mut lines = Vec::new();
        for (entry, fate) in entries.iter().zip(&mut fates) {
            let summary = entry.summary();
            if !self.filter.means(&summary) {
                continue;
            }
            self.meant += 1;
            if let Some(audit) = self.audit {
                lines.push(audit.line(&summary, Outcome::Discarded, None));
                *fate = Fate::Delete;
            }
        }
        if let Some(audit) = self.audit {
            audit.append(&lines).await?;
        }
        Ok(Judged { fates, is_enough: false })
    }
}
