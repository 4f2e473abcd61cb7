//! Which of two events is newer, by the rule in `docs/reference/state-document.md` and without the product's comparison.

use devicestate_engine::device_state::Version;
use devicestate_local::hub::HubEvent;

use crate::expected::DeviceTime;

/// The time, the source and the sequence number of an event, or of the event that a stored reading is from, and the index of the
/// record.
pub(crate) type EventOrder = (i64, u64, i64, u32);

/// Returns the order of an event of the source with this number. The numbers of sources whose events are ordered by time are
/// odd.
pub(crate) fn of_event(source: u64, event: &HubEvent) -> EventOrder {
    match event.iot_hub_enqueued_ms {
        Some(time_ms) => (time_ms, source | 1, event.sequence_number, 0),
        None => (event.enqueued_ms, source, event.sequence_number, 0),
    }
}

/// Returns the order of a record with this index and this time of the device.
pub(crate) fn of_record(source: u64, event: &HubEvent, index: u32, time: DeviceTime) -> EventOrder {
    let (enqueued_ms, source, sequence_number, _) = of_event(source, event);
    match time {
        DeviceTime::NotUsed => (enqueued_ms, source, sequence_number, index),
        DeviceTime::Known(time_ms) => (time_ms.min(enqueued_ms), source | 1, sequence_number, index),
        DeviceTime::Absent | DeviceTime::Unusable => (enqueued_ms, source | 1, sequence_number, index),
    }
}

/// Returns the order of a stored version.
pub(crate) fn of_version(Version { time_ms, sequence_number, source, record }: Version) -> EventOrder {
    (time_ms, source, sequence_number, record)
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
    if is_by_number(event, other) { (event.2, event.3) > (other.2, other.3) } else { event > other }
}
