//! Rejected writes: the events are bisected until the invalid ones are found.

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

/// Rejects each document with a battery of more than 1.
fn too_full(document: &Document) -> Option<StoreError> {
    let is_full = document.get("Battery").and_then(serde_json::Value::as_f64).is_some_and(|battery| battery > 1.0);
    is_full.then(|| StoreError::Rejected("the battery is too full".into()))
}

#[tokio::test(start_paused = true)]
async fn one_rejected_event_among_a_thousand_is_found_in_few_writes() {
    let store = store();
    store.always(Write, "d", StoreResponse::FailIf(too_full));
    // The next event overwrites the rejected reading, so only a write without that event shows it.
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
async fn an_event_that_the_first_part_of_a_split_write_supersedes_counts_against_the_document_before_the_batch() {
    let store = store();
    store.always(Write, "d", StoreResponse::FailIf(too_full));
    // An IoT Hub repeats the first message after the second one.
    let accepted_at = |number: i64, time_ms: i64, level: f64| devicestate_engine::batch::Event {
        time_ms: Some(time_ms),
        ..battery(number, "d", level)
    };
    let events = [
        accepted_at(1, 1_000, 0.1),
        accepted_at(2, 2_000, 0.2),
        accepted_at(3, 1_000, 0.1),
        accepted_at(4, 4_000, 2.0),
    ];
    let processed = processor(&store).process(&batch(events)).await;
    assert_eq!(kinds(&processed), ["applied", "applied", "applied", "failed poison"]);
    assert_eq!(readings(&store.document("d").await.expect("a document")), json!({"Battery": 0.2}));
}

#[tokio::test(start_paused = true)]
async fn a_device_with_only_rejected_events_costs_two_writes_per_event() {
    let store = store();
    store.put(&document("d", version(-1), &json!({"Battery": 0.1}))).await;
    store.respond(Write, "d", (0..127).map(|_| StoreResponse::rejected()));
    let events: Vec<_> = (0..64).map(|n| battery(n, "d", 0.5)).collect();
    let processed = processor(&store).process(&batch(events)).await;
    assert_eq!(kinds(&processed), ["failed poison"; 64]);
    assert_eq!((processed.operations.writes, processed.operations.reads), (127, 1));
}

#[tokio::test(start_paused = true)]
async fn bad_requests_are_poison_if_the_probe_succeeds() {
    let store = store();
    for device in ["d", "e"] {
        store.put(&document(device, version(-1), &json!({"Battery": 0.1}))).await;
        store.respond(Write, device, [StoreResponse::bad_request()]);
    }
    let processed = processor(&store).process(&batch([battery(1, "d", 0.5), battery(2, "e", 0.5)])).await;
    assert_eq!(kinds(&processed), ["failed poison"; 2]);
    assert_eq!(processed.operations.writes, 3, "the third is the probe");
}

#[tokio::test(start_paused = true)]
async fn a_document_with_a_rejected_read_is_read_once() {
    let store = store();
    store.always(Read, "d", StoreResponse::rejected());
    let events: Vec<_> = (0..64).map(|n| battery(n, "d", 0.5)).collect();
    let processed = processor(&store).process(&batch(events)).await;
    assert_eq!(kinds(&processed), ["failed poison"; 64]);
    assert_eq!((processed.operations.writes, processed.operations.reads), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_systemic_failure_stops_the_bisection() {
    let store = store();
    store.respond(Write, "d", [StoreResponse::rejected(), StoreResponse::Perform, StoreResponse::systemic()]);
    let processed = processor(&store).process(&batch((0..4).map(|n| battery(n, "d", 0.5)))).await;
    assert_eq!(kinds(&processed), ["applied", "applied", "unresolved systemic", "unresolved systemic"]);
    assert_eq!(store.count(Write), 3);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_during_the_bisection_fails_the_device() {
    let store = store();
    store.respond(Write, "d", [StoreResponse::rejected(), StoreResponse::Perform, StoreResponse::Stall]);
    let mut events: Vec<_> = (0..4).map(|n| battery(n, "d", 0.5)).collect();
    events.push(battery(4, "e", 0.5));
    let processed = processor(&store).process(&batch(events)).await;
    let expected = ["applied", "applied", "unresolved transient", "unresolved transient", "applied"];
    assert_eq!(kinds(&processed), expected);
}

#[tokio::test(start_paused = true)]
async fn devices_with_nothing_to_write_do_not_make_bad_requests_poison() {
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
async fn the_probe_prefers_a_document_without_a_rejected_write() {
    let store = store();
    for device in ["d", "e"] {
        store.put(&document(device, version(1), &json!({"Battery": 0.1}))).await;
    }
    store.always(Write, "d", StoreResponse::bad_request());
    store.respond(Read, "e", [StoreResponse::Slow(Duration::from_secs(1))]);
    let processed = processor(&store).process(&batch([battery(2, "d", 0.2), battery(1, "e", 0.1)])).await;
    assert_eq!(kinds(&processed), ["failed poison", "superseded"]);
}

/// Seed 172 of the simulation: two batches of one replay used the same document for the probe.
#[tokio::test(start_paused = true)]
async fn the_probe_is_repeated_after_a_conflict() {
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
    assert_eq!(readings(&document), json!({"Altitude": 1.0, "Battery": 0.1}), "the other writer's update remains");
}

#[tokio::test(start_paused = true)]
async fn a_rejected_event_is_reported_with_the_device_id_of_the_event() {
    let store = store();
    store.always(Write, ANY, StoreResponse::rejected());
    let processed = processor(&store).process(&batch([battery(1, "a/b", 0.5)])).await;
    let Outcome::Failed(failure) = &processed.outcomes[0] else { panic!("{:?}", processed.outcomes) };
    assert_eq!(failure.device_id.as_deref(), Some("a/b"));
    assert_eq!(failure.device_state, Some(json!({"id": "a/b", "Battery": 0.5})));
    assert!(failure.issue.contains("a~2Fb"), "{}", failure.issue);
}
