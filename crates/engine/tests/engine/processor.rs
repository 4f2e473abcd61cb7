//! The outcomes of a batch if the store works.

use std::{sync::Arc, time::Duration};

use devicestate_engine::{
    batch::{Batch, Event, EventPosition},
    device_state::{MAX_ID_BYTES, Reading, Version},
    failure::{ErrorClass, Stage},
    processor::{Outcome, Processor},
    store::Operations,
    telemetry::{Poison, RecordTime, Records, Telemetry, drone::Drone},
};
use devicestate_test_doubles::{
    ANY, Operation, ScriptedStore, StoreResponse, altitude, batch, battery, document, event, heard, heartbeat, issue,
    kinds, processor, processor_with_telemetry, readings, version,
};
use serde_json::json;

#[tokio::test(start_paused = true)]
async fn each_device_of_a_batch_is_read_and_written_once() {
    let store = Arc::new(ScriptedStore::default());
    let events = (0..100).map(|n| battery(n, &format!("drone-{}", n % 4), 0.5));
    let processed = processor(&store).process(&batch(events)).await;
    assert_eq!(processed.outcomes, vec![Outcome::Applied; 100]);
    assert_eq!(processed.devices, 4);
    assert_eq!((store.count(Operation::Read), store.count(Operation::Write)), (4, 4));
    assert_eq!((processed.operations.reads, processed.operations.writes), (4, 4));
    assert_eq!((processed.operations.conflicts, processed.operations.retries), (0, 0));
    assert!(processed.store_accepts_writes);
    for drone in 0..4 {
        let document = store.document(&format!("drone-{drone}")).await.expect("a document");
        assert_eq!(document.version("Battery"), Some(version(96 + drone)), "the last of its events");
    }
}

#[tokio::test(start_paused = true)]
async fn each_field_has_the_newest_value_and_its_version() {
    let store = Arc::new(ScriptedStore::default());
    let events = [
        event(1, &json!({"deviceId": "d", "battery": 0.9, "flightMode": "ready"})),
        altitude(2, "d", 10.0),
        battery(3, "d", 0.8),
        event(4, &json!({"deviceId": "d", "battery": null, "health": {"gyrometerOK": false}})),
    ];
    processor(&store).process(&batch(events)).await;
    let document = store.document("d").await.expect("a document");
    assert_eq!(
        serde_json::to_value(&document).expect("JSON"),
        json!({"id": "d", "Heard": heard(4), "Battery": 0.8, "FlightMode": 1, "Altitude": 10.0, "GyrometerOK": false,
               "Versions": {"Heard": version(4), "Battery": version(3), "FlightMode": version(1), "Altitude": version(2),
                            "GyrometerOK": version(4)}})
    );
}

#[tokio::test(start_paused = true)]
async fn the_highest_version_wins_in_any_order_of_the_batch() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let store = Arc::new(ScriptedStore::default());
        let events = [battery(1, "d", 0.1), battery(2, "d", 0.2), battery(3, "d", 0.3)];
        let processed = processor(&store).process(&batch(order.map(|n| events[n].clone()))).await;
        // Each is newer than the document before the batch, even if a later event of the batch is newer still.
        assert_eq!(processed.outcomes, vec![Outcome::Applied; 3], "{order:?}");
        let document = store.document("d").await.expect("a document");
        assert_eq!((readings(&document), document.version("Battery")), (json!({"Battery": 0.3}), Some(version(3))));
    }
}

#[tokio::test(start_paused = true)]
async fn duplicates_and_older_events_are_superseded_and_write_nothing() {
    let store = Arc::new(ScriptedStore::default());
    let engine = processor(&store);
    let first = batch([battery(5, "d", 0.5), altitude(6, "d", 12.0)]);
    engine.process(&first).await;
    let etag = store.etag("d").await;
    for repeated in [first, batch([battery(4, "d", 0.4)]), batch([battery(5, "d", 0.5)])] {
        let processed = engine.process(&repeated).await;
        assert!(processed.outcomes.iter().all(|outcome| *outcome == Outcome::Superseded), "{processed:?}");
        assert_eq!(
            (processed.operations.reads, processed.operations.writes),
            (1, 0),
            "the document was read and already has the readings"
        );
    }
    assert_eq!(store.etag("d").await, etag);
}

