//! Maps the records of an event to device ids and readings, as a telemetry file describes them.
//!
//! A [`Mapping`] is the checked content of a telemetry file. Its meaning is defined here, on JSON that is parsed completely.

mod convert;
mod device;
mod pointer;
mod record;
mod records;
mod shown;
mod source;
mod text;
mod time;
mod when;
mod wildcard;

use devicestate_engine::{device_state::Name, telemetry::drone::DeviceIdFromIotHub};
use serde_json::Value;

use crate::file::TelemetryFile;

pub(crate) use convert::{Conversion, NamedValues, Range, is_equal, is_same_name};
pub(crate) use pointer::Pointer;
pub(crate) use shown::{shortened, shown};
pub use source::Context;
pub(crate) use source::{Source, Sources};
pub use text::parse;
pub(crate) use text::{MAX_VALUES, parse_first, parse_lines};
pub(crate) use time::{TimeFormat, TimeRule, USUAL_MS};
pub(crate) use when::{Condition, Test, When};
pub(crate) use wildcard::{Elements, NamePattern, Wildcard};

/// The most records of an event.
pub const MAX_RECORDS: usize = 4_096;

/// The most bytes of a reading's name.
pub const MAX_NAME_BYTES: usize = 256;

/// The most levels of nested objects and arrays; the same as for the parser of JSON text.
pub const MAX_DEPTH: usize = 127;

/// What is read from which part of an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping {
    /// What the device that IoT Hub authenticated is for.
    pub device_id_from_iot_hub: DeviceIdFromIotHub,
    /// Where the records are that the kinds are chosen for. `None`: a value of the body, or each element if it is an array.
    pub(crate) records: Option<Pointer>,
    /// A record for which one of these holds is not telemetry.
    pub(crate) ignore: Vec<When>,
    /// The kinds, of which the first that applies is used. There is at least one.
    pub(crate) kinds: Vec<Kind>,
}

/// One kind of record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kind {
    /// The records that it applies to.
    pub(crate) when: When,
    /// Where its own records are, which it is applied to instead. Only if [`Mapping::records`] is `None`.
    pub(crate) records: Option<Pointer>,
    pub(crate) device: Sources,
    /// True if a member that could be the device id and is not is a reading: without `device` in the file, which names are
    /// those of ids is only assumed.
    pub(crate) takes_other_ids: bool,
    /// `None` if the records are ordered by the service's time.
    pub(crate) time: Option<TimeRule>,
    /// In the order of their names, which are different.
    pub(crate) readings: Vec<ReadingRule>,
    /// The rule `*`.
    pub(crate) wildcard: Option<Wildcard>,
    /// True if a null clears its reading, false if it is not a reading.
    pub(crate) null_clears: bool,
    /// True if an object that `*` finds is one value, false if each of its members is one.
    pub(crate) objects_are_whole: bool,
}

/// The rule of a reading that has a name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ReadingRule {
    pub(crate) name: Name,
    pub(crate) value: ReadingValue,
}

/// Where the value of a reading comes from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ReadingValue {
    /// The same for each record.
    Constant(Value),
    /// From the event.
    Found { from: Sources, conversion: Conversion, is_required: bool },
}

impl Mapping {
    /// Returns the mapping of an empty telemetry file.
    #[must_use]
    pub fn any_json() -> Self {
        TelemetryFile::parse(b"{}").expect("no member of a telemetry file is required").mapping
    }
}
