//! The document cache: the operations that it saves, and that it never decides an outcome.

use std::sync::Arc;

use Operation::{Read, Write};
use devicestate_engine::processor::{DocumentCache, Outcome, Processed, Processor};
use devicestate_test_doubles::{
    Operation, READ_UNITS, ScriptedStore, StoreResponse, WRITE_UNITS, altitude, batch, battery, document, kinds,
    processor, readings, update, version,
};
use serde_json::json;

fn rig() -> (Arc<ScriptedStore>, Processor) {
    let store = Arc::new(ScriptedStore::default());
    let engine = Processor { cache: DocumentCache::new(1 << 20), ..processor(&store) };
    (store, engine)
}

fn reads_and_writes(processed: &Processed) -> (u64, u64) {
    (processed.operations.reads, processed.operations.writes)
}

#[tokio::test(start_paused = true)]
async fn an_active_device_costs_one_read_and_one_write_per_batch() {
    let (store, engine) = rig();
    for round in 0..10 {
        let events = (0..30).map(|n| battery(round * 100 + n, &format!("drone-{}", n % 3), 0.5));
        let processed = engine.process(&batch(events)).await;
        assert_eq!(processed.outcomes, vec![Outcome::Applied; 30]);
        assert_eq!(reads_and_writes(&processed), (if round == 0 { 3 } else { 0 }, 3));
    }
    assert_eq!((store.count(Read), store.count(Write)), (3, 30));
}

#[tokio::test(start_paused = true)]
async fn a_conflict_on_a_cached_document_keeps_the_readings_of_both_writers() {
    let (store, engine) = rig();
    engine.process(&batch([battery(1, "d", 0.1)])).await;
    store.write_bypassing_script("d", &update(version(50), &json!({"Altitude": 50.0}))).await;
    let processed = engine.process(&batch([battery(2, "d", 0.2), altitude(3, "d", 3.0)])).await;
    assert_eq!(kinds(&processed), ["applied", "superseded"], "the altitude is compared with the current document");
    assert_eq!((reads_and_writes(&processed), processed.operations.conflicts), ((1, 2), 1));
    let document = store.document("d").await.expect("a document");
    assert_eq!(readings(&document), json!({"Altitude": 50.0, "Battery": 0.2}));
    let processed = engine.process(&batch([battery(60, "d", 0.6)])).await;
    assert_eq!(reads_and_writes(&processed), (0, 1), "the document is in the cache again");
}

#[tokio::test(start_paused = true)]
async fn a_cached_document_is_never_the_reason_for_superseded() {
    let (store, engine) = rig();
    let events = batch([battery(7, "d", 0.7)]);
    engine.process(&events).await;
    let processed = engine.process(&events).await;
    assert_eq!(kinds(&processed), ["superseded"]);
    assert_eq!(reads_and_writes(&processed), (1, 0), "it was read in this invocation");

    // An operator restores an older state of the document, so the cached one is out of date.
    store.restore(&document("d", version(1), &json!({"Battery": 0.1}))).await;
    let processed = engine.process(&events).await;
    assert_eq!(kinds(&processed), ["applied"]);
    assert_eq!(store.document("d").await.expect("a document").get("Battery"), Some(&json!(0.7)));
}

#[tokio::test(start_paused = true)]
async fn a_failed_write_removes_the_document_from_the_cache() {
    for answer in [StoreResponse::lost(), StoreResponse::transient()] {
        let (store, engine) = rig();
        engine.process(&batch([battery(1, "d", 0.1)])).await;
        store.respond(Write, "d", [answer.clone()]);
        let processed = engine.process(&batch([battery(2, "d", 0.2)])).await;
        assert_eq!(kinds(&processed), ["applied"], "{answer:?}: even if the write was done and its response lost");
        assert_eq!(processed.operations.reads, 1, "{answer:?}");
        let processed = engine.process(&batch([battery(3, "d", 0.3)])).await;
        assert_eq!(reads_and_writes(&processed), (0, 1), "{answer:?}");
        assert_eq!(store.document("d").await.expect("a document").get("Battery"), Some(&json!(0.3)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_without_a_response_removes_the_document_from_the_cache() {
    let (store, engine) = rig();
    engine.process(&batch([battery(1, "d", 0.1)])).await;
    store.respond(Write, "d", [StoreResponse::Stall]);
    let processed = engine.process(&batch([battery(2, "d", 0.2)])).await;
    assert_eq!((kinds(&processed), reads_and_writes(&processed)), (vec!["unresolved transient".to_owned()], (0, 1)));
    let processed = engine.process(&batch([battery(3, "d", 0.3)])).await;
    assert_eq!((kinds(&processed), reads_and_writes(&processed)), (vec!["applied".to_owned()], (1, 1)));
}

#[tokio::test(start_paused = true)]
async fn a_rejected_write_keeps_the_document_in_the_cache() {
    let (store, engine) = rig();
    engine.process(&batch([battery(1, "d", 0.1)])).await;
    store.respond(Write, "d", [StoreResponse::rejected()]);
    let processed = engine.process(&batch([battery(2, "d", 0.2)])).await;
    assert_eq!((kinds(&processed), reads_and_writes(&processed)), (vec!["failed poison".to_owned()], (0, 1)));
    let processed = engine.process(&batch([battery(3, "d", 0.3)])).await;
    assert_eq!((kinds(&processed), reads_and_writes(&processed)), (vec!["applied".to_owned()], (0, 1)));
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_is_too_small_costs_only_reads() {
    let store = Arc::new(ScriptedStore::default());
    let engine = Processor { cache: DocumentCache::new(20_000), ..processor(&store) };
    let fleet = |round: i64| batch((0..500).map(move |n| battery(round * 1000 + n, &format!("drone-{n}"), 0.5)));
    engine.process(&fleet(0)).await;
    let processed = engine.process(&fleet(1)).await;
    assert_eq!(processed.outcomes, vec![Outcome::Applied; 500]);
    let operations = processed.operations;
    assert!((400..=500).contains(&operations.reads), "{operations:?}: 20,000 bytes hold less than 100 documents");
    assert_eq!((operations.writes, operations.conflicts), (500, 0));
    assert!(engine.cache.bytes() <= 20_000, "{}", engine.cache.bytes());
}

#[tokio::test(start_paused = true)]
async fn the_cost_of_failed_operations_is_counted() {
    let (store, engine) = rig();
    store.respond(Read, "d", [StoreResponse::transient()]);
    store.respond(
        Write,
        "d",
        [StoreResponse::OtherWriterFirst(update(version(50), &json!({"Altitude": 1.0}))), StoreResponse::lost()],
    );
    let processed = engine.process(&batch([battery(1, "d", 0.1)])).await;
    assert_eq!(kinds(&processed), ["applied"]);
    // Read (throttled), read, create (conflict), read, replace (response lost), read (which shows the write).
    assert_eq!(reads_and_writes(&processed), (4, 2));
    assert!((processed.operations.request_units - (4.0 * READ_UNITS + 2.0 * WRITE_UNITS)).abs() < 1e-9);
}
