//! Records that are ordered by the time of their device.

use std::sync::Arc;

use devicestate_engine::{batch::Event, device_state::Version};
use devicestate_test_doubles::{
    Envelope, NOW, ScriptedStore, Sent, T0, batch, event, final_reply, handler, heard, kinds, readings, source, version,
};
use serde_json::{Value, json};

use crate::{records::engine, retries::ID};

/// Returns the version of a record that is ordered by a time, in milliseconds after the base time.
fn by_time(time_ms: i64, number: i64) -> Version {
    Version::ordered_by_time(T0 + time_ms, number, source().number())
}

async fn stored(store: &ScriptedStore) -> Value {
    json!(store.document("d").await.expect("a document"))
}

#[tokio::test(start_paused = true)]
async fn a_late_upload_does_not_overwrite_a_newer_reading() {
    let store = Arc::new(ScriptedStore::default());
    let engine = engine(&store);
    engine.process(&batch([event(100, &json!([{"id": "d", "time": 90, "X": 90}]))])).await;
    let late = json!([{"id": "d", "time": 10, "X": 10}, {"id": "d", "time": 20, "X": 20, "Y": 20},
                      {"id": "d", "time": 15, "Y": 15}]);
    let processed = engine.process(&batch([event(200, &late)])).await;
    assert_eq!(kinds(&processed), ["applied"]);
    let expected = json!({"id": "d", "Heard": heard(200), "X": 90, "Y": 20, "Versions": {
        "Heard": version(200), "X": by_time(90, 100), "Y": Version { record: 1, ..by_time(20, 200) }}});
    assert_eq!(stored(&store).await, expected);
    let processed = engine.process(&batch([event(201, &json!([{"id": "d", "time": 89, "X": 89}]))])).await;
    assert_eq!(kinds(&processed), ["superseded"]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_ahead_holds_nothing_off() {
    let store = Arc::new(ScriptedStore::default());
    let engine = engine(&store);
    let year_ms = 365 * 86_400_000_i64;
    engine.process(&batch([event(100, &json!([{"id": "d", "time": year_ms, "X": 1}]))])).await;
    assert_eq!(stored(&store).await["Versions"]["X"], json!(by_time(100, 100)));
    // After the clock is right, and from a record without a time.
    for (number, time) in [(101, json!(101)), (102, json!("enqueued")), (103, json!(year_ms))] {
        let processed = engine.process(&batch([event(number, &json!([{"id": "d", "time": time, "X": number}]))])).await;
        assert_eq!(kinds(&processed), ["applied"], "{number}");
    }
    assert_eq!(readings(&store.document("d").await.expect("a document")), json!({"X": 103}));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_reset_silences_no_device_and_is_counted() {
    let store = Arc::new(ScriptedStore::default());
    let engine = engine(&store);
    engine.process(&batch([event(100, &json!([{"id": "d", "time": 99, "X": 99}]))])).await;
    let handler = handler(engine);
    let records = json!([{"id": "d", "time": "unusable", "X": 1}, {"id": "d", "time": "unusable", "X": 2},
                         {"id": "e", "time": "enqueued", "X": 3}]);
    let envelope = Envelope::new([Sent::new(101, records.to_string())]);
    let reply = final_reply(handler.invoke(ID, &envelope.to_bytes()).await);
    assert_eq!((reply.counts(), reply.record.unusable_device_times), ([1, 0, 0], 2));
    let expected = Version { record: 1, ..by_time(101, 101) };
    assert_eq!(stored(&store).await["Versions"]["X"], json!(expected));
    let reply = final_reply(handler.invoke(ID, &envelope.to_bytes()).await);
    assert_eq!(reply.counts(), [0, 1, 0], "a repeat");
}

#[tokio::test(start_paused = true)]
async fn records_of_one_time_are_ordered_by_position() {
    let store = Arc::new(ScriptedStore::default());
    let engine = engine(&store);
    let first = event(10, &json!([{"id": "d", "time": 5, "X": 1}, {"id": "d", "time": 5, "X": 2}]));
    let second = event(11, &json!([{"id": "d", "time": 5, "X": 3}]));
    for events in [vec![second.clone()], vec![first.clone()], vec![first, second]] {
        engine.process(&batch(events)).await;
        assert_eq!(readings(&store.document("d").await.expect("a document")), json!({"X": 3}));
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_an_iot_hub_repeats_overwrites_nothing_newer() {
    let store = Arc::new(ScriptedStore::default());
    let engine = engine(&store);
    let message = |number: i64, accepted_ms: i64, time: i64| Event {
        time_ms: Some(T0 + accepted_ms),
        ..event(number, &json!([{"id": "d", "time": time, "X": time}]))
    };
    // Sent again with new positions: by the device's time, and by the time at which the hub accepted it.
    let (one, two) = ([message(1, 50, 40), message(3, 50, 40)], [message(2, 60, 999), message(4, 60, 999)]);
    for event in [&one[0], &two[0], &one[1], &two[1]] {
        engine.process(&batch([event.clone()])).await;
        if event != &one[0] {
            assert_eq!(readings(&store.document("d").await.expect("a document")), json!({"X": 999}));
        }
    }
    assert_eq!(stored(&store).await["Versions"]["X"], json!(by_time(60, 4)));
    assert_eq!(stored(&store).await["Heard"], heard(60));
}

#[tokio::test(start_paused = true)]
async fn an_event_without_a_position_is_ordered_by_its_time_up_to_its_arrival() {
    let store = Arc::new(ScriptedStore::default());
    let engine = engine(&store);
    let arrival = NOW - T0;
    let without_position =
        |time: i64| Event { position: None, ..event(0, &json!([{"id": "d", "time": time, "X": time}])) };
    let times = [arrival - 1_000, arrival - 2_000, arrival + 5_000];
    for (time, kind) in times.into_iter().zip(["applied", "superseded", "applied"]) {
        assert_eq!(kinds(&engine.process(&batch([without_position(time)])).await), [kind], "{time}");
    }
    let version = &stored(&store).await["Versions"]["X"];
    assert!(version[0].as_i64().is_some_and(|ms| (NOW..NOW + 10).contains(&ms)), "{version}");
}

#[tokio::test(start_paused = true)]
async fn times_of_the_service_and_of_devices_are_compared_by_time() {
    let store = Arc::new(ScriptedStore::default());
    let engine = engine(&store);
    // The telemetry takes the time of the device from event 100 on, and that of the service again from 200 on.
    let steps = [
        (99, json!({"id": "d", "X": 99}), "applied"),
        (100, json!({"id": "d", "time": 98, "X": 98}), "superseded"),
        (101, json!({"id": "d", "time": 100, "X": 100}), "applied"),
        (200, json!({"id": "d", "X": 200}), "applied"),
    ];
    for (number, record, kind) in &steps {
        assert_eq!(kinds(&engine.process(&batch([event(*number, &json!([record]))])).await), [*kind], "{number}");
    }
    // In any order.
    let other = Arc::new(ScriptedStore::default());
    for (number, record, _) in steps.iter().rev() {
        crate::records::engine(&other).process(&batch([event(*number, &json!([record]))])).await;
    }
    assert_eq!(stored(&other).await, stored(&store).await);
}
