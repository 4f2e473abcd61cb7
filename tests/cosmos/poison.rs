//! Documents that Cosmos DB will not have, among others.

use devicestate_test_support::{
    Batch, Fold,
    listener::{Fault, Listener},
};
use serde_json::{Value, json};

use super::{app, battery, deliver, event};

/// The most bytes of a document.
const LIMIT: usize = 2 << 20;

/// A document of a device as somebody else has made it, with room for so many bytes more.
fn nearly_full(device: &str, room: usize) -> Value {
    let mut document = json!({"id": device, "Note": "", "Versions": {}});
    let length = document.to_string().len();
    document["Note"] = "x".repeat(LIMIT - length - room).into();
    document
}

/// A battery with its version is some sixty bytes, a whole drone some five hundred: there is room for three hundred.
#[test]
fn a_document_that_would_grow_over_two_megabytes_costs_only_the_event_that_makes_it_so() {
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
    let behind = battery(4, "drone-2", 0.125);
    let batch =
        Batch::of([battery(1, "drone-1", 0.5), small.clone(), big, behind.clone(), battery(5, "drone-3", 0.75)]);
    let delivered = deliver(&app.start(), &batch);
    assert!(delivered.failed.is_empty(), "it is decided at once: {:?}", delivered.failed);
    assert_eq!(delivered.reply.counts(), [5, 4, 0, 1]);
    let letter = delivered.reply.dead_letter();
    assert_eq!((&letter["Stage"], &letter["ErrorClass"]), (&json!("update"), &json!("poison")));
    assert_eq!(letter["EventData"]["SequenceNumber"], 3);
    assert_eq!(letter["DeviceState"]["FlightMode"], 3);
    let issue = letter["Issue"].as_str().expect("an issue");
    assert!(issue.contains("413") && issue.contains("\"drone-2\""), "{issue}");

    let applied = Batch::of([battery(1, "drone-1", 0.5), small, behind, battery(5, "drone-3", 0.75)]);
    let mut documents = listener.documents();
    let note = documents.get_mut("drone-2").and_then(Value::as_object_mut).expect("a document").remove("Note");
    assert!(note.is_some(), "what somebody else has written is kept");
    assert_eq!(documents, Fold::from_batches([&applied]).documents());
}

/// The partition of a key is full: 20 GB of one device, or a limit of the account.
#[test]
fn a_full_partition_key_costs_only_the_events_of_its_device() {
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
fn a_bad_request_is_a_fault_of_its_device_while_others_are_taken_and_else_of_the_account() {
    let listener = Listener::start();
    let app = app(&listener);
    let handler = app.start();
    let batch = Batch::of([battery(1, "drone-1", 0.5), battery(2, "drone-2", 0.25)]);
    let all = listener.fault(Fault::status(400).on(&["create", "replace"]));
    let response = handler.post("bad", batch.clone().retry(0, -1).envelope().to_string().as_bytes());
    assert_eq!(response.status, 503, "no device can be blamed");
    assert!(response.json()["error"].to_string().contains("400"), "{}", response.json());
    listener.end(all);
    listener.fault(Fault::status(400).on(&["create", "replace"]).id("drone-2"));
    let reply = deliver(&handler, &batch).reply;
    assert_eq!(reply.counts(), [2, 1, 0, 1]);
    assert_eq!(reply.dead_letter()["DeviceState"]["id"], "drone-2");
}

#[test]
fn a_container_with_another_partition_key_is_named_and_costs_no_event() {
    let listener = Listener::start();
    let app = app(&listener);
    listener.fault(Fault::status(400).sub_status(1001).on(&["create"]));
    let batch = Batch::of([battery(1, "drone-1", 0.5)]).retry(0, -1);
    let response = app.start().post("bad", batch.envelope().to_string().as_bytes());
    assert_eq!(response.status, 503);
    let reason = response.json()["error"].to_string();
    assert!(reason.contains("CosmosContainer") && reason.contains("/id"), "{reason}");
}

#[test]
fn a_document_that_somebody_else_has_made_unreadable_is_named_and_harms_no_other() {
    let listener = Listener::start();
    let app = app(&listener);
    listener.put(&json!({"id": "drone-2", "Battery": 0.5, "Versions": "none"}));
    let batch = Batch::of([battery(1, "drone-1", 0.5), battery(2, "drone-2", 0.25)]);
    let reply = deliver(&app.start(), &batch).reply;
    assert_eq!(reply.counts(), [2, 1, 0, 1]);
    let issue = reply.dead_letter()["Issue"].to_string();
    assert!(issue.contains("drone-2") && issue.contains("Versions"), "{issue}");
}
