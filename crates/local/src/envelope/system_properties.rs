//! `SystemProperties` and `Properties` of an event: what the hub and the producer have set.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Serialize, Serializer};

use super::host_time;
use crate::{
    dotnet::double_json,
    hub::{HubEvent, Property},
};

/// The system properties in the host's order: first those that the producer has set.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SystemProperties<'a> {
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    earlier: Option<Properties<'a>>,
    #[serde(rename = "message-id", skip_serializing_if = "Option::is_none")]
    message_id: Option<&'a str>,
    #[serde(rename = "correlation-id", skip_serializing_if = "Option::is_none")]
    correlation_id: Option<&'a str>,
    #[serde(rename = "content-type", skip_serializing_if = "Option::is_none")]
    content_type: Option<&'static str>,
    #[serde(rename = "iothub-enqueuedtime", skip_serializing_if = "Option::is_none")]
    iot_hub_enqueued_time: Option<String>,
    #[serde(rename = "iothub-connection-device-id", skip_serializing_if = "Option::is_none")]
    iot_hub_device_id: Option<&'a str>,
    #[serde(rename = "iothub-message-source", skip_serializing_if = "Option::is_none")]
    message_source: Option<&'static str>,
    #[serde(rename = "x-opt-sequence-number")]
    sequence_number_of_amqp: i64,
    #[serde(rename = "x-opt-offset")]
    offset_of_amqp: String,
    #[serde(rename = "x-opt-enqueued-time")]
    enqueued_time_of_amqp: String,
    #[serde(rename = "x-opt-partition-key", skip_serializing_if = "Option::is_none")]
    partition_key_of_amqp: Option<&'a str>,
    sequence_number: i64,
    offset: i64,
    offset_string: String,
    partition_key: Option<&'a str>,
    enqueued_time_utc: String,
}

impl<'a> SystemProperties<'a> {
    pub(super) fn from_event(event: &'a HubEvent) -> Self {
        let (enqueued, offset) = (host_time(event.enqueued_ms), event.offset.to_string());
        let sent = &event.sent;
        let partition_key = sent.partition_key.as_deref();
        Self {
            earlier: Some(&*sent.system_properties).filter(|properties| !properties.is_empty()).map(Properties),
            message_id: sent.message_id.as_deref(),
            correlation_id: sent.correlation_id.as_deref(),
            content_type: sent.content_type,
            iot_hub_enqueued_time: event.iot_hub_enqueued_ms.map(host_time),
            iot_hub_device_id: sent.message_source.and(Some(partition_key.unwrap_or_default())),
            message_source: sent.message_source,
            sequence_number_of_amqp: event.sequence_number,
            offset_of_amqp: offset.clone(),
            enqueued_time_of_amqp: format!("{enqueued}+00:00"),
            partition_key_of_amqp: partition_key,
            sequence_number: event.sequence_number,
            offset: event.offset,
            offset_string: offset,
            partition_key,
            enqueued_time_utc: enqueued,
        }
    }
}

/// The application properties.
pub(super) struct Properties<'a>(pub(super) &'a [(String, Property)]);

impl Serialize for Properties<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl Serialize for Property {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Integer(integer) => serializer.serialize_i64(*integer),
            Self::Float(float) => double_json(*float).serialize(serializer),
            Self::Boolean(boolean) => serializer.serialize_bool(*boolean),
            Self::Time(ms) => serializer.collect_str(&format_args!("{}Z", host_time(*ms))),
            Self::Bytes(bytes) => serializer.serialize_str(&BASE64.encode(bytes)),
            Self::Null => serializer.serialize_unit(),
        }
    }
}
