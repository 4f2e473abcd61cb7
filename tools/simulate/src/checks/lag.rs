//! Checks that a faulty document does not hold the events of other devices.

use std::time::Duration;

use devicestate_engine::clock::Clock as _;

use crate::{World, hub::EventRange};

/// Checks a batch after its last attempt, in a run whose only fault is one document.
pub(crate) fn check(world: &World, range: &EventRange) {
    let Some(max) = world.schedule.max_lag else { return };
    let now = world.clock.now_ms();
    // Events that were delivered before wait for no one.
    for (event, expected) in range.events.iter().zip(&range.expected).skip(range.redelivered) {
        let lag = Duration::from_millis(u64::try_from(now - event.enqueued_ms).unwrap_or_default());
        if lag > max && !expected.ids().any(|id| world.faults.has_had_document_fault(id)) {
            let number = event.sequence_number;
            let what = format!("event {number} of a healthy device waited {lag:?}; the limit is {max:?}");
            return world.clock.record_violation(&what);
        }
    }
}
