//! Reading a request of the host: bodies, positions, sources and other metadata.

use bytes::Bytes;
use devicestate_engine::{
    batch::{Event, EventPosition},
    function_app::{Cardinality, DataType, EventHubTrigger, Trigger},
    invocation::{EnvelopeError, Invocation, RetryContext},
};
use serde_json::{Value, json};

/// Noon of 1 May 2024.
const NOON: i64 = 1_714_564_800_000;

fn trigger(cardinality: Cardinality, data_type: DataType) -> Trigger {
    Trigger::EventHub(EventHubTrigger {
        name: "messages".into(),
        event_hub_name: "telemetry".into(),
        consumer_group: "$Default".into(),
        connection: "EventHubConnection".into(),
        cardinality,
        data_type,
    })
}

fn read(trigger: &Trigger, messages: &Value, metadata: &Value) -> Result<Invocation, EnvelopeError> {
    let request = json!({ "Data": { "messages": messages }, "Metadata": metadata });
    Invocation::read(&request.to_string().into(), trigger)
}

/// Reads a batch of this many events with this metadata.
fn many(count: usize, metadata: &Value) -> Invocation {
    let trigger = trigger(Cardinality::Many, DataType::String);
    read(&trigger, &json!(vec!["x"; count]), metadata).expect("an envelope")
}

fn only(invocation: &Invocation) -> &Event {
    let [event] = &invocation.batch.events[..] else { panic!("one event: {invocation:?}") };
    event
}

#[test]
fn a_batch_is_retried_until_the_maximum_of_the_policy() {
    for (retry_count, max_retry_count, expected) in
        [(0, -1, true), (1_000, -1, true), (0, 0, false), (0, 1, true), (1, 1, false), (2, 1, false), (4, 5, true)]
    {
        let retry = RetryContext { retry_count, max_retry_count };
        assert_eq!(retry.will_retry(), expected, "{retry:?}");
    }
}

#[test]
fn the_retry_context_may_be_an_object_or_text() {
    let context = json!({ "RetryCount": 2, "MaxRetryCount": 5 });
    let expected = Some(RetryContext { retry_count: 2, max_retry_count: 5 });
    assert_eq!(many(1, &json!({ "RetryContext": context })).retry, expected);
    assert_eq!(many(1, &json!({ "RetryContext": context.to_string() })).retry, expected);
    for other in [Value::Null, json!({}), json!("no JSON")] {
        assert_eq!(many(1, &json!({ "RetryContext": other })).retry, None, "{other}");
    }
    assert_eq!(many(1, &Value::Null).retry, None);
}

