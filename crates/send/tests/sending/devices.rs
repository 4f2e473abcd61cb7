//! Simulated devices, and whether a handler would understand them.

use std::collections::BTreeMap;

use devicestate_engine::{
    batch::Event,
    telemetry::{Telemetry as _, drone::Drone},
};
use devicestate_local::simulator::{Encoding, Simulator};

use super::{Kept, hub::Hub, send};

fn devices_arrive(wire: Encoding, name: &str, content_type: &str) {
    let hub = Hub::new();
    let ran = send(hub.port, &["--devices", "20", "--events", "50", "--wire", name, "--seed", "7"]);
    assert_eq!((ran.code, ran.count("events")), (Some(0), 1_000), "{}", ran.err);
    let taken = hub.taken();

    let mut simulated: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for sent in Simulator::new(20, 1_000, wire, 7) {
        simulated.entry(sent.partition_key.expect("a device")).or_default().push(sent.body);
    }
    assert!(Kept::of(&taken).bodies == simulated, "each device's events are those of the simulator, in order");

    let drones = Drone::default();
    for batch in &taken {
        for event in &batch.events {
            assert_eq!(event.content_type.as_deref(), Some(content_type));
            let content_type = event.content_type.clone();
            let event = Event { body: event.body.clone().into(), content_type, ..Event::default() };
            let decoded = drones.decode(&event).expect("good telemetry");
            assert_eq!(Some(&decoded.device_id), batch.key.as_ref(), "the key is the device");
        }
    }
}

#[test]
fn devices_send_json_that_the_handler_decodes() {
    devices_arrive(Encoding::Json, "json", "application/json");
}

#[test]
fn devices_send_protobuf_that_the_handler_decodes() {
    devices_arrive(Encoding::Protobuf, "protobuf", "application/x-protobuf");
}
