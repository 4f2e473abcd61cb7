//! The expected effect of each event, as the fleet that made it states it, independently of the product's decoder.

use serde_json::Value;

/// The readings of a record, in the form in which a document holds them. A null clears its field.
pub(crate) type Readings = Vec<(&'static str, Value)>;

/// The expected effects of the records of an event, in their order.
#[derive(Debug)]
pub(crate) struct ExpectedEvent(pub(crate) Vec<ExpectedEffect>);

/// The expected effect of a record.
#[derive(Debug)]
pub(crate) enum ExpectedEffect {
    /// Its readings must be in its device's document, unless newer ones are.
    Valid(ExpectedRecord),
    /// Its document is rejected by the store: its event must become a dead letter, unless a newer one was in its batch.
    Rejected(ExpectedRecord),
    /// It cannot be decoded: its event must become a dead letter.
    Poison,
    /// It has no known reading: it has no effect, and an event of such records must be counted as such.
    Unrecognized,
    /// It is not telemetry: it has no effect, and an event of such records must be counted as such.
    Ignored,
}

/// A record that can be decoded.
#[derive(Debug)]
pub(crate) struct ExpectedRecord {
    /// The id of its document.
    pub(crate) id: String,
    pub(crate) time: DeviceTime,
    pub(crate) readings: Readings,
}

/// The time that must order a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeviceTime {
    /// The position of its event.
    NotUsed,
    /// This time of the device in milliseconds since 1970, but at most that at which the event was enqueued.
    Known(i64),
    /// The time at which the event was enqueued: the record has no time.
    Absent,
    /// The same: the time of the record cannot be right.
    Unusable,
}

impl ExpectedEffect {
    /// Returns the record; `None` if it has no effect on a document.
    pub(crate) fn decoded(&self) -> Option<&ExpectedRecord> {
        match self {
            Self::Valid(record) | Self::Rejected(record) => Some(record),
            Self::Poison | Self::Unrecognized | Self::Ignored => None,
        }
    }
}

impl ExpectedEvent {
    /// Returns the records that have an effect on a document, with their indexes.
    pub(crate) fn decoded(&self) -> impl Iterator<Item = (u32, &ExpectedRecord)> {
        (0..).zip(&self.0).filter_map(|(index, effect)| Some((index, effect.decoded()?)))
    }

    /// Returns the ids of the documents that it has an effect on.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.decoded().map(|(_, record)| &*record.id)
    }

    /// Returns the number of records whose time cannot be right.
    pub(crate) fn unusable_times(&self) -> usize {
        self.decoded().filter(|(_, record)| record.time == DeviceTime::Unusable).count()
    }

    /// Returns true if a record cannot be decoded.
    pub(crate) fn has_poison(&self) -> bool {
        self.0.iter().any(|effect| matches!(effect, ExpectedEffect::Poison))
    }

    /// Returns true if no record has a cause of its own for a dead letter, and at least one has an effect on a document.
    pub(crate) fn is_valid(&self) -> bool {
        let is_failing =
            |effect: &ExpectedEffect| matches!(effect, ExpectedEffect::Poison | ExpectedEffect::Rejected(_));
        self.ids().next().is_some() && !self.0.iter().any(is_failing)
    }

    /// Returns true if it must be counted as unrecognized.
    pub(crate) fn is_unrecognized(&self) -> bool {
        self.is_without_effect() && self.0.iter().any(|effect| matches!(effect, ExpectedEffect::Unrecognized))
    }

    /// Returns true if it must be counted as ignored.
    pub(crate) fn is_ignored(&self) -> bool {
        self.0.iter().all(|effect| matches!(effect, ExpectedEffect::Ignored))
    }

    fn is_without_effect(&self) -> bool {
        self.0.iter().all(|effect| matches!(effect, ExpectedEffect::Unrecognized | ExpectedEffect::Ignored))
    }
}
