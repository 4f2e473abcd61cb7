//! Selects dead letters.

use std::ops::RangeInclusive;

use devicestate_engine::failure::Stage;
use regex_lite::Regex;

use super::{Entry, Identity, Summary};

/// Selects dead letters: a dead letter matches if it meets every condition that is set. Without conditions, all match.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Ids of dead letters, or their first digits: any of them.
    pub ids: Vec<String>,
    /// One dead letter with all messages that repeat it, whatever else has its id. It excludes every other message.
    pub only: Option<Identity>,
    /// The queue's ids of messages: any of them. Only this condition matches messages that are not dead letters.
    pub messages: Vec<String>,
    /// The device, or the partition key if the event could not be decoded.
    pub device: Option<String>,
    /// The stage at which it failed.
    pub stage: Option<Stage>,
    /// A pattern that the issue matches.
    pub issue: Option<Regex>,
    /// The earliest time of failure, in milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// The partition.
    pub partition: Option<String>,
    /// The sequence numbers, both ends included.
    pub sequence_numbers: Option<RangeInclusive<i64>>,
}

impl Filter {
    /// Returns true if the filter names dead letters or messages by their ids.
    #[must_use]
    pub fn has_ids(&self) -> bool {
        !self.ids.is_empty() || !self.messages.is_empty() || self.only.is_some()
    }

    /// Returns true if no condition is set.
    #[must_use]
    pub fn is_unrestricted(&self) -> bool {
        let Self { device, stage, issue, since_ms, partition, sequence_numbers, .. } = self;
        !self.has_ids()
            && device.is_none()
            && stage.is_none()
            && issue.is_none()
            && since_ms.is_none()
            && partition.is_none()
            && sequence_numbers.is_none()
    }

    /// Returns true if an export includes this message. Without conditions, it also includes messages that are not dead letters.
    #[must_use]
    pub fn should_export(&self, summary: &Summary) -> bool {
        self.is_unrestricted() || self.matches(summary)
    }

    /// Returns true if this message matches. A message that is not a dead letter matches only by its message id.
    #[must_use]
    pub fn selects(&self, entry: &Entry) -> bool {
        match &self.only {
            Some(only) => entry.identity() == Some(only),
            None => self.matches(&entry.summary()),
        }
    }

    fn matches(&self, summary: &Summary) -> bool {
        let is_named = self.messages.contains(&summary.message_id)
            || match &summary.id {
                Some(id) => !self.has_ids() || self.ids.iter().any(|named| id.starts_with(&named.to_ascii_lowercase())),
                None => false,
            };
        let failed = || summary.time.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond);
        is_named
            && is_met(self.device.as_deref(), |device| summary.device() == Some(device))
            && is_met(self.stage, |stage| summary.stage == Some(stage))
            && is_met(self.issue.as_ref(), |issue| issue.is_match(&summary.issue))
            && is_met(self.since_ms, |since| failed().is_some_and(|failed| failed >= since))
            && is_met(self.partition.as_deref(), |partition| summary.partition_id == partition)
            && is_met(self.sequence_numbers.as_ref(), |numbers| {
                summary.sequence_number.is_some_and(|number| numbers.contains(&number))
            })
    }
}

/// Returns true if a condition is met. A condition that is not set is always met.
fn is_met<T>(condition: Option<T>, met: impl FnOnce(T) -> bool) -> bool {
    condition.is_none_or(met)
}
