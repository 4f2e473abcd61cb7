//! Simulated devices send what a handler decodes.

use std::collections::BTreeMap;

use devicestate_engine::{
    batch::Event,
    telemetry::{Telemetry as _, drone::Drone},
};
use devicestate_local::simulator::{Encoding, Simulator};
use serde_json::Value;

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

/// Returns the numbers of a device's records, and the numbers of records of its events.
fn numbers(bodies: &[Vec<u8>]) -> (Vec<i64>, Vec<usize>) {
    let events: Vec<Vec<Value>> = bodies
        .iter()
        .map(|body| match serde_json::from_slice(body).expect("JSON") {
            Value::Array(records) => records,
            record => vec![record],
        })
        .collect();
    let number = |record: &Value| record["number"].as_i64().expect("a number");
    (events.iter().flatten().map(number).collect(), events.iter().map(Vec::len).collect())
}

#[test]
fn packed_events_have_all_records_of_a_key_in_order() {
    let hub = Hub::new();
    let ran = send(hub.port, &["--keys", "5", "--events", "20", "--pack", "8"]);
    assert_eq!((ran.code, ran.count("events"), ran.count("records")), (Some(0), 15, 100), "{}", ran.err);
    let bodies = HubContent::of(&hub.accepted_batches()).bodies;
    assert_eq!(bodies.len(), 5);
    for bodies in bodies.values() {
        assert_eq!(numbers(bodies), ((1..=20).collect(), vec![8, 8, 4]));
    }
}

#[test]
fn a_template_sends_the_same_records_packed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let template = folder.path().join("pumps.jsonl");
    std::fs::write(&template, "{\"number\":{number},\"bar\":{number:0..10}}\n{\"number\":{number}}").expect("a file");
    let template = template.to_str().expect("text");
    let records = |pack: &str| -> BTreeMap<String, Vec<Value>> {
        let hub = Hub::new();
        let options = ["--devices", "3", "--events", "5", "--template", template, "--pack", pack];
        let ran = send(hub.port, &options);
        assert_eq!((ran.code, ran.count("records")), (Some(0), 15), "{}", ran.err);
        let records = |bodies: Vec<Vec<u8>>| {
            let values = bodies.iter().map(|body| serde_json::from_slice(body).expect("JSON"));
            values.flat_map(|value| if let Value::Array(records) = value { records } else { vec![value] }).collect()
        };
        HubContent::of(&hub.accepted_batches()).bodies.into_iter().map(|(key, all)| (key, records(all))).collect()
    };
    assert_eq!(records("3"), records("1"));
}

#[test]
fn what_cannot_be_packed_is_an_error_before_anything_is_sent() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let template = folder.path().join("pumps.txt");
    std::fs::write(&template, "{\"n\":{number}}\n{device}={number}\n").expect("a file");
    let hub = Hub::new();
    for (options, expected) in [
        (["--encoding", "protobuf"], "a protobuf message has one record: use --encoding json (option --pack)"),
        (
            ["--template", template.to_str().expect("text")],
            "cannot be packed: device=1 is not a JSON object (option --pack)",
        ),
    ] {
        let ran = send(hub.port, &[&["--devices", "1", "--pack", "2"], &options[..]].concat());
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""));
        assert!(ran.err.contains(expected), "{}", ran.err);
    }
    assert!(hub.accepted_batches().is_empty());
}
