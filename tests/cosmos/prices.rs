//! Request units: what the records say is what the service took.

use std::{thread, time::Duration};

use devicestate_test_support::{
    Batch,
    listener::{Fault, Listener},
};
use serde_json::Value;

use super::{Delivered, app, battery, deliver, request_units};

fn batch(first: i64, partition: &str) -> Batch {
    let events = (0..20_i32).map(|n| battery(first + i64::from(n), &format!("drone-{}", n % 10), f64::from(n)));
    Batch::of(events.collect::<Vec<_>>()).partition(partition)
}

/// The records of all attempts, failed ones included.
fn records(Delivered { reply, failed }: &Delivered) -> Vec<Value> {
    let line = |answer: &Value| {
        let line = answer["Logs"][0].as_str().expect("a line");
        serde_json::from_str::<Value>(line).expect("a record")
    };
    let failed = failed.iter().map(line).inspect(|record| assert_eq!(record["record"], "failedAttempt"));
    failed.chain([reply.batch.clone()]).collect()
}

#[test]
fn request_units_of_all_attempts_add_up_to_what_the_service_took() {
    let listener = Listener::start();
    let app = app(&listener).with("InvocationBudget", "00:00:02");
    let handler = &app.start();
    // Finding the account and the container has a price too, and is no batch's.
    deliver(handler, &batch(0, "0"));
    listener.reset_counters();

    let fault = |status| Fault::status(status).request_charge(2.5).next(12);
    for fault in [
        fault(429).retry_after(Duration::from_millis(20)),
        // More than the budget has time for.
        fault(429).retry_after(Duration::from_secs(5)).skip(20),
        fault(503).skip(30),
        fault(449).skip(60),
    ] {
        listener.fault(fault);
    }
    let delivered: Vec<_> = thread::scope(|scope| {
        // Four partitions with the same devices: conflicts have their price, too.
        let partitions = ["1", "2", "3", "4"].map(|partition| {
            scope.spawn(move || (1..4).map(|n| deliver(handler, &batch(n * 100, partition))).collect::<Vec<_>>())
        });
        partitions.into_iter().flat_map(|partition| partition.join().expect("no panic")).collect()
    });
    let records: Vec<_> = delivered.iter().flat_map(records).collect();
    assert!(records.len() > delivered.len(), "no attempt failed");
    let counters = listener.counters();
    assert!(counters.status(429) > 0 && counters.status(412) > 0 && counters.status(503) > 0, "{counters:?}");
    let throttled: u64 = records.iter().map(|record| record["throttled"].as_u64().expect("a count")).sum();
    assert_eq!(throttled, counters.status(429), "{counters:?}");
    let (told, taken) = (request_units(&records), counters.request_units);
    assert!((told - taken).abs() < 0.005, "{told} were told, {taken} were taken: {counters:?}");
}
