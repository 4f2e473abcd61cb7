//! Which dead letters are meant.

use std::ops::RangeInclusive;

use devicestate_engine::failure::Stage;
use regex_lite::Regex;

use super::Summary;

/// Which dead letters are meant: those of which everything that is set here is true. Nothing set means all of them.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Ids of dead letters, or their beginnings: any of them.
    pub ids: Vec<String>,
    /// The queue's ids of messages: any of them. The one way to mean a message that is no dead letter.
    pub messages: Vec<String>,
    /// The device; where the event could not be decoded, the partition key.
    pub device: Option<String>,
    /// Where they failed.
    pub stage: Option<Stage>,
    /// What happened.
    pub issue: Option<Regex>,
    /// Failed at this time or later, in milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// The partition.
    pub partition: Option<String>,
    /// The sequence numbers, from the first to the last.
    pub sequence_numbers: Option<RangeInclusive<i64>>,
}

impl Filter {
    /// Whether just these were named, one by one.
    #[must_use]
    pub fn names_them(&self) -> bool {
        !self.ids.is_empty() || !self.messages.is_empty()
    }

    /// Whether nothing is set.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        let Self { device, stage, issue, since_ms, partition, sequence_numbers, .. } = self;
        !self.names_them()
            && device.is_none()
            && stage.is_none()
            && issue.is_none()
            && since_ms.is_none()
            && partition.is_none()
            && sequence_numbers.is_none()
    }

    /// Whether this message is to be copied: also one that is no dead letter, where everything is meant.
    #[must_use]
    pub fn exports(&self, summary: &Summary) -> bool {
        self.is_everything() || self.means(summary)
    }

    /// Whether this message is meant. One that is no dead letter is only meant when its message id is named.
    #[must_use]
    pub fn means(&self, summary: &Summary) -> bool {
        let is_named = self.messages.contains(&summary.message_id)
            || match &summary.id {
                Some(id) => {
                    !self.names_them() || self.ids.iter().any(|named| id.starts_with(&named.to_ascii_lowercase()))
                }
                None => false,
            };
        let failed = || summary.time.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond);
        is_named
            && is(self.device.as_deref(), |device| summary.device() == Some(device))
            && is(self.stage, |stage| summary.stage == Some(stage))
            && is(self.issue.as_ref(), |issue| issue.is_match(&summary.issue))
            && is(self.since_ms, |since| failed().is_some_and(|failed| failed >= since))
            && is(self.partition.as_deref(), |partition| summary.partition_id == partition)
            && is(self.sequence_numbers.as_ref(), |numbers| {
                summary.sequence_number.is_some_and(|number| numbers.contains(&number))
            })
    }
}

/// Whether a condition is met; one that is not set always is.
fn is<T>(condition: Option<T>, met: impl FnOnce(T) -> bool) -> bool {
    condition.is_none_or(met)
}
