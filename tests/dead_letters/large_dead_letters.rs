//! Dead letters that do not fit into the queue, and are stored in a file or a blob.

use std::fs;

use devicestate_test_storage::bench::Bench;
use devicestate_test_support::{Batch, Event, Fold, from_base64, read_dead_letter};
use serde_json::{Value, json};

use crate::faulty_bench::{ALWAYS, FaultKind, FaultyBench, Operation, audit_lines, on_both_faulty};

on_both_faulty![
    a_large_dead_letter_is_listed_and_shown_completely,
    a_large_dead_letter_is_replayed,
    a_large_dead_letter_is_edited,
    discard_leaves_the_overflow_of_a_large_dead_letter,
    a_dead_letter_that_outgrows_the_queue_moves_to_the_overflow;
    and_a_storage_queue_beside:
    large_dead_letters_are_exported_completely_and_imported_elsewhere,
];

/// Returns JSON that is larger than a message, padded with spaces.
pub(crate) fn large(text: &Value) -> String {
    let text = text.to_string();
    format!("{}{}}}", text.strip_suffix('}').expect("an object"), " ".repeat(60_000))
}

/// Two invalid events, one of them large.
fn poison() -> Batch {
    Batch::of([
        Event::new(1, large(&json!({"deviceId": "drone-1", "flightMode": 99, "battery": 0.5})))
            .content_type("application/json")
            .partition_key("drone-1"),
        Event::json(2, &json!({"deviceId": "drone-2", "flightMode": 99})).partition_key("drone-2"),
    ])
}

/// Puts dead letters of large events from a handler with another format.
pub(crate) fn put_large_dead_letters(faulty: &mut FaultyBench, number: i64) -> Batch {
    let event = |number: i64| {
        let text = large(&json!({"deviceId": format!("drone-{number}"), "battery": 0.5}));
        Event::new(number, text).partition_key(&format!("drone-{number}"))
    };
    let batch = Batch::of((1..=number).map(event).collect::<Vec<_>>());
    faulty.set("TelemetryFormat", Some("protobuf"));
    faulty.handle(&batch);
    faulty.set("TelemetryFormat", None);
    batch
}

/// Returns the pointers into the overflow.
pub(crate) fn pointers(bench: &Bench) -> Vec<Value> {
    let dead_letters = bench.visible().into_iter().map(read_dead_letter);
    dead_letters.filter_map(|letter| letter.get("Overflow").cloned()).collect()
}

fn id_of(bench: &Bench, device: &str) -> String {
    let listed = bench.json(&["list", "--device", device], 0);
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    listed[0]["id"].as_str().expect("an id").to_owned()
}

fn a_large_dead_letter_is_listed_and_shown_completely(faulty: &FaultyBench) {
    faulty.handle(&poison());
    assert_eq!(pointers(faulty).len(), 1);
    let listed = faulty.json(&["list", "--device", "drone-1"], 0);
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(listed[0]["overflow"], pointers(faulty)[0]["Location"]);
    let id = id_of(faulty, "drone-1");
    let shown = faulty.json(&["show", &id], 0);
    assert_eq!(shown["body"], json!({"deviceId": "drone-1", "flightMode": 99, "battery": 0.5}), "{shown:.500}");
    let body = shown["deadLetter"]["EventData"]["Body"].as_str().expect("the body");
    assert_eq!(from_base64(body), poison().events()[0].body());
    assert!(shown["deadLetter"]["EventData"]["SystemProperties"].is_object(), "{shown:.500}");
    let before = faulty.visible();
    let dry_run = faulty.json(&["replay"], 0);
    assert_eq!((&dry_run["failedAgain"], &dry_run["dryRun"]), (&json!(2), &json!(true)));
    assert_eq!(sorted(faulty.visible()), sorted(before));
}

fn sorted(mut bodies: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    bodies.sort();
    bodies
}

fn a_large_dead_letter_is_replayed(faulty: &mut FaultyBench) {
    let batch = put_large_dead_letters(faulty, 3);
    let listed = faulty.json(&["list", "--device", "drone-2"], 0);
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "by the partition key: {listed}");
    let dry_run = faulty.json(&["replay"], 0);
    assert_eq!((&dry_run["applied"], faulty.count()), (&json!(3), 3));
    let done = faulty.json(&["replay", "--yes"], 0);
    assert_eq!((&done["applied"], faulty.count()), (&json!(3), 0));
    assert_eq!(faulty.documents(), Fold::from_batches([&batch]).documents());
}

