//! Documents that Cosmos DB rejects, in batches with others.

use devicestate_test_support::{
    Batch, Fold,
    listener::{Fault, Listener},
};
use serde_json::{Value, json};

use super::{app, battery, deliver, event};

/// The size limit of a document.
const MAX_DOCUMENT_BYTES: usize = 2 << 20;

/// Returns another writer's document of a device that can grow by `room` bytes.
fn nearly_full(device: &str, room: usize) -> Value {
    let mut document = json!({"id": device, "Note": "", "Versions": {}});
    let length = document.to_string().len();
    document["Note"] = "x".repeat(MAX_DOCUMENT_BYTES - length - room).into();
    document
}

/// The document can grow by 300 bytes: a battery with its version needs about 60, and all readings of a drone about 500.
#[test]
fn a_document_over_two_megabytes_dead_letters_only_the_event_that_exceeds_it() {
    let listener = Listener::start();
    let app = app(&listener);
    listener.put(&nearly_full("drone-2", 300));
    let small = battery(2, "drone-2", 0.25);
    let big = event(
        3,
        "drone-2",
        json!({
            "flightMode": 3,
            "position": {"latitude": 47.123_456_789_012, "longitude": 8.123_456_789_012, "altitude": 408.123_456_789},
            "health": {"gyrometerOK": true, "accelerometerOK": true, "magnetometerOK": true},
        }),
    );
    let after = battery(4, "drone-2", 0.125);
    let batch = Batch::of([battery(1, "drone-1", 0.5), small.clone(), big, after.clone(), battery(5, "drone-3", 0.75)]);
    let delivered = deliver(&app.start(), &batch);
    assert!(delivered.failed.is_empty(), "dead-lettered in the first attempt: {:?}", delivered.failed);
    assert_eq!(delivered.reply.counts(), [5, 4, 0, 1]);
    let letter = delivered.reply.dead_letter();
    assert_eq!((&letter["Stage"], &letter["ErrorClass"]), (&json!("update"), &json!("poison")));
    assert_eq!(letter["EventData"]["SequenceNumber"], 3);
    assert_eq!(letter["DeviceState"]["FlightMode"], 3);
    let issue = letter["Issue"].as_str().expect("an issue");
    assert!(issue.contains("413") && issue.contains("\"drone-2\""), "{issue}");

    let applied = Batch::of([battery(1, "drone-1", 0.5), small, after, battery(5, "drone-3", 0.75)]);
    let mut documents = listener.documents();
    let note = documents.get_mut("drone-2").and_then(Value::as_object_mut).expect("a document").remove("Note");
    assert!(note.is_some(), "the other writer's property is preserved");
    assert_eq!(documents, Fold::from_batches([&applied]).documents());
}

/// The logical partition is full: 20 GB of one device, or a limit of the account.
#[test]
fn a_full_partition_dead_letters_only_the_events_of_its_device() {
    let listener = Listener::start();
    let app = app(&listener);
    listener.fault(Fault::status(403).sub_status(1014).on(&["create", "replace"]).id("drone-2"));
    let batch = Batch::of([battery(1, "drone-1", 0.5), battery(2, "drone-2", 0.25), battery(3, "drone-2", 0.125)]);
    let reply = deliver(&app.start(), &batch).reply;
    assert_eq!(reply.counts(), [3, 1, 0, 2]);
    let classes: Vec<_> = reply.dead_letters.iter().map(|letter| &letter["ErrorClass"]).collect();
    assert_eq!(classes, ["poison", "poison"]);
    assert_eq!(listener.documents(), Fold::from_batches([&Batch::of([battery(1, "drone-1", 0.5)])]).documents());
}

#[test]
fn a_bad_request_is_device_specific_only_if_other_devices_succeed() {
    let listener = Listener::start();
    let app = app(&listener);
    let handler = app.start();
    let batch = Batch::of([battery(1, "drone-1", 0.5), battery(2, "drone-2", 0.25)]);
    let all = listener.fault(Fault::status(400).on(&["create", "replace"]));
    let response = handler.post("bad", batch.clone().retry(0, -1).envelope().to_string().as_bytes());
    assert_eq!(response.status, 503, "no device succeeded, so the failure is systemic");
    assert!(response.json()["error"].to_string().contains("400"), "{}", response.json());
    listener.end(all);
    listener.fault(Fault::status(400).on(&["create", "replace"]).id("drone-2"));
    let reply = deliver(&handler, &batch).reply;
    assert_eq!(reply.counts(), [2, 1, 0, 1]);
    assert_eq!(reply.dead_letter()["DeviceState"]["id"], "drone-2");
}

#[test]
fn a_wrong_partition_key_of_the_container_fails_the_attempt() {
    let listener = Listener::start();
    let app = app(&listener);
    listener.fault(Fault::status(400).sub_status(1001).on(&["create"]));
    let batch = Batch::of([battery(1, "drone-1", 0.5)]).retry(0, -1);
    let response = app.start().post("bad", batch.envelope().to_string().as_bytes());
    assert_eq!(response.status, 503);
    let reason = response.json()["error"].to_string();
    assert!(reason.contains("CosmosContainer") && reason.contains("/id") && reason.contains("emulator"), "{reason}");
}

#[test]
fn an_invalid_document_dead_letters_only_its_own_events() {
    let listener = Listener::start();
    let app = app(&listener);
    listener.put(&json!({"id": "drone-2", "Battery": 0.5, "Versions": "none"}));
    let batch = Batch::of([battery(1, "drone-1", 0.5), battery(2, "drone-2", 0.25)]);
    let reply = deliver(&app.start(), &batch).reply;
    assert_eq!(reply.counts(), [2, 1, 0, 1]);
    let issue = reply.dead_letter()["Issue"].to_string();
    assert!(issue.contains("drone-2") && issue.contains("Versions"), "{issue}");
}
