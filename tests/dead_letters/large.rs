//! Dead letters that do not fit into the queue, and lie whole in a file or a blob.

use std::fs;

use devicestate_test_storage::bench::Bench;
use devicestate_test_support::{Batch, Event, Fold, base64, from_base64, read_letter};
use serde_json::{Value, json};

use crate::broken::{ALWAYS, Broken, How, Kind, on_both_broken, trail as lines_of};

on_both_broken![
    a_large_one_is_listed_by_its_device_shown_whole_and_tried_without_a_change,
    a_large_one_is_replayed_once_the_cause_is_gone,
    a_large_one_is_corrected_and_applied,
    a_discarded_large_one_leaves_what_lies_elsewhere,
    one_that_no_longer_fits_when_a_failed_replay_is_counted_goes_elsewhere;
    and_a_storage_queue_beside:
    large_ones_are_exported_whole_and_imported_elsewhere_with_another_pointer,
];

/// JSON that is larger than a message, of spaces for the most part.
pub(crate) fn large(text: &Value) -> String {
    let text = text.to_string();
    format!("{}{}}}", text.strip_suffix('}').expect("an object"), " ".repeat(60_000))
}

/// A large event that no device may send, and one that a device may.
fn poison() -> Batch {
    Batch::of([
        Event::new(1, large(&json!({"deviceId": "drone-1", "flightMode": 99, "battery": 0.5})))
            .content_type("application/json")
            .partition_key("drone-1"),
        Event::json(2, &json!({"deviceId": "drone-2", "flightMode": 99})).partition_key("drone-2"),
    ])
}

/// Large events that a handler with another format could not read.
pub(crate) fn fill_large(broken: &mut Broken, number: i64) -> Batch {
    let event = |number: i64| {
        let text = large(&json!({"deviceId": format!("drone-{number}"), "battery": 0.5}));
        Event::new(number, text).partition_key(&format!("drone-{number}"))
    };
    let batch = Batch::of((1..=number).map(event).collect::<Vec<_>>());
    broken.set("TelemetryFormat", Some("protobuf"));
    broken.handle(&batch);
    broken.set("TelemetryFormat", None);
    batch
}

/// Where the messages say that the whole ones are.
pub(crate) fn pointers(bench: &Bench) -> Vec<Value> {
    let letters = bench.visible().into_iter().map(read_letter);
    letters.filter_map(|letter| letter.get("Overflow").cloned()).collect()
}

fn id_of(bench: &Bench, device: &str) -> String {
    let listed = bench.json(&["list", "--device", device], 0);
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    listed[0]["Id"].as_str().expect("an id").to_owned()
}

fn a_large_one_is_listed_by_its_device_shown_whole_and_tried_without_a_change(broken: &Broken) {
    broken.handle(&poison());
    assert_eq!(pointers(broken).len(), 1);
    let listed = broken.json(&["list", "--device", "drone-1"], 0);
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(listed[0]["Overflow"], pointers(broken)[0]["Location"]);
    let id = id_of(broken, "drone-1");
    let shown = broken.json(&["show", &id], 0);
    assert_eq!(shown["Body"], json!({"deviceId": "drone-1", "flightMode": 99, "battery": 0.5}), "{shown:.500}");
    let body = shown["DeadLetter"]["EventData"]["Body"].as_str().expect("the body");
    assert_eq!(from_base64(body), poison().events()[0].body());
    assert!(shown["DeadLetter"]["EventData"]["SystemProperties"].is_object(), "{shown:.500}");
    let before = broken.visible();
    let tried = broken.json(&["replay"], 0);
    assert_eq!((&tried["FailedAgain"], &tried["DryRun"]), (&json!(2), &json!(true)));
    assert_eq!(sorted(broken.visible()), sorted(before));
}

fn sorted(mut bodies: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    bodies.sort();
    bodies
}

fn a_large_one_is_replayed_once_the_cause_is_gone(broken: &mut Broken) {
    let batch = fill_large(broken, 3);
    let listed = broken.json(&["list", "--device", "drone-2"], 0);
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "by the partition key: {listed}");
    let tried = broken.json(&["replay"], 0);
    assert_eq!((&tried["Applied"], broken.count()), (&json!(3), 3));
    let done = broken.json(&["replay", "--yes"], 0);
    assert_eq!((&done["Applied"], broken.count()), (&json!(3), 0));
    assert_eq!(broken.documents(), Fold::from_batches([&batch]).documents());
}

