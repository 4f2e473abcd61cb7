//! The names and forms of device ids and times that are usual.

use std::collections::BTreeSet;

use devicestate_engine::device_state::MAX_ID_BYTES;
use serde_json::Value;

use crate::{infer::sample::Field, mapping::TimeFormat};

/// Names of device ids in lower case without `_` and `-`, the most certain first.
const DEVICE_NAMES: [&str; 36] = [
    "deviceid",
    "deviceuid",
    "deviceuuid",
    "deviceserial",
    "deviceno",
    "devicename",
    "device",
    "deveui",
    "imei",
    "serialnumber",
    "serialno",
    "serial",
    "machineid",
    "vehicleid",
    "vin",
    "equipmentid",
    "equipmentno",
    "equipmentnumber",
    "equipment",
    "assetid",
    "assetno",
    "assetnumber",
    "asset",
    "sensorid",
    "stationid",
    "nodeid",
    "unitid",
    "unitno",
    "thingid",
    "meterid",
    "meterno",
    "endpointid",
    "gatewayid",
    "clientid",
    "macaddress",
    "mac",
];

/// Names that are device ids within an object with a name such as `device`.
const PARENTS: [&str; 14] = [
    "device",
    "thing",
    "machine",
    "vehicle",
    "asset",
    "sensor",
    "station",
    "node",
    "unit",
    "meter",
    "gateway",
    "equipment",
    "deviceinfo",
    "enddevice",
];

/// Names that may be those of a device id.
const WEAK_DEVICE_NAMES: [&str; 11] =
    ["id", "uuid", "uid", "sn", "no", "tag", "name", "source", "topic", "tid", "unit"];

/// Names of times, the most certain first.
const TIME_NAMES: [&str; 31] = [
    "timestamp",
    "ts",
    "time",
    "eventtime",
    "devicetime",
    "sampletime",
    "measuredat",
    "recordedat",
    "observedat",
    "datetime",
    "timestamputc",
    "timestampms",
    "utctime",
    "eventtimestamp",
    "sourcetimestamp",
    "devicetimestamp",
    "sentat",
    "createdat",
    "receivedat",
    "tsms",
    "timems",
    "timeutc",
    "tsutc",
    "epoch",
    "epochms",
    "unixtime",
    "measurementtime",
    "sampledat",
    "t",
    "date",
    "at",
];

fn plain(name: &str) -> String {
    name.chars().filter(|character| character.is_alphanumeric()).collect::<String>().to_lowercase()
}

/// Returns whether elements with this name have a device id of their own.
pub(in crate::infer) fn is_device_name(name: &str) -> bool {
    DEVICE_NAMES.contains(&&*plain(name))
}

/// Returns whether elements with this name may have a device id of their own.
pub(in crate::infer) fn may_be_device_name(name: &str) -> bool {
    is_device_name(name) || WEAK_DEVICE_NAMES.contains(&&*plain(name)) || ends_as_id(name)
}

/// Returns whether elements with this name have a time of their own.
pub(in crate::infer) fn is_time_name(name: &str) -> bool {
    TIME_NAMES.contains(&&*plain(name))
}

/// How certainly a field is the device id, the most certain first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Certainty {
    /// By its name: the index of it.
    Name(usize),
    /// By a name that is also used for others.
    WeakName(usize),
    /// By the form of its values.
    Form,
    /// Its name ends as that of an id.
    Ending,
    /// Its values repeat, and look like ids.
    Values,
}

impl Certainty {
    pub(super) fn is_weak(self) -> bool {
        !matches!(self, Self::Name(_))
    }
}

/// Returns whether all values may be device ids.
pub(super) fn has_ids(field: &Field) -> bool {
    let is_id = |value: &Value| match value {
        Value::String(text) => !text.is_empty() && text.len() <= MAX_ID_BYTES,
        Value::Number(number) => number.is_i64() || number.is_u64(),
        _ => false,
    };
    !field.values.is_empty() && field.values.iter().all(|(_, value)| is_id(value))
}

