//! The version of a reading: which of two events is newer.

use std::fmt::{self, Formatter};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, SeqAccess, Unexpected, Visitor},
    ser::SerializeTuple as _,
};

/// The version of a reading: the time, the sequence number and the source of its event, and its record.
///
/// The rule of comparison:
///
/// * Two events of one source: the sequence number decides, because the service guarantees it. The times of a partition may
///   step back when another broker node takes it over.
/// * Times that differ by more than [`MAX_CLOCK_STEP_MS`] decide nevertheless: the sequence numbers of a hub that was created
///   again start again, and no metadata shows that.
/// * Two sources, or a source that is ordered by time: the time decides, then the source, then the sequence number.
///
/// A record that is ordered by the time of its device has the odd number of its event's source, and a time that is not later than
/// that of the service. So if the telemetry of a stream changes from the times of the service to those of devices, or back, a
/// field has versions of two sources, which time orders: the order stays total for the same sets of events. The limit is that
/// of the clocks: after the change to its own times, a device whose clock is behind is superseded for as long as its clock is
/// behind, and what it recorded before the change does not overwrite what the service had received until then.
///
/// `docs/contribute/architecture.md` names the sets of events for which the order of arrival does not matter. In a document
/// a version is the array `[time_ms, sequence_number, source]`; a record that is not the first of its event has its index as
/// a fourth element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version {
    /// The record's time in milliseconds since 1970, UTC: mostly when the service enqueued its event.
    pub time_ms: i64,
    /// The event's sequence number within its source.
    pub sequence_number: i64,
    /// The number of the event's [`Source`](crate::batch::Source::number). The lowest bit is set if the events of the source
    /// are ordered by time.
    pub source: u64,
    /// The index of the record within its event: of two records of one event, the later one is newer.
    pub record: u32,
}

/// The largest step back of the times of one source, in milliseconds, over which the sequence number still decides.
pub const MAX_CLOCK_STEP_MS: i64 = 60_000;

/// The bit of [`Version::source`] that is set if time orders the events of the source.
const ORDERED_BY_TIME: u64 = 1;

impl Version {
    /// Returns the version of an event whose source is ordered by time, not by sequence number: its sequence number may be new
    /// although the event is old, or there is none.
    #[must_use]
    pub fn ordered_by_time(time_ms: i64, sequence_number: i64, source: u64) -> Self {
        Self { time_ms, sequence_number, source: source | ORDERED_BY_TIME, record: 0 }
    }

    /// Returns true if an event of this version replaces a reading of the version `stored`.
    #[must_use]
    pub fn is_newer_than(self, stored: Self) -> bool {
        stored.replaced_by(self).is_some()
    }

    /// Returns the version of a stored reading after it is replaced by that of an event; `None` if the event is not newer.
    ///
    /// A newer event of the source may have an earlier time. The stored one is kept then, so that it never decreases. Only a
    /// newer event may raise it: otherwise the events of a hub that was created again would keep themselves from being newer.
    #[inline]
    pub(super) fn replaced_by(self, event: Self) -> Option<Self> {
        if self.source == event.source
            && self.source & ORDERED_BY_TIME == 0
            && self.time_ms.abs_diff(event.time_ms) <= MAX_CLOCK_STEP_MS.unsigned_abs()
        {
            let time_ms = self.time_ms.max(event.time_ms);
            let is_newer = (event.sequence_number, event.record) > (self.sequence_number, self.record);
            return is_newer.then_some(Self { time_ms, ..event });
        }
        (event.by_time() > self.by_time()).then_some(event)
    }

    /// Returns the parts by which versions of different sources are compared. The sequence number comes last, because those of
    /// two sources have nothing to do with each other.
    pub(super) fn by_time(self) -> (i64, u64, i64, u32) {
        (self.time_ms, self.source, self.sequence_number, self.record)
    }
}

/// Cosmos DB stores integers beyond this as doubles, and so rounds them.
const MAX_EXACT_INTEGER: u64 = 1 << 53;

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { time_ms, sequence_number, source, record } = *self;
        let mut elements = serializer.serialize_tuple(if record == 0 { 3 } else { 4 })?;
        elements.serialize_element(&time_ms)?;
        if sequence_number.unsigned_abs() <= MAX_EXACT_INTEGER {
            elements.serialize_element(&sequence_number)?;
        } else {
            elements.serialize_element(&sequence_number.to_string())?;
        }
        elements.serialize_element(&source)?;
        if record != 0 {
            elements.serialize_element(&record)?;
        }
        elements.end()
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(VersionVisitor)
    }
}

struct VersionVisitor;

impl<'de> Visitor<'de> for VersionVisitor {
    type Value = Version;

    fn expecting(&self, formatter: &mut Formatter) -> fmt::Result {
        formatter.write_str("a version: an array of three or four elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Version, A::Error> {
        let missing = |index| A::Error::invalid_length(index, &self);
        let time_ms = elements.next_element()?.ok_or_else(|| missing(0))?;
        let SequenceNumber(sequence_number) = elements.next_element()?.ok_or_else(|| missing(1))?;
        let source = elements.next_element()?.ok_or_else(|| missing(2))?;
        let record = elements.next_element()?.unwrap_or_default();
        Ok(Version { time_ms, sequence_number, source, record })
    }
}

/// A sequence number in a document: a number, or a string if Cosmos DB would round the number.
struct SequenceNumber(i64);

impl<'de> Deserialize<'de> for SequenceNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SequenceNumberVisitor).map(Self)
    }
}

struct SequenceNumberVisitor;

impl Visitor<'_> for SequenceNumberVisitor {
    type Value = i64;

    fn expecting(&self, formatter: &mut Formatter) -> fmt::Result {
        formatter.write_str("a sequence number: an integer, or a string with one")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<i64, E> {
        Ok(number)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<i64, E> {
        i64::try_from(number).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    /// Version 0.1.0 stored each number as a number. Cosmos DB may return those that it rounded with an exponent.
    fn visit_f64<E: Error>(self, number: f64) -> Result<i64, E> {
        const LIMIT: f64 = 9_223_372_036_854_775_808.0;
        if number.fract() != 0.0 || !(-LIMIT..LIMIT).contains(&number) {
            return Err(E::invalid_value(Unexpected::Float(number), &self));
        }
        #[expect(clippy::cast_possible_truncation, reason = "checked")]
        Ok(number as i64)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<i64, E> {
        text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }
}
