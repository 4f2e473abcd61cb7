//! Events of devices whose documents the store rejected for a while.

use devicestate_test_storage::bench::{Bench, untyped_event};
use devicestate_test_support::{Batch, Event, Fold, listener::Fault};
use serde_json::json;

use crate::on_both_queues;

on_both_queues![with_an_account:
    rejected_documents_are_replayed_when_the_store_accepts_them,
    a_refused_document_does_not_stop_the_replay_of_others,
];

/// Returns a batch of six devices: some events have one reading, some another, some both.
fn batch(partition: &str, first: i64) -> Batch {
    let events = (0..60).map(|n| {
        let (number, device) = (first + n, format!("drone-{}", n % 6));
        let (battery, altitude) = (json!(n), json!({"altitude": n}));
        Event::json(
            number,
            &match n % 4 {
                0 => json!({"deviceId": device, "battery": battery}),
                1 => json!({"deviceId": device, "position": altitude}),
                _ => json!({"deviceId": device, "battery": battery, "position": altitude}),
            },
        )
    });
    Batch::of(events.collect::<Vec<_>>()).partition(partition)
}

fn rejected_documents_are_replayed_when_the_store_accepts_them(bench: &Bench) {
    let batches = [batch("0", 1), batch("1", 31), batch("0", 61)];
    let account = bench.account();
    account.fault(Fault::status(403).sub_status(1014).on(&["create", "replace"]).id("drone-1"));
    account.fault(Fault::status(413).on(&["create", "replace"]).id("drone-3"));
    let handler = bench.app.start();
    let mut dead_letters = 0;
    for batch in &batches {
        let reply = handler.invoke(&batch.envelope());
        assert_eq!((reply.counts()[0], reply.counts()[3]), (60, 20));
        bench.put_all(&reply);
        dead_letters += 20;
    }
    assert_eq!(bench.count(), dead_letters);
    // The newest event of one device is stored before the others are replayed.
    account.clear_faults();
    let live = Batch::of([Event::json(100_000, &json!({"deviceId": "drone-1", "battery": 0.5}))]);
    handler.invoke(&live.envelope()).assert_all_applied(1);

    let done = bench.json(&["replay", "--yes"], 0);
    assert_eq!((&done["replayed"], &done["failedAgain"]), (&json!(dead_letters), &json!(0)), "{done}");
    let sum =
        done["applied"].as_u64().zip(done["superseded"].as_u64()).map(|(applied, superseded)| applied + superseded);
    assert_eq!(sum, Some(dead_letters), "{done}");
    assert!(done["superseded"].as_u64() >= Some(5), "{done}");
    assert_eq!(bench.count(), 0);
    assert_eq!(account.documents(), Fold::from_batches(batches.iter().chain([&live])).documents());
}

fn a_refused_document_does_not_stop_the_replay_of_others(bench: &Bench) {
    let event = |number: i64| untyped_event(number, &json!({"deviceId": format!("drone-{number}"), "battery": 0.5}));
    bench.put_misread(&Batch::of((1..=3).map(event).collect::<Vec<_>>()));
    let account = bench.account();
    account.fault(Fault::status(401).id("drone-2"));
    let done = bench.json(&["replay", "--yes"], 1);
    assert_eq!(
        (&done["applied"], &done["failedAgain"], &done["reason"]),
        (&json!(2), &json!(1), &json!(null)),
        "{done}"
    );
    // Alone, in a process that has written nothing.
    let done = bench.json(&["replay", "--yes"], 1);
    assert_eq!(
        (&done["applied"], &done["failedAgain"], &done["reason"]),
        (&json!(0), &json!(1), &json!(null)),
        "{done}"
    );
    account.clear_faults();
    assert_eq!(bench.json(&["replay", "--yes"], 0)["applied"], 1);
    assert_eq!((bench.count(), account.documents().len()), (0, 3));
}
