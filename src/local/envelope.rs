//! The request as the Functions host makes it of a batch.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};

use super::hub::HubEvent;
use crate::{
    batch::Source,
    function_app::{DataType, Function},
    surroundings::iso8601,
};

/// The attempt of an invocation under a retry policy.
#[derive(Debug, Clone)]
pub struct Retry {
    /// How often the batch was sent before.
    pub count: u32,
    /// How often it is sent again at the most; -1 is without end.
    pub max_count: i64,
    /// Why the attempt before failed.
    pub exception: Option<String>,
}

/// The body of the request for these events of one partition; `now_ms` is when the host makes it, in milliseconds since
/// 1970.
///
/// # Errors
///
/// When the host itself could not make it: a body that is no JSON, without a `dataType`.
pub fn request(
    function: &Function,
    source: &Source,
    events: &[Arc<HubEvent>],
    retry: Option<&Retry>,
    now_ms: i64,
) -> Result<String, String> {
    let trigger = &function.trigger;
    let bodies = events.iter().map(|event| body(trigger.data_type, &event.sent.body)).collect::<Result<Value, _>>()?;
    let context = json!({
        "IsCheckpointingAfterInvocation": true,
        "FullyQualifiedNamespace": source.fully_qualified_namespace,
        "EventHubName": source.event_hub_name,
        "ConsumerGroup": source.consumer_group,
        "PartitionId": source.partition_id,
    });
    // Arrays go as strings that hold them.
    let array =
        |cell: &dyn Fn(&HubEvent) -> Value| events.iter().map(|event| cell(event)).collect::<Value>().to_string();
    let mut metadata = json!({
        "TriggerPartitionContext": context,
        "PartitionContext": context,
        "PartitionKeyArray": array(&|event| json!(event.sent.partition_key)),
        "OffsetArray": array(&|event| json!(event.offset.to_string())),
        "OffsetStringArray": array(&|event| json!(event.offset.to_string())),
        "SequenceNumberArray": array(&|event| json!(event.sequence_number)),
        "EnqueuedTimeUtcArray": array(&|event| json!(time(event.enqueued_ms))),
        "PropertiesArray": array(&|_| json!({})),
        "SystemPropertiesArray": array(&system_properties),
        "sys": {
            "MethodName": function.name,
            "UtcNow": iso8601(now_ms),
            "RandGuid": uuid::Uuid::new_v4().to_string(),
        },
    });
    if let Some(retry) = retry {
        let exception = retry.exception.as_ref().map(|message| json!({ "Message": message }));
        metadata["RetryContext"] =
            json!({ "RetryCount": retry.count, "MaxRetryCount": retry.max_count, "Exception": exception });
    }
    let data = json!({ trigger.name.as_str(): bodies.to_string() });
    Ok(json!({ "Data": data, "Metadata": metadata }).to_string())
}

fn body(data_type: DataType, body: &[u8]) -> Result<Value, String> {
    match data_type {
        DataType::Binary => Ok(Value::from(BASE64.encode(body))),
        DataType::String => Ok(Value::from(String::from_utf8_lossy(body))),
        DataType::Json => serde_json::from_slice(body).map_err(|error| {
            format!("a body is not JSON ({error}), and without dataType the host fails the whole batch for it")
        }),
    }
}

/// A UTC time without a zone, as the host writes it.
fn time(ms: i64) -> String {
    let text = iso8601(ms);
    text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn system_properties(event: &HubEvent) -> Value {
    let (enqueued, offset) = (time(event.enqueued_ms), event.offset.to_string());
    let mut properties = json!({
        "x-opt-sequence-number": event.sequence_number,
        "x-opt-offset": offset,
        "x-opt-enqueued-time": format!("{enqueued}+00:00"),
        "x-opt-partition-key": event.sent.partition_key,
        "SequenceNumber": event.sequence_number,
        "Offset": event.offset,
        "OffsetString": offset,
        "PartitionKey": event.sent.partition_key,
        "EnqueuedTimeUtc": enqueued,
    });
    if let Some(content_type) = event.sent.content_type {
        properties["content-type"] = content_type.into();
    }
    properties
}
