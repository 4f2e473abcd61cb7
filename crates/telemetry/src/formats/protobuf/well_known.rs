//! The messages of `google.protobuf` that JSON has a form of its own for.

use jiff::{SignedDuration, Timestamp};
use prost_reflect::{DynamicMessage, MessageDescriptor, Value};
use serde_json::Value as Json;

use super::Conversion;

/// Returns the JSON of a well-known message; `None` if the message has no form of its own.
pub(super) fn to_json(
    conversion: &mut Conversion<'_>,
    descriptor: &MessageDescriptor,
    message: &DynamicMessage,
) -> Option<Result<Json, String>> {
    Some(match descriptor.full_name().strip_prefix("google.protobuf.")? {
        "Timestamp" => {
            let (seconds, nanoseconds) = seconds(message)?;
            let time = Timestamp::new(seconds, nanoseconds).map(|time| time.to_string().into());
            time.map_err(|_| format!("{seconds} seconds since 1970 are out of the range of times"))
        }
        "Duration" => {
            let (seconds, nanoseconds) = seconds(message)?;
            let nanoseconds = SignedDuration::from_nanos(nanoseconds.into());
            let duration = SignedDuration::from_secs(seconds).checked_add(nanoseconds);
            duration.ok_or_else(|| "the duration is out of range".to_owned()).map(|duration| {
                let sign = if duration.is_negative() { "-" } else { "" };
                let text = format!("{sign}{}.{:09}", duration.as_secs().unsigned_abs(), duration.subsec_nanos().abs());
                format!("{}s", text.trim_end_matches('0').trim_end_matches('.')).into()
            })
        }
        "DoubleValue" | "FloatValue" | "Int64Value" | "UInt64Value" | "Int32Value" | "UInt32Value" | "BoolValue"
        | "StringValue" | "BytesValue" => member(conversion, message, "value")?,
        "Struct" => member(conversion, message, "fields")?,
        "ListValue" => member(conversion, message, "values")?,
        "Value" => match message.fields().next() {
            Some((field, value)) if field.name() != "null_value" => conversion.field(&field, value),
            _ => Ok(Json::Null),
        },
        _ => return None,
    })
}

/// Converts a member of a message, which has its default if it is not set.
fn member(conversion: &mut Conversion<'_>, message: &DynamicMessage, name: &str) -> Option<Result<Json, String>> {
    use prost_reflect::ReflectMessage as _;
    let field = message.descriptor().get_field_by_name(name)?;
    Some(conversion.field(&field, &message.get_field(&field)))
}

fn seconds(message: &DynamicMessage) -> Option<(i64, i32)> {
    let seconds = message.get_field_by_name("seconds").as_deref().and_then(Value::as_i64)?;
    Some((seconds, message.get_field_by_name("nanos").as_deref().and_then(Value::as_i32)?))
}
