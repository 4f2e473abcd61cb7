use std::collections::HashMap;

use devicestate_engine::store::{Operator, Scalar};
use serde_json::{Value, json};
use tokio::time::{advance, timeout};

use super::*;
use crate::{
    Options,
    fleet::MAX_DEVICES,
    run::{PartitionFigures, Run},
    test_store::{document, options, written},
};

/// Returns the shared state without devices, as after a first read.
fn shared() -> Arc<Shared> {
    let shared = Shared::new(options(Arc::default()));
    shared.fleet().end_read(None);
    shared
}

fn reader(shared: &Arc<Shared>, filter: Filter) -> Reader {
    Reader::new(Arc::clone(shared), filter, shared.admit_reader().expect("there is room"))
}

/// Takes over the document of a device whose only reading is a number, written at the time of this number.
fn write(shared: &Shared, device: &str, level: i64) {
    shared.fleet().apply_written(written(document(device, level), level));
}

/// Returns the next event that is not a repetition, with its data; `None` if there is none within a second of the test's clock.
async fn next(reader: &mut Reader) -> Option<(&'static str, Value)> {
    let Ok(frame) = timeout(Duration::from_secs(1), reader.next()).await else { return None };
    let Frame { name, data } = frame.expect("the server does not end");
    Some((name, serde_json::from_str(&data).expect("JSON")))
}

fn ids(devices: &Value) -> Vec<&str> {
    let devices = devices.as_array().expect("an array");
    devices.iter().map(|device| device["id"].as_str().unwrap_or_else(|| device.as_str().expect("an id"))).collect()
}

