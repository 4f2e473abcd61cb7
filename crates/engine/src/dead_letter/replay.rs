//! The replays of a dead letter that failed again.

use serde::{Deserialize, Serialize};

use super::DeadLetter;
use crate::{
    failure::{ErrorClass, Failure, Stage},
    text::{iso8601, truncated},
};

/// The failed replays of a dead letter: their number, and the last failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Replay {
    /// The number of failed replays, from 1.
    pub attempts: u32,
    /// When the last replay failed, in UTC.
    pub time: String,
    /// The stage that failed in the last replay.
    pub stage: Stage,
    /// The cause of the last failure.
    pub error_class: ErrorClass,
    /// A description of the last failure.
    pub issue: String,
}

impl DeadLetter {
    /// Adds a failed replay, at this time in milliseconds since 1970, UTC.
    ///
    /// If only the replay could decode the device id, the dead letter gets that id. The text grows by a few kilobytes at
    /// most, so it may no longer fit into the queue.
    pub fn add_failed_replay(&mut self, failure: &Failure, time_ms: i64) {
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

    /// Returns the stage of the last failure, replays included.
    #[must_use]
    pub fn last_stage(&self) -> Stage {
        self.replay.as_ref().map_or(self.stage, |replay| replay.stage)
    }

    /// Returns the cause of the last failure, replays included.
    #[must_use]
    pub fn last_class(&self) -> ErrorClass {
        self.replay.as_ref().map_or(self.error_class, |replay| replay.error_class)
    }

    /// Returns a description of the last failure, replays included.
    #[must_use]
    pub fn last_issue(&self) -> &str {
        self.replay.as_ref().map_or(&self.issue, |replay| &replay.issue)
    }
}
