//! Builds the requests that the Functions host sends for a batch of events and for a timer.

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use devicestate_engine::{
    batch::Source,
    function_app::{Cardinality, DataType, Function, TimerFunction},
    text::iso8601,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::hub::HubEvent;

/// The attempt of an invocation under a retry policy.
#[derive(Debug, Clone)]
pub struct Retry {
    /// The number of attempts before this one.
    pub count: u32,
    /// The maximum number of retries; -1 for no limit.
    pub max_count: i64,
    /// Why the previous attempt failed.
    pub exception: Option<String>,
}

impl Retry {
    /// Returns `RetryContext` of the metadata.
    pub(crate) fn context(&self) -> Value {
        let exception = self.exception.as_ref().map(|message| json!({ "Message": message }));
        json!({ "RetryCount": self.count, "MaxRetryCount": self.max_count, "Exception": exception })
    }
}

/// Returns the body of the request for events of one partition. `now_ms` is the time of the request in milliseconds since 1970.
/// A function with `cardinality` one gets one event, under singular keys.
///
/// # Errors
///
/// The host cannot build the request: without a `dataType`, a body is not JSON; or a function with `cardinality` one gets
/// another number of events.
pub fn request(
    function: &Function,
    source: &Source,
    events: &[Arc<HubEvent>],
    retry: Option<&Retry>,
    now_ms: i64,
) -> Result<String, String> {
    let trigger = &function.trigger;
    let context = Context {
        is_checkpointing_after_invocation: true,
        fully_qualified_namespace: &source.fully_qualified_namespace,
        event_hub_name: &source.event_hub_name,
        consumer_group: &source.consumer_group,
        partition_id: &source.partition_id,
    };
    let (bodies, events) = match (trigger.cardinality(), events) {
        (Cardinality::Many, _) => {
            (batch_bodies(trigger.data_type(), events)?, EventMetadata::Many(Arrays::from_events(events)))
        }
        (Cardinality::One, [event]) => {
            (singular_body(trigger.data_type(), event)?, EventMetadata::One(singular_metadata(event)))
        }
        (Cardinality::One, _) => {
            return Err(format!("a function with cardinality one must get 1 event, not {}", events.len()));
        }
    };
    let sys = sys_metadata(&function.name, now_ms);
    let retry_context = retry.map(Retry::context);
    let metadata =
        Metadata { trigger_partition_context: &context, partition_context: &context, events, sys, retry_context };
    Ok(to_json(&Request { data: [(trigger.name(), bodies)].into(), metadata }))
}

// Types instead of JSON values: a run converts tens of thousands of events per second to requests, on the same processors as
// the handler.

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    data: BTreeMap<&'a str, String>,
    metadata: Metadata<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata<'a> {
    trigger_partition_context: &'a Context<'a>,
    partition_context: &'a Context<'a>,
    #[serde(flatten)]
    events: EventMetadata,
    #[serde(rename = "sys")]
    sys: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_context: Option<Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Context<'a> {
    is_checkpointing_after_invocation: bool,
    fully_qualified_namespace: &'a str,
    event_hub_name: &'a str,
    consumer_group: &'a str,
    partition_id: &'a str,
}

/// The metadata of the events.
#[derive(Serialize)]
#[serde(untagged)]
enum EventMetadata {
    Many(Arrays),
    One(Value),
}

/// JSON arrays in strings, each with a cell for every event of the batch.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(clippy::struct_field_names, reason = "these are the host's names")]
struct Arrays {
    partition_key_array: String,
    offset_array: String,
    offset_string_array: String,
    sequence_number_array: String,
    enqueued_time_utc_array: String,
    properties_array: String,
    system_properties_array: String,
}

impl Arrays {
    fn from_events(events: &[Arc<HubEvent>]) -> Self {
        let offsets = json_array(events, |event| event.offset.to_string());
        Self {
            partition_key_array: json_array(events, |event| event.sent.partition_key.as_deref()),
            offset_string_array: offsets.clone(),
            offset_array: offsets,
            sequence_number_array: json_array(events, |event| event.sequence_number),
            enqueued_time_utc_array: json_array(events, |event| host_time(event.enqueued_ms)),
            properties_array: json_array(events, |_| Properties {}),
            system_properties_array: json_array(events, SystemProperties::from_event),
        }
    }
}

fn json_array<'a, T: Serialize>(events: &'a [Arc<HubEvent>], cell: impl Fn(&'a HubEvent) -> T) -> String {
    to_json(&events.iter().map(|event| cell(event)).collect::<Vec<_>>())
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("every key is a string")
}

