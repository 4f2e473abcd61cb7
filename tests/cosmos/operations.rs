//! The count of operations, as the service counts them.

use std::thread;

use devicestate_test_support::{App, Batch, Event, Fold};
use serde_json::json;

use super::{deliver, event, test_account::Account};

/// The largest batch of the shipped app: its `maxEventBatchSize`.
const MAX_BATCH_SIZE: usize = 1_000;

/// Returns events of one device, with sequence numbers from `number`.
fn device_events(device: usize, events: i64, number: impl Fn(i64) -> i64) -> impl Iterator<Item = Event> {
    (0..events).map(move |n| {
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let level = n as f64 / 1024.0;
        let fields = match n % 4 {
            0 => json!({"battery": level, "flightMode": n % 6}),
            1 => json!({"position": {"latitude": level, "longitude": -level}}),
            2 => json!({"position": {"altitude": level}, "battery": -level}),
            _ => json!({"health": {"gyrometerOK": n % 8 == 3, "magnetometerOK": true}}),
        };
        event(number(n), &format!("drone-{device}"), fields)
    })
}

/// Splits the events of a partition into batches of the largest size.
fn batches(partition: usize, events: &[Event]) -> Vec<Batch> {
    events.chunks(MAX_BATCH_SIZE).map(|events| Batch::of(events).partition(&partition.to_string())).collect()
}

/// Delivers each partition's batches in order, and all partitions concurrently. Returns the sum of the replies' counts.
fn deliver_all(app: &App, partitions: &[Vec<Batch>]) -> [u64; 4] {
    let handler = &app.start();
    let mut sum = [0; 4];
    thread::scope(|scope| {
        let running: Vec<_> = partitions
            .iter()
            .map(|batches| {
                scope.spawn(move || {
                    batches.iter().map(|batch| deliver(handler, batch)).fold([0; 4], |sum, delivered| {
                        assert_eq!(delivered.failed, [] as [serde_json::Value; 0]);
                        add(sum, delivered.reply.counts())
                    })
                })
            })
            .collect();
        for partition in running {
            sum = add(sum, partition.join().expect("no panic"));
        }
    });
    sum
}

fn add(mut sum: [u64; 4], more: [u64; 4]) -> [u64; 4] {
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum += more;
    }
    sum
}

/// The device id is the partition key, so each device is in one partition. The events of a partition's devices alternate.
#[test]
fn a_device_costs_one_read_and_one_write_per_batch() {
    const DEVICES: usize = 100;
    const PARTITIONS: usize = 20;
    let partitions: Vec<Vec<Batch>> = (0..PARTITIONS)
        .map(|partition| {
            let devices: Vec<usize> = (partition..DEVICES).step_by(PARTITIONS).collect();
            let turns = i64::try_from(devices.len()).expect("few");
            let mut events: Vec<Event> = (0..turns)
                .zip(devices)
                .flat_map(|(turn, device)| device_events(device, 1_000, move |n| n * turns + turn))
                .collect();
            events.sort_by_key(Event::position);
            batches(partition, &events)
        })
        .collect();
    assert_eq!(partitions.iter().map(Vec::len).sum::<usize>(), 100, "five full batches in each partition");

    let account = Account::empty();
    let app = account.app();
    assert_eq!(deliver_all(&app, &partitions), [100_000, 100_000, 0, 0]);
    assert_eq!(account.documents(), Fold::from_batches(partitions.iter().flatten()).documents());
    let Some(counters) = account.counters() else { return };
    let devices_in_batches = 5 * 100;
    assert!(counters.reads() <= 100 && counters.writes() <= devices_in_batches, "{counters:?}");
    assert_eq!(counters.count(&["query"]), 0, "{counters:?}");
}

/// Without partition keys, each device is in every partition, so its document has twenty concurrent writers.
#[test]
fn events_spread_over_all_partitions_give_the_same_documents() {
    const PARTITIONS: usize = 20;
    let all: Vec<Event> = (0..20_usize)
        .flat_map(|device| {
            let offset = i64::try_from(device).expect("small");
            device_events(device, 200, move |n| n * 20 + offset)
        })
        .collect();
    let mut spread: Vec<Vec<Event>> = vec![Vec::new(); PARTITIONS];
    for (number, event) in all.into_iter().enumerate() {
        spread[number % PARTITIONS].push(event);
    }
    let partitions: Vec<Vec<Batch>> = (0..)
        .zip(&mut spread)
        .map(|(partition, events)| {
            events.sort_by_key(Event::position);
            events.chunks(50).map(|events| Batch::of(events).partition(&i32::to_string(&partition))).collect()
        })
        .collect();

    let account = Account::empty();
    let app = account.app();
    let [events, applied, superseded, dead_lettered] = deliver_all(&app, &partitions);
    assert_eq!((events, applied + superseded, dead_lettered), (4_000, 4_000, 0));
    assert_eq!(account.documents(), Fold::from_batches(partitions.iter().flatten()).documents());
}
