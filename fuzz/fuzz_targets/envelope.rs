//! Whatever the request, it says what a plain reader finds in it, by whichever trigger it is read.
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
            let said = plain_envelope::read(request, &trigger);
            assert_eq!(plain_envelope::really_read(request, &trigger), said, "{trigger:?}");
            if said.is_ok() {
                assert_known_again(request, &trigger);
            }
        }
    }
    assert_one_message(request);
});

static SESSIONS: LazyLock<Trigger> = LazyLock::new(|| {
    let trigger = serde_json::json!({ "name": "messages", "queueName": "q", "connection": "c", "dataType": "binary" });
    Trigger::ServiceBus(serde_json::from_value(trigger).expect("a trigger"))
});

/// Whatever a queue of sessions is said to bring, it is one event at the most, and known again.
fn assert_one_message(request: &[u8]) {
    let request = &Bytes::copy_from_slice(request);
    if let Ok(invocation) = Invocation::read(request, &SESSIONS) {
        assert_eq!(invocation.batch.events.len(), 1);
        assert!(invocation.batch.message.is_some() && invocation.attempt() >= 1);
        let again = Invocation::read(request, &SESSIONS).expect("it was read before");
        assert_eq!(again.batch.key(), invocation.batch.key());
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

/// By its key: the same for the same request, and another one with another first event.
fn assert_known_again(request: &[u8], trigger: &EventHubTrigger) {
    let trigger = Trigger::EventHub(trigger.clone());
    let request = &Bytes::copy_from_slice(request);
    let batch = || Invocation::read(request, &trigger).expect("it was read before").batch;
    let mut other = batch();
    let key = other.key();
    assert_eq!(batch().key(), key);
    if let Some(first) = other.events.first_mut() {
        match &mut first.position {
            Some(place) => place.sequence_number ^= 1,
            None => first.body = [&first.body[..], &[0]].concat().into(),
        }
        assert_ne!(other.key(), key);
    }
}
