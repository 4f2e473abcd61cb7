//! Replay over a queue: write the document, then the audit, then delete the message. Stopped or killed anywhere, it can
//! be run again: what was written already is superseded, and what was not deleted is still there.

use std::collections::BTreeMap;

use async_trait::async_trait;
use devicestate_engine::{
    clock::Clock,
    dead_letter::{DeadLetter, MAX_MESSAGE_BYTES, OverflowError, with_members},
    failure::Failure,
    rate_limit::RateLimit,
};
use serde_json::value::{RawValue, to_raw_value};

use super::{
    Auditor, Entry, Filter, Judge, Judged, Outcome, Summary, TriageError,
    overview::kind,
    replay::{Candidate, Replayed, Replayer},
    sweep::Fate,
};

/// After so many replays that failed, a dead letter is set aside, unless somebody says otherwise.
pub const MOST_REPLAYS: u32 = 5;

/// Replays the dead letters that are meant.
pub struct Redrive<'a> {
    /// The engine.
    pub replayer: &'a Replayer,
    /// Which are meant.
    pub filter: &'a Filter,
    /// A body in place of each one's own.
    pub edited: Option<&'a [u8]>,
    /// After so many replays that failed, a dead letter is set aside: it is replayed only when it is named.
    pub most_replays: u32,
    /// The trail of what is done; `None` for a trial, which deletes and changes nothing.
    pub audit: Option<&'a Auditor>,
    /// How fast.
    pub rate_limit: RateLimit,
    /// Wall-clock time.
    pub clock: &'a dyn Clock,
    /// What it came to so far.
    pub tally: Tally,
}

/// What a replay came to.
#[derive(Debug, Default, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tally {
    /// Dead letters that were replayed.
    pub replayed: u64,
    /// At least one of their readings was newer.
    pub applied: u64,
    /// None was.
    pub superseded: u64,
    /// They failed again.
    pub failed_again: u64,
    /// They had failed too often already, and were left alone.
    pub set_aside: u64,
    /// Messages that are no dead letters.
    pub foreign: u64,
    /// Why those failed, by the kind of issue.
    pub failures: BTreeMap<String, Alike>,
    /// What kept the replay from going on: the store or the overflow. What is left fares no better now.
    pub not_now: Option<String>,
}

/// Dead letters that failed for one reason.
#[derive(Debug, Default, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Alike {
    /// What happened: word for word, or names and numbers left out where they differ.
    pub issue: String,
    /// How many.
    pub count: u64,
    /// The id of one.
    pub example: String,
}

#[async_trait]
impl Judge for Redrive<'_> {
    async fn judge(&mut self, entries: &[Entry]) -> Result<Judged, TriageError> {
        let mut meant: Vec<(usize, &DeadLetter, Summary)> = Vec::new();
        for (place, entry) in entries.iter().enumerate() {
            let Some(letter) = entry.letter() else {
                self.tally.foreign += 1;
                continue;
            };
            let summary = entry.summary();
            if !self.filter.means(&summary) {
                continue;
            }
            if summary.replays >= self.most_replays && !self.filter.names_them() {
                self.tally.set_aside += 1;
                continue;
            }
            meant.push((place, letter, summary));
        }
        self.rate_limit.wait(meant.len()).await;
        if let Some(audit) = self.audit.filter(|_| !meant.is_empty()) {
            // Before a document is written it is sure that there is a place for the line about it.
            audit.append(&[]).await?;
        }
        let candidates: Vec<_> = meant.iter().map(|(_, letter, _)| Candidate { letter, edited: self.edited }).collect();
        let replayed = self.replayer.replay(&candidates).await;
        let mut fates = vec![Fate::Keep; entries.len()];
        let mut lines = Vec::new();
        for ((place, letter, summary), replayed) in meant.iter().zip(replayed) {
            self.count(summary, &replayed);
            let (fate, outcome, issue) = match replayed {
                Replayed::Applied => (Fate::Delete, Outcome::Applied, None),
                Replayed::Superseded => (Fate::Delete, Outcome::Superseded, None),
                Replayed::FailedAgain(failure) => {
                    let counted = match self.audit {
                        Some(_) => self.counted(&entries[*place].message.body, letter, &failure).await,
                        None => Ok(Fate::Keep),
                    };
                    match counted {
                        Ok(fate) => (fate, Outcome::FailedAgain, Some(failure.issue)),
                        // The others of these are done with all the same.
                        Err(error) => {
                            self.tally.not_now.get_or_insert(error.to_string());
                            continue;
                        }
                    }
                }
                Replayed::NotNow(reason) => {
                    self.tally.not_now.get_or_insert(reason);
                    continue;
                }
            };
            if let Some(audit) = self.audit {
                lines.push(audit.line(summary, outcome, issue));
                fates[*place] = fate;
            }
        }
        if let Some(audit) = self.audit {
            audit.append(&lines).await?;
        }
        Ok(Judged { fates, is_enough: self.tally.not_now.is_some() })
    }
}

impl Redrive<'_> {
    fn count(&mut self, summary: &Summary, replayed: &Replayed) {
        let tally = &mut self.tally;
        match replayed {
            Replayed::Applied => tally.applied += 1,
            Replayed::Superseded => tally.superseded += 1,
            Replayed::FailedAgain(failure) => {
                tally.failed_again += 1;
                let kind = kind(&failure.issue);
                let new = || Alike { issue: failure.issue.clone(), ..Alike::default() };
                let alike = tally.failures.entry(kind.clone()).or_insert_with(new);
                alike.count += 1;
                alike.example = summary.id.clone().unwrap_or_default();
                // What all of them say word for word is told so.
                if alike.issue != failure.issue {
                    alike.issue = kind;
                }
            }
            Replayed::NotNow(_) => return,
        }
        tally.replayed += 1;
    }

    /// A dead letter that failed again goes back with this replay counted, and with all else that its message says.
    async fn counted(&self, message: &[u8], letter: &DeadLetter, failure: &Failure) -> Result<Fate, OverflowError> {
        let mut letter = letter.clone();
        letter.failed_again(failure, self.clock.now_ms());
        let (replay, device) = (raw(&letter.replay), raw(&letter.device_id));
        let text = match &letter.device_id {
            Some(_) => with_members(message, [("DeviceId", device), ("Replay", replay)]),
            None => with_members(message, [("Replay", replay)]),
        };
        let text = text.expect("it was read as an object").into_bytes();
        if text.len() <= MAX_MESSAGE_BYTES {
            return Ok(Fate::Change(text));
        }
        // It fitted before, and does not with what is now told of it.
        let Some(overflow) = &self.replayer.overflow else { return Ok(Fate::Keep) };
        let pointer = letter.store_text_in(text, &**overflow).await?;
        Ok(Fate::Change(letter.message_with_pointer(pointer).into_bytes()))
    }
}

fn raw(value: &impl serde::Serialize) -> Box<RawValue> {
    to_raw_value(value).expect("texts and numbers are always JSON")
}
