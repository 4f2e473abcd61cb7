//! Which of two events is newer, by the rule in `docs/reference/state-document.md` and without the product's comparison.

use devicestate_engine::device_state::Version;
use devicestate_local::hub::HubEvent;

/// The time, the source and the sequence number of an event, or of the event that a stored reading is from.
pub(crate) type EventOrder = (i64, u64, i64);

/// Returns the order of an event of the source with this number. The numbers of sources whose events are ordered by time are
/// odd.
pub(crate) fn of_event(source: u64, event: &HubEvent) -> EventOrder {
    match event.iot_hub_enqueued_ms {
        Some(time_ms) => (time_ms, source | 1, event.sequence_number),
        None => (event.enqueued_ms, source, event.sequence_number),
    }
}

/// Returns the order of a stored version.
pub(crate) fn of_version(Version { time_ms, sequence_number, source, .. }: Version) -> EventOrder {
    (time_ms, source, sequence_number)
}

/// The difference of two times, in milliseconds, from which on the time decides within a source that is ordered by sequence
/// number.
pub(crate) const MINUTE_MS: i64 = 60_000;

/// Returns whether the sequence number decides which of two events is newer.
pub(crate) fn is_by_number(one: EventOrder, other: EventOrder) -> bool {
    one.1 == other.1 && one.1.is_multiple_of(2) && (one.0 - other.0).abs() <= MINUTE_MS
}

/// Returns whether an event is newer than another one.
pub(crate) fn is_newer(event: EventOrder, other: EventOrder) -> bool {
    if is_by_number(event, other) { event.2 > other.2 } else { event > other }
}
