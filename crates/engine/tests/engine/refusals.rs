//! Requests that the store refuses: whether that concerns one document or all of them.

use std::{sync::Arc, time::Duration};

use Operation::{Read, Write};
use devicestate_engine::store::StoreError;
use devicestate_test_doubles::{
    ANY, BUDGET, Operation, ScriptedStore, StoreResponse, batch, battery, issue, kinds, processor,
};
use tokio::time::Instant;

use crate::retries::{fleet, invoke_final, invoke_retried, rig};

/// The first devices are written, and all later requests are refused.
#[tokio::test(start_paused = true)]
async fn a_key_revoked_in_the_middle_of_an_attempt_dead_letters_no_device() {
    for devices in [2, 5, 40] {
        let (store, handler) = rig();
        let names: Vec<String> = (0..devices).map(|number| format!("drone-{number}")).collect();
        let envelope = fleet(&names.iter().map(String::as_str).collect::<Vec<_>>());
        store.respond(Write, ANY, (0..devices - 1).map(|_| StoreResponse::Perform));
        store.always(Write, ANY, StoreResponse::refused());
        for attempt in 0..20 {
            let reason = invoke_retried(&handler, &envelope.retried(attempt)).await;
            assert!(reason.contains("1 of") && reason.contains("the store refuses it"), "{reason}");
        }
        store.clear_script();
        assert_eq!(invoke_final(&handler, &envelope.retried(20)).await.counts()[2], 0, "dead letters");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_batch_stops_after_the_concurrent_requests() {
    for operation in [Read, Write] {
        let store = Arc::new(ScriptedStore::default());
        store.always(Read, ANY, StoreResponse::Slow(Duration::from_millis(5)));
        if operation == Read {
            store.clear_script();
        }
        store.always(operation, ANY, StoreResponse::refused());
        let events: Vec<_> = (0..1_000).map(|number| battery(number, &format!("drone-{number}"), 0.5)).collect();
        let processed = processor(&store).process(&batch(events)).await;
        assert_eq!(kinds(&processed), vec!["unresolved systemic"; 1_000]);
        assert!(issue(&processed, 999).contains("the store refuses it"));
        assert_eq!(store.count(operation), 8, "{operation:?}");
        assert!(!processed.store_accepts_writes);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_device_is_tried_once_per_attempt_and_others_are_written() {
    let (store, handler) = rig();
    store.always(Read, "sick", StoreResponse::refused());
    let reason = invoke_retried(&handler, &fleet(&["a", "sick", "b"]).retried(0)).await;
    assert!(reason.contains("the store refuses it"), "{reason}");
    assert_eq!(store.requests().iter().filter(|request| request.id == "sick").count(), 1);
    for device in ["a", "b"] {
        assert!(store.document(device).await.is_some(), "{device}");
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_of_all_devices_are_systemic_even_in_a_small_batch() {
    let store = Arc::new(ScriptedStore::default());
    store.always(Write, ANY, StoreResponse::refused());
    let processed = processor(&store).process(&batch([battery(1, "d", 0.1), battery(2, "e", 0.2)])).await;
    assert_eq!(kinds(&processed), ["unresolved systemic"; 2]);
}

/// Creations conflict with a document that is not found when it is read.
#[tokio::test(start_paused = true)]
async fn a_document_that_exists_and_is_not_found_is_rejected_without_splitting_its_events() {
    let store = Arc::new(ScriptedStore::default());
    store.always(Write, "d", StoreResponse::Fail(StoreError::Conflict));
    let events = [battery(1, "d", 0.1), battery(2, "d", 0.2), battery(3, "e", 0.3)];
    let started = Instant::now();
    let processed = processor(&store).process(&batch(events)).await;
    assert_eq!(kinds(&processed), ["failed poison", "failed poison", "applied"]);
    assert!(issue(&processed, 0).contains("does not find it"), "{}", issue(&processed, 0));
    assert!(started.elapsed() < BUDGET / 6, "{:?}", started.elapsed());
    assert_eq!(store.requests().iter().filter(|request| request.id == "d" && request.operation == Write).count(), 17);
}

#[tokio::test(start_paused = true)]
async fn a_document_that_another_writer_creates_and_deletes_a_few_times_is_written() {
    let store = Arc::new(ScriptedStore::default());
    store.respond(Write, "d", (0..10).map(|_| StoreResponse::Fail(StoreError::Conflict)));
    let processed = processor(&store).process(&batch([battery(1, "d", 0.1)])).await;
    assert_eq!(kinds(&processed), ["applied"]);
}