/// Application properties. The producers here set none.
#[derive(Serialize)]
struct Properties {}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SystemProperties<'a> {
    #[serde(rename = "x-opt-sequence-number")]
    sequence_number_of_amqp: i64,
    #[serde(rename = "x-opt-offset")]
    offset_of_amqp: String,
    #[serde(rename = "x-opt-enqueued-time")]
    enqueued_time_of_amqp: String,
    #[serde(rename = "x-opt-partition-key")]
    partition_key_of_amqp: Option<&'a str>,
    sequence_number: i64,
    offset: i64,
    offset_string: String,
    partition_key: Option<&'a str>,
    enqueued_time_utc: String,
    #[serde(rename = "content-type", skip_serializing_if = "Option::is_none")]
    content_type: Option<&'static str>,
    #[serde(rename = "iothub-enqueuedtime", skip_serializing_if = "Option::is_none")]
    iot_hub_enqueued_time: Option<String>,
    #[serde(rename = "iothub-connection-device-id", skip_serializing_if = "Option::is_none")]
    iot_hub_device_id: Option<&'a str>,
    #[serde(rename = "iothub-message-source", skip_serializing_if = "Option::is_none")]
    message_source: Option<&'static str>,
}

impl<'a> SystemProperties<'a> {
    fn from_event(event: &'a HubEvent) -> Self {
        let (enqueued, offset) = (host_time(event.enqueued_ms), event.offset.to_string());
        let partition_key = event.sent.partition_key.as_deref();
        Self {
            sequence_number_of_amqp: event.sequence_number,
            offset_of_amqp: offset.clone(),
            enqueued_time_of_amqp: format!("{enqueued}+00:00"),
            partition_key_of_amqp: partition_key,
            sequence_number: event.sequence_number,
            offset: event.offset,
            offset_string: offset,
            partition_key,
            enqueued_time_utc: enqueued,
            content_type: event.sent.content_type,
            iot_hub_enqueued_time: event.iot_hub_enqueued_ms.map(host_time),
            iot_hub_device_id: event.sent.message_source.and(Some(partition_key.unwrap_or_default())),
            message_source: event.sent.message_source,
        }
    }
}

/// Returns the bodies of a batch as a JSON array in a string.
fn batch_bodies(data_type: DataType, events: &[Arc<HubEvent>]) -> Result<String, String> {
    let bodies = events.iter().map(|event| host_body(data_type, &event.sent.body)).collect::<Result<Vec<_>, _>>()?;
    Ok(to_json(&bodies))
}

/// Returns the body of one event as text.
fn singular_body(data_type: DataType, event: &HubEvent) -> Result<String, String> {
    Ok(match host_body(data_type, &event.sent.body)? {
        Value::String(text) => text,
        other => other.to_string(),
    })
}

/// Returns the metadata of one event under singular keys.
fn singular_metadata(event: &HubEvent) -> Value {
    json!({
        "PartitionKey": event.sent.partition_key,
        "Offset": event.offset.to_string(),
        "OffsetString": event.offset.to_string(),
        "SequenceNumber": event.sequence_number,
        "EnqueuedTimeUtc": host_time(event.enqueued_ms),
        "Properties": {},
        "SystemProperties": SystemProperties::from_event(event),
    })
}

/// Returns the body of the request for a timer that is due now, in milliseconds since 1970, and was never called before.
#[must_use]
pub fn timer_request(timer: &TimerFunction, now_ms: i64) -> String {
    const NEVER: &str = "0001-01-01T00:00:00+00:00";
    let due = format!("{}+00:00", host_time(now_ms - now_ms.rem_euclid(1_000)));
    let status = timer.trigger.use_monitor.then(|| json!({ "Last": NEVER, "Next": due, "LastUpdated": NEVER }));
    let state = json!({ "Schedule": { "AdjustForDST": true }, "ScheduleStatus": status, "IsPastDue": false });
    let data = json!({ timer.trigger.name.as_str(): state });
    json!({ "Data": data, "Metadata": { "sys": sys_metadata(&timer.name, now_ms) } }).to_string()
}

/// Returns the metadata `sys` of an invocation.
pub(super) fn sys_metadata(function: &str, now_ms: i64) -> Value {
    json!({
        "MethodName": function,
        "UtcNow": iso8601(now_ms),
        "RandGuid": uuid::Uuid::new_v4().to_string(),
    })
}

/// Converts a body to the value that the host passes for this data type.
fn host_body(data_type: DataType, body: &[u8]) -> Result<Value, String> {
    match data_type {
        DataType::Binary => Ok(Value::from(BASE64.encode(body))),
        DataType::String => Ok(Value::from(String::from_utf8_lossy(body))),
        DataType::Json => serde_json::from_slice(body).map_err(|error| {
            format!("a body is not JSON ({error}); without dataType the host then fails the entire batch")
        }),
    }
}

