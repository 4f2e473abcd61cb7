//! The metadata of a single event, as a running host sent them: as exact as those of an event of a batch.

use bytes::Bytes;
use devicestate_engine::{
    batch::{Batch, EventPosition},
    function_app::{Cardinality, DataType, EventHubTrigger, Trigger},
    invocation::Invocation,
};
use devicestate_test_doubles::sessions;
use devicestate_test_support::recording;
use serde_json::{Value, json};

/// 2026-11-29T23:29:00Z.
const MINUTE_MS: i64 = 1_795_994_940_000;

fn trigger(cardinality: Cardinality, data_type: DataType) -> Trigger {
    Trigger::EventHub(EventHubTrigger {
        name: "messages".into(),
        event_hub_name: "shapes".into(),
        consumer_group: "$Default".into(),
        connection: "EventHubConnection".into(),
        cardinality,
        data_type,
    })
}

fn read(body: impl Into<Bytes>, trigger: &Trigger) -> Batch {
    Invocation::read(&body.into(), trigger).expect("an envelope").batch
}

/// Reads a request for a function of `cardinality: one`.
fn one(body: impl Into<Bytes>) -> Batch {
    read(body, &trigger(Cardinality::One, DataType::String))
}

/// Returns the cells of the first event: partition key, sequence number, offset and enqueued time.
fn cells(batch: &Batch) -> [Value; 4] {
    let metadata = &batch.metadata;
    let columns = [&metadata.partition_keys, &metadata.sequence_numbers, &metadata.offsets, &metadata.enqueued_times];
    columns.map(|column| column.cell(0).map_or(Value::Null, |cell| serde_json::from_str(cell.get()).expect("JSON")))
}

fn position(batch: &Batch) -> Option<EventPosition> {
    let [event] = &batch.events[..] else { panic!("one event: {batch:?}") };
    assert_eq!(event.fault, None);
    event.position
}

#[test]
fn a_single_event_has_the_typed_and_exact_values_of_its_system_properties() {
    for data_type in ["binary", "string", "unset"] {
        for (name, expected, ms) in [
            ("json-1", [json!("drone-1"), json!(0), json!("0"), json!("2026-11-29T23:29:23.014")], 23_014),
            ("no-key-text", [Value::Null, json!(5), json!("1048"), json!("2026-11-29T23:29:26.031")], 26_031),
            ("properties", [json!("drone-2"), json!(2), json!("480"), json!("2026-11-29T23:29:24.523")], 24_523),
            ("not-json", [json!("bad"), json!(8), json!("1496"), json!("2026-11-29T23:29:29.046")], 29_046),
        ] {
            let data = if data_type == "binary" { DataType::Binary } else { DataType::String };
            let name = format!("{data_type}-one-{name}");
            let batch = read(recording(&name).body(), &trigger(Cardinality::One, data));
            assert_eq!(cells(&batch), expected, "{name}");
            let expected =
                EventPosition { enqueued_ms: MINUTE_MS + ms, sequence_number: expected[1].as_i64().expect("a number") };
            assert_eq!(position(&batch), Some(expected), "{name}");
            assert!(batch.metadata.properties.cell(0).is_some() && batch.metadata.system_properties.cell(0).is_some());
        }
    }
}

/// With another data type than binary the host copies the scalars of a body over the metadata of the same names.
#[test]
fn an_event_cannot_set_its_own_position() {
    let mut request = recording("string-one-json-1").envelope();
    let expected = one(request.to_string());
    let metadata = request["Metadata"].as_object_mut().expect("an object");
    for (name, scalar) in [
        ("SequenceNumber", "\"99\""),
        ("EnqueuedTimeUtc", "\"01/02/2036 03:04:05\""),
        ("PartitionKey", "\"drone-9\""),
        ("Offset", "\"9\""),
        ("OffsetString", "\"9\""),
        ("SequenceNumberArray", "\"[99]\""),
        ("EnqueuedTimeUtcArray", "\"[\\\"2036-01-01T00:00:00\\\"]\""),
        ("SystemPropertiesArray", "\"[{}]\""),
    ] {
        metadata.insert(name.to_owned(), scalar.into());
    }
    let batch = one(request.to_string());
    assert_eq!((cells(&batch), position(&batch)), (cells(&expected), position(&expected)));

    // Over the system properties as well: then nothing says where the event was.
    request["Metadata"]["SystemProperties"] = "\"{\\\"SequenceNumber\\\":99}\"".into();
    let batch = one(request.to_string());
    let [event] = &batch.events[..] else { panic!("one event: {batch:?}") };
    assert_eq!(event.position, None);
    let fault = event.fault.as_deref().expect("a fault");
    assert!(fault.contains("SystemProperties"), "{fault}");
    assert_eq!(cells(&batch), [const { Value::Null }; 4]);
}

#[test]
fn what_the_system_properties_lack_is_decoded_from_the_metadata() {
    let mut request = recording("binary-one-not-json").envelope();
    request["Metadata"]["SystemProperties"] = json!({"content-type": "text/plain"});
    let batch = one(request.to_string());
    let expected = [json!("bad"), json!(8), json!("1496"), json!("2026-11-29T23:29:29")];
    assert_eq!(cells(&batch), expected);
    request["Metadata"].as_object_mut().expect("an object").remove("SystemProperties");
    // Without the extra quotes, as older hosts and tools may send it.
    request["Metadata"]["PartitionKey"] = json!("bad");
    request["Metadata"]["SequenceNumber"] = json!(8);
    request["Metadata"].as_object_mut().expect("an object").remove("OffsetString");
    let batch = one(request.to_string());
    assert_eq!(cells(&batch), expected);
    assert_eq!(position(&batch), Some(EventPosition { enqueued_ms: MINUTE_MS + 29_000, sequence_number: 8 }));
}

#[test]
fn what_the_admin_endpoint_does_not_know_is_null() {
    for (name, cardinality) in [
        ("binary-one-admin-1", Cardinality::One),
        ("binary-many-admin-1", Cardinality::Many),
        ("string-many-admin-1", Cardinality::Many),
    ] {
        let batch = read(recording(name).body(), &trigger(cardinality, DataType::String));
        assert_eq!((cells(&batch), position(&batch)), ([const { Value::Null }; 4], None), "{name}");
        assert_eq!(batch.metadata.system_properties.cell(0).map(ToString::to_string), None, "{name}");
    }
    let batch = read(recording("servicebus-binary-one-admin-1").body(), &sessions::trigger());
    assert_eq!((cells(&batch), position(&batch)), ([const { Value::Null }; 4], None));
}

#[test]
fn a_session_message_has_typed_values() {
    let batch = read(recording("servicebus-binary-one-full").body(), &sessions::trigger());
    let expected = [json!("drone-1"), json!(9_007_199_254_740_993_i64), Value::Null, json!("2026-11-30T00:10:11")];
    assert_eq!(cells(&batch), expected);
    let message = batch.message.clone().expect("a message");
    assert_eq!((&*message.session_id, &*message.message_id, message.delivery_count), ("drone-1", "m-1", 1));
    assert_eq!(
        position(&batch).map(|position| position.enqueued_ms),
        Some(MINUTE_MS + 41 * 60_000 + 11_000),
        "in whole seconds: the host sends no fraction"
    );
}