#[tokio::test(start_paused = true)]
async fn an_event_is_applied_if_only_one_of_its_readings_is_newer() {
    let store = Arc::new(ScriptedStore::default());
    store.put(&document("d", version(9), &json!({"Battery": 0.9}))).await;
    let both = event(5, &json!({"deviceId": "d", "battery": 0.1, "position": {"altitude": 7.0}}));
    let processed = processor(&store).process(&batch([both, battery(6, "d", 0.2)])).await;
    assert_eq!(kinds(&processed), ["applied", "superseded"]);
    let document = store.document("d").await.expect("a document");
    assert_eq!(readings(&document), json!({"Battery": 0.9, "Altitude": 7.0}));
}

#[tokio::test(start_paused = true)]
async fn an_event_without_readings_is_applied_and_creates_a_missing_document() {
    let store = Arc::new(ScriptedStore::default());
    let engine = processor(&store);
    let processed = engine.process(&batch([heartbeat(1, "d")])).await;
    assert_eq!((kinds(&processed), processed.operations.writes), (vec!["applied".to_owned()], 1));
    assert_eq!(store.document("d").await, Some(document("d", version(1), &json!({}))));
    let processed = engine.process(&batch([heartbeat(2, "d")])).await;
    assert_eq!((kinds(&processed), processed.operations.writes), (vec!["applied".to_owned()], 0));
}

#[tokio::test(start_paused = true)]
async fn an_equal_value_under_a_higher_version_is_written() {
    let store = Arc::new(ScriptedStore::default());
    store.put(&document("d", version(1), &json!({"Battery": 0.5}))).await;
    let processed = processor(&store).process(&batch([battery(2, "d", 0.5)])).await;
    assert_eq!((kinds(&processed), processed.operations.writes), (vec!["applied".to_owned()], 1));
    assert_eq!(store.document("d").await.expect("a document").version("Battery"), Some(version(2)));
}

#[tokio::test(start_paused = true)]
async fn a_field_without_a_version_is_preserved_or_overwritten() {
    let store = Arc::new(ScriptedStore::default());
    let by_reference =
        serde_json::from_value(json!({"id": "d", "Battery": 0.9, "Note": "by hand"})).expect("a document");
    store.put(&by_reference).await;
    let processed = processor(&store).process(&batch([battery(1, "d", 0.1)])).await;
    assert_eq!(kinds(&processed), ["applied"]);
    let document = store.document("d").await.expect("a document");
    assert_eq!(readings(&document), json!({"Battery": 0.1, "Note": "by hand"}));
}

#[tokio::test(start_paused = true)]
async fn documents_are_updated_after_a_failover_to_a_new_hub() {
    let store = Arc::new(ScriptedStore::default());
    let engine = processor(&store);
    engine.process(&batch([battery(1_000_000, "d", 0.9)])).await;
    let mut second = batch([Event {
        position: Some(EventPosition { enqueued_ms: version(1_000_000).time_ms + 1, sequence_number: 0 }),
        ..battery(0, "d", 0.2)
    }]);
    second.source.fully_qualified_namespace = "ns-2.servicebus.windows.net".into();
    assert_eq!(kinds(&engine.process(&second).await), ["applied"]);
    assert_eq!(readings(&store.document("d").await.expect("a document")), json!({"Battery": 0.2}));
}

