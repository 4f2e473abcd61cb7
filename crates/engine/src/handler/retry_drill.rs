//! The retry drill (setting `RetryDrillDevice`): fails a batch once on purpose, to verify that the host sends it again.
//!
//! Invariant 1 ("nothing is lost") rests on that behaviour of the host, which otherwise shows only during an outage of the
//! store. The drill is harmless: it never fails a batch that the host would not send again.

use super::{Attempt, Batch};

/// Fails the first attempt of each batch that contains an event of one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryDrill {
    /// The device id. It is searched for as text in the event bodies, before decoding, so that the drill does not depend on
    /// the code that it tests.
    pub device: String,
}

impl RetryDrill {
    /// Returns true if this attempt should fail: the first attempt of a batch that contains the device and will be retried.
    pub(super) fn should_fail(&self, batch: &Batch, attempt: &Attempt) -> bool {
        let device = self.device.as_bytes();
        // Under a retry policy each delivery of a message has a first attempt.
        let is_first_delivery = batch.message.as_ref().is_none_or(|message| message.delivery_count <= 1);
        attempt.number == 1
            && is_first_delivery
            && attempt.will_retry
            && batch.events.iter().any(|event| event.body.windows(device.len().max(1)).any(|text| text == device))
    }
}
