//! Messages and exports with changed ids: no id is trusted, and none becomes a file's name.

use std::{fs, path::Path};

use devicestate_test_storage::bench::Bench;
use devicestate_test_support::{Batch, Event, base64, sha256};
use serde_json::{Value, json};

use crate::on_both_queues;

on_both_queues![
    an_edit_replaces_only_the_dead_letter_that_it_found,
    a_changed_event_under_a_known_id_is_not_a_dead_letter,
    an_id_with_two_contents_is_refused_by_each_command_that_acts,
];

fn event(number: i64) -> Event {
    Event::json(number, &json!({"deviceId": format!("drone-{number}"), "flightMode": 99}))
}

/// Puts dead letters of invalid flight modes.
fn put(bench: &Bench, count: i64) -> Vec<Value> {
    bench.handle(&Batch::of((1..=count).map(event).collect::<Vec<_>>())).dead_letters
}

fn id(letter: &Value) -> &str {
    letter["Id"].as_str().expect("an id")
}

/// Returns the message that points to this complete dead letter, under another id, and the text of the complete one.
fn pointer(letter: &Value, id_of_message: &str, location: &str) -> (Value, String) {
    let text = letter.to_string();
    let mut message = letter.clone();
    message["Id"] = id_of_message.into();
    message["EventData"]["Body"] = Value::Null;
    message["Overflow"] = json!({"Location": location, "Length": text.len(), "Sha256": sha256(text.as_bytes())});
    (message, text)
}

fn files_below(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path.display().to_string()) }
    }
    files.sort();
    files
}

