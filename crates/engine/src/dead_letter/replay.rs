//! What becomes known of a dead letter after it was made: that it was replayed, and failed again.

use serde::{Deserialize, Serialize};

use super::DeadLetter;
use crate::{
    failure::{ErrorClass, Failure, Stage},
    text::{iso8601, truncated},
};

/// That a dead letter was replayed by the tools and has failed again: how often, and how the last time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Replay {
    /// How many replays have failed, from 1.
    pub attempts: u32,
    /// When the last one did, in UTC.
    pub time: String,
    /// Where it failed then.
    pub stage: Stage,
    /// Whose fault it was then.
    pub error_class: ErrorClass,
    /// What happened then, for people.
    pub issue: String,
}

impl DeadLetter {
    /// Counts a replay that has failed so, at this time in milliseconds since 1970.
    ///
    /// A device that only the replay could tell is the dead letter's from now on. The text gets longer by some
    /// kilobytes at the most, so it may not fit into the queue any more.
    pub fn failed_again(&mut self, failure: &Failure, time_ms: i64) {
        self.replay = Some(Replay {
            attempts: self.replay.as_ref().map_or(0, |replay| replay.attempts).saturating_add(1),
            time: iso8601(time_ms),
            stage: failure.stage,
            error_class: failure.class,
            issue: truncated(&failure.issue),
        });
        if let Some(device_id) = &failure.device_id {
            self.device_id = Some(truncated(device_id));
        }
    }

    /// Where it failed the last time, replays included.
    #[must_use]
    pub fn last_stage(&self) -> Stage {
        self.replay.as_ref().map_or(self.stage, |replay| replay.stage)
    }

    /// Whose fault it was the last time, replays included.
    #[must_use]
    pub fn last_class(&self) -> ErrorClass {
        self.replay.as_ref().map_or(self.error_class, |replay| replay.error_class)
    }

    /// What happened the last time, replays included, for people.
    #[must_use]
    pub fn last_issue(&self) -> &str {
        self.replay.as_ref().map_or(&self.issue, |replay| &replay.issue)
    }
}