/// Returns how certainly a field is the device id. `None` if it is not.
pub(super) fn device_certainty(field: &Field) -> Option<Certainty> {
    if !has_ids(field) {
        return None;
    }
    let own_name = field.path.last()?;
    let name = plain(own_name);
    if let Some(index) = DEVICE_NAMES.iter().position(|known| *known == name) {
        return Some(Certainty::Name(index));
    }
    let parent = field.path.len().checked_sub(2).map(|index| plain(&field.path[index]));
    let is_in_device = parent.is_some_and(|parent| PARENTS.contains(&&*parent));
    let weak = WEAK_DEVICE_NAMES.iter().position(|known| *known == name);
    let texts: Option<Vec<_>> = field.values.iter().map(|(_, value)| value.as_str()).collect();
    match weak {
        Some(index) if is_in_device => Some(Certainty::Name(DEVICE_NAMES.len() + index)),
        Some(index) => Some(Certainty::WeakName(index)),
        None if texts.as_ref().is_some_and(|texts| texts.iter().all(|text| is_mac_or_imei(text))) => {
            Some(Certainty::Form)
        }
        None if OTHER_NAMES.iter().any(|other| name.contains(other)) => None,
        None if ends_as_id(own_name) => Some(Certainty::Ending),
        None => texts.filter(|texts| are_repeated_ids(texts)).map(|_| Certainty::Values),
    }
}

/// Parts of names whose values look like device ids and are others.
const OTHER_NAMES: [&str; 16] = [
    "message",
    "correlation",
    "event",
    "session",
    "trace",
    "request",
    "batch",
    "order",
    "version",
    "firmware",
    "model",
    "type",
    "mode",
    "state",
    "status",
    "error",
];

/// Returns whether a name ends as that of an id: `DataSetWriterId`, `plant_no`.
fn ends_as_id(name: &str) -> bool {
    const ENDS: [&str; 4] = ["id", "no", "sn", "serial"];
    let letters: Vec<_> = name.chars().collect();
    ENDS.iter().any(|end| {
        let Some(start) = letters.len().checked_sub(end.len()).filter(|start| *start > 0) else { return false };
        let has_end = letters[start..].iter().collect::<String>().eq_ignore_ascii_case(end);
        // A word of its own: `gridId` and `grid_id`, but not `grid`.
        has_end
            && (letters[start].is_uppercase() && letters[start - 1].is_lowercase()
                || !letters[start - 1].is_alphanumeric())
    })
}

/// Returns whether texts are several times the same, and each has letters and digits as ids have.
fn are_repeated_ids(texts: &[&str]) -> bool {
    const MAX_BYTES: usize = 64;
    let is_id = |text: &&str| {
        let has = |is: fn(char) -> bool| text.chars().any(is);
        let is_version = text.trim_start_matches(['v', 'V']).chars().all(|c| c.is_ascii_digit() || c == '.');
        text.len() <= MAX_BYTES
            && has(char::is_alphabetic)
            && has(|c| c.is_ascii_digit())
            && !has(char::is_whitespace)
            && !is_version
            && TimeFormat::Iso8601Utc.parse_ms(&Value::from(*text)).is_none()
    };
    texts.iter().all(is_id) && texts.iter().collect::<BTreeSet<_>>().len() < texts.len()
}

/// Returns whether a text is a MAC address, an EUI or an IMEI.
fn is_mac_or_imei(text: &str) -> bool {
    let parts: Vec<_> = text.split([':', '-']).collect();
    let is_hex = |part: &&str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_mac = matches!(parts.len(), 6 | 8) && parts.iter().all(is_hex);
    is_mac || text.len() == 15 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns how certainly a field whose values are times is the time of the record. `None` if its name is not that of a time.
pub(super) fn time_rank(field: &Field) -> Option<usize> {
    let name = plain(field.path.last()?);
    let ends_as_time = ["time", "timestamp"].iter().any(|end| name.ends_with(end));
    TIME_NAMES.iter().position(|known| *known == name).or(ends_as_time.then_some(TIME_NAMES.len()))
}
