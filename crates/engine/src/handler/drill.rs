//! `RetryDrillDevice`: a batch that is failed on purpose, once, to see that the platform sends it again.
//!
//! That is the one promise of the host on which "nothing is lost" rests, and in production one sees it kept only on the
//! day on which the store fails. It does no harm: a batch that nobody would send again is never failed.

use super::{Attempt, Batch};

/// The device whose batches are failed once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drill {
    /// Found as text in an event's body, before anything is decoded: a drill must not depend on what it is to test.
    pub device: String,
}

impl Drill {
    /// Whether this attempt is to be failed: the first one, of a batch with an event of the device, with another to come.
    pub(super) fn fails(&self, batch: &Batch, attempt: &Attempt) -> bool {
        let device = self.device.as_bytes();
        attempt.number == 1
            && attempt.will_retry
            && batch.events.iter().any(|event| event.body.windows(device.len().max(1)).any(|text| text == device))
    }
}