#[tokio::test(start_paused = true)]
async fn events_without_positions_get_rising_arrival_times() {
    let store = Arc::new(ScriptedStore::default());
    let engine = processor(&store);
    let unplaced = |battery_level: f64| Event { position: None, ..battery(0, "d", battery_level) };
    let mut versions: Vec<Version> = Vec::new();
    // The clock is stopped, but each event is newer than its predecessor, within a batch and in later batches.
    for events in [vec![unplaced(0.1), unplaced(0.2)], vec![unplaced(0.3)], vec![unplaced(0.4)]] {
        let newest = events.last().cloned();
        let processed = engine.process(&Batch { events, ..Batch::default() }).await;
        assert!(processed.outcomes.iter().all(|outcome| *outcome == Outcome::Applied), "{processed:?}");
        let document = store.document("d").await.expect("a document");
        let body: serde_json::Value = serde_json::from_slice(&newest.expect("an event").body).expect("JSON");
        assert_eq!(document.get("Battery"), body.get("battery"));
        versions.extend(document.version("Battery"));
    }
    assert!(versions.windows(2).all(|pair| pair[1].is_newer_than(pair[0])), "{versions:?}");
    assert_eq!(versions[0].time_ms, devicestate_test_doubles::NOW, "the arrival time");
}

#[tokio::test(start_paused = true)]
async fn the_number_of_concurrent_writes_is_limited() {
    for limit in [1, 3] {
        let store = Arc::new(ScriptedStore::default());
        store.always(Operation::Read, ANY, StoreResponse::Slow(Duration::from_millis(10)));
        store.always(Operation::Write, ANY, StoreResponse::Slow(Duration::from_millis(10)));
        let engine = Processor { concurrency: limit, ..processor(&store) };
        let processed = engine.process(&batch((0..20).map(|n| battery(n, &format!("drone-{n}"), 0.5)))).await;
        assert_eq!(processed.outcomes, vec![Outcome::Applied; 20]);
        assert_eq!(store.max_in_flight(), limit);
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_id_is_encoded_for_cosmos() {
    let store = Arc::new(ScriptedStore::default());
    processor(&store).process(&batch([battery(1, "a/b#c", 0.5), battery(2, "a~2Fb#c", 0.6)])).await;
    assert_eq!(readings(&store.document("a~2Fb~23c").await.expect("a document")), json!({"Battery": 0.5}));
    assert_eq!(readings(&store.document("a~7E2Fb~23c").await.expect("a document")), json!({"Battery": 0.6}));
}

#[tokio::test(start_paused = true)]
async fn a_device_id_that_is_too_long_is_poison() {
    let store = Arc::new(ScriptedStore::default());
    let [longest, too_long] = [0, 1].map(|more| "x".repeat(MAX_ID_BYTES + more));
    let processed = processor(&store).process(&batch([battery(1, &longest, 0.5), battery(2, &too_long, 0.5)])).await;
    assert_eq!(kinds(&processed), ["applied", "failed poison"]);
    assert!(store.document(&longest).await.is_some());
    let Outcome::Failed(failure) = &processed.outcomes[1] else { panic!("it failed") };
    assert_eq!(failure.device_state, Some(json!({"id": too_long, "Battery": 0.5})), "the decoded readings");
    assert_eq!(failure.device_id, Some(too_long));
}

#[test]
fn operations_are_added_field_by_field() {
    let mut sum = Operations { reads: 1, writes: 2, conflicts: 3, retries: 4, throttled: 5, request_units: 6.0 };
    sum += Operations { reads: 10, writes: 20, conflicts: 30, retries: 40, throttled: 50, request_units: 60.0 };
    assert_eq!(
        sum,
        Operations { reads: 11, writes: 22, conflicts: 33, retries: 44, throttled: 55, request_units: 66.0 }
    );
}

#[tokio::test(start_paused = true)]
async fn the_time_of_the_store_is_not_decoding_time() {
    let store = Arc::new(ScriptedStore::default());
    store.always(Operation::Write, ANY, StoreResponse::Slow(Duration::from_secs(3)));
    let processed = processor(&store).process(&batch([battery(1, "d", 0.5)])).await;
    assert_eq!((processed.decode_time, processed.store_time), (Duration::ZERO, Duration::from_secs(3)));
}

/// The clock is not paused here: with a paused clock decoding takes no time.
#[tokio::test]
async fn the_decoding_time_is_measured() {
    let processed = processor(&Arc::new(ScriptedStore::default())).process(&batch([battery(1, "d", 0.5)])).await;
    assert!(processed.decode_time > Duration::ZERO, "{processed:?}");
}

#[tokio::test(start_paused = true)]
async fn an_empty_batch_does_not_use_the_store() {
    let store = Arc::new(ScriptedStore::default());
    let processed = processor(&store).process(&batch([])).await;
    assert_eq!((processed.outcomes.len(), processed.devices, store.requests().len()), (0, 0, 0));
}

/// The telemetry of drones, with a bug.
struct PanickingTelemetry;

impl Telemetry for PanickingTelemetry {
    fn decode_into<'e>(&self, event: &'e Event, records: &mut Records<'_, 'e>) -> Result<(), Poison> {
        assert!(*event.body != *b"panic", "the decoder has a bug");
        Drone::default().decode_into(event, records)
    }
}

#[tokio::test(start_paused = true)]
async fn an_invalid_event_affects_neither_its_batch_nor_its_device() {
    let store = Arc::new(ScriptedStore::default());
    let invalid = |number, body: &[u8]| Event { body: body.to_vec().into(), ..battery(number, "d", 0.0) };
    let engine = processor_with_telemetry(&store, Arc::new(PanickingTelemetry));
    let mut events = vec![
        battery(1, "d", 0.1),
        invalid(2, b"panic"),
        battery(3, "d", 0.3),
        invalid(4, b""),
        invalid(5, br#"{"deviceId":"d","flightMode":9}"#),
        Event { fault: Some("the position is invalid".into()), ..battery(6, "d", 0.6) },
        battery(7, &"long".repeat(256), 0.7),
        altitude(8, "e", 8.0),
    ];
    events.push(Event { body: events[0].body.clone(), ..altitude(9, "d", 9.0) });
    let processed = engine.process(&batch(events)).await;
    assert_eq!(
        kinds(&processed),
        [
            "applied",
            "failed poison",
            "applied",
            "failed poison",
            "failed poison",
            "failed poison",
            "failed poison",
            "applied",
            "applied"
        ]
    );
    let stage = |outcome: &Outcome| match outcome {
        Outcome::Failed(failure) => Some((failure.stage, failure.class)),
        _ => None,
    };
    let stages: Vec<_> = processed.outcomes.iter().filter_map(stage).collect();
    let expected = [Stage::Deserialize, Stage::Deserialize, Stage::Validate, Stage::Envelope, Stage::Validate];
    assert_eq!(stages, expected.map(|stage| (stage, ErrorClass::Poison)));
    assert!(issue(&processed, 1).contains("the decoder has a bug"), "{}", issue(&processed, 1));
    assert!(issue(&processed, 3).contains("device id is missing"));
    assert!(issue(&processed, 4).contains("flight mode 9"));
    assert_eq!(issue(&processed, 5), "the position is invalid");
    assert!(issue(&processed, 6).contains("1024 bytes"), "{}", issue(&processed, 6));
    let document = store.document("d").await.expect("a document");
    assert_eq!(document.version("Battery"), Some(version(9)));
    assert_eq!(store.count(Operation::Write), 2, "still one write for each device");
}

#[tokio::test(start_paused = true)]
async fn reserved_names_are_not_valid_for_readings() {
    struct ReservedNames;
    impl Telemetry for ReservedNames {
        fn decode_into<'e>(&self, event: &'e Event, records: &mut Records<'_, 'e>) -> Result<(), Poison> {
            let name = String::from_utf8_lossy(&event.body).into_owned();
            let reading = Reading { name: name.into(), value: json!(1) };
            records.push(reading);
            records.finish("d", RecordTime::Service);
            Ok(())
        }
    }
    let store = Arc::new(ScriptedStore::default());
    let named = |(number, name): (i64, &str)| Event { body: name.to_owned().into(), ..battery(number, "d", 0.0) };
    let events = (0..).zip(["id", "Versions", "Heard", "SilentSince", "ttl", "_ts", "", "Id", "versions"]).map(named);
    let processed = processor_with_telemetry(&store, Arc::new(ReservedNames)).process(&batch(events)).await;
    assert_eq!(kinds(&processed)[..7], ["failed poison"; 7]);
    assert_eq!(kinds(&processed)[7..], ["applied"; 2]);
    assert_eq!(readings(&store.document("d").await.expect("a document")), json!({"Id": 1, "versions": 1}));
}
