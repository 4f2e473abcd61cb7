//! Dead letters without a position in the hub, and incomplete ones.

use devicestate_test_storage::bench::{Bench, untyped_event};
use devicestate_test_support::{Batch, Event, Fold};
use serde_json::{Value, json};

use crate::on_both_queues;

on_both_queues![
    a_replayed_event_without_position_overwrites_no_later_event,
    an_event_without_matching_metadata_is_not_replayed,
    a_complete_request_is_replayed_with_the_right_function_json,
    a_cut_body_is_not_replayed,
];

/// Returns a request without metadata. As from the admin endpoint, nothing says where its events were.
fn request_without_metadata(events: &[Value]) -> Value {
    let bodies: Vec<_> = events.iter().map(|event| devicestate_test_support::base64(event.to_string())).collect();
    json!({"Data": {"messages": json!(bodies).to_string()}})
}

fn a_replayed_event_without_position_overwrites_no_later_event(bench: &Bench) {
    let handler = bench.app.start();
    let send = |event: &Value| handler.invoke(&request_without_metadata(std::slice::from_ref(event)));
    send(&json!({"deviceId": "drone-2", "battery": 0.25})).assert_all_applied(1);
    let misread = Bench::local().with("TelemetryFormat", "protobuf");
    let reply = misread.app.start().invoke(&request_without_metadata(&[
        json!({"deviceId": "drone-1", "battery": 0.5, "flightMode": 3}),
        json!({"deviceId": "drone-2", "battery": 0.5}),
    ]));
    assert_eq!(reply.counts(), [2, 0, 0, 2]);
    bench.put_all(&reply);
    send(&json!({"deviceId": "drone-1", "battery": 0.75})).assert_all_applied(1);
    let done = bench.json(&["replay", "--yes"], 0);
    assert_eq!((&done["applied"], bench.count()), (&json!(2), 0), "{done}");
    let documents = bench.documents();
    let of = |device: &str, reading: &str| documents[device][reading].clone();
    assert_eq!(of("drone-1", "Battery"), 0.75, "a later event is not overwritten");
    assert_eq!(of("drone-1", "FlightMode"), 3, "a reading without a later value is added");
    assert_eq!(of("drone-2", "Battery"), 0.5, "an earlier event is overwritten");
}

fn an_event_without_matching_metadata_is_not_replayed(bench: &Bench) {
    let batch = Batch::of([Event::json(1, &json!({"deviceId": "drone-1", "battery": 0.5}))]);
    let mut request = batch.envelope();
    request["Metadata"]["SequenceNumberArray"] = "[1,2]".into();
    let reply = bench.app.start().invoke(&request);
    assert_eq!(reply.counts(), [1, 0, 0, 1]);
    bench.put_all(&reply);
    let done = bench.json(&["replay", "--yes"], 1);
    assert_eq!(done["failedAgain"], 1, "{done}");
    let issues = done["failures"].to_string();
    assert!(issues.contains("the position of the event in its partition is not known"), "{issues}");
    assert_eq!((bench.count(), bench.documents().len()), (1, 0));
}

fn a_complete_request_is_replayed_with_the_right_function_json(bench: &Bench) {
    let batch = Batch::of([
        Event::json(1, &json!({"deviceId": "drone-1", "battery": 0.5})),
        Event::json(2, &json!({"deviceId": "drone-2", "battery": 0.25})),
    ]);
    let other_bench = Bench::local().with("DeadLetterAfterAttempts", "1");
    let app = other_bench.app.with_function(|function| function["bindings"][0]["name"] = "events".into());
    let reply = app.start().invoke(&batch.envelope());
    assert_eq!(reply.dead_letters.len(), 1, "the complete request: {:?}", reply.dead_letters);
    bench.put_all(&reply);
    let without = bench.app.path("nowhere").display().to_string();
    if bench.is_local() {
        let said = bench.run(&["replay", "--yes", "--app-root", &without]).assert_exit_code(2);
        assert!(said.errors.contains("use --app-root"), "{}", said.errors);
    }
    let done = bench.json(&["replay", "--yes"], 0);
    assert_eq!((&done["replayed"], &done["applied"]), (&json!(1), &json!(1)), "{done}");
    assert_eq!((bench.count(), bench.documents()), (0, Fold::from_batches([&batch]).documents()));
}

fn a_cut_body_is_not_replayed(bench: &Bench) {
    let batch = Batch::of([untyped_event(1, &json!({"deviceId": "drone-1", "battery": 0.5}))]);
    let letter = bench.put_misread(&batch).remove(0);
    let mut cut = letter.clone();
    cut["Id"] = "0".repeat(32).into();
    cut["EventData"]["BodyCut"] = json!({"Length": 5_000, "Sha256": "0".repeat(64)});
    bench.put(cut.to_string());
    let done = bench.json(&["replay", "--yes"], 1);
    assert_eq!((&done["applied"], &done["failedAgain"]), (&json!(1), &json!(1)), "{done}");
    let issues = done["failures"].to_string();
    assert!(issues.contains("of 5000 bytes, because it could not be stored in the overflow"), "{issues}");
    assert_eq!((bench.count(), bench.documents()), (1, Fold::from_batches([&batch]).documents()));
}
