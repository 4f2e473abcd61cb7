//! The request as the Functions host makes it of a batch, and of a timer that is due.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};

use super::hub::HubEvent;
use crate::{
    batch::Source,
    function_app::{Cardinality, DataType, Function, TimerFunction},
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
/// 1970. A function with `cardinality` one gets one event, under singular keys.
///
/// # Errors
///
/// When the host itself could not make it: a body that is no JSON, without a `dataType`; not just one event for a
/// function that takes one.
pub fn request(
    function: &Function,
    source: &Source,
    events: &[Arc<HubEvent>],
    retry: Option<&Retry>,
    now_ms: i64,
) -> Result<String, String> {
    let trigger = &function.trigger;
    let context = json!({
        "IsCheckpointingAfterInvocation": true,
        "FullyQualifiedNamespace": source.fully_qualified_namespace,
        "EventHubName": source.event_hub_name,
        "ConsumerGroup": source.consumer_group,
        "PartitionId": source.partition_id,
    });
    let (bodies, mut metadata) = match (trigger.cardinality(), events) {
        (Cardinality::Many, _) => many(trigger.data_type(), events)?,
        (Cardinality::One, [event]) => one(trigger.data_type(), event)?,
        (Cardinality::One, _) => {
            return Err(format!("{} events for a function that takes one at a time", events.len()));
        }
    };
    metadata["TriggerPartitionContext"] = context.clone();
    metadata["PartitionContext"] = context;
    metadata["sys"] = sys(&function.name, now_ms);
    if let Some(retry) = retry {
        let exception = retry.exception.as_ref().map(|message| json!({ "Message": message }));
        metadata["RetryContext"] =
            json!({ "RetryCount": retry.count, "MaxRetryCount": retry.max_count, "Exception": exception });
    }
    let data = json!({ trigger.name(): bodies });
    Ok(json!({ "Data": data, "Metadata": metadata }).to_string())
}

/// A batch: the text of an array of bodies, and arrays held in strings, each as long as the batch.
fn many(data_type: DataType, events: &[Arc<HubEvent>]) -> Result<(String, Value), String> {
    let bodies = events.iter().map(|event| body(data_type, &event.sent.body)).collect::<Result<Value, _>>()?;
    let array =
        |cell: &dyn Fn(&HubEvent) -> Value| events.iter().map(|event| cell(event)).collect::<Value>().to_string();
    let metadata = json!({
        "PartitionKeyArray": array(&|event| json!(event.sent.partition_key)),
        "OffsetArray": array(&|event| json!(event.offset.to_string())),
        "OffsetStringArray": array(&|event| json!(event.offset.to_string())),
        "SequenceNumberArray": array(&|event| json!(event.sequence_number)),
        "EnqueuedTimeUtcArray": array(&|event| json!(time(event.enqueued_ms))),
        "PropertiesArray": array(&|_| json!({})),
        "SystemPropertiesArray": array(&system_properties),
    });
    Ok((bodies.to_string(), metadata))
}

/// One event: its body as text, and values under singular keys.
fn one(data_type: DataType, event: &HubEvent) -> Result<(String, Value), String> {
    let body = match body(data_type, &event.sent.body)? {
        Value::String(text) => text,
        other => other.to_string(),
    };
    let metadata = json!({
        "PartitionKey": event.sent.partition_key,
        "Offset": event.offset.to_string(),
        "OffsetString": event.offset.to_string(),
        "SequenceNumber": event.sequence_number,
        "EnqueuedTimeUtc": time(event.enqueued_ms),
        "Properties": {},
        "SystemProperties": system_properties(event),
    });
    Ok((body, metadata))
}

/// The body of the request for a timer that is due now, in milliseconds since 1970, and was never called before.
#[must_use]
pub fn timer_request(timer: &TimerFunction, now_ms: i64) -> String {
    const NEVER: &str = "0001-01-01T00:00:00+00:00";
    let due = format!("{}+00:00", time(now_ms - now_ms.rem_euclid(1_000)));
    let status = timer.trigger.use_monitor.then(|| json!({ "Last": NEVER, "Next": due, "LastUpdated": NEVER }));
    let state = json!({ "Schedule": { "AdjustForDST": true }, "ScheduleStatus": status, "IsPastDue": false });
    let data = json!({ timer.trigger.name.as_str(): state });
    json!({ "Data": data, "Metadata": { "sys": sys(&timer.name, now_ms) } }).to_string()
}

pub(super) fn sys(function: &str, now_ms: i64) -> Value {
    json!({
        "MethodName": function,
        "UtcNow": iso8601(now_ms),
        "RandGuid": uuid::Uuid::new_v4().to_string(),
    })
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
pub(super) fn time(ms: i64) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        function_app::{EventHubTrigger, QueueOutput, TimerTrigger, Trigger},
        invocation::Invocation,
        local::hub::Sent,
    };

    fn request(use_monitor: bool) -> Value {
        let trigger = TimerTrigger { name: "timer".to_owned(), use_monitor };
        let timer = TimerFunction { name: "DeadLetterWatchFunction".to_owned(), trigger };
        serde_json::from_str(&timer_request(&timer, 1_732_093_200_005)).expect("JSON")
    }

    #[test]
    fn the_request_of_a_timer_is_the_fixtures_but_for_what_differs_from_call_to_call() {
        let mut fixture: Value =
            serde_json::from_str(include_str!("../../tests/fixtures/timer.json")).expect("the fixture");
        let request = request(true);
        for place in [
            "/Data/timer/ScheduleStatus/Last",
            "/Data/timer/ScheduleStatus/LastUpdated",
            "/Metadata/sys/UtcNow",
            "/Metadata/sys/RandGuid",
        ] {
            let value = request.pointer(place).unwrap_or_else(|| panic!("no {place} in {request}"));
            *fixture.pointer_mut(place).expect("it is in the fixture") = value.clone();
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
        };
        Arc::new(HubEvent { sent, sequence_number: 48_211, offset: 9_132_416, enqueued_ms: 1_732_094_047_123 })
    }

    #[test]
    fn one_event_goes_under_the_keys_of_the_fixture_and_is_read_again_with_its_place() {
        let fixture: Value =
            serde_json::from_str(include_str!("../../tests/fixtures/one-binary.json")).expect("the fixture");
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
        let place = event.place.expect("a place");
        assert_eq!((&event.body[..], place.sequence_number), (&b"\xff one"[..], 48_211));
    }

    fn keys(object: &Value) -> Vec<&String> {
        object.as_object().expect("an object").keys().collect()
    }

    #[test]
    fn two_events_are_none_for_a_function_that_takes_one() {
        let events = [event(b"a"), event(b"b")];
        let request = |cardinality| super::request(&function(cardinality), &Source::default(), &events, None, 0);
        assert!(request(Cardinality::Many).is_ok());
        assert_eq!(request(Cardinality::One), Err("2 events for a function that takes one at a time".into()));
    }

    #[test]
    fn a_timer_whose_times_are_not_kept_has_no_status() {
        assert_eq!(request(false)["Data"]["timer"]["ScheduleStatus"], Value::Null);
    }
}
