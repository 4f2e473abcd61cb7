//! The command `replay`.

use devicestate_test_storage::bench::{Bench, CommandOutput};
use devicestate_test_support::{Batch, Event, Fold, read_output};
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

#[test]
fn dead_letters_of_drones_are_replayed_as_other_telemetry_only_with_an_option() {
    let bench = Bench::local();
    let event = Event::json(1, &json!({"deviceId": "drone-1", "flightMode": "hovering", "battery": "full"}));
    let reply = bench.handle(&Batch::of([event]));
    assert_eq!(reply.dead_letter()["Telemetry"], "drone");
    let run = |words: &[&str], telemetry: &str| {
        let output = bench.command(words).env("Telemetry", telemetry).output().expect("the binary runs");
        CommandOutput::from(output)
    };
    let same = run(&["replay"], "drone").assert_exit_code(0);
    assert!(same.output.lines().any(|line| line == "telemetry: drone"), "{}", same.output);
    let id = reply.dead_letter()["Id"].as_str().expect("an id").to_owned();
    let file = bench.app.path("corrected.json");
    std::fs::write(&file, r#"{"deviceId":"drone-1","battery":0.5}"#).expect("a file");
    let file = file.to_str().expect("text");
    for words in [&["replay"][..], &["replay", "--yes"], &["edit", &id, "--file", file, "--yes"]] {
        let refused = run(words, "json").assert_exit_code(2);
        let advice = "set `Telemetry=drone`, or use --other-telemetry";
        assert!(refused.output.is_empty() || words == ["replay"] || words == ["replay", "--yes"], "{}", refused.output);
        assert!(refused.errors.contains(advice), "{}", refused.errors);
        assert_eq!((bench.documents().len(), bench.count()), (0, 1), "nothing changed");
    }
    let shown = run(&["show", &id], "json").assert_exit_code(0);
    for text in ["decoded as         drone", "decoded here as    any JSON", "It was not replayed: "] {
        assert!(shown.output.contains(text), "{text:?}: {}", shown.output);
    }
    let done = run(&["replay", "--other-telemetry", "--yes", "-o", "json"], "json").assert_exit_code(0);
    let done = read_output(&done.output, done.code);
    assert_eq!((&done["applied"], &done["telemetry"]), (&json!(1), &json!("any JSON")));
    assert_eq!((&bench.documents()["drone-1"]["battery"], bench.count()), (&json!("full"), 0));
}

#[test]
fn dead_letters_of_an_earlier_version_do_not_name_their_telemetry_and_are_replayed() {
    let bench = Bench::local();
    let reply = bench.handle(&Batch::of([Event::json(1, &json!({"deviceId": "drone-1", "battery": "full"}))]));
    let text = reply.dead_letter().to_string();
    let earlier = text.replacen(",\"Telemetry\":\"drone\"", "", 1).replacen("\"Telemetry\":\"drone\",", "", 1);
    assert!(earlier.len() < text.len());
    bench.json(&["discard", "--all", "--yes"], 0);
    bench.put(earlier);
    let output = bench.command(&["replay", "--yes"]).env("Telemetry", "json").output().expect("the binary runs");
    CommandOutput::from(output).assert_exit_code(0);
    assert_eq!((bench.documents().len(), bench.count()), (1, 0));
}
