//! How many operations the service sees, by its own count.

use std::thread;

use devicestate_test_support::{App, Batch, Event, Fold};
use serde_json::json;

use super::{account::Account, deliver, event};

/// The most events that the host puts into one invocation: `maxEventBatchSize` as it is shipped.
const BATCH: usize = 1_000;

/// The events of one device in a row.
fn life(device: usize, events: i64, number: impl Fn(i64) -> i64) -> impl Iterator<Item = Event> {
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

/// The batches of a partition, each as full as can be.
fn batches(partition: usize, events: &[Event]) -> Vec<Batch> {
    events.chunks(BATCH).map(|events| Batch::of(events).partition(&partition.to_string())).collect()
}

/// Delivers each partition's batches in order, all partitions at once.
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
                        plus(sum, delivered.reply.counts())
                    })
                })
            })
            .collect();
        for partition in running {
            sum = plus(sum, partition.join().expect("no panic"));
        }
    });
    sum
}

fn plus(mut sum: [u64; 4], more: [u64; 4]) -> [u64; 4] {
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum += more;
    }
    sum
}

/// A device's events have its id as their partition key, so the devices are dealt over the partitions, and a partition's
/// events come from its devices in turn.
#[test]
fn a_hundred_devices_cost_one_read_each_and_one_write_each_for_a_batch() {
    const DEVICES: usize = 100;
    const PARTITIONS: usize = 20;
    let partitions: Vec<Vec<Batch>> = (0..PARTITIONS)
        .map(|partition| {
            let devices: Vec<usize> = (partition..DEVICES).step_by(PARTITIONS).collect();
            let turns = i64::try_from(devices.len()).expect("few");
            let mut events: Vec<Event> = (0..turns)
                .zip(devices)
                .flat_map(|(turn, device)| life(device, 1_000, move |n| n * turns + turn))
                .collect();
            events.sort_by_key(Event::place);
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

/// Without partition keys each device is in every partition: its document has twenty writers at once.
#[test]
fn events_dealt_over_the_partitions_one_by_one_come_to_the_same_documents() {
    const PARTITIONS: usize = 20;
    let all: Vec<Event> = (0..20_usize)
        .flat_map(|device| {
            let place = i64::try_from(device).expect("small");
            life(device, 200, move |n| n * 20 + place)
        })
        .collect();
    let mut dealt: Vec<Vec<Event>> = vec![Vec::new(); PARTITIONS];
    for (number, event) in all.into_iter().enumerate() {
        dealt[number % PARTITIONS].push(event);
    }
    let partitions: Vec<Vec<Batch>> = (0..)
        .zip(&mut dealt)
        .map(|(partition, events)| {
            events.sort_by_key(Event::place);
            events.chunks(50).map(|events| Batch::of(events).partition(&i32::to_string(&partition))).collect()
        })
        .collect();

    let account = Account::empty();
    let app = account.app();
    let [events, applied, superseded, dead_lettered] = deliver_all(&app, &partitions);
    assert_eq!((events, applied + superseded, dead_lettered), (4_000, 4_000, 0));
    assert_eq!(account.documents(), Fold::from_batches(partitions.iter().flatten()).documents());
}
