//! A replay while a handler processes events of the same devices, and two concurrent replays.

use std::process::Child;

use devicestate_test_storage::bench::{Bench, CommandOutput, untyped_event};
use devicestate_test_support::{Batch, Event, Fold, read_output};
use serde_json::{Value, json};

use crate::on_both_queues;

on_both_queues![
    a_replay_during_live_events_results_in_the_documents_of_both,
    two_concurrent_replays_share_the_queue,
    a_visibility_timeout_that_ends_during_a_replay_changes_nothing,
    a_queue_of_hidden_messages_is_not_reported_as_empty,
];

const DEVICES: i64 = 4;

/// Returns a batch whose events alternate between a few devices and their readings.
fn batch(first: i64, events: i64) -> Batch {
    let event = |number: i64| {
        let device = format!("drone-{}", number % DEVICES);
        let level: Value = format!("{number}.5").parse().expect("a number");
        untyped_event(
            number,
            &match number / DEVICES % 3 {
                0 => json!({"deviceId": device, "battery": level}),
                1 => json!({"deviceId": device, "position": {"altitude": level}}),
                _ => json!({"deviceId": device, "battery": level, "position": {"longitude": level}}),
            },
        )
    };
    Batch::of((first..first + events).map(event).collect::<Vec<_>>())
}

fn read_result(child: Child) -> Value {
    let result = CommandOutput::from(child.wait_with_output().expect("a child of this process")).assert_exit_code(0);
    read_output(&result.output, Some(0))
}

fn replayed_count(done: &Value) -> u64 {
    done["replayed"].as_u64().expect("a number")
}

fn a_replay_during_live_events_results_in_the_documents_of_both(bench: &Bench) {
    // Some dead letters are older than all live events, some newer, and some between two live batches.
    let mut batches = vec![batch(1, 40), batch(500_000, 40)];
    batches.extend((0..10).map(|n| batch(1_000 + 20 * n, 4)));
    let all = Batch::of(batches.iter().flat_map(|batch| batch.events().to_vec()).collect::<Vec<_>>());
    let dead_letters = bench.put_misread(&all).len() as u64;
    let handler = bench.app.start();
    let replay = ["replay", "--yes", "--rate", "40/s", "--output", "json"];
    let mut tool = bench.command(&replay).spawn().expect("the binary");
    let (mut live, mut during_replay) = (Vec::new(), 0);
    while tool.try_wait().expect("a child of this process").is_none() && live.len() < 2_000 {
        let batch = batch(1_010 + 20 * i64::try_from(live.len()).expect("few"), 8);
        let [events, .., dead_lettered] = handler.invoke(&batch.envelope()).counts();
        assert_eq!((events, dead_lettered), (8, 0));
        live.push(batch);
        during_replay += u64::from((1..dead_letters).contains(&bench.count()));
    }
    let done = read_result(tool);
    assert_eq!((replayed_count(&done), &done["failedAgain"]), (dead_letters, &json!(0)), "{done}");
    assert!(during_replay > 0, "no live batch was processed during the replay");
    assert_eq!(bench.count(), 0);
    assert_eq!(bench.documents(), Fold::from_batches(live.iter().chain([&all])).documents());
}

fn two_concurrent_replays_share_the_queue(bench: &Bench) {
    let batch = batch(1, 120);
    bench.put_misread(&batch);
    // Messages become visible to the other replay while one processes them: some are replayed by both.
    let words = ["replay", "--yes", "--rate", "30/s", "--visibility-timeout", "1", "--output", "json"];
    let tools = [0, 1].map(|_| bench.command(&words).spawn().expect("the binary"));
    let sum: u64 = tools.map(|tool| replayed_count(&read_result(tool))).iter().sum();
    assert!(sum >= 120, "some were not replayed: {sum}");
    assert_eq!(bench.count(), 0);
    assert_eq!(bench.documents(), Fold::from_batches([&batch]).documents());
}

fn a_visibility_timeout_that_ends_during_a_replay_changes_nothing(bench: &Bench) {
    let batch = batch(1, 16);
    // They fail again, so the replay holds them until its end.
    let invalid =
        Batch::of((1_000..1_008).map(|number| Event::json(number, &json!({"battery": 1}))).collect::<Vec<_>>());
    bench.handle(&invalid);
    bench.put_misread(&batch);
    let words = ["replay", "--yes", "--rate", "8/s", "--visibility-timeout", "1"];
    let done = bench.json(&words, 1);
    assert_eq!((&done["applied"], &done["failedAgain"]), (&json!(16), &json!(8)), "{done}");
    let left = bench.visible();
    let attempts: Vec<Value> = left
        .iter()
        .map(|body| serde_json::from_slice::<Value>(body).expect("JSON")["Replay"]["Attempts"].clone())
        .collect();
    assert_eq!(attempts, vec![json!(1); 8], "all are visible again, and none was replayed twice");
    assert_eq!(bench.count(), 8);
    assert_eq!(bench.documents(), Fold::from_batches([&batch]).documents());
}

fn a_queue_of_hidden_messages_is_not_reported_as_empty(bench: &Bench) {
    bench.put_misread(&batch(1, 3));
    let queue = bench.queue();
    let held = bench.wait_for(queue.receive(32, std::time::Duration::from_mins(10))).expect("received");
    assert_eq!(held.len(), 3);
    for words in [&["replay", "--yes"][..], &["replay"], &["list"]] {
        let result = bench.run(words).assert_exit_code(0);
        assert!(result.errors.contains("3 more messages are in the queue"), "{words:?}: {}", result.errors);
    }
    assert_eq!(bench.count(), 3);
}
