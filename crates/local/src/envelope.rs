//! Builds the requests that the Functions host sends for events of a hub and for a timer.

mod batch;
mod exception;
pub(crate) mod single;
mod system_properties;
mod timer;

use std::sync::Arc;

use devicestate_engine::{
    batch::{Event, EventMetadata, MetadataColumn, Source},
    function_app::{Cardinality, Function},
    invocation::attach_metadata,
    text::iso8601,
};
use serde::{Serialize, Serializer, ser::SerializeMap as _};

use super::{dotnet::to_json, hub::HubEvent};

pub(crate) use exception::RetryContext;
pub use exception::{Exception, Failure, Retry};
use system_properties::{Properties, SystemProperties};
pub use timer::timer_request;

/// Returns the body of the request for events of one partition. `now_ms` is the time of the request in milliseconds since 1970.
/// A function with `cardinality` one gets one event, under singular keys.
///
/// # Errors
///
/// The host cannot build the request: for a batch without a `dataType`, a body is not JSON; or a function with `cardinality`
/// one gets another number of events.
pub fn request(
    function: &Function,
    source: &Source,
    events: &[Arc<HubEvent>],
    retry: Option<&Retry>,
    now_ms: i64,
) -> Result<String, String> {
    let trigger = &function.trigger;
    let context = PartitionContext {
        is_checkpointing_after_invocation: true,
        fully_qualified_namespace: &source.fully_qualified_namespace,
        event_hub_name: &source.event_hub_name,
        consumer_group: &source.consumer_group,
        partition_id: &source.partition_id,
    };
    let sys = Sys::new(&function.name, now_ms);
    let retry = retry.map(|retry| RetryContext::new(retry, &function.name));
    match (trigger.cardinality(), events) {
        (Cardinality::Many, _) => {
            let bodies = batch::bodies(trigger.data_type(), events)?;
            Ok(envelope(trigger.name(), &bodies, &batch::Metadata::new(&context, events, sys, retry)))
        }
        (Cardinality::One, [event]) => {
            let body = &event.sent.body;
            let mut metadata = single::Metadata::of_event(&context, event);
            metadata.complete(&sys, body, trigger.data_type(), retry.as_ref());
            Ok(envelope(trigger.name(), &single::body(trigger.data_type(), body), &metadata))
        }
        (Cardinality::One, _) => Err(format!("a function with cardinality one must get 1 event, not {}", events.len())),
    }
}

/// Returns an event as the handler reads it from a request, without its position.
pub(crate) fn event(event: &HubEvent) -> Event {
    let column = |cell: String| MetadataColumn::new(format!("[{cell}]"), 1);
    let metadata = EventMetadata {
        partition_keys: column(to_json(&event.sent.partition_key)),
        properties: column(to_json(&Properties(&event.sent.properties))),
        system_properties: column(to_json(&SystemProperties::from_event(event))),
        ..EventMetadata::default()
    };
    let events = vec![Event { body: event.sent.body.clone().into(), ..Event::default() }];
    attach_metadata(Source::default(), events, metadata).events.remove(0)
}

/// Serializes a request: the value of the trigger's binding, and the metadata.
pub(crate) fn envelope(binding: &str, data: &impl Serialize, metadata: &impl Serialize) -> String {
    to_json(&Envelope { data: Data { binding, data }, metadata })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope<'a, D, M> {
    data: Data<'a, D>,
    metadata: &'a M,
}

/// The value of one binding, under its name.
struct Data<'a, D> {
    binding: &'a str,
    data: &'a D,
}

impl<D: Serialize> Serialize for Data<'_, D> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.binding, self.data)?;
        map.end()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PartitionContext<'a> {
    is_checkpointing_after_invocation: bool,
    fully_qualified_namespace: &'a str,
    event_hub_name: &'a str,
    consumer_group: &'a str,
    partition_id: &'a str,
}

/// `sys` of the metadata: the function, the time and an id of the request.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Sys<'a> {
    method_name: &'a str,
    utc_now: String,
    rand_guid: String,
}

impl<'a> Sys<'a> {
    pub(crate) fn new(function: &'a str, now_ms: i64) -> Self {
        Self {
            method_name: function,
            utc_now: format!("{}Z", host_time(now_ms)),
            rand_guid: uuid::Uuid::new_v4().to_string(),
        }
    }
}

/// An object without members; with `Option`, a null.
#[derive(Debug, Serialize)]
pub(crate) struct Empty {}

