//! The parts of a request for one event or message: its body, and its metadata under singular keys.
//!
//! An object stays an object, a time is cut to seconds, and every other value is JSON in a string, so a text has two pairs of
//! quotes. Values that are null are omitted.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use devicestate_engine::function_app::DataType;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::{
    PartitionContext, Sys,
    exception::RetryContext,
    host_time,
    system_properties::{Properties, SystemProperties},
};
use crate::{
    dotnet::{Json, Members, date_text, number_text, rewrite, to_json},
    hub::HubEvent,
};

/// Metadata in the host's order.
pub(crate) struct Metadata(Vec<(String, Box<RawValue>)>);

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl Metadata {
    /// Returns the metadata of an event.
    pub(super) fn of_event(context: &PartitionContext<'_>, event: &HubEvent) -> Self {
        let mut metadata = Self::new();
        metadata.set("TriggerPartitionContext", context);
        metadata.set("PartitionContext", context);
        metadata.set_text("PartitionKey", event.sent.partition_key.as_ref());
        metadata.set_text("Offset", Some(event.offset.to_string()));
        metadata.set_text("OffsetString", Some(event.offset.to_string()));
        metadata.set_text("SequenceNumber", Some(event.sequence_number));
        metadata.set("EnqueuedTimeUtc", &host_seconds(event.enqueued_ms));
        metadata.set("Properties", &Properties(&event.sent.properties));
        metadata.set("SystemProperties", &SystemProperties::from_event(event));
        metadata
    }

    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    /// Sets a value as it is. A member of the same name, in any letter case, keeps its place and its name.
    pub(crate) fn set(&mut self, name: &str, value: &(impl Serialize + ?Sized)) {
        let value = RawValue::from_string(to_json(value)).expect("serialized JSON");
        match self.0.iter_mut().find(|(other, _)| other.eq_ignore_ascii_case(name)) {
            Some((_, earlier)) => *earlier = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Sets a value as JSON in a string, if there is one.
    pub(crate) fn set_text(&mut self, name: &str, value: Option<impl Serialize>) {
        if let Some(value) = value {
            self.set(name, &to_json(&value));
        }
    }

    /// Adds what each request has, and what the host takes from the body: without `dataType` binary, the top-level members of
    /// a JSON object, which overwrite the metadata. (By the source, also an object, which is not recorded; not an array, a null
    /// or a member whose name ends with `trigger`.)
    pub(crate) fn complete(&mut self, sys: &Sys<'_>, body: &[u8], data_type: DataType, retry: Option<&RetryContext>) {
        self.set("sys", sys);
        let body = if data_type == DataType::Binary { "".into() } else { String::from_utf8_lossy(body) };
        for (name, value) in Members::parse(&body).unwrap_or_default().0 {
            if name.to_ascii_lowercase().ends_with("trigger") {
                continue;
            }
            let text = match Json::read(value) {
                Json::Null | Json::Array(_) => continue,
                Json::Object(_) => {
                    let object = RawValue::from_string(rewrite(value, None)).expect("rewritten JSON");
                    self.set(&name, &object);
                    continue;
                }
                Json::Boolean(value) => (if value { "True" } else { "False" }).to_owned(),
                Json::Number(number) => number_text(number),
                Json::Text(text) => date_text(text),
            };
            self.set_text(&name, Some(text));
        }
        if let Some(retry) = retry {
            self.set("RetryContext", retry);
        }
    }
}

/// Returns a body: base64, or a JSON string in a string, also if the body is JSON.
pub(crate) fn body(data_type: DataType, body: &[u8]) -> String {
    match data_type {
        DataType::Binary => BASE64.encode(body),
        DataType::String | DataType::Json => to_json(&String::from_utf8_lossy(body)),
    }
}

/// Formats a UTC time without a zone, cut to seconds.
pub(crate) fn host_seconds(ms: i64) -> String {
    host_time(ms - ms.rem_euclid(1_000))
}
