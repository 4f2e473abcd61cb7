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

#[derive(Debug)]
struct Position {
    /// The latest time of an examined document.
    examined_ms: i64,
    /// When that document was examined, by the clock of the watch.
    advanced_ms: i64,
    /// The time after which the next pass begins.
    start_ms: i64,
    /// The time after which the pass continues; `None` if it has not begun.
    resume_ms: Option<i64>,
    /// Where the first run of the pass ended; `None` in this run.
    first_end_ms: Option<i64>,
}

impl Default for Position {
    fn default() -> Self {
        // Before the time of each write.
        Self { examined_ms: -1, advanced_ms: 0, start_ms: -1, resume_ms: None, first_end_ms: None }
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
        let Some(resume_ms) = position.resume_ms else { return position.start_ms };
        position.first_end_ms.get_or_insert(resume_ms);
        resume_ms
    }

    /// Moves to the time of an examined document.
    pub(super) fn advance(&self, examined_ms: i64, now_ms: i64) {
        let mut position = self.position();
        position.resume_ms = Some(examined_ms);
        if examined_ms > position.examined_ms {
            (position.examined_ms, position.advanced_ms) = (examined_ms, now_ms);
        }
    }

    /// Ends a pass. The next one does not overlap it if there have been no newer documents for some time: otherwise each pass would
    /// examine again all devices of a site that were marked at once.
    pub(super) fn complete(&self, now_ms: i64) {
        let mut position = self.position();
        position.resume_ms = None;
        let first_end_ms = position.first_end_ms.take().unwrap_or(position.examined_ms);
        let is_settled = now_ms.saturating_sub(position.advanced_ms) >= Self::OVERLAP_LASTS_MS;
        let overlapping_ms = (first_end_ms - MAX_CLOCK_STEP_MS).max(position.start_ms);
        position.start_ms = if is_settled { position.examined_ms } else { overlapping_ms };
    }
}
