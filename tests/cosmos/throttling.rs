//! Throttling: 429 with a delay after which the client may retry.

use std::{
    thread,
    time::{Duration, Instant},
};

use devicestate_test_support::{
    Batch, Event, Fold,
    listener::{Fault, Listener},
};

use super::{app, battery, deliver, request_units};

fn devices(count: i32, first: i64) -> Vec<Event> {
    (0..count).map(|n| battery(first + i64::from(n), &format!("drone-{n}"), f64::from(n) / 8.0)).collect()
}

#[test]
fn throttling_is_retried_after_the_services_delay_and_its_request_units_are_recorded() {
    const DEVICES: i32 = 10;
    let listener = Listener::start();
    let app = app(&listener);
    let handler = app.start();
    let first = Batch::of(devices(DEVICES, 0));
    handler.invoke(&first.envelope()).assert_all_applied(10);
    listener.reset_counters();

    let (lasting, retry_after) = (Duration::from_secs(3), Duration::from_millis(700));
    let throttled = Fault::status(429).sub_status(3200).retry_after(retry_after).request_charge(1.25);
    listener.fault(throttled.lasting(lasting));
    let started = Instant::now();
    let second = Batch::of(devices(DEVICES, 100));
    let reply = handler.invoke(&second.clone().retry(0, -1).envelope());
    let took = started.elapsed();
    reply.assert_all_applied(10);
    assert!(took < Duration::from_secs(15), "{took:?} of a budget of a minute");
    assert_eq!(listener.documents(), Fold::from_batches([&first, &second]).documents());

    let counters = listener.counters();
    // The first try and one after each delay. The client's own retries would be many more.
    let tries = 1 + u64::try_from(lasting.as_millis().div_ceil(retry_after.as_millis())).expect("few");
    let throttled = counters.status(429);
    assert!((10..=10 * tries).contains(&throttled), "the service's delay was ignored: {counters:?}");
    assert!(counters.requests() <= throttled + 3 * 10, "{counters:?}");
    assert_eq!(reply.batch["retries"], throttled, "{}", reply.batch);
    assert_eq!(request_units([&reply.batch]).to_bits(), counters.request_units.to_bits(), "{counters:?}");
}

/// 400 RU/s, the lowest throughput in Azure: about fifty writes per second.
#[test]
fn an_account_with_low_throughput_loses_nothing() {
    const PARTITIONS: i64 = 4;
    let listener = Listener::with(&["--throughput", "400"]);
    let app = app(&listener);
    let handler = &app.start();
    let batches = |partition: i64| {
        (0..3).map(move |round: i64| {
            let events = (0..12_i32).map(move |n| {
                let number = round * 100 + i64::from(n);
                battery(number, &format!("drone-{partition}-{n}"), f64::from(n) / 8.0)
            });
            Batch::of(events.collect::<Vec<_>>()).partition(&partition.to_string())
        })
    };
    thread::scope(|scope| {
        for partition in 0..PARTITIONS {
            scope.spawn(move || {
                for batch in batches(partition) {
                    let delivered = deliver(handler, &batch);
                    delivered.reply.assert_all_applied(12);
                    assert!(delivered.failed.is_empty(), "{:?}", delivered.failed);
                }
            });
        }
    });
    let all: Vec<_> = (0..PARTITIONS).flat_map(batches).collect();
    assert_eq!(listener.documents(), Fold::from_batches(&all).documents());
    let counters = listener.counters();
    assert!(counters.status(429) > 0, "no request was throttled: {counters:?}");
}

/// The writes of other devices succeed, so each attempt counts as a failure of this device.
#[test]
fn a_device_throttled_beyond_the_budget_is_retried() {
    let listener = Listener::start();
    let app = app(&listener).with("InvocationBudget", "00:00:05");
    let handler = app.start();
    let hot = Fault::status(429).retry_after(Duration::from_secs(30)).id("drone-0");
    listener.fault(hot.on(&["create"]).next(3));
    let batch = Batch::of(devices(4, 0));
    let delivered = deliver(&handler, &batch);
    assert_eq!(delivered.failed.len(), 3, "the requested delay exceeds the budget: {:?}", delivered.failed);
    delivered.assert_no_dead_letter(4);
    assert_eq!(listener.documents(), Fold::from_batches([&batch]).documents());
}
