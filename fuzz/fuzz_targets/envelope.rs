//! The engine and the plain reader of `tests/oracle` return the same for any request, with each trigger.
#![no_main]

use std::sync::LazyLock;

use bytes::Bytes;
use devicestate_engine::{
    function_app::{Cardinality, DataType, EventHubTrigger, Trigger},
    invocation::Invocation,
};
use devicestate_test_oracle::plain_envelope;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|request: &[u8]| {
    for cardinality in [Cardinality::Many, Cardinality::One] {
        for data_type in [DataType::Binary, DataType::String, DataType::Json] {
            let trigger = trigger(cardinality, data_type);
            let expected = plain_envelope::read(request, &trigger);
            assert_eq!(plain_envelope::read_with_engine(request, &trigger), expected, "{trigger:?}");
            if expected.is_ok() {
                assert_stable_key(request, &trigger);
            }
        }
    }
    assert_one_message(request);
});

static SESSIONS: LazyLock<Trigger> = LazyLock::new(|| {
    let trigger = serde_json::json!({ "name": "message", "queueName": "q", "connection": "c", "dataType": "binary" });
    Trigger::ServiceBus(serde_json::from_value(trigger).expect("a trigger"))
});

/// Asserts that a request for a queue with sessions has exactly one event and always the same key.
fn assert_one_message(request: &[u8]) {
    let request = &Bytes::copy_from_slice(request);
    if let Ok(invocation) = Invocation::read(request, &SESSIONS) {
        assert_eq!(invocation.batch.events.len(), 1);
        assert!(invocation.batch.message.is_some() && invocation.attempt_number() >= 1);
        let reread = Invocation::read(request, &SESSIONS).expect("it was read before");
        assert_eq!(reread.batch.key("one"), invocation.batch.key("other"), "each delivery has an id of its own");
    }
}

fn trigger(cardinality: Cardinality, data_type: DataType) -> EventHubTrigger {
    EventHubTrigger {
        name: "messages".into(),
        event_hub_name: "telemetry".into(),
        consumer_group: "$Default".into(),
        connection: "EventHubConnection".into(),
        cardinality,
        data_type,
    }
}

/// Asserts that the batch's key is the same for the same request, and another one for another first event.
fn assert_stable_key(request: &[u8], trigger: &EventHubTrigger) {
    let trigger = Trigger::EventHub(trigger.clone());
    let request = &Bytes::copy_from_slice(request);
    let batch = || Invocation::read(request, &trigger).expect("it was read before").batch;
    let mut other = batch();
    let key = other.key("id");
    assert_eq!(batch().key("id"), key);
    if let Some(first) = other.events.first_mut() {
        match &mut first.position {
            Some(position) => position.sequence_number ^= 1,
            None => first.body = [&first.body[..], &[0]].concat().into(),
        }
        assert_ne!(other.key("id"), key);
    }
}
