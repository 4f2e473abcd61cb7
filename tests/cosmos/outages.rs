//! Outages: the account goes away in the middle of the stream, and comes back as it was, empty, or elsewhere.

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

/// A batch of a partition: so many devices of its own, and two events of each.
fn batch(partition: i32, number: i64, devices: i32) -> Batch {
    let events = (0..2 * devices).map(|n| {
        let device = format!("drone-{partition}-{}", n % devices);
        battery(number * 1_000 + i64::from(n), &device, f64::from(n) / 4.0)
    });
    Batch::of(events.collect::<Vec<_>>()).partition(&partition.to_string())
}

#[test]
fn an_account_cut_off_in_mid_batch_is_found_again() {
    const DEVICES: i32 = 150;
    let listener = Listener::start();
    let app = app(&listener).with("InvocationBudget", "00:00:02");
    let handler = app.start();
    let batches = [batch(0, 1, DEVICES), batch(0, 2, DEVICES)];
    let failures = Failures::default();
    // Slow enough to be cut in the middle.
    listener.fault(Fault::delay(Duration::from_millis(50)).on(&["create"]));
    thread::scope(|scope| {
        let delivering = scope.spawn(|| {
            deliver_counting(&handler, &batches[0], &failures, || ()).assert_no_dead_letter(300);
            deliver(&handler, &batches[1]).assert_no_dead_letter(300);
        });
        listener.until("some documents are made", |counters| counters.status(201) >= 20);
        listener.down();
        failures.until(1);
        listener.clear_faults();
        listener.up();
        delivering.join().expect("no panic");
    });
    assert_eq!(listener.documents(), Fold::from_batches(&batches).documents());
}

#[test]
fn a_handler_that_starts_during_an_outage_is_ready_at_once_and_goes_on_when_it_is_over() {
    let listener = Listener::start();
    listener.down();
    let app = app(&listener).with("InvocationBudget", "00:00:01");
    let handler = app.start();
    let (batch, failures) = (batch(0, 1, 20), Failures::default());
    thread::scope(|scope| {
        let delivering = scope.spawn(|| deliver_counting(&handler, &batch, &failures, || ()));
        failures.until(2);
        listener.up();
        delivering.join().expect("no panic").assert_no_dead_letter(40);
    });
    assert_eq!(listener.documents(), Fold::from_batches([&batch]).documents());
}

/// What an account in memory has forgotten, the host sends again when its checkpoint is set back.
#[test]
fn an_account_killed_in_mid_batch_and_started_again_empty_is_written_to_again() {
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
        listener.until("some documents are written", |counters| counters.count(&["replace"]) >= 20);
        listener.kill();
        failures.until(1);
        listener.start_again();
        delivering.join().expect("no panic");
    });
    deliver(&handler, &batches[2]).assert_no_dead_letter(300);
    assert_eq!(listener.documents(), Fold::from_batches(&batches[1..3]).documents());
    for batch in &batches {
        deliver(&handler, batch).assert_no_dead_letter(300);
    }
    assert_eq!(listener.documents(), Fold::from_batches(&batches).documents());
}

/// The client asks where to write at most once in five seconds: so long the second move takes, and no longer.
fn move_there_and_back(preferred: Option<&str>) {
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
    assert!(listener.counters().status(403) > 0, "the old region refuses writes");
    assert_eq!(listener.documents(), Fold::from_batches(&batches).documents());
}

#[test]
fn a_write_region_that_moves_is_followed_there_and_back() {
    thread::scope(|scope| {
        for preferred in [None, Some("North Europe, West Europe")] {
            scope.spawn(move || move_there_and_back(preferred));
        }
    });
}

/// How much quicker everything is than as it is shipped.
const QUICKER: u32 = 100;

/// Ten minutes in six seconds, and all else in proportion: the budget of an invocation is 0.6 s for a minute, and the
/// pauses of the host grow from 10 ms for a second to 0.6 s for a minute. So there are as many attempts as there would be.
///
/// In the first half nobody answers, in the second half the account answers 503. Then it comes back and throttles one
/// device of each partition, while it takes the others' writes, in attempts of a high number: devices that were blamed for
/// the outage would now be dead-lettered.
#[test]
fn ten_minutes_without_the_account_under_load_make_no_dead_letter_and_lose_no_event() {
    const PARTITIONS: i32 = 4;
    let outage = Duration::from_mins(10) / QUICKER;
    let listener = Listener::start();
    let app = app(&listener).with("InvocationBudget", "00:00:00.6");
    let handler = &app.start();
    let is_over = &AtomicBool::new(false);
    let streams: Vec<Stream> = thread::scope(|scope| {
        let hosts: Vec<_> = (0..PARTITIONS).map(|id| scope.spawn(move || stream(handler, id, is_over))).collect();
        listener.until("all partitions are under way", |counters| counters.writes() >= 100);
        listener.down();
        pause(outage / 2);
        let unavailable = listener.fault(Fault::status(503).on(&["all"]));
        listener.up();
        pause(outage / 2);
        for partition in 0..PARTITIONS {
            // More than there is time for.
            let throttled = Fault::status(429).retry_after(Duration::from_secs(5));
            listener.fault(throttled.id(&format!("drone-{partition}-3")).next(2));
        }
        listener.end(unavailable);
        is_over.store(true, Relaxed);
        hosts.into_iter().map(|host| host.join().expect("no panic")).collect()
    });
    for stream in &streams {
        assert!(stream.most_attempts > 5, "fewer attempts than DeadLetterAfterAttempts: {}", stream.most_attempts);
    }
    assert_eq!(listener.documents(), Fold::from_batches(streams.iter().flat_map(|stream| &stream.batches)).documents());
    assert!(listener.fault_hits()[1..].iter().all(|throttled| *throttled == 2), "the first 429 came");
}

/// What a partition's host has sent.
struct Stream {
    batches: Vec<Batch>,
    most_attempts: usize,
}

/// Sends one batch after the other, with the host's pauses between the attempts, until the outage is over.
fn stream(handler: &Handler, partition: i32, is_over: &AtomicBool) -> Stream {
    let mut stream = Stream { batches: Vec::new(), most_attempts: 0 };
    while !is_over.load(Relaxed) {
        let batch = batch(partition, stream.batches.len().try_into().expect("few"), 10);
        let first = Cell::new(Duration::from_secs(1) / QUICKER);
        let delivered = deliver_counting(handler, &batch, &Failures::default(), || {
            pause(first.get());
            first.set((first.get() * 2).min(Duration::from_mins(1) / QUICKER));
        });
        delivered.assert_no_dead_letter(20);
        stream.most_attempts = stream.most_attempts.max(delivered.failed.len() + 1);
        stream.batches.push(batch);
    }
    stream
}
