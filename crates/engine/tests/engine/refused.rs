//! What a write that the store refuses comes to: it is taken apart, down to the events that are at fault.

use std::{sync::Arc, time::Duration};

use Operation::{Read, Write};
use devicestate_engine::{device_state::Document, processor::Outcome, store::StoreError};
use devicestate_test_doubles::{
    ANY, Operation, ScriptedStore, StoreResponse, altitude, batch, battery, document, kinds, processor, readings,
    update, version,
};
use serde_json::json;

fn store() -> Arc<ScriptedStore> {
    Arc::new(ScriptedStore::default())
}

/// Refuses each document with a battery of more than 1.
fn too_full(document: &Document) -> Option<StoreError> {
    let is_full = document.get("Battery").and_then(serde_json::Value::as_f64).is_some_and(|battery| battery > 1.0);
    is_full.then(|| StoreError::Rejected("the battery is too full".into()))
}

#[tokio::test(start_paused = true)]
async fn one_refused_event_among_a_thousand_is_found_in_few_writes_and_the_others_are_applied() {
    let store = store();
    store.always(Write, "d", StoreResponse::FailsIf(too_full));
    // The refused reading is overwritten by the event behind it, so only what is written apart from that shows it.
    let level = |n: i64| if n == 617 { 2.0 } else { 0.5 };
    let mut events: Vec<_> = (0..1_000).map(|n| battery(n, "d", level(n))).collect();
    events.truncate(618);
    events.extend((618..1_000).map(|n| altitude(n, "d", 1.0)));
    let processed = processor(&store).process(&batch(events)).await;
    let failed: Vec<_> =
        kinds(&processed).iter().enumerate().filter(|(_, kind)| *kind != "applied").map(|(n, _)| n).collect();
    assert_eq!(failed, [617]);
    let document = store.document("d").await.expect("a document");
    assert_eq!(readings(&document), json!({"Battery": 0.5, "Altitude": 1.0}));
    let operations = processed.operations;
    assert!(operations.writes <= 21 && operations.reads == 1, "{operations:?}");
}

#[tokio::test(start_paused = true)]
async fn a_device_of_which_every_event_is_refused_costs_two_writes_an_event_and_one_read() {
    let store = store();
    store.put(&document("d", version(-1), &json!({"Battery": 0.1}))).await;
    store.respond(Write, "d", (0..127).map(|_| StoreResponse::rejected()));
    let events: Vec<_> = (0..64).map(|n| battery(n, "d", 0.5)).collect();
    let processed = processor(&store).process(&batch(events)).await;
    assert_eq!(kinds(&processed), ["failed poison"; 64]);
    assert_eq!((processed.operations.writes, processed.operations.reads), (127, 1));
}

#[tokio::test(start_paused = true)]
async fn a_bad_request_for_all_that_devices_send_is_their_fault_when_their_documents_can_be_written_as_they_are() {
    let store = store();
    for device in ["d", "e"] {
        store.put(&document(device, version(-1), &json!({"Battery": 0.1}))).await;
        store.respond(Write, device, [StoreResponse::bad_request()]);
    }
    let processed = processor(&store).process(&batch([battery(1, "d", 0.5), battery(2, "e", 0.5)])).await;
    assert_eq!(kinds(&processed), ["failed poison"; 2]);
    assert_eq!(processed.operations.writes, 3, "the third asks whose fault it is");
}

