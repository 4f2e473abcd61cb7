//! The command `replay`.

use devicestate_test_storage::bench::Bench;
use devicestate_test_support::{Batch, Event, Fold};
use serde_json::json;

use crate::on_both_queues;

on_both_queues![a_replay_applies_dead_letters_and_empties_the_queue];

/// A handler that decodes everything as protobuf dead-letters the events; the command detects their format.
fn a_replay_applies_dead_letters_and_empties_the_queue(bench: &Bench) {
    let batch = Batch::of([
        Event::new(1, json!({"deviceId": "drone-1", "battery": 0.5}).to_string()),
        Event::new(2, json!({"deviceId": "drone-2", "battery": 0.25}).to_string()),
    ]);
    let protobuf_bench = Bench::local();
    let app = protobuf_bench.app.with("TelemetryFormat", "protobuf");
    let reply = app.start().invoke(&batch.envelope());
    assert_eq!(reply.counts(), [2, 0, 0, 2]);
    bench.put_all(&reply);

    let dry_run = bench.json(&["replay"], 0);
    assert_eq!((&dry_run["applied"], &dry_run["dryRun"]), (&json!(2), &json!(true)));
    assert_eq!((bench.documents().len(), bench.count()), (0, 2), "a dry run changes nothing");
    let done = bench.json(&["replay", "--yes"], 0);
    assert_eq!((&done["applied"], &done["dryRun"]), (&json!(2), &json!(false)));
    assert_eq!(bench.count(), 0);
    assert_eq!(bench.documents(), Fold::from_batches([&batch]).documents());
}
