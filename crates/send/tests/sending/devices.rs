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
            let content_type = event.content_type.as_deref().map(Into::into);
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

#[test]
fn devices_send_the_lines_of_a_template_in_turn() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let template = folder.path().join("pumps.jsonl");
    std::fs::write(&template, "{\"id\":\"{device}\",\"n\":{number}}\n[{number}]\n").expect("a file");
    let hub = Hub::new();
    let template = template.to_str().expect("text");
    let ran = send(hub.port, &["--devices", "3", "--events", "4", "--template", template]);
    assert_eq!((ran.code, ran.count("events")), (Some(0), 12), "{}", ran.err);
    let bodies = HubContent::of(&hub.accepted_batches()).bodies;
    assert_eq!(bodies.len(), 3);
    let text = |body: &Vec<u8>| String::from_utf8(body.clone()).expect("text");
    let of_device: Vec<_> = bodies["device-00002"].iter().map(text).collect();
    let first = |number: u8| format!(r#"{{"id":"device-00002","n":{number}}}"#);
    assert_eq!(of_device, [first(1), "[2]".to_owned(), first(3), "[4]".to_owned()]);
}
