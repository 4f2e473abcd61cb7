//! The names and forms of device ids and times that are usual.

use serde_json::Value;

use crate::infer::sample::Field;

/// From this rank on, a device id is only a guess.
pub(super) const WEAK_RANK: usize = 50;

/// Names of device ids in lower case without `_` and `-`, the most certain first.
const DEVICE_NAMES: [&str; 26] = [
    "deviceid",
    "deviceuid",
    "deviceuuid",
    "deviceserial",
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
    "assetid",
    "sensorid",
    "stationid",
    "nodeid",
    "unitid",
    "thingid",
    "meterid",
    "endpointid",
    "gatewayid",
    "clientid",
    "macaddress",
    "mac",
];

/// Names that are device ids within an object with a name such as `device`.
const PARENTS: [&str; 12] = [
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
    "deviceinfo",
    "enddevice",
];

/// Names that may be those of a device id.
const WEAK_DEVICE_NAMES: [&str; 9] = ["id", "uuid", "uid", "name", "source", "publisherid", "topic", "sn", "tid"];

/// Names of times, the most certain first.
const TIME_NAMES: [&str; 22] = [
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

/// Returns whether elements with this name have a time of their own.
pub(in crate::infer) fn is_time_name(name: &str) -> bool {
    TIME_NAMES.contains(&&*plain(name))
}

/// Returns how certainly a field is the device id: 0 is the most certain. `None` if it cannot be.
pub(super) fn device_rank(field: &Field) -> Option<usize> {
    let is_id = |value: &Value| match value {
        Value::String(text) => !text.is_empty() && text.len() <= 256,
        Value::Number(number) => number.is_i64() || number.is_u64(),
        _ => false,
    };
    if field.values.is_empty() || !field.values.iter().all(|(_, value)| is_id(value)) {
        return None;
    }
    let name = plain(field.path.last()?);
    if let Some(rank) = DEVICE_NAMES.iter().position(|known| *known == name) {
        return Some(rank);
    }
    let parent = field.path.len().checked_sub(2).map(|index| plain(&field.path[index]));
    let is_in_device = parent.is_some_and(|parent| PARENTS.contains(&&*parent));
    let weak = WEAK_DEVICE_NAMES.iter().position(|known| *known == name);
    if let (Some(rank), true) = (weak, is_in_device) {
        return Some(DEVICE_NAMES.len() + rank);
    }
    let texts: Option<Vec<_>> = field.values.iter().map(|(_, value)| value.as_str()).collect();
    let has_form = texts.is_some_and(|texts| texts.iter().all(|text| is_mac_or_imei(text)));
    weak.map(|rank| WEAK_RANK + rank).or(has_form.then_some(WEAK_RANK + WEAK_DEVICE_NAMES.len()))
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
    TIME_NAMES.iter().position(|known| *known == name)
}