fn a_large_one_is_corrected_and_applied(broken: &Broken) {
    broken.handle(&poison());
    let id = id_of(broken, "drone-1");
    let file = broken.app.path("corrected.json");
    fs::write(&file, r#"{"deviceId": "drone-1", "flightMode": 3, "battery": 0.5}"#).expect("a file");
    broken.run(&["edit", &id, "--from", file.to_str().expect("text"), "--yes"]).assert_exit_code(0);
    assert_eq!(broken.count(), 1);
    assert_eq!(broken.documents()["drone-1"]["Battery"], 0.5);
}

fn a_discarded_large_one_leaves_what_lies_elsewhere(broken: &Broken) {
    broken.handle(&poison());
    let message = broken.visible().into_iter().find(|body| read_letter(body).get("Overflow").is_some());
    let id = id_of(broken, "drone-1");
    broken.run(&["discard", &id, "--yes"]).assert_exit_code(0);
    assert_eq!((broken.count(), pointers(broken).len()), (1, 0));
    // The same message put back finds it.
    broken.put(message.expect("a large one"));
    let shown = broken.json(&["show", &id], 0);
    assert_eq!(shown["Body"]["deviceId"], "drone-1");
}

fn large_ones_are_exported_whole_and_imported_elsewhere_with_another_pointer(broken: &Broken) {
    broken.handle(&poison());
    let exported = broken.run(&["export"]).assert_exit_code(0).output;
    let lines: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.iter().filter(|line| line.get("Whole").is_some()).count(), 1);
    let whole = lines.iter().find_map(|line| line.get("Whole")).expect("a whole one");
    assert_eq!(from_base64(whole["EventData"]["Body"].as_str().expect("a body")), poison().events()[0].body());

    let file = broken.app.path("kept.jsonl");
    fs::write(&file, &exported).expect("a file");
    for other in [Bench::local(), Bench::azurite()] {
        other.run(&["import", file.to_str().expect("text")]).assert_exit_code(0);
        let again = other.run(&["export"]).assert_exit_code(0).output;
        let mut there: Vec<Value> = again.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        there.sort_by_key(|line| line["Message"]["Id"].to_string());
        let mut here = lines.clone();
        here.sort_by_key(|line| line["Message"]["Id"].to_string());
        assert_eq!(there.len(), here.len());
        for (there, here) in there.iter_mut().zip(&mut here) {
            assert_eq!(there.get("Whole").map(ToString::to_string), here.get("Whole").map(ToString::to_string));
            if here.get("Whole").is_some() {
                let moved = there["Message"]["Overflow"]["Location"].take();
                assert_ne!(moved, here["Message"]["Overflow"]["Location"].take(), "another place");
            }
            assert_eq!(there["Message"].to_string(), here["Message"].to_string());
        }
        let id = id_of(&other, "drone-1");
        assert_eq!(other.json(&["show", &id], 0)["Body"]["deviceId"], "drone-1");
    }
}

/// The text of a dead letter that just fits into the queue.
fn as_large_as_fits(broken: &Broken) -> String {
    let event = Event::json(1, &json!({"deviceId": "drone-1", "flightMode": 99})).partition_key("drone-1");
    let reply = broken.app.start().invoke(&Batch::of([event]).envelope());
    let mut letter = reply.dead_letter().clone();
    let body = |spaces: usize| {
        let text = json!({"deviceId": "drone-1", "flightMode": 99}).to_string();
        base64(format!("{text}{}", " ".repeat(spaces)))
    };
    letter["EventData"]["Body"] = body(30_000).into();
    let room = (49_152 - letter.to_string().len()) / 4 * 3;
    letter["EventData"]["Body"] = body(30_000 + room - 3).into();
    let text = letter.to_string();
    assert!((49_100..=49_152).contains(&text.len()), "{}", text.len());
    text
}

fn one_that_no_longer_fits_when_a_failed_replay_is_counted_goes_elsewhere(broken: &Broken) {
    let letter = as_large_as_fits(broken);
    broken.put(&letter);
    let letter = read_letter(&letter);
    let id = id_of(broken, "drone-1");
    for attempt in 1..=2 {
        broken.run(&["replay", "--yes"]).assert_exit_code(1);
        let message = read_letter(&broken.visible()[0]);
        assert_eq!((&message["Replay"]["Attempts"], &message["Id"]), (&json!(attempt), &json!(id)), "{message:.400}");
        let overflow = &message["Overflow"]["Location"];
        assert!(overflow.is_string(), "{message:.400}");
        let shown = broken.json(&["show", &id], 0);
        assert_eq!(shown["DeadLetter"]["EventData"]["Body"], letter["EventData"]["Body"]);
        assert_eq!(shown["DeadLetter"]["Replay"]["Attempts"], attempt);
    }
    assert_eq!(broken.count(), 1);
}

#[test]
#[ignore = "just test-azure"]
fn what_cannot_be_kept_elsewhere_stops_an_import_and_a_count_and_loses_nothing() {
    let broken = Broken::azurite();
    let growing = as_large_as_fits(&broken);
    broken.put(&growing);
    let mut other = Broken::local();
    fill_large(&mut other, 1);
    let file = broken.app.path("large.jsonl");
    fs::write(&file, other.run(&["export"]).assert_exit_code(0).output).expect("a file");
    broken.fail(Kind::Keep, 0, ALWAYS, How::Refused);
    let trail = broken.app.path("trail.jsonl");
    let audit = ["--audit", trail.to_str().expect("text")];
    let import = ["import", file.to_str().expect("text")];
    for (words, told) in [(&import[..], "line 1"), (&["replay", "--yes"], "too large")] {
        let said = broken.run(&[words, &audit].concat()).assert_exit_code(2);
        assert!(said.errors.contains("DeadLetterStorage") && said.errors.contains(told), "{}", said.errors);
    }
    broken.repair();
    broken.assert_all_visible(1);
    assert_eq!((broken.visible(), lines_of(&trail).len()), (vec![growing.into_bytes()], 0));
}
