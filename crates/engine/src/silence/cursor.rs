//! How far the silence watch has examined the documents.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::device_state::MAX_CLOCK_STEP_MS;

/// How far documents are examined, by the times of their last writes: in milliseconds since 1970 by the clock of the store. It is
/// in memory only: a new process begins again, and the marks show what was recorded before.
///
/// The documents are examined in passes, each of one or more runs. A pass overlaps the one before, because the clocks of a store may
/// differ, or step back, or have seconds only. A run does not overlap the one before: it could not get beyond the documents of a minute
/// in which more were written than it can read.
#[derive(Debug, Default)]
pub(super) struct Cursor(Mutex<Position>);

/// Times in milliseconds.
#[derive(Debug)]
struct Position {
    /// The latest time of an examined document.
    examined: i64,
    /// When that document was examined, by the clock of the watch.
    advanced: i64,
    /// The time after which the next pass begins.
    start: i64,
    /// The time after which the pass continues; `None` if it has not begun.
    resume: Option<i64>,
    /// Where the first run of the pass ended; `None` in this run.
    first_end: Option<i64>,
}

impl Default for Position {
    fn default() -> Self {
        // Before the time of each write.
        Self { examined: -1, advanced: 0, start: -1, resume: None, first_end: None }
    }
}

impl Cursor {
    /// How long passes overlap: as long as an earlier time may still be written, and a run may take.
    const OVERLAP_LASTS_MS: i64 = 2 * MAX_CLOCK_STEP_MS;

    fn position(&self) -> MutexGuard<'_, Position> {
        // A position is never inconsistent, so a poisoned lock can be used.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a run, and returns the time after which it examines documents.
    pub(super) fn begin(&self) -> i64 {
        let mut position = self.position();
        let Some(resume) = position.resume else { return position.start };
        position.first_end.get_or_insert(resume);
        resume
    }

    /// Moves to the time of an examined document.
    pub(super) fn advance(&self, examined_ms: i64, now_ms: i64) {
        let mut position = self.position();
        position.resume = Some(examined_ms);
        if examined_ms > position.examined {
            (position.examined, position.advanced) = (examined_ms, now_ms);
        }
    }

    /// Ends a pass. The next one does not overlap it if there have been no newer documents for some time: otherwise each pass would
    /// examine again all devices of a site that were marked at once.
    pub(super) fn complete(&self, now_ms: i64) {
        let mut position = self.position();
        position.resume = None;
        let first_end = position.first_end.take().unwrap_or(position.examined);
        let is_settled = now_ms.saturating_sub(position.advanced) >= Self::OVERLAP_LASTS_MS;
        let overlapping = (first_end - MAX_CLOCK_STEP_MS).max(position.start);
        position.start = if is_settled { position.examined } else { overlapping };
    }
}