fn a_large_dead_letter_is_edited(faulty: &FaultyBench) {
    faulty.handle(&poison());
    let id = id_of(faulty, "drone-1");
    let file = faulty.app.path("corrected.json");
    fs::write(&file, r#"{"deviceId": "drone-1", "flightMode": 3, "battery": 0.5}"#).expect("a file");
    faulty.run(&["edit", &id, "--file", file.to_str().expect("text"), "--yes"]).assert_exit_code(0);
    assert_eq!(faulty.count(), 1);
    assert_eq!(faulty.documents()["drone-1"]["Battery"], 0.5);
}

fn discard_leaves_the_overflow_of_a_large_dead_letter(faulty: &FaultyBench) {
    faulty.handle(&poison());
    let message = faulty.visible().into_iter().find(|body| read_dead_letter(body).get("Overflow").is_some());
    let id = id_of(faulty, "drone-1");
    faulty.run(&["discard", &id, "--yes"]).assert_exit_code(0);
    assert_eq!((faulty.count(), pointers(faulty).len()), (1, 0));
    // The same message can be replayed after it is put again.
    faulty.put(message.expect("a large one"));
    let shown = faulty.json(&["show", &id], 0);
    assert_eq!(shown["body"]["deviceId"], "drone-1");
}

fn large_dead_letters_are_exported_completely_and_imported_elsewhere(faulty: &FaultyBench) {
    faulty.handle(&poison());
    let exported = faulty.run(&["export"]).assert_exit_code(0).output;
    let lines: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.iter().filter(|line| line.get("completeDeadLetter").is_some()).count(), 1);
    let complete = lines.iter().find_map(|line| line.get("completeDeadLetter")).expect("a complete one");
    assert_eq!(from_base64(complete["EventData"]["Body"].as_str().expect("a body")), poison().events()[0].body());

    let file = faulty.app.path("kept.jsonl");
    fs::write(&file, &exported).expect("a file");
    for other in [Bench::local(), Bench::azurite()] {
        other.run(&["import", "--file", file.to_str().expect("text")]).assert_exit_code(0);
        let again = other.run(&["export"]).assert_exit_code(0).output;
        let mut there: Vec<Value> = again.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        there.sort_by_key(|line| line["message"]["Id"].to_string());
        let mut here = lines.clone();
        here.sort_by_key(|line| line["message"]["Id"].to_string());
        assert_eq!(there.len(), here.len());
        for (there, here) in there.iter_mut().zip(&mut here) {
            assert_eq!(
                there.get("completeDeadLetter").map(ToString::to_string),
                here.get("completeDeadLetter").map(ToString::to_string)
            );
            if here.get("completeDeadLetter").is_some() {
                let moved = there["message"]["Overflow"]["Location"].take();
                assert_ne!(moved, here["message"]["Overflow"]["Location"].take(), "another location");
            }
            assert_eq!(there["message"].to_string(), here["message"].to_string());
        }
        let id = id_of(&other, "drone-1");
        assert_eq!(other.json(&["show", &id], 0)["body"]["deviceId"], "drone-1");
    }
}

/// Returns the text of a dead letter that just fits into the queue.
fn as_large_as_fits(faulty: &FaultyBench) -> String {
    let handler = faulty.app.start();
    let letter = |spaces: usize| {
        let text = json!({"deviceId": "drone-1", "flightMode": 99}).to_string();
        let event = Event::new(1, format!("{text}{}", " ".repeat(spaces))).partition_key("drone-1");
        handler.invoke(&Batch::of([event]).envelope()).dead_letter().to_string()
    };
    let room = (49_152 - letter(30_000).len()) / 4 * 3;
    let text = letter(30_000 + room - 6);
    assert!((49_100..=49_152).contains(&text.len()), "{}", text.len());
    text
}

fn a_dead_letter_that_outgrows_the_queue_moves_to_the_overflow(faulty: &FaultyBench) {
    let letter = as_large_as_fits(faulty);
    faulty.put(&letter);
    let letter = read_dead_letter(&letter);
    let id = id_of(faulty, "drone-1");
    for attempt in 1..=2 {
        faulty.run(&["replay", "--yes"]).assert_exit_code(1);
        let message = read_dead_letter(&faulty.visible()[0]);
        assert_eq!((&message["Replay"]["Attempts"], &message["Id"]), (&json!(attempt), &json!(id)), "{message:.400}");
        let overflow = &message["Overflow"]["Location"];
        assert!(overflow.is_string(), "{message:.400}");
        let shown = faulty.json(&["show", &id], 0);
        assert_eq!(shown["deadLetter"]["EventData"]["Body"], letter["EventData"]["Body"]);
        assert_eq!(shown["deadLetter"]["Replay"]["Attempts"], attempt);
    }
    assert_eq!(faulty.count(), 1);
}

#[test]
#[ignore = "just test-azure"]
fn an_overflow_that_is_down_stops_import_and_replay_and_loses_nothing() {
    let faulty = FaultyBench::azurite();
    let growing = as_large_as_fits(&faulty);
    faulty.put(&growing);
    let mut other = FaultyBench::local();
    put_large_dead_letters(&mut other, 1);
    let file = faulty.app.path("large.jsonl");
    fs::write(&file, other.run(&["export"]).assert_exit_code(0).output).expect("a file");
    faulty.fail(Operation::Store, 0, ALWAYS, FaultKind::Rejected);
    let audit_file = faulty.app.path("trail.jsonl");
    let audit = ["--audit", audit_file.to_str().expect("text")];
    let import = ["import", "--file", file.to_str().expect("text")];
    for (words, expected) in [(&import[..], "line 1"), (&["replay", "--yes"], "too large")] {
        let result = faulty.run(&[words, &audit].concat()).assert_exit_code(2);
        assert!(result.errors.contains("DeadLetterStorage") && result.errors.contains(expected), "{}", result.errors);
    }
    faulty.repair();
    faulty.assert_all_visible(1);
    assert_eq!((faulty.visible(), audit_lines(&audit_file).len()), (vec![growing.into_bytes()], 0));
}