/// Formats a UTC time without a zone, as the host does.
pub(super) fn host_time(ms: i64) -> String {
    let text = iso8601(ms);
    text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::Sent;
    use devicestate_engine::{
        function_app::{EventHubTrigger, QueueOutput, TimerTrigger, Trigger},
        invocation::Invocation,
    };

    fn request(use_monitor: bool) -> Value {
        let trigger = TimerTrigger { name: "timer".to_owned(), use_monitor };
        let timer = TimerFunction { name: "DeadLetterWatchFunction".to_owned(), trigger };
        serde_json::from_str(&timer_request(&timer, 1_732_093_200_005)).expect("JSON")
    }

    #[test]
    fn a_timer_request_equals_the_fixture_except_for_times_and_ids() {
        let mut fixture: Value =
            serde_json::from_str(include_str!("../../../tests/fixtures/timer.json")).expect("the fixture");
        let request = request(true);
        for pointer in [
            "/Data/timer/ScheduleStatus/Last",
            "/Data/timer/ScheduleStatus/LastUpdated",
            "/Metadata/sys/UtcNow",
            "/Metadata/sys/RandGuid",
        ] {
            let value = request.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is missing in {request}"));
            *fixture.pointer_mut(pointer).expect("it is in the fixture") = value.clone();
        }
        assert_eq!(request, fixture);
    }

    fn function(cardinality: Cardinality) -> Function {
        let trigger = Trigger::EventHub(EventHubTrigger {
            name: "messages".into(),
            event_hub_name: "telemetry".into(),
            consumer_group: "devicestate".into(),
            connection: "EventHubConnection".into(),
            cardinality,
            data_type: DataType::Binary,
        });
        Function { name: "RawTelemetryFunction".into(), trigger, dead_letters: QueueOutput::shipped(), retry: None }
    }

    fn event(body: &[u8]) -> Arc<HubEvent> {
        let sent = Sent {
            body: body.to_vec(),
            partition_key: Some("drone-0017".into()),
            content_type: Some("application/json"),
            ..Sent::default()
        };
        Arc::new(HubEvent {
            sent,
            sequence_number: 48_211,
            offset: 9_132_416,
            enqueued_ms: 1_732_094_047_123,
            iot_hub_enqueued_ms: None,
        })
    }

    #[test]
    fn a_request_for_one_event_has_the_keys_of_the_fixture_and_is_read_with_its_position() {
        let fixture: Value =
            serde_json::from_str(include_str!("../../../tests/fixtures/one-binary.json")).expect("the fixture");
        let source = Source { partition_id: "3".into(), ..Source::default() };
        let function = function(Cardinality::One);
        let text = super::request(&function, &source, &[event(b"\xff one")], None, 0).expect("a request");
        let request: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(keys(&request["Metadata"]), keys(&fixture["Metadata"]));
        assert_eq!(request["Metadata"]["SystemProperties"], fixture["Metadata"]["SystemProperties"]);
        for key in ["PartitionKey", "Offset", "OffsetString", "SequenceNumber", "EnqueuedTimeUtc"] {
            assert_eq!(request["Metadata"][key], fixture["Metadata"][key], "{key}");
        }
        let Invocation { batch, .. } =
            Invocation::read(&text.clone().into(), &function.trigger).expect("an invocation");
        assert_eq!(batch.source, source);
        let [event] = &batch.events[..] else { panic!("{:?}", batch.events) };
        let position = event.position.expect("a position");
        assert_eq!((&event.body[..], position.sequence_number), (&b"\xff one"[..], 48_211));
    }

    #[test]
    fn the_metadata_arrays_of_a_batch_equal_the_fixture_byte_for_byte() {
        let fixture: Value =
            serde_json::from_str(include_str!("../../../tests/fixtures/many-binary.json")).expect("the fixture");
        let events = [
            ("drone-0017", 48_211, 9_132_416, 1_732_094_047_123),
            ("drone-0042", 48_212, 9_132_736, 1_732_094_047_123),
            ("drone-0017", 48_213, 9_133_040, 1_732_094_047_900),
        ];
        let events = events.map(|(key, sequence_number, offset, enqueued_ms)| {
            let sent = Sent {
                body: b"{}".to_vec(),
                partition_key: Some(key.into()),
                content_type: Some("application/json"),
                ..Sent::default()
            };
            Arc::new(HubEvent { sent, sequence_number, offset, enqueued_ms, iot_hub_enqueued_ms: None })
        });
        let text = super::request(&function(Cardinality::Many), &Source::default(), &events, None, 0);
        let request: Value = serde_json::from_str(&text.expect("a request")).expect("JSON");
        assert_eq!(request["Data"]["messages"], r#"["e30=","e30=","e30="]"#);
        assert_eq!(keys(&request["Metadata"]), keys(&fixture["Metadata"]));
        for array in ["PartitionKey", "Offset", "OffsetString", "SequenceNumber", "EnqueuedTimeUtc", "SystemProperties"]
        {
            let array = format!("{array}Array");
            assert_eq!(request["Metadata"][&array], fixture["Metadata"][&array], "{array}");
        }
        assert_eq!(request["Metadata"]["PropertiesArray"], "[{},{},{}]");
    }

    fn keys(object: &Value) -> Vec<&String> {
        object.as_object().expect("an object").keys().collect()
    }

    #[test]
    fn two_events_are_rejected_for_a_function_with_cardinality_one() {
        let events = [event(b"a"), event(b"b")];
        let request = |cardinality| super::request(&function(cardinality), &Source::default(), &events, None, 0);
        assert!(request(Cardinality::Many).is_ok());
        assert_eq!(request(Cardinality::One), Err("a function with cardinality one must get 1 event, not 2".into()));
    }

    #[test]
    fn a_timer_without_use_monitor_has_no_schedule_status() {
        assert_eq!(request(false)["Data"]["timer"]["ScheduleStatus"], Value::Null);
    }
}