#[tokio::test(start_paused = true)]
async fn the_devices_come_in_pieces_and_only_the_first_one_resets_the_reader() {
    let shared = shared();
    for device in 0..2_500 {
        write(&shared, &format!("device-{device:05}"), 1);
    }
    let mut reader = reader(&shared, Filter::EVERY);
    let mut all = Vec::new();
    for (first, more, devices) in [(true, true, 1_000), (false, true, 1_000), (false, false, 500)] {
        let (name, data) = next(&mut reader).await.expect("a piece");
        assert_eq!((name, &data["total"], &data["shown"]), ("snapshot", &json!(2_500), &json!(2_500)));
        assert_eq!((&data["first"], &data["more"]), (&json!(first), &json!(more)));
        let ids = ids(&data["devices"]);
        assert_eq!(ids.len(), devices);
        all.extend(ids.into_iter().map(str::to_owned));
    }
    assert!(all.is_sorted() && all.len() == 2_500);
    assert_eq!(next(&mut reader).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_reader_without_devices_gets_an_empty_piece_and_then_the_first_device() {
    let shared = shared();
    let mut reader = reader(&shared, Filter::EVERY);
    let (name, data) = next(&mut reader).await.expect("a piece");
    assert_eq!((name, &data["devices"], &data["more"]), ("snapshot", &json!([]), &json!(false)));
    write(&shared, "pump 1", 7);
    let (name, data) = next(&mut reader).await.expect("a change");
    assert_eq!((name, &data["removed"]), ("changes", &json!([])));
    let device = json!({"id": "pump 1", "heardMs": 7, "writtenMs": 7, "readings": {"level": 7}});
    assert_eq!(data["devices"], json!([device]));
}

/// The measure of the page: 10,000 devices at 1,000 changes a second.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_gets_the_newest_state_of_each_device_once() {
    let shared = shared();
    let device = |number: i64| format!("device-{:05}", number % 10_000);
    for number in 0..10_000 {
        write(&shared, &device(number), 0);
    }
    let mut reader = reader(&shared, Filter::EVERY);
    for _ in 0..10 {
        assert_eq!(next(&mut reader).await.expect("a piece").0, "snapshot");
    }
    // For ten seconds the reader takes nothing. A tenth of the devices changes ten times as often as the others.
    let mut newest = HashMap::new();
    for change in 1..=10_000 {
        let number = if change % 2 == 0 { change * 7 % 1_000 } else { change };
        write(&shared, &device(number), change);
        newest.insert(device(number), change);
    }
    let (mut received, mut events) = (HashMap::new(), 0);
    while received.len() < newest.len() {
        let (name, data) = next(&mut reader).await.expect("the rest of the changes");
        assert_eq!(name, "changes");
        events += 1;
        for device in data["devices"].as_array().expect("devices") {
            let id = device["id"].as_str().expect("an id").to_owned();
            let level = device["readings"]["level"].as_i64().expect("a level");
            assert_eq!(received.insert(id, level), None, "a device comes once");
        }
    }
    assert_eq!(received, newest);
    assert_eq!(events, newest.len().div_ceil(1_000));
    assert_eq!(next(&mut reader).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_fast_reader_gets_at_most_four_events_a_second_whatever_the_rate_of_changes_is() {
    let shared = shared();
    let mut reader = reader(&shared, Filter::EVERY);
    next(&mut reader).await.expect("an empty piece");
    let (started, mut events) = (Instant::now(), 0);
    for change in 1..=5_000 {
        write(&shared, &format!("device-{}", change % 100), change);
        advance(Duration::from_millis(1)).await;
        // What is not ready at this moment is not awaited.
        while let Ok(frame) = timeout(Duration::ZERO, reader.next()).await {
            assert_eq!(frame.expect("the server does not end").name, "changes");
            events += 1;
        }
    }
    let seconds = started.elapsed().as_secs();
    assert!((4 * seconds - 4..=4 * seconds + 1).contains(&events), "{events} events in {seconds} s");
}

#[tokio::test(start_paused = true)]
async fn a_device_that_no_longer_matches_the_filter_is_removed_and_comes_back() {
    let shared = shared();
    let low = Filter::Compare { name: "level".into(), operator: Operator::Less, value: Scalar::Number(10.0) };
    write(&shared, "low", 1);
    write(&shared, "high", 11);
    let mut reader = reader(&shared, low);
    let (_, data) = next(&mut reader).await.expect("a piece");
    assert_eq!((ids(&data["devices"]), &data["total"]), (vec!["low"], &json!(1)));
    write(&shared, "low", 12);
    let (_, data) = next(&mut reader).await.expect("a change");
    assert_eq!((ids(&data["devices"]), ids(&data["removed"]), &data["total"]), (vec![], vec!["low"], &json!(0)));
    // A device that the reader does not have is not removed again.
    write(&shared, "high", 13);
    assert_eq!(next(&mut reader).await, None);
    shared.fleet().apply_written(written(document("low", 2), 14));
    let (_, data) = next(&mut reader).await.expect("a change");
    assert_eq!((ids(&data["devices"]), ids(&data["removed"])), (vec!["low"], vec![]));
}

#[tokio::test(start_paused = true)]
async fn beyond_the_limit_the_devices_that_did_not_change_for_longest_are_left_out() {
    let shared = shared();
    let device = |number: usize| format!("device-{number:05}");
    for number in 0..MAX_DEVICES {
        write(&shared, &device(number), 1);
    }
    let mut reader = reader(&shared, Filter::EVERY);
    let pieces = MAX_DEVICES / MAX_EVENT_DEVICES;
    for _ in 0..pieces {
        next(&mut reader).await.expect("a piece");
    }
    write(&shared, &device(0), 2);
    write(&shared, &device(MAX_DEVICES), 2);
    assert_eq!(shared.fleet().len(), MAX_DEVICES);
    let (_, data) = next(&mut reader).await.expect("a change");
    assert_eq!(ids(&data["devices"]), [device(0), device(MAX_DEVICES)]);
    assert_eq!((ids(&data["removed"]), &data["total"]), (vec!["device-00001"], &json!(MAX_DEVICES + 1)));
}

#[tokio::test(start_paused = true)]
async fn the_values_of_a_reading_are_kept_as_far_as_there_is_room() {
    let shared = shared();
    for level in 0..500 {
        write(&shared, "pump", level);
        // The same document again changes nothing.
        write(&shared, "pump", level);
    }
    let fleet = shared.fleet();
    let history = fleet.get("pump").and_then(|device| device.history("level")).expect("values");
    let expected: Vec<(i64, f64)> = (380..500_i32).map(|level| (level.into(), level.into())).collect();
    assert_eq!(history.iter().copied().collect::<Vec<_>>(), expected);
}

struct OneRun;

impl Run for OneRun {
    fn figures(&self) -> RunFigures {
        let partitions = vec![PartitionFigures { partition: "0".into(), waiting: 3, lag_ms: 40 }];
        RunFigures { received: 5, partitions, ..RunFigures::default() }
    }
}

#[tokio::test(start_paused = true)]
async fn the_figures_of_a_run_come_each_second() {
    let shared = Shared::new(Options { run: Some(Arc::new(OneRun)), ..options(Arc::default()) });
    shared.fleet().end_read(None);
    let mut reader = reader(&shared, Filter::EVERY);
    assert_eq!(next(&mut reader).await.expect("a piece").0, "snapshot");
    let started = Instant::now();
    for _ in 0..5 {
        let (name, data) = timeout(Duration::from_secs(9), next(&mut reader)).await.expect("in time").expect("figures");
        assert_eq!((name, &data["received"], &data["partitions"][0]["lagMs"]), ("figures", &json!(5), &json!(40)));
        assert!(data["nowMs"].is_i64());
    }
    assert_eq!(started.elapsed().as_secs(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_write_after_the_list_is_shown_although_the_store_knows_its_time_in_whole_seconds_only() {
    let shared = shared();
    shared.fleet().apply_listed(document("a", 5_900));
    let mut reader = reader(&shared, Filter::EVERY);
    next(&mut reader).await.expect("the snapshot");
    shared.fleet().apply_written(written(document("a", 5_990), 5_000));
    let (name, data) = next(&mut reader).await.expect("the change");
    assert_eq!((name, &data["devices"][0]["readings"]), ("changes", &json!({"level": 5_990})));
    // From then on, an older state is recognized.
    shared.fleet().apply_written(written(document("a", 1), 4_000));
    assert_eq!(next(&mut reader).await, None);
}