/// Formats a UTC time without a zone, as the host does.
pub(crate) fn host_time(ms: i64) -> String {
    let text = iso8601(ms);
    text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::Sent;
    use devicestate_engine::{
        function_app::{DataType, EventHubTrigger, QueueOutput, Trigger},
        invocation::Invocation,
    };
    use serde_json::Value;

    fn function(cardinality: Cardinality, data_type: DataType) -> Function {
        let trigger = Trigger::EventHub(EventHubTrigger {
            name: "messages".into(),
            event_hub_name: "telemetry".into(),
            consumer_group: "devicestate".into(),
            connection: "EventHubConnection".into(),
            cardinality,
            data_type,
        });
        Function { name: "RawTelemetryFunction".into(), trigger, dead_letters: QueueOutput::shipped(), retry: None }
    }

    fn event(body: &[u8]) -> Arc<HubEvent> {
        let sent = Sent {
            body: body.to_vec(),
            partition_key: Some("drone-0017".into()),
            content_type: Some("application/json"),
            message_source: Some("telemetry"),
            ..Sent::default()
        };
        let (sequence_number, offset) = (48_211, 9_132_416);
        Arc::new(HubEvent {
            sent,
            sequence_number,
            offset,
            enqueued_ms: 1_732_094_047_123,
            iot_hub_enqueued_ms: Some(1_732_094_047_100),
        })
    }

    #[test]
    fn what_iot_hub_sets_is_before_what_the_hub_sets() {
        let request = |cardinality| {
            let function = function(cardinality, DataType::Binary);
            super::request(&function, &Source::default(), &[event(b"{}")], None, 0).expect("a request")
        };
        let properties = r#""content-type":"application/json","iothub-enqueuedtime":"2024-11-20T09:14:07.1",
            "iothub-connection-device-id":"drone-0017","iothub-message-source":"telemetry","x-opt-sequence-number":48211"#;
        let properties = properties.replace("\n            ", "");
        assert!(request(Cardinality::One).contains(&properties));
        assert!(request(Cardinality::Many).contains(&properties.replace('"', "\\\"")));
    }

    #[test]
    fn the_handler_reads_a_single_event_with_its_source_and_position() {
        let source = Source { partition_id: "3".into(), ..Source::default() };
        for data_type in [DataType::Binary, DataType::String, DataType::Json] {
            let function = function(Cardinality::One, data_type);
            let text = super::request(&function, &source, &[event(b"{\"a\": 1}")], None, 0).expect("a request");
            let Invocation { batch, .. } = Invocation::read(&text.into(), &function.trigger).expect("an invocation");
            assert_eq!(batch.source, source);
            let [event] = &batch.events[..] else { panic!("{:?}", batch.events) };
            let position = event.position.expect("a position");
            assert_eq!((&event.body[..], position.sequence_number), (&b"{\"a\": 1}"[..], 48_211), "{data_type:?}");
        }
    }

    #[test]
    fn a_member_of_a_single_body_overwrites_metadata_of_its_name_in_any_letter_case() {
        let body =
            br#"{"sequencenumber": 7, "a": {"b": 1.0}, "none": null, "list": [1], "myTrigger": 1, "RetryContext": 2}"#;
        let metadata = |data_type| {
            let function = function(Cardinality::One, data_type);
            let retry = Retry { max_count: -1, ..Retry::default() };
            let request = super::request(&function, &Source::default(), &[event(body)], Some(&retry), 0);
            let request: Value = serde_json::from_str(&request.expect("a request")).expect("JSON");
            request["Metadata"].clone()
        };
        let text = metadata(DataType::String);
        assert_eq!((&text["SequenceNumber"], &text["a"]["b"]), (&"\"7\"".into(), &1.0.into()));
        assert_eq!(text["RetryContext"]["MaxRetryCount"], -1);
        for absent in ["sequencenumber", "none", "list", "myTrigger"] {
            assert_eq!(text.get(absent), None);
        }
        let binary = metadata(DataType::Binary);
        assert_eq!((&binary["SequenceNumber"], binary.get("a")), (&"48211".into(), None));
    }

    #[test]
    fn two_events_are_rejected_for_a_function_with_cardinality_one() {
        let events = [event(b"a"), event(b"b")];
        let request = |cardinality| {
            super::request(&function(cardinality, DataType::Binary), &Source::default(), &events, None, 0)
        };
        assert!(request(Cardinality::Many).is_ok());
        assert_eq!(request(Cardinality::One), Err("a function with cardinality one must get 1 event, not 2".into()));
    }
}
