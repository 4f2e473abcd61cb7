//! Outages: the account is lost during the stream, and returns unchanged, empty, or in another region.

use std::{
    cell::Cell,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use devicestate_test_support::{
    Batch, Fold, Handler, free_port,
    listener::{Fault, Listener},
    pause,
};

use super::{Failures, app, battery, deliver, deliver_counting};

/// Returns a batch of a partition with its own devices, and two events of each.
fn batch(partition: i32, number: i64, devices: i32) -> Batch {
    let events = (0..2 * devices).map(|n| {
        let device = format!("drone-{partition}-{}", n % devices);
        battery(number * 1_000 + i64::from(n), &device, f64::from(n) / 4.0)
    });
    Batch::of(events.collect::<Vec<_>>()).partition(&partition.to_string())
}

#[test]
fn a_batch_is_completed_after_the_account_was_unreachable() {
    const DEVICES: i32 = 150;
    let listener = Listener::start();
    let app = app(&listener).with("InvocationBudget", "00:00:02");
    let handler = app.start();
    let batches = [batch(0, 1, DEVICES), batch(0, 2, DEVICES)];
    let failures = Failures::default();
    // Slow enough for an outage in the middle of the batch.
    listener.fault(Fault::delay(Duration::from_millis(50)).on(&["create"]));
    thread::scope(|scope| {
        let delivering = scope.spawn(|| {
            deliver_counting(&handler, &batches[0], &failures, || ()).assert_no_dead_letter(300);
            deliver(&handler, &batches[1]).assert_no_dead_letter(300);
        });
        listener.wait_until("some documents are created", |counters| counters.status(201) >= 20);
        listener.down();
        failures.wait_for(1);
        listener.clear_faults();
        listener.up();
        delivering.join().expect("no panic");
    });
    assert_eq!(listener.documents(), Fold::from_batches(&batches).documents());
}

#[test]
fn a_handler_that_starts_during_an_outage_is_ready_and_recovers_after_it() {
    let listener = Listener::start();
    listener.down();
    let app = app(&listener).with("InvocationBudget", "00:00:01");
    let handler = app.start();
    let (batch, failures) = (batch(0, 1, 20), Failures::default());
    thread::scope(|scope| {
        let delivering = scope.spawn(|| deliver_counting(&handler, &batch, &failures, || ()));
        failures.wait_for(2);
        listener.up();
        delivering.join().expect("no panic").assert_no_dead_letter(40);
    });
    assert_eq!(listener.documents(), Fold::from_batches([&batch]).documents());
}

/// The account in memory loses its documents, and the events are replayed from an older checkpoint.
#[test]
fn an_account_restarted_empty_is_filled_by_replaying_events() {
    const DEVICES: i32 = 150;
    let port = free_port();
    let mut listener = Listener::with(&["--port", &port.to_string()]);
    let app = app(&listener).with("InvocationBudget", "00:00:02");
    let handler = app.start();
    let batches = [1, 2, 3, 4].map(|number| batch(0, number, DEVICES));
    deliver(&handler, &batches[0]).assert_no_dead_letter(300);
    let failures = Failures::default();
    listener.fault(Fault::delay(Duration::from_millis(50)).on(&["replace"]));
    thread::scope(|scope| {
        let delivering = scope.spawn(|| {
            deliver_counting(&handler, &batches[1], &failures, || ()).assert_no_dead_letter(300);
        });
        listener.wait_until("some documents are written", |counters| counters.count(&["replace"]) >= 20);
        listener.kill();
        failures.wait_for(1);
        listener.restart();
        delivering.join().expect("no panic");
    });
    deliver(&handler, &batches[2]).assert_no_dead_letter(300);
    assert_eq!(listener.documents(), Fold::from_batches(&batches[1..3]).documents());
    for batch in &batches {
        deliver(&handler, batch).assert_no_dead_letter(300);
    }
    assert_eq!(listener.documents(), Fold::from_batches(&batches).documents());
}

/// The client refreshes the write region at most once in five seconds, so the second move takes up to that long.
fn fail_over_and_back(preferred: Option<&str>) {
    const REGIONS: [&str; 2] = ["West Europe", "North Europe"];
    let listener = Listener::with(&["--region", REGIONS[0], "--region", REGIONS[1]]);
    let mut app = app(&listener);
    if let Some(preferred) = preferred {
        app = app.with("CosmosPreferredRegions", preferred);
    }
    let handler = app.start();
    let batches: Vec<_> = (0..6).map(|number| batch(0, number, 20)).collect();
    for (batch, region) in batches.iter().zip([0, 0, 1, 1, 0, 0]) {
        listener.move_write_region(REGIONS[region]);
        let delivered = deliver(&handler, batch);
        delivered.reply.assert_all_applied(40);
        assert!(delivered.failed.is_empty(), "{:?}", delivered.failed);
    }
    assert!(listener.counters().status(403) > 0, "the old region rejects writes");
    assert_eq!(listener.documents(), Fold::from_batches(&batches).documents());
}

#[test]
fn a_moved_write_region_is_followed_in_both_directions() {
    thread::scope(|scope| {
        for preferred in [None, Some("North Europe, West Europe")] {
            scope.spawn(move || fail_over_and_back(preferred));
        }
    });
}

/// How much shorter all times are than in the shipped app.
const TIME_SCALE: u32 = 60;

/// Six minutes are shortened to six seconds, and all other times in proportion: the budget of an invocation is a second, the
/// shortest, instead of a minute, and the host's pauses grow from 17 ms instead of a second to a second instead of a minute. So the number of attempts is the same.
///
/// In the first half, the account is unreachable; in the second half, it responds with 503. Then it throttles one device of each
/// partition and accepts the writes of the others, in attempts with a high number. If failures during the outage counted against
/// devices, these devices would be dead-lettered.
#[test]
fn an_outage_of_six_minutes_under_load_loses_and_dead_letters_no_event() {
    const PARTITIONS: i32 = 4;
    let outage = Duration::from_mins(6) / TIME_SCALE;
    let listener = Listener::start();
    let app = app(&listener).with("InvocationBudget", "00:00:01");
    let handler = &app.start();
    let is_over = &AtomicBool::new(false);
    let streams: Vec<Stream> = thread::scope(|scope| {
        let hosts: Vec<_> = (0..PARTITIONS).map(|id| scope.spawn(move || send_stream(handler, id, is_over))).collect();
        listener.wait_until("all partitions are sending", |counters| counters.writes() >= 100);
        listener.down();
        pause(outage / 2);
        let unavailable = listener.fault(Fault::status(503).on(&["all"]));
        listener.up();
        pause(outage / 2);
        for partition in 0..PARTITIONS {
            // Longer than the budget.
            let throttled = Fault::status(429).retry_after(Duration::from_secs(5));
            listener.fault(throttled.id(&format!("drone-{partition}-3")).next(2));
        }
        listener.end(unavailable);
        is_over.store(true, Relaxed);
        hosts.into_iter().map(|host| host.join().expect("no panic")).collect()
    });
    for stream in &streams {
        assert!(stream.max_attempts > 5, "fewer attempts than DeadLetterAfterAttempts: {}", stream.max_attempts);
    }
    assert_eq!(listener.documents(), Fold::from_batches(streams.iter().flat_map(|stream| &stream.batches)).documents());
    assert!(listener.fault_hits()[1..].iter().all(|throttled| *throttled == 2), "each fault was applied twice");
}

/// The batches that a partition's host has sent.
struct Stream {
    batches: Vec<Batch>,
    max_attempts: usize,
}

/// Sends batches until the outage is over, with the host's pauses between the attempts.
fn send_stream(handler: &Handler, partition: i32, is_over: &AtomicBool) -> Stream {
    let mut stream = Stream { batches: Vec::new(), max_attempts: 0 };
    while !is_over.load(Relaxed) {
        let batch = batch(partition, stream.batches.len().try_into().expect("few"), 10);
        let pause_time = Cell::new(Duration::from_secs(1) / TIME_SCALE);
        let delivered = deliver_counting(handler, &batch, &Failures::default(), || {
            pause(pause_time.get());
            pause_time.set((pause_time.get() * 2).min(Duration::from_mins(1) / TIME_SCALE));
        });
        delivered.assert_no_dead_letter(20);
        stream.max_attempts = stream.max_attempts.max(delivered.failed.len() + 1);
        stream.batches.push(batch);
    }
    stream
}
