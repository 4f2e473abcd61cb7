//! Whatever the request, it says what a plain reader finds in it, by whichever trigger it is read.
#![no_main]

#[path = "../../tests/support/plain_envelope.rs"]
mod plain_envelope;

use devicestate::{
    function_app::{Cardinality, DataType, EventHubTrigger, Trigger},
    invocation::Invocation,
};
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
});

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
    let batch = || Invocation::read(request, &trigger).expect("it was read before").batch;
    let mut other = batch();
    let key = other.key();
    assert_eq!(batch().key(), key);
    if let Some(first) = other.events.first_mut() {
        match &mut first.place {
            Some(place) => place.sequence_number ^= 1,
            None => first.body.push(0),
        }
        assert_ne!(other.key(), key);
    }
}
