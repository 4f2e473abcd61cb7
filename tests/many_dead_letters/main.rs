//! Thousands of dead letters. A test program of its own, because it keeps Azurite busy and would slow down other tests.

use devicestate_test_storage::bench::{Bench, untyped_event};
use devicestate_test_support::{Batch, Fold};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;

/// The number of dead letters.
const LETTERS: u64 = 4_000;

#[test]
fn thousands_are_listed_tried_and_replayed_on_the_queue_of_a_state_file() {
    thousands_are_listed_tried_and_replayed(&Bench::local());
}

#[test]
fn thousands_are_listed_tried_and_replayed_on_a_storage_queue() {
    thousands_are_listed_tried_and_replayed(&Bench::azurite());
}

/// Puts messages, several at the same time.
fn put_all(bench: &Bench, bodies: impl IntoIterator<Item = String>) {
    let queue = &*bench.queue();
    let puts = stream::iter(bodies).map(|body| async move { queue.put(body.as_bytes()).await });
    bench.wait_for(puts.buffer_unordered(16).try_collect::<()>()).expect("put");
}

fn thousands_are_listed_tried_and_replayed(bench: &Bench) {
    let event = |number: i64| {
        let level = if number.cast_unsigned() < LETTERS - 50 { 0.25 } else { 0.5 };
        untyped_event(number, &json!({"deviceId": format!("drone-{}", number % 100), "battery": level}))
    };
    let batch = Batch::of((0..LETTERS.cast_signed()).map(event).collect::<Vec<_>>());
    let misread = Bench::local().with("TelemetryFormat", "protobuf");
    let reply = misread.app.start().invoke(&batch.envelope());
    put_all(bench, reply.dead_letters.iter().map(ToString::to_string));
    assert_eq!(bench.count(), LETTERS);

    let listed = bench.json(&["list"], 0);
    assert_eq!(listed.as_array().map(Vec::len), usize::try_from(LETTERS).ok());
    let tried = bench.json(&["replay"], 0);
    assert_eq!((bench.count(), bench.documents().len()), (LETTERS, 0), "a dry run changes nothing");
    let done = bench.json(&["replay", "--yes"], 0);
    for result in [&tried, &done] {
        let count = |name: &str| result[name].as_u64().expect("a number");
        assert_eq!((count("replayed"), count("failedAgain"), count("setAside"), count("foreign")), (LETTERS, 0, 0, 0));
        assert_eq!(count("applied") + count("superseded"), LETTERS, "{result}");
        assert_eq!((&result["stopped"], &result["failures"]), (&json!(false), &json!([])), "{result}");
    }
    assert_eq!(bench.count(), 0);
    assert_eq!(bench.documents(), Fold::from_batches([&batch]).documents());
}
