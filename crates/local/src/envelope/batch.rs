//! The request for a batch: bodies and metadata are JSON arrays in strings, each with a cell for every event.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use devicestate_engine::function_app::DataType;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    PartitionContext, Sys,
    exception::RetryContext,
    host_time,
    system_properties::{Properties, SystemProperties},
};
use crate::{
    dotnet::{rewrite, to_json},
    hub::HubEvent,
};

// Types instead of JSON values: a run converts tens of thousands of events per second to requests, on the same processors as
// the handler.

/// The metadata of a batch.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Metadata<'a> {
    trigger_partition_context: &'a PartitionContext<'a>,
    partition_context: &'a PartitionContext<'a>,
    partition_key_array: String,
    offset_array: String,
    offset_string_array: String,
    sequence_number_array: String,
    enqueued_time_utc_array: String,
    properties_array: String,
    system_properties_array: String,
    #[serde(rename = "sys")]
    sys: Sys<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_context: Option<RetryContext>,
}

impl<'a> Metadata<'a> {
    pub(super) fn new(
        context: &'a PartitionContext<'a>,
        events: &[Arc<HubEvent>],
        sys: Sys<'a>,
        retry_context: Option<RetryContext>,
    ) -> Self {
        let offsets = json_array(events, |event| event.offset.to_string());
        Self {
            trigger_partition_context: context,
            partition_context: context,
            partition_key_array: json_array(events, |event| event.sent.partition_key.as_deref()),
            offset_string_array: offsets.clone(),
            offset_array: offsets,
            sequence_number_array: json_array(events, |event| event.sequence_number),
            enqueued_time_utc_array: json_array(events, |event| host_time(event.enqueued_ms)),
            properties_array: json_array(events, |event| Properties(&event.sent.properties)),
            system_properties_array: json_array(events, SystemProperties::from_event),
            sys,
            retry_context,
        }
    }
}

fn json_array<'a, T: Serialize>(events: &'a [Arc<HubEvent>], cell: impl Fn(&'a HubEvent) -> T) -> String {
    to_json(&events.iter().map(|event| cell(event)).collect::<Vec<_>>())
}

/// Returns the bodies of a batch as a JSON array in a string.
///
/// # Errors
///
/// Without a `dataType`, a body is not JSON.
pub(super) fn bodies(data_type: DataType, events: &[Arc<HubEvent>]) -> Result<String, String> {
    match data_type {
        DataType::Binary => Ok(json_array(events, |event| BASE64.encode(&event.sent.body))),
        DataType::String => Ok(json_array(events, |event| String::from_utf8_lossy(&event.sent.body))),
        DataType::Json => {
            let bodies: Vec<_> = events.iter().map(|event| json_body(&event.sent.body)).collect::<Result<_, _>>()?;
            Ok(format!("[{}]", bodies.join(",")))
        }
    }
}

/// Serializes a JSON body again. Newtonsoft.Json would also accept forms that are not JSON, such as comments and single quotes.
fn json_body(body: &[u8]) -> Result<String, String> {
    if body.is_empty() {
        return Ok("null".into());
    }
    let text = String::from_utf8_lossy(body);
    let value: &RawValue = serde_json::from_str(&text).map_err(|error| {
        format!("a body is not JSON ({error}); without dataType the host then fails the entire batch")
    })?;
    Ok(rewrite(value, None))
}
