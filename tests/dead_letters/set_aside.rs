//! Dead letters that keep failing: counted, set aside, and replayed when given by id.

use devicestate_test_storage::bench::{Bench, untyped_event};
use devicestate_test_support::{Batch, Event};
use serde_json::{Value, json};

use crate::on_both_queues;

on_both_queues![a_dead_letter_is_set_aside_after_max_replays_until_given_by_id, a_dry_run_changes_no_byte];

/// Events that can never be applied.
fn poison() -> Batch {
    Batch::of([
        Event::json(1, &json!({"battery": 0.5})).partition_key("drone-1"),
        Event::json(2, &json!({"deviceId": "drone-2", "flightMode": 99})),
    ])
}

fn dead_letters(bench: &Bench) -> Vec<Value> {
    let mut dead_letters: Vec<Value> =
        bench.visible().iter().map(|body| serde_json::from_slice(body).expect("JSON")).collect();
    dead_letters.sort_by_key(|letter| letter["EventData"]["SequenceNumber"].as_i64());
    dead_letters
}

fn replay_counts(bench: &Bench) -> Vec<Option<u64>> {
    dead_letters(bench).iter().map(|letter| letter["Replay"]["Attempts"].as_u64()).collect()
}

fn a_dead_letter_is_set_aside_after_max_replays_until_given_by_id(bench: &Bench) {
    bench.handle(&poison());
    let before = dead_letters(bench);
    let replay_up_to = |most: &str, more: &[&str], code| {
        let done = bench.json(&[&["replay", "--yes", "--max-replays", most], more].concat(), code);
        ["replayed", "failedAgain", "setAside"].map(|name| done[name].as_u64().expect("a number"))
    };
    let replay = |more: &[&str], code| replay_up_to("2", more, code);
    assert_eq!(bench.json(&["replay"], 0)["failedAgain"], 2, "a dry run does not fail");
    assert_eq!(replay_counts(bench), [None, None], "a dry run does not count");
    assert_eq!(replay(&[], 1), [2, 2, 0]);
    assert_eq!(replay(&["--device", "drone-1"], 1), [1, 1, 0]);
    assert_eq!(replay_counts(bench), [Some(2), Some(1)]);
    assert_eq!(replay(&[], 1), [1, 1, 1], "one is set aside");
    assert_eq!(replay(&[], 0), [0, 0, 2], "both are set aside, which is not a failure");
    assert_eq!(replay(&["--stage", "validate"], 0)[0], 0, "a filter is not an id");
    let id = before[0]["Id"].as_str().expect("an id");
    assert_eq!(replay(&[&id[..12]], 1), [1, 1, 0], "given by id, it is replayed");
    assert_eq!(replay_up_to("9", &[], 1), [2, 2, 0]);
    assert_eq!(replay_counts(bench), [Some(4), Some(3)]);
    let text = bench.run(&["replay", "--max-replays", "2"]).assert_exit_code(0).output;
    assert!(text.contains("2 dead letters are set aside"), "{text}");
    // Apart from the count of replays, each is what the handler has written.
    let mut after = dead_letters(bench);
    for letter in &mut after {
        let replay = letter.as_object_mut().expect("an object").remove("Replay").expect("a replay");
        assert!(replay["Issue"].is_string() && replay["Stage"].is_string(), "{replay}");
    }
    after.iter_mut().zip(&before).for_each(|(after, before)| after["DeviceId"] = before["DeviceId"].clone());
    assert_eq!((after, bench.count(), bench.documents().len()), (before, 2, 0));
}

fn a_dry_run_changes_no_byte(bench: &Bench) {
    bench.handle(&poison());
    let valid = Batch::of([untyped_event(3, &json!({"deviceId": "drone-1", "battery": 0.5}))]);
    bench.put_misread(&valid);
    bench.put("not a dead letter");
    let handled = Batch::of([Event::json(1, &json!({"deviceId": "drone-1", "battery": 0.25}))]);
    bench.app.start().invoke(&handled.envelope()).assert_all_applied(1);
    let (messages, documents, rows) = (sorted(bench.visible()), bench.documents(), rows(bench));
    let dry_run = bench.json(&["replay"], 0);
    let counts = ["applied", "superseded", "failedAgain", "foreign"].map(|name| dry_run[name].as_u64());
    assert_eq!(counts, [1, 0, 2, 1].map(Some), "{dry_run}");
    assert_eq!((sorted(bench.visible()), bench.documents(), self::rows(bench)), (messages, documents, rows));
    assert!(!bench.app.path("state.db-audit.jsonl").exists(), "a dry run has no audit trail");
}

/// Returns the messages in an order of their own, because a Storage queue has none.
fn sorted(mut messages: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    messages.sort();
    messages
}

/// Returns the rows of the state file, without dequeue counts and receipts.
fn rows(bench: &Bench) -> Vec<(i64, i64, Vec<u8>, i64)> {
    if !bench.is_local() {
        return Vec::new();
    }
    let connection = rusqlite::Connection::open(bench.state()).expect("the state file");
    let select = "SELECT message_id, inserted_ms, text, visible_ms FROM dead_letters ORDER BY message_id";
    let mut select = connection.prepare(select).expect("a statement");
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).expect("rows");
    rows.collect::<Result<_, _>>().expect("rows")
}
