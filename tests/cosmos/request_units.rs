//! Request units: the records agree with the service's own count.

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

/// Returns the records of all attempts, including failed ones.
fn records(Delivered { reply, failed }: &Delivered) -> Vec<Value> {
    let record = |reply: &Value| {
        let line = reply["Logs"][0].as_str().expect("a line");
        serde_json::from_str::<Value>(line).expect("a record")
    };
    let failed = failed.iter().map(record).inspect(|record| assert_eq!(record["record"], "failedAttempt"));
    failed.chain([reply.batch.clone()]).collect()
}

#[test]
fn request_units_of_all_attempts_add_up_to_the_services_count() {
    let listener = Listener::start();
    let app = app(&listener).with("InvocationBudget", "00:00:02");
    let handler = &app.start();
    // Connecting to the account and the container also costs request units, which belong to no batch.
    deliver(handler, &batch(0, "0"));
    listener.reset_counters();

    let fault = |status| Fault::status(status).request_charge(2.5).next(12);
    for fault in [
        fault(429).retry_after(Duration::from_millis(20)),
        // Longer than the budget.
        fault(429).retry_after(Duration::from_secs(5)).skip(20),
        fault(503).skip(30),
        fault(449).skip(60),
    ] {
        listener.fault(fault);
    }
    let delivered: Vec<_> = thread::scope(|scope| {
        // Four partitions with the same devices: conflicts cost request units too.
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
    let (recorded, charged) = (request_units(&records), counters.request_units);
    assert!((recorded - charged).abs() < 0.005, "recorded {recorded}, charged {charged}: {counters:?}");
}