#[test]
fn the_body_of_a_batch_event_depends_on_the_data_type() {
    for (data_type, element, body, fault) in [
        (DataType::Binary, json!("aGk="), "hi", None),
        (DataType::Binary, json!("aGk"), "hi", None),
        (DataType::Binary, json!("hi!"), "hi!", Some("not valid base64")),
        (DataType::Binary, json!({"a":1}), r#"{"a":1}"#, Some("not a base64 string")),
        (DataType::Binary, Value::Null, "", None),
        (DataType::String, json!("hi \"you\""), "hi \"you\"", None),
        (DataType::String, json!({"a":1}), r#"{"a":1}"#, None),
        (DataType::String, Value::Null, "", None),
        (DataType::Json, json!({"a":1}), r#"{"a":1}"#, None),
        (DataType::Json, json!("hi"), r#""hi""#, None),
        (DataType::Json, Value::Null, "", None),
    ] {
        let trigger = trigger(Cardinality::Many, data_type);
        let messages = json!([element]);
        // As an array, and as text that contains the array.
        for messages in [json!(messages.to_string()), messages] {
            let invocation = read(&trigger, &messages, &Value::Null).expect("an envelope");
            let event = only(&invocation);
            assert_eq!(String::from_utf8_lossy(&event.body), body, "{data_type:?} {messages}");
            match (fault, &event.fault) {
                (Some(words), Some(issue)) => assert!(issue.contains(words), "{issue}"),
                (expected, issue) => assert_eq!(expected, issue.as_deref(), "{data_type:?} {messages}"),
            }
        }
    }
}

#[test]
fn the_body_of_a_single_event_depends_on_the_data_type() {
    for (data_type, data, body) in [
        (DataType::Binary, json!("aGk="), "hi"),
        (DataType::Binary, json!("\"aGk=\""), "hi"),
        (DataType::String, json!("hi"), "hi"),
        (DataType::String, json!("\"hi\""), "hi"),
        (DataType::String, json!("\"hi"), "\"hi"),
        (DataType::Json, json!({"a":1}), r#"{"a":1}"#),
        (DataType::Json, json!(r#"{"a":1}"#), r#"{"a":1}"#),
    ] {
        let invocation = read(&trigger(Cardinality::One, data_type), &data, &Value::Null).expect("an envelope");
        assert_eq!(String::from_utf8_lossy(&only(&invocation).body), body, "{data_type:?} {data}");
    }
}

#[test]
fn a_request_without_events_is_rejected_with_the_reason() {
    let binary = trigger(Cardinality::Many, DataType::Binary);
    assert!(matches!(Invocation::read(&Bytes::from_static(b"[]"), &binary), Err(EnvelopeError::NotAnInvocation(_))));
    let other =
        Invocation::read(&Bytes::from_static(br#"{"Data":{"other":"[]"}}"#), &binary).expect_err("another binding");
    assert_eq!(other, EnvelopeError::MissingBinding { name: "messages".into(), found: r#"["other"]"#.into() });
    for messages in [json!("no array"), json!({})] {
        let error = read(&binary, &messages, &Value::Null).expect_err("no events");
        assert!(matches!(error, EnvelopeError::InvalidEvents { .. }), "{error:?}");
    }
    assert_eq!(many(0, &Value::Null).batch.events, []);
}

#[test]
fn an_event_has_the_position_of_its_metadata() {
    let position = |enqueued_ms, sequence_number| Ok(Some(EventPosition { enqueued_ms, sequence_number }));
    for (number, time, expected) in [
        (json!(7), json!("2024-05-01T12:00:00"), position(NOON, 7)),
        (json!(0), json!("2024-05-01T12:00:00Z"), position(NOON, 0)),
        (json!("7"), json!("\"2024-05-01T12:00:00\""), position(NOON, 7)),
        (json!(7), json!("2000-01-01T00:00:00"), position(946_684_800_000, 7)),
        (json!(7), json!("1999-12-31T23:59:59.999"), Ok(None)),
        (json!(7), json!("0001-01-01T00:00:00"), Ok(None)),
        (json!(-1), json!("2024-05-01T12:00:00"), Ok(None)),
        (Value::Null, json!("2024-05-01T12:00:00"), Ok(None)),
        (json!(7), Value::Null, Ok(None)),
        (json!(7.5), json!("2024-05-01T12:00:00"), Err("sequence number \"7.5\"")),
        (json!(7), json!("noon"), Err("enqueued time \"noon\"")),
    ] {
        let several =
            json!({ "SequenceNumberArray": [1, number], "EnqueuedTimeUtcArray": ["2024-05-01T11:00:00", time] });
        let single = json!({ "SequenceNumber": number, "EnqueuedTimeUtc": time });
        for (count, metadata) in [(2, several), (1, single)] {
            let events = many(count, &metadata).batch.events;
            let event = events.last().expect("an event");
            match &expected {
                Ok(position) => assert_eq!((event.position, &event.fault), (*position, &None), "{metadata}"),
                Err(words) => {
                    assert!(event.fault.as_ref().is_some_and(|issue| issue.contains(words)), "{metadata}: {event:?}");
                }
            }
        }
    }
}

#[test]
fn positions_that_do_not_match_the_events_make_each_event_invalid() {
    let (numbers, times) = (json!([1, 2]), json!(["2024-05-01T12:00:00", "2024-05-01T12:00:01"]));
    for (metadata, words) in [
        (json!({ "SequenceNumberArray": numbers }), "has only one"),
        (json!({ "EnqueuedTimeUtcArray": times }), "has only one"),
        (
            json!({ "SequenceNumberArray": [1], "EnqueuedTimeUtcArray": times }),
            "SequenceNumberArray has 1 entries for 2",
        ),
        (
            json!({ "SequenceNumberArray": numbers, "EnqueuedTimeUtcArray": [] }),
            "EnqueuedTimeUtcArray has 0 entries for 2",
        ),
        (json!({ "SequenceNumberArray": "[1,", "EnqueuedTimeUtcArray": times }), "SequenceNumberArray cannot be read"),
    ] {
        for event in many(2, &metadata).batch.events {
            let fault = event.fault.expect("a fault");
            assert!(fault.contains(words) && event.position.is_none(), "{words:?} is not in {fault}");
        }
    }
    // Keys of a single event do not apply to two.
    let events = many(2, &json!({ "SequenceNumber": 1, "EnqueuedTimeUtc": "2024-05-01T12:00:00" })).batch.events;
    assert!(events.iter().all(|event| (event.position, &event.fault) == (None, &None)), "{events:?}");
}

#[test]
fn content_type_and_device_are_read_from_the_system_properties() {
    let both = json!({ "content-type": "application/json", "iothub-connection-device-id": "d", "x": 1 });
    let read_properties = |count: usize, metadata: &Value| -> Vec<(Option<String>, Option<String>)> {
        let events = many(count, metadata).batch.events;
        events
            .into_iter()
            .map(|event| (event.content_type.map(|text| text.to_string()), event.iot_hub_device_id))
            .collect()
    };
    let (json, device) = (Some("application/json".to_owned()), Some("d".to_owned()));
    for (properties, expected) in [
        (json!([both, {}]), [(json.clone(), device.clone()), (None, None)]),
        (json!([{ "content-type": "application/json" }, {}]), [(json.clone(), None), (None, None)]),
        (json!([{}, { "iothub-connection-device-id": "d" }]), [(None, None), (None, device.clone())]),
        (json!([7, both]), [(None, None), (json.clone(), device.clone())]),
        // One for two events: it is unknown to which it belongs.
        (json!([both]), [(None, None), (None, None)]),
        (Value::Null, [(None, None), (None, None)]),
    ] {
        assert_eq!(read_properties(2, &json!({ "SystemPropertiesArray": properties })), expected, "{properties}");
    }
    for single in [both.clone(), json!(both.to_string())] {
        assert_eq!(
            read_properties(1, &json!({ "SystemProperties": single })),
            [(json.clone(), device.clone())],
            "{single}"
        );
    }
    // An array has precedence over the value of a single event, unless it is null.
    for (array, expected) in [(json!([{}]), (None, None)), (Value::Null, (json, device))] {
        assert_eq!(
            read_properties(1, &json!({ "SystemPropertiesArray": array, "SystemProperties": both })),
            [expected],
            "{array}"
        );
    }
}

#[test]
fn the_source_is_read_from_either_partition_context() {
    let context = |partition: &str| json!({ "FullyQualifiedNamespace": "ns", "EventHubName": "hub", "ConsumerGroup": "group", "PartitionId": partition });
    let partition = |metadata: Value| many(1, &metadata).batch.source.partition_id;
    assert_eq!(partition(json!({ "PartitionContext": context("1"), "TriggerPartitionContext": context("2") })), "1");
    assert_eq!(partition(json!({ "TriggerPartitionContext": context("2") })), "2");
    assert_eq!(partition(json!({ "PartitionContext": context("1").to_string() })), "1");
    assert_eq!(partition(json!({})), "");
    let source = many(1, &json!({ "PartitionContext": context("3") })).batch.source;
    let read = [source.fully_qualified_namespace, source.event_hub_name, source.consumer_group];
    assert_eq!(read, ["ns", "hub", "group"]);
}

#[test]
fn the_newer_offset_column_has_precedence() {
    let offset = |metadata: Value| {
        let metadata = many(1, &metadata).batch.metadata;
        metadata.offsets.cell(0).map(|cell| cell.get().to_owned())
    };
    assert_eq!(offset(json!({ "OffsetStringArray": ["1"], "OffsetArray": [2] })).as_deref(), Some("\"1\""));
    assert_eq!(offset(json!({ "OffsetArray": [2] })).as_deref(), Some("2"));
    assert_eq!(offset(json!({ "OffsetStringArray": null, "OffsetArray": [2] })).as_deref(), Some("2"));
    assert_eq!(offset(json!({})), None);
}
