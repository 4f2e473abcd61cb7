//! Simulated devices send what a handler decodes.

use std::collections::BTreeMap;

use devicestate_engine::{
    batch::Event,
    telemetry::{Telemetry as _, drone::Drone},
};
use devicestate_local::simulator::{Encoding, Simulator};

use super::{HubContent, hub::Hub, send};

fn assert_devices_arrive(wire: Encoding, name: &str, content_type: &str) {
    let hub = Hub::new();
    let ran = send(hub.port, &["--devices", "20", "--events", "50", "--encoding", name, "--seed", "7"]);
    assert_eq!((ran.code, ran.count("events")), (Some(0), 1_000), "{}", ran.err);
    let accepted_batches = hub.accepted_batches();

    let mut simulated: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for sent in Simulator::new(20, 1_000, wire, 7) {
        simulated.entry(sent.partition_key.expect("a device")).or_default().push(sent.body);
    }
    assert!(
        HubContent::of(&accepted_batches).bodies == simulated,
        "each device's events are those of the simulator, in order"
    );

    let drones = Drone::default();
    for batch in &accepted_batches {
        for event in &batch.events {
            assert_eq!(event.content_type.as_deref(), Some(content_type));
            let content_type = event.content_type.clone();
            let event = Event { body: event.body.clone().into(), content_type, ..Event::default() };
            let decoded = drones.decode(&event).expect("valid telemetry");
            assert_eq!(Some(&decoded.device_id), batch.key.as_ref(), "the key is the device");
        }
    }
}

#[test]
fn devices_send_json_that_the_handler_decodes() {
    assert_devices_arrive(Encoding::Json, "json", "application/json");
}

#[test]
fn devices_send_protobuf_that_the_handler_decodes() {
    assert_devices_arrive(Encoding::Protobuf, "protobuf", "application/x-protobuf");
}
