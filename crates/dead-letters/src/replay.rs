//! Replays the dead letters of a queue. For each: write the document, write the audit line, delete the message. A replay
//! that is stopped or killed at any point can be repeated: what was written is superseded then, and what was not deleted is
//! still in the queue.
//!
//! [`replayer`] applies single dead letters; this module selects them and updates or deletes their messages.

pub(crate) mod replayer;

use std::collections::BTreeMap;

use async_trait::async_trait;
use devicestate_engine::{
    clock::Clock,
    dead_letter::{DeadLetter, MAX_MESSAGE_BYTES, OverflowError, with_members},
    failure::Failure,
    rate_limit::RateLimit,
};
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use super::{
    AuditWriter, Entry, Filter, MessageAction, MessageVisitor, Outcome, ScanError, Summary, VisitResult,
    overview::without_names_and_numbers,
};
use replayer::{Candidate, ReplayOutcome, Replayer};

/// After this many failed replays, a dead letter is set aside, unless the caller sets another limit.
pub const MAX_REPLAYS: u32 = 5;

/// Replays the dead letters that a filter matches.
pub struct Replay<'a> {
    /// Applies the dead letters.
    pub replayer: &'a Replayer,
    /// Selects the dead letters.
    pub filter: &'a Filter,
    /// Replaces the body of each dead letter.
    pub edited: Option<&'a [u8]>,
    /// After this many failed replays, a dead letter is set aside: it is replayed only if the filter names its id.
    pub max_replays: u32,
    /// The audit trail; `None` for a dry run, which deletes and changes nothing.
    pub audit: Option<&'a AuditWriter>,
    /// How many dead letters per second.
    pub rate_limit: RateLimit,
    /// Wall-clock time.
    pub clock: &'a dyn Clock,
    /// The counts so far.
    pub summary: ReplaySummary,
}

/// The result of a replay.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplaySummary {
    /// Dead letters that were replayed.
    pub replayed: u64,
    /// At least one of their readings was newer.
    pub applied: u64,
    /// None of their readings was newer.
    pub superseded: u64,
    /// They are not telemetry: IoT Hub reports a change of a device.
    pub ignored: u64,
    /// They have no known reading. They stay in the queue.
    pub unrecognized: u64,
    /// They failed again.
    pub failed_again: u64,
    /// They had failed too often before, and were not tried.
    pub set_aside: u64,
    /// Messages that are not dead letters.
    pub foreign: u64,
    /// Why dead letters failed again, by kind of issue.
    #[serde(serialize_with = "serialize_groups")]
    pub failures: BTreeMap<String, FailureGroup>,
    /// Why the replay ended early: the store or the overflow is not available. The other dead letters were not tried.
    pub reason: Option<String>,
}

/// Dead letters that failed for the same kind of reason.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureGroup {
    /// What failed: the exact text, or without names and numbers if they differ.
    pub issue: String,
    /// How many.
    pub count: u64,
    /// The id of one of them.
    pub example: String,
}

/// Serializes the groups as an array, because map keys must not be free text.
fn serialize_groups<S: Serializer>(groups: &BTreeMap<String, FailureGroup>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(groups.values())
}