#[tokio::test(start_paused = true)]
async fn a_document_that_is_refused_when_it_is_read_is_read_once() {
    let store = store();
    store.always(Read, "d", StoreResponse::rejected());
    let events: Vec<_> = (0..64).map(|n| battery(n, "d", 0.5)).collect();
    let processed = processor(&store).process(&batch(events)).await;
    assert_eq!(kinds(&processed), ["failed poison"; 64]);
    assert_eq!((processed.operations.writes, processed.operations.reads), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_systemic_failure_while_a_refused_write_is_taken_apart_stops_there() {
    let store = store();
    store.respond(Write, "d", [StoreResponse::rejected(), StoreResponse::Honest, StoreResponse::systemic()]);
    let processed = processor(&store).process(&batch((0..4).map(|n| battery(n, "d", 0.5)))).await;
    assert_eq!(kinds(&processed), ["applied", "applied", "unresolved systemic", "unresolved systemic"]);
    assert_eq!(store.count(Write), 3);
}

#[tokio::test(start_paused = true)]
async fn when_the_time_is_up_while_a_refused_write_is_taken_apart_the_rest_is_this_devices_failure() {
    let store = store();
    store.respond(Write, "d", [StoreResponse::rejected(), StoreResponse::Honest, StoreResponse::Stalls]);
    let mut events: Vec<_> = (0..4).map(|n| battery(n, "d", 0.5)).collect();
    events.push(battery(4, "e", 0.5));
    let processed = processor(&store).process(&batch(events)).await;
    let expected = ["applied", "applied", "unresolved transient", "unresolved transient", "applied"];
    assert_eq!(kinds(&processed), expected);
}

#[tokio::test(start_paused = true)]
async fn what_has_nothing_to_write_does_not_make_a_wrong_setting_the_events_fault() {
    let store = store();
    for device in ["d", "e"] {
        store.put(&document(device, version(1), &json!({"Battery": 0.1}))).await;
    }
    store.always(Write, ANY, StoreResponse::bad_request());
    let events = [battery(1, "d", 0.1), battery(2, "d", 0.2), battery(1, "e", 0.1), battery(2, "e", 0.2)];
    let processed = processor(&store).process(&batch(events)).await;
    assert_eq!(kinds(&processed), ["superseded", "unresolved systemic", "superseded", "unresolved systemic"]);
}

#[tokio::test(start_paused = true)]
async fn whose_fault_a_bad_request_is_is_asked_of_a_document_that_is_not_under_suspicion() {
    let store = store();
    for device in ["d", "e"] {
        store.put(&document(device, version(1), &json!({"Battery": 0.1}))).await;
    }
    store.always(Write, "d", StoreResponse::bad_request());
    store.respond(Read, "e", [StoreResponse::Slow(Duration::from_secs(1))]);
    let processed = processor(&store).process(&batch([battery(2, "d", 0.2), battery(1, "e", 0.1)])).await;
    assert_eq!(kinds(&processed), ["failed poison", "superseded"]);
}

/// Seed 172 of the simulation: two batches of one replay asked by the same document.
#[tokio::test(start_paused = true)]
async fn the_question_whose_fault_it_is_is_asked_again_when_another_writer_comes_first() {
    let store = store();
    for device in ["d", "e"] {
        store.put(&document(device, version(1), &json!({"Battery": 0.1}))).await;
    }
    store.always(Write, "d", StoreResponse::bad_request());
    let other = || StoreResponse::OtherWriterFirst(update(version(9), &json!({"Altitude": 1.0})));
    store.respond(Read, "e", [StoreResponse::Slow(Duration::from_secs(1))]);
    store.respond(Write, "e", [other()]);
    let processed = processor(&store).process(&batch([battery(2, "d", 0.2), battery(1, "e", 0.1)])).await;
    assert_eq!(kinds(&processed), ["failed poison", "superseded"]);
    let document = store.document("e").await.expect("a document");
    assert_eq!(readings(&document), json!({"Altitude": 1.0, "Battery": 0.1}), "what the other wrote stays");
}

#[tokio::test(start_paused = true)]
async fn a_refused_event_is_told_of_under_the_name_that_its_device_gives_itself() {
    let store = store();
    store.always(Write, ANY, StoreResponse::rejected());
    let processed = processor(&store).process(&batch([battery(1, "a/b", 0.5)])).await;
    let Outcome::Failed(failure) = &processed.outcomes[0] else { panic!("{:?}", processed.outcomes) };
    assert_eq!(failure.device_id.as_deref(), Some("a/b"));
    assert_eq!(failure.device_state, Some(json!({"id": "a/b", "Battery": 0.5})));
    assert!(failure.issue.contains("a%2Fb"), "{}", failure.issue);
}
