//! When a device was last heard.

use std::{sync::Arc, time::Duration};

use devicestate_engine::{
    batch::Event,
    device_state::Document,
    processor::{DocumentCache, IotHubTime, Processor},
};
use devicestate_test_doubles::{
    Operation::{Read, Write},
    ScriptedStore, StoreResponse, T0, altitude, batch, battery, document, heard, heartbeat, kinds, processor, update,
    version,
};
use serde_json::json;

const EVERY: Duration = Duration::from_millis(100);

fn engine(store: &Arc<ScriptedStore>) -> Processor {
    Processor { heard_every: EVERY, ..processor(store) }
}

async fn heard_ms(store: &ScriptedStore) -> i64 {
    store.document("d").await.and_then(|document| document.heard()).expect("a device that was heard").time_ms - T0
}

#[tokio::test(start_paused = true)]
async fn heartbeats_alone_are_written_only_as_often_as_the_setting_says() {
    let store = Arc::new(ScriptedStore::default());
    let engine = engine(&store);
    for (number, expected, writes) in [(0, 0, 1), (1, 0, 0), (99, 0, 0), (100, 100, 1), (50, 100, 0), (400, 400, 1)] {
        let processed = engine.process(&batch([heartbeat(number, "d")])).await;
        assert_eq!(kinds(&processed), ["applied"], "{number}");
        assert_eq!((heard_ms(&store).await, processed.operations.writes), (expected, writes), "{number}");
    }
    let document = json!({"id": "d", "Heard": heard(400), "Versions": {"Heard": version(400)}});
    assert_eq!(json!(store.document("d").await), document);
}