#[test]
fn an_import_of_a_changed_complete_dead_letter_stores_no_file_anywhere() {
    let bench = Bench::local();
    let letter = put(&Bench::local(), 1).remove(0);
    let victim = bench.app.path("victim");
    fs::create_dir(&victim).expect("a folder");
    let absolute = victim.join("y").display().to_string();
    let with = |name: &str, value: Value| {
        let mut changed = letter.clone();
        *changed.pointer_mut(name).expect("a member") = value;
        changed
    };
    let mut lines = Vec::new();
    for unsafe_id in ["", "../victim/x", &absolute, "..", "A1", &"b".repeat(32), &id(&letter).to_uppercase()] {
        // The whole letter's id is changed; or both are, so that they are equal.
        for id_of_message in [id(&letter), unsafe_id] {
            lines.push((with("/Id", unsafe_id.into()), id_of_message.to_owned()));
        }
    }
    // The id is right, and the event is another.
    for (name, value) in [
        ("/EventData/Body", base64(r#"{"deviceId":"victim","battery":-1}"#).into()),
        ("/EventData/EnqueuedTimeUtc", "9999-12-30T00:00:00".into()),
        ("/EventData/SequenceNumber", 8.into()),
        ("/Source/PartitionId", "7".into()),
    ] {
        lines.push((with(name, value), id(&letter).to_owned()));
    }
    let before = files_below(&bench.app.path(""));
    let mut text = String::new();
    for (complete, id_of_message) in &lines {
        let (message, complete) = pointer(complete, id_of_message, "x.json");
        text.extend(["{\"message\":", &message.to_string(), ",\"completeDeadLetter\":", &complete, "}\n"]);
    }
    fs::write(bench.app.path("in.jsonl"), text).expect("a file");
    let file = bench.app.path("in.jsonl").display().to_string();
    let result = bench.run(&["import", "--file", &file]).assert_exit_code(1);
    for number in 1..=lines.len() {
        assert!(result.errors.contains(&format!("line {number}: ")), "{number}: {}", result.errors);
    }
    fs::remove_file(file).expect("removed");
    assert_eq!(bench.count(), 0);
    let allowed = |path: &String| before.contains(path) || path.contains("state.db");
    let others: Vec<_> = files_below(&bench.app.path("")).into_iter().filter(|path| !allowed(path)).collect();
    assert_eq!(others, [""; 0]);
    assert_eq!(files_below(&bench.app.path("state.db-dead-letters")), [""; 0]);
}

#[test]
fn content_of_the_overflow_with_another_id_is_not_that_of_its_message() {
    let bench = Bench::local();
    let letters = put(&bench, 5);
    let folder = bench.app.path("state.db-dead-letters");
    fs::create_dir_all(&folder).expect("a folder");
    let named = "c".repeat(32);
    for (index, id_of_complete) in ["", &named, id(&letters[1]), id(&letters[0])].into_iter().enumerate() {
        let mut complete = letters[0].clone();
        complete["Id"] = id_of_complete.into();
        let location = folder.join(format!("x-{index}.json"));
        let (message, text) = pointer(&complete, &named, location.to_str().expect("text"));
        fs::write(location, text).expect("a file");
        bench.put(message.to_string());
        let file = bench.app.path("fix.json");
        fs::write(&file, r#"{"deviceId":"evil","flightMode":3}"#).expect("a file");
        let words = ["edit", &named, "--file", file.to_str().expect("text"), "--allow-device-change", "--yes"];
        let result = bench.run(&words).assert_exit_code(1);
        assert!(result.errors.contains("the content of "), "{}", result.errors);
        bench.run(&["replay", &named, "--yes"]).assert_exit_code(1);
        bench.run(&["export", &named]).assert_exit_code(1);
        let message = bench.json(&["list", &named], 0)[0]["messageId"].as_str().expect("an id").to_owned();
        assert_eq!((bench.count(), bench.documents().len()), (6, 0));
        bench.run(&["discard", "--message", &message, "--yes"]).assert_exit_code(0);
    }
    let left: Vec<_> = bench.json(&["list"], 0).as_array().expect("rows").iter().map(|row| row["id"].clone()).collect();
    assert_eq!(left, letters.iter().map(|letter| letter["Id"].clone()).collect::<Vec<_>>());
}

fn an_edit_replaces_only_the_dead_letter_that_it_found(bench: &Bench) {
    let letters = put(bench, 5);
    // Its repeat is the same dead letter.
    bench.put(letters[2].to_string());
    let file = bench.app.path("fix.json");
    fs::write(&file, r#"{"deviceId":"drone-3","flightMode":3}"#).expect("a file");
    let words = ["edit", id(&letters[2]), "--file", file.to_str().expect("text"), "--yes"];
    let (lines, result) = bench.run_audited(&words, 0);
    assert_eq!(lines.iter().map(|line| line["id"].clone()).collect::<Vec<_>>(), vec![letters[2]["Id"].clone(); 2]);
    let (counts, _) = result.output.split_once("failed again").expect("the counts");
    for (name, count) in [("replayed", 1), ("applied", 1), ("superseded: newer readings are stored", 0)] {
        let row = counts.lines().rfind(|line| line.starts_with(name)).expect("a row");
        assert!(row.ends_with(&format!(" {count}")), "{}", result.output);
    }
    assert!(result.output.contains("1 more message of the same dead letter"), "{}", result.output);
    assert_eq!((bench.count(), bench.documents().len()), (4, 1));
    assert_eq!(bench.documents()["drone-3"]["FlightMode"], 3);
}

fn a_changed_event_under_a_known_id_is_not_a_dead_letter(bench: &Bench) {
    let letter = put(bench, 1).remove(0);
    let with = |body: &Value, time: &Value| {
        let mut changed = letter.clone();
        changed["Stage"] = "update".into();
        changed["EventData"]["Body"] = base64(body.to_string()).into();
        changed["EventData"]["EnqueuedTimeUtc"] = time.clone();
        changed.to_string()
    };
    let time = &letter["EventData"]["EnqueuedTimeUtc"];
    bench.put(with(&json!({"deviceId": "drone-1", "battery": 1}), time));
    bench.put(with(&json!({"deviceId": "victim", "battery": -1}), &json!("9999-12-30T00:00:00")));
    let listed = bench.json(&["list"], 0);
    let rows = listed.as_array().expect("rows");
    assert_eq!(rows.iter().map(|row| &row["repeats"]).collect::<Vec<_>>(), [0, 0, 0]);
    assert_eq!(rows.iter().filter(|row| row["id"].is_null()).count(), 2, "{listed}");
    let issue = rows[1]["issue"].as_str().expect("a reason");
    assert!(
        issue.contains(id(&letter)) && issue.contains("is not the hash of its event's position and body"),
        "{issue}"
    );
    let done = bench.json(&["replay", id(&letter), "--yes"], 1);
    assert_eq!((&done["replayed"], &done["failedAgain"], &done["foreign"]), (&json!(1), &json!(1), &json!(2)));
    bench.json(&["replay", "--yes"], 1);
    assert_eq!((bench.documents().len(), bench.count()), (0, 3));
    bench.run(&["discard", id(&letter), "--yes"]).assert_exit_code(0);
    assert_eq!(bench.count(), 2, "only the dead letter is discarded");
}

fn an_id_with_two_contents_is_refused_by_each_command_that_acts(bench: &Bench) {
    let letter = put(bench, 1).remove(0);
    // Of a truncated event the id cannot be checked.
    let mut truncated = letter.clone();
    truncated["EventData"]["BodyCut"] = json!({"Length": 5_000, "Sha256": "0".repeat(64)});
    truncated["EventData"]["SequenceNumber"] = 8.into();
    bench.put(truncated.to_string());
    bench.put(truncated.to_string());
    let listed = bench.json(&["list"], 0);
    let rows = listed.as_array().expect("rows");
    let mut repeats: Vec<_> = rows.iter().map(|row| (row["isCut"] == true, row["repeats"].clone())).collect();
    repeats.sort_by_key(|(is_cut, _)| *is_cut);
    assert_eq!(repeats, [(false, json!(0)), (true, json!(1))], "{listed}");
    assert!(rows.iter().all(|row| row["id"] == letter["Id"]), "{listed}");
    let complete = rows.iter().find(|row| row["isCut"] == false).expect("a row");
    let complete = complete["messageId"].as_str().expect("an id");
    let file = bench.app.path("fix.json");
    fs::write(&file, r#"{"deviceId":"drone-1","flightMode":3}"#).expect("a file");
    let edit = ["edit", id(&letter), "--file", file.to_str().expect("text"), "--yes"];
    for words in
        [&["replay", id(&letter), "--yes"][..], &["replay", id(&letter)], &["discard", id(&letter), "--yes"], &edit]
    {
        let result = bench.run(words).assert_exit_code(2);
        let expected = ["2 dead letters with different contents have the id ", complete];
        assert!(expected.iter().all(|words| result.errors.contains(words)), "{words:?}: {}", result.errors);
    }
    assert_eq!((bench.count(), bench.documents().len()), (3, 0));
    bench.run(&["discard", "--message", complete, "--yes"]).assert_exit_code(0);
    bench.run(&["discard", id(&letter), "--yes"]).assert_exit_code(0);
    assert_eq!(bench.count(), 0, "the id is no longer ambiguous");
}