#[async_trait]
impl MessageVisitor for Replay<'_> {
    async fn visit(&mut self, entries: &[Entry]) -> Result<VisitResult, ScanError> {
        let selected = self.select(entries);
        self.rate_limit.wait(selected.len()).await;
        if let Some(audit) = self.audit.filter(|_| !selected.is_empty()) {
            // Before a document is written, the audit trail must accept lines.
            audit.append(&[]).await?;
        }
        let candidates: Vec<_> =
            selected.iter().map(|(_, letter, _)| Candidate { letter, edited: self.edited }).collect();
        let outcomes = self.replayer.replay(&candidates).await;
        let mut actions = vec![MessageAction::Keep; entries.len()];
        let mut lines = Vec::new();
        for ((index, letter, summary), outcome) in selected.iter().zip(outcomes) {
            self.count_outcome(summary, &outcome);
            let (action, outcome, issue) = match outcome {
                ReplayOutcome::Applied => (MessageAction::Delete, Outcome::Applied, None),
                ReplayOutcome::Superseded => (MessageAction::Delete, Outcome::Superseded, None),
                ReplayOutcome::Ignored => (MessageAction::Delete, Outcome::Ignored, None),
                // Nothing of it is stored, so deleting it would lose it.
                ReplayOutcome::Unrecognized => (MessageAction::Keep, Outcome::Unrecognized, None),
                ReplayOutcome::FailedAgain(failure) => {
                    let action = match self.audit {
                        Some(_) => self.add_failed_replay_to(&entries[*index].message.body, letter, &failure).await,
                        None => Ok(MessageAction::Keep),
                    };
                    match action {
                        Ok(action) => (action, Outcome::FailedAgain, Some(failure.issue)),
                        // The results of the other dead letters are still recorded.
                        Err(error) => {
                            self.summary.reason.get_or_insert(error.to_string());
                            continue;
                        }
                    }
                }
                ReplayOutcome::NotTried(reason) => {
                    self.summary.reason.get_or_insert(reason);
                    continue;
                }
            };
            if let Some(audit) = self.audit {
                lines.push(audit.line(summary, outcome, issue));
                actions[*index] = action;
            }
        }
        if let Some(audit) = self.audit {
            audit.append(&lines).await?;
        }
        Ok(VisitResult { actions, is_complete: self.summary.reason.is_some() })
    }
}

impl Replay<'_> {
    /// Returns the dead letters to replay, each with its index in `entries`.
    fn select<'e>(&mut self, entries: &'e [Entry]) -> Vec<(usize, &'e DeadLetter, Summary)> {
        let mut selected = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let Some(letter) = entry.dead_letter() else {
                self.summary.foreign += 1;
                continue;
            };
            let summary = entry.summary();
            if !self.filter.selects(entry) {
                continue;
            }
            if summary.replays >= self.max_replays && !self.filter.has_ids() {
                self.summary.set_aside += 1;
                continue;
            }
            selected.push((index, letter, summary));
        }
        selected
    }

    fn count_outcome(&mut self, summary: &Summary, outcome: &ReplayOutcome) {
        let counts = &mut self.summary;
        match outcome {
            ReplayOutcome::Applied => counts.applied += 1,
            ReplayOutcome::Superseded => counts.superseded += 1,
            ReplayOutcome::Ignored => counts.ignored += 1,
            ReplayOutcome::Unrecognized => counts.unrecognized += 1,
            ReplayOutcome::FailedAgain(failure) => {
                counts.failed_again += 1;
                let kind = without_names_and_numbers(&failure.issue);
                let new = || FailureGroup { issue: failure.issue.clone(), ..FailureGroup::default() };
                let group = counts.failures.entry(kind.clone()).or_insert_with(new);
                group.count += 1;
                group.example = summary.id.clone().unwrap_or_default();
                // The exact text is kept only while all of them have it.
                if group.issue != failure.issue {
                    group.issue = kind;
                }
            }
            ReplayOutcome::NotTried(_) => return,
        }
        counts.replayed += 1;
    }

    /// Returns the action that adds a failed replay to the message. All other members of the message are unchanged.
    async fn add_failed_replay_to(
        &self,
        message: &[u8],
        letter: &DeadLetter,
        failure: &Failure,
    ) -> Result<MessageAction, OverflowError> {
        let mut letter = letter.clone();
        letter.add_failed_replay(failure, self.clock.now_ms());
        let (replay, device) = (to_raw_json(&letter.replay), to_raw_json(&letter.device_id));
        let text = match &letter.device_id {
            Some(_) => with_members(message, [("DeviceId", device), ("Replay", replay)]),
            None => with_members(message, [("Replay", replay)]),
        };
        let text = text.expect("it was parsed as an object").into_bytes();
        if text.len() <= MAX_MESSAGE_BYTES {
            return Ok(MessageAction::Update(text));
        }
        // The message fitted, but does not with the failed replay: the dead letter moves to the overflow.
        let Some(overflow) = &self.replayer.overflow else { return Ok(MessageAction::Keep) };
        let pointer = letter.store_text_in(text, &**overflow).await?;
        Ok(MessageAction::Update(letter.message_with_pointer(pointer).into_bytes()))
    }
}

fn to_raw_json(value: &impl Serialize) -> Box<RawValue> {
    to_raw_value(value).expect("texts and numbers are always JSON")
}