#[tokio::test(start_paused = true)]
async fn with_zero_each_newer_event_is_written_and_a_repeat_is_not() {
    let store = Arc::new(ScriptedStore::default());
    let engine = Processor { heard_every: Duration::ZERO, ..processor(&store) };
    for (number, writes) in [(1, 1), (2, 1), (2, 0), (1, 0), (3, 1)] {
        assert_eq!(engine.process(&batch([heartbeat(number, "d")])).await.operations.writes, writes, "{number}");
    }
    assert_eq!(heard_ms(&store).await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_write_of_a_reading_records_the_newest_event_of_the_batch() {
    let store = Arc::new(ScriptedStore::default());
    let engine = engine(&store);
    engine.process(&batch([battery(1, "d", 0.1), heartbeat(3, "d"), heartbeat(2, "d")])).await;
    assert_eq!(heard_ms(&store).await, 3);
    // An older event of another field does not lower it.
    let processed = engine.process(&batch([altitude(2, "d", 7.0)])).await;
    assert_eq!((kinds(&processed), processed.operations.writes), (vec!["applied".to_owned()], 1));
    assert_eq!(heard_ms(&store).await, 3);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_superseded_is_heard_and_stays_superseded() {
    let store = Arc::new(ScriptedStore::default());
    let mut before = document("d", version(9), &json!({"Altitude": 9.0}));
    // Written by the clock of the device.
    before.merge(&update(version(500), &json!({"Battery": 0.5})));
    let mut stored = json!(before);
    stored["Versions"]["Heard"] = json!(version(9));
    store.put(&serde_json::from_value(stored).expect("a document")).await;
    let processed = engine(&store).process(&batch([battery(200, "d", 0.2)])).await;
    assert_eq!((kinds(&processed), processed.operations.writes), (vec!["superseded".to_owned()], 1));
    assert_eq!(heard_ms(&store).await, 200);
}

#[tokio::test(start_paused = true)]
async fn only_a_document_that_was_just_read_is_the_reason_not_to_write() {
    let store = Arc::new(ScriptedStore::default());
    let engine = Processor { cache: DocumentCache::new(1 << 20), ..engine(&store) };
    engine.process(&batch([heartbeat(0, "d")])).await;
    let processed = engine.process(&batch([heartbeat(1, "d")])).await;
    assert_eq!((processed.operations.reads, processed.operations.writes), (1, 0));
    // A write is conditional, so it needs no read.
    let processed = engine.process(&batch([heartbeat(100, "d")])).await;
    assert_eq!((processed.operations.reads, processed.operations.writes), (0, 1));
    assert_eq!(heard_ms(&store).await, 100);
}

#[tokio::test(start_paused = true)]
async fn a_document_of_an_earlier_version_gets_the_time_with_the_next_event() {
    let store = Arc::new(ScriptedStore::default());
    let earlier = json!({"id": "d", "Battery": 0.5, "Versions": {"Battery": version(9)}});
    store.put(&serde_json::from_value(earlier).expect("a document")).await;
    let processed = engine(&store).process(&batch([battery(5, "d", 0.1)])).await;
    assert_eq!(kinds(&processed), ["superseded"]);
    let expected = json!({"id": "d", "Heard": heard(5), "Battery": 0.5,
                          "Versions": {"Heard": version(5), "Battery": version(9)}});
    assert_eq!(json!(store.document("d").await), expected);
}

/// Creates a store whose document was written before it had the time at which its device was heard.
async fn store_of_earlier_document() -> Arc<ScriptedStore> {
    let store = Arc::new(ScriptedStore::default());
    let earlier = json!({"id": "d", "Battery": 0.5, "Versions": {"Battery": version(9)}});
    store.put(&serde_json::from_value::<Document>(earlier).expect("a document")).await;
    store
}

#[tokio::test(start_paused = true)]
async fn a_store_that_rejects_only_the_time_fails_no_event() {
    for response in [StoreResponse::rejected(), StoreResponse::bad_request()] {
        for cache_bytes in [0, 1 << 20] {
            let store = store_of_earlier_document().await;
            let engine = Processor { cache: DocumentCache::new(cache_bytes), ..engine(&store) };
            store.always(Write, "d", response.clone());
            for _ in 0..2 {
                let processed = engine.process(&batch([battery(5, "d", 0.1), heartbeat(6, "d")])).await;
                assert_eq!(kinds(&processed), ["superseded", "applied"]);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_write_of_the_time_alone_is_retried() {
    let store = store_of_earlier_document().await;
    store.respond(Write, "d", [StoreResponse::transient(), StoreResponse::lost()]);
    let processed = engine(&store).process(&batch([battery(5, "d", 0.1)])).await;
    assert_eq!((kinds(&processed), heard_ms(&store).await), (vec!["superseded".to_owned()], 5));
}

#[tokio::test(start_paused = true)]
async fn after_a_lost_response_the_event_is_applied_although_another_writer_was_heard() {
    // The write was done, and its response was lost. Before the next read, another writer changes when the device was heard,
    // or another program removes it, so that it must be written again.
    for is_removed in [false, true] {
        let store = Arc::new(ScriptedStore::default());
        store.put(&document("d", version(1), &json!({"Battery": 0.1}))).await;
        store.respond(Write, "d", [StoreResponse::lost()]);
        let slow = StoreResponse::Slow(Duration::from_secs(1));
        store.respond(Read, "d", [StoreResponse::Perform, slow]);
        let change = async {
            while store.document("d").await.and_then(|held| held.version("Battery")) != Some(version(5)) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            if is_removed {
                let removed = json!({"id": "d", "Battery": 0.5, "Versions": {"Battery": version(5)}});
                store.restore(&serde_json::from_value(removed).expect("a document")).await;
            } else {
                store.write_bypassing_script("d", &update(version(7), &json!({}))).await;
            }
        };
        let engine = engine(&store);
        let batch = batch([battery(5, "d", 0.5)]);
        let (processed, ()) = tokio::join!(engine.process(&batch), change);
        assert_eq!(kinds(&processed), ["applied"], "{is_removed}");
        assert_eq!(heard_ms(&store).await, if is_removed { 5 } else { 7 });
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_is_that_of_the_service() {
    let iot_hub = Event { time_ms: Some(T0 + 40), created_ms: Some(T0 + 10), ..battery(50, "d", 0.5) };
    let store = Arc::new(ScriptedStore::default());
    let engine = Processor { iot_hub_time: IotHubTime::Created, ..engine(&store) };
    engine.process(&batch([iot_hub])).await;
    assert_eq!(heard_ms(&store).await, 40);
    let document = store.document("d").await.expect("a document");
    assert_eq!(document.version("Battery").expect("a version").time_ms, T0 + 10);
}
