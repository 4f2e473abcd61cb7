//! Warns of events whose time is far ahead of this machine's clock.
//!
//! Such a time is not corrected, since a version depends on its event alone. Until that time has passed, events of another
//! source of the same device are superseded, and of the same source those with a lower time by more than
//! [`MAX_CLOCK_STEP_MS`].

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use crate::{
    batch::Batch,
    device_state::{MAX_CLOCK_STEP_MS, Version},
    text::{iso8601, truncated},
};

/// Limits the warnings to one per source in this time.
const WARNING_INTERVAL_MS: i64 = 60_000;

/// Limits the sources whose last warning is remembered.
const MAX_SOURCES: usize = 1_024;

/// When each source was last warned of, in milliseconds since 1970.
#[derive(Debug, Default)]
pub(super) struct FutureTimes(Mutex<HashMap<u64, i64>>);

/// An event whose time is far ahead.
pub(super) struct FutureEvent<'a> {
    pub(super) device_id: &'a str,
    pub(super) version: Version,
}

/// Returns true if a time is so far ahead of this machine's clock that the merge does not even it out.
pub(super) fn is_far_ahead(time_ms: i64, now_ms: i64) -> bool {
    time_ms.saturating_sub(now_ms) > MAX_CLOCK_STEP_MS
}

impl FutureTimes {
    /// Logs a warning, unless there was one of this source within a minute.
    pub(super) fn warn(&self, batch: &Batch, event: &FutureEvent, now_ms: i64) {
        let FutureEvent { device_id, version } = event;
        if !self.is_due(version.source, now_ms) {
            return;
        }
        tracing::warn!(
            deviceId = truncated(device_id),
            fullyQualifiedNamespace = batch.source.fully_qualified_namespace,
            entity = batch.source.entity(),
            partitionId = batch.source.partition_id,
            sequenceNumber = version.sequence_number,
            time = iso8601(version.time_ms),
            aheadSeconds = (version.time_ms - now_ms) / 1_000,
            "the time of an event is ahead of this machine's clock: until then, events of the device that are older by \
             their time are superseded; check the clock of what set the time"
        );
    }

    fn is_due(&self, source: u64, now_ms: i64) -> bool {
        let mut warned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |at_ms: i64| now_ms.saturating_sub(at_ms) < WARNING_INTERVAL_MS;
        if warned.get(&source).is_some_and(|at_ms| is_recent(*at_ms)) {
            return false;
        }
        if warned.len() >= MAX_SOURCES {
            warned.retain(|_, at_ms| is_recent(*at_ms));
        }
        warned.len() < MAX_SOURCES && {
            warned.insert(source, now_ms);
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_warned_of_once_a_minute() {
        let times = FutureTimes::default();
        let due = [(1, 0), (1, 59_999), (2, 59_999), (1, 60_000), (1, 60_001)].map(|(s, at)| times.is_due(s, at));
        assert_eq!(due, [true, false, true, true, false]);
    }

    #[test]
    fn the_remembered_sources_are_limited() {
        let times = FutureTimes::default();
        let warned = (0..2_000).filter(|source| times.is_due(*source, 0)).count();
        assert_eq!(warned, MAX_SOURCES);
        assert!(times.is_due(2_000, WARNING_INTERVAL_MS), "those of before are forgotten");
    }

    #[test]
    fn a_time_is_far_ahead_after_a_minute() {
        let now_ms = 1_000_000;
        assert_eq!(
            [0, 59_999, 60_000, 60_001].map(|ahead| is_far_ahead(now_ms + ahead, now_ms)),
            [false, false, false, true]
        );
    }
}
