//! The bodies of answers.

use std::collections::BTreeMap;

use devicestate_engine::{
    device_state::{Document, device_id},
    text::iso8601,
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// The state of a device.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// The id of the device.
    pub id: String,
    /// When the newest event of the device was received, whatever it says; null if the document does not say so.
    #[schema(required, format = DateTime)]
    pub heard: Option<String>,
    /// The seconds since then.
    #[schema(required, minimum = 0)]
    pub age_seconds: Option<i64>,
    /// When the device was last heard before the silence watch found it silent; absent if it has not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    pub silent_since: Option<String>,
    /// The newest value of each reading, by name. Null if an event has cleared it.
    #[schema(value_type = BTreeMap<String, Value>)]
    pub readings: BTreeMap<String, Value>,
    /// The version of each reading, by name, if the request has `versions=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub versions: Option<BTreeMap<String, ReadingVersion>>,
}

/// The version of a reading: the event from which its value is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReadingVersion {
    /// The time of the reading.
    #[schema(format = DateTime)]
    pub time: String,
    /// The sequence number of the event.
    pub sequence_number: i64,
    /// The number of the partition or session that the event is from.
    pub source: u64,
    /// The index of the record within its event; absent for the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub record: Option<u32>,
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeviceList {
    /// The devices.
    pub devices: Vec<Device>,
    /// The token for the next page, as the parameter `continuation`; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub continuation: Option<String>,
    /// Why other documents of this page are not in the list; absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub invalid: Vec<String>,
}

/// Counts of devices.
#[derive(Debug, Serialize, ToSchema)]
pub struct Summary {
    /// The devices.
    pub devices: u64,
    /// The devices that were heard lately.
    pub heard: HeardCounts,
    /// The devices that were not heard for the time of the parameter `silent`; without it, those that the silence watch has found
    /// silent. Absent if it has found none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub silent: Option<u64>,
    /// The devices by the values of the reading of the parameter `by`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub by: Option<CountsByValue>,
}

/// Counts of the devices that were heard lately.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeardCounts {
    /// Within the last minute.
    pub last_minute: u64,
    /// Within the last hour.
    pub last_hour: u64,
    /// Within the last day.
    pub last_day: u64,
}

/// Counts of devices by the values of a reading.
#[derive(Debug, Serialize, ToSchema)]
pub struct CountsByValue {
    /// The name of the reading.
    pub field: String,
    /// The most frequent values, at most 100.
    pub values: Vec<ValueCount>,
    /// The devices with another value, with a long text, an array or an object.
    pub others: u64,
}

/// The number of devices with a value.
#[derive(Debug, Serialize, ToSchema)]
pub struct ValueCount {
    /// The value: a text, a number, true or false.
    pub value: Value,
    /// The devices.
    pub devices: u64,
}

/// Which parts of a document an answer has.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// The names of readings; `None` for all.
    pub(crate) select: Option<Vec<String>>,
    pub(crate) with_versions: bool,
}

impl Parts {
    fn has(&self, name: &str) -> bool {
        self.select.as_ref().is_none_or(|names| names.iter().any(|selected| selected == name))
    }
}

impl Device {
    /// Returns the state of a document.
    pub(crate) fn new(document: &Document, parts: &Parts, now_ms: i64) -> Self {
        let heard_ms = document.heard().map(|heard| heard.time_ms);
        let readings = || document.readings().filter(|(name, _)| parts.has(name));
        let version = |name: &str| {
            let version = document.version(name)?;
            Some(ReadingVersion {
                time: iso8601(version.time_ms),
                sequence_number: version.sequence_number,
                source: version.source,
                record: (version.record > 0).then_some(version.record),
            })
        };
        let versions = || readings().filter_map(|(name, _)| Some((name.to_owned(), version(name)?))).collect();
        Self {
            id: device_id(&document.id).into_owned(),
            heard: heard_ms.map(iso8601),
            // The clock of the service may be ahead.
            age_seconds: heard_ms.map(|heard_ms| (now_ms.saturating_sub(heard_ms) / 1_000).max(0)),
            silent_since: document.silent_since().map(iso8601),
            readings: readings().map(|(name, value)| (name.to_owned(), value.clone())).collect(),
            versions: parts.with_versions.then(versions),
        }
    }
}
