//! No output contains a character that controls a terminal, changes the direction of text, or is not visible.

use std::{fs, process::Command};

use devicestate_test_storage::bench::{Bench, CommandOutput};
use devicestate_test_support::{Batch, Event};
use serde_json::{Value, json};

/// Control characters, direction marks, and characters without width: at least one of each range that Unicode defines.
const HIDDEN: &str = "\u{1}\u{7}\u{8}\r\u{1b}[2J\u{1b}]0;owned\u{7}\u{7f}\u{80}\u{9b}2J\u{9f}\u{ad}\u{34f}\u{61c}\u{115f}\u{17b4}\
                      \u{180b}\u{180e}\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2060}\u{2064}\
                      \u{2066}\u{2069}\u{206f}\u{3164}\u{fe0f}\u{feff}\u{ffa0}\u{fff9}\u{fffb}\u{1d173}\u{e0001}\u{e007f}\u{e0100}";

/// Written apart from the product's own list, in wider ranges.
fn is_hidden(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c as u32,
            0xad | 0x34f | 0x61c | 0x115f..=0x1160 | 0x17b4..=0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f | 0x2028..=0x202e
                | 0x2060..=0x206f | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb | 0x1d173..=0x1d17a
                | 0xe0000..=0xe0fff)
}

#[track_caller]
fn assert_clean(result: &CommandOutput, words: &[&str]) {
    for text in [&result.output, &result.errors] {
        if let Some(at) = text.find(is_hidden) {
            let start = text.floor_char_boundary(at.saturating_sub(60));
            panic!("{words:?}: {:?}", &text[start..text.ceil_char_boundary(at + 60)]);
        }
    }
}

fn hostile_events(device: &str) -> Vec<Event> {
    vec![
        Event::json(1, &json!({"deviceId": device, "flightMode": 99})).partition_key(device),
        Event::json(2, &json!({"deviceId": device, "battery": device, device: device})).partition_key(device),
        Event::new(3, format!("{{\"deviceId\":\"d\",\"text\":\"{device}\"")).partition_key(device),
        Event::new(4, device).partition_key(device).system_property(device, device),
    ]
}

#[test]
fn no_command_prints_a_hidden_character() {
    let bench = Bench::local();
    let device = &format!("x; touch owned{HIDDEN}");
    bench.handle(&Batch::of([Event::json(9, &json!({"deviceId": device, "battery": 0.5}))]));
    let reply = bench.handle(&Batch::of(hostile_events(device)));
    let letter = &reply.dead_letters[0];
    let with = |name: &str, value: &str| {
        let mut changed = letter.clone();
        changed[name] = value.into();
        changed
    };
    // Raw in the JSON, as another program may write it; and a message that is not a dead letter.
    for (name, value) in
        [("Issue", device), ("InvocationId", device), ("Time", device), ("Id", device), ("Stage", device)]
    {
        let changed = with(name, value).to_string();
        bench.put(changed.clone());
        bench.put(changed.replace(":{", ":\r\n\t{"));
    }
    bench.put(device);
    let mut cut = letter.clone();
    cut["EventData"]["BodyCut"] = json!({"Length": 5_000, "Sha256": device});
    cut["Overflow"] = json!({"Location": device, "Length": 1, "Sha256": device});
    bench.put(cut.to_string());

    let ids: Vec<String> =
        reply.dead_letters.iter().map(|letter| letter["Id"].as_str().expect("an id").to_owned()).collect();
    let file = bench.app.path("fix.json");
    fs::write(&file, json!({"deviceId": device, "flightMode": device}).to_string()).expect("a file");
    let file = file.to_str().expect("text").to_owned();
    let mut commands: Vec<Vec<&str>> = Vec::new();
    for output in ["table", "json", "jsonl"] {
        for by in ["issue", "device", "stage", "partition"] {
            commands.push(vec!["list", "--group-by", by, "-o", output]);
        }
        commands.push(vec!["list", "-o", output]);
        commands.push(vec!["list", "--peek", "-o", output]);
        commands.extend(ids[1..].iter().map(|id| vec!["show", id, "-o", output]));
        commands.push(vec!["replay", "-o", output]);
        commands.push(vec!["replay", "--yes", "-o", output]);
        commands.push(vec!["edit", &ids[1], "--file", &file, "-o", output]);
        commands.push(vec!["edit", &ids[1], "--file", device, "-o", output]);
        commands.push(vec!["discard", "--all", "-o", output]);
        commands.push(vec!["show", &ids[0], "-o", output]);
        commands.push(vec!["import", "--file", device, "-o", output]);
    }
    commands.push(vec!["export"]);
    for words in &commands {
        assert_clean(&bench.run(words), words);
    }
    // The audit trail is printed with other tools.
    let trail = fs::read_to_string(bench.app.path("state.db-audit.jsonl")).expect("the trail");
    assert!(trail.contains("touch owned") && !trail.contains(is_hidden), "{trail:?}");
    for words in [
        &["list"][..],
        &["list", "-o", "json"],
        &["list", "-o", "jsonl"],
        &["show", device],
        &["show", "x", "-o", "json"],
    ] {
        let result = CommandOutput::from(bench.app.run(&[&["devices"], words].concat()));
        assert_clean(&result, words);
    }
}

#[test]
fn escaped_json_is_the_same_json() {
    let bench = Bench::local();
    let reply = bench.handle(&Batch::of(hostile_events(HIDDEN)));
    let listed = bench.json(&["list", "--peek"], 0);
    assert_eq!(listed[0]["deviceId"], reply.dead_letters[0]["DeviceId"]);
    assert_eq!(listed[0]["partitionKey"], HIDDEN);
    let lines = bench.run(&["list", "--peek", "-o", "jsonl"]).assert_exit_code(0).output;
    let rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(json!(rows), listed);
    let id = reply.dead_letters[3]["Id"].as_str().expect("an id");
    assert_eq!(&bench.json(&["show", id], 0)["deadLetter"], &reply.dead_letters[3]);
}

#[test]
fn an_export_with_hidden_characters_is_imported_byte_for_byte() {
    let bench = Bench::local();
    bench.handle(&Batch::of(hostile_events(HIDDEN)));
    let large = Event::new(5, "x".repeat(60_000)).partition_key(HIDDEN);
    bench.handle(&Batch::of([large]));
    bench.put(format!("{{\"text\":\"{}\"}}", HIDDEN.replace(char::is_control, "")));
    let exported = bench.run(&["export"]).assert_exit_code(0).output;
    assert!(!exported.contains(is_hidden) && exported.contains("completeBase64"), "{exported:.200}");
    let other = Bench::local();
    let file = other.app.path("kept.jsonl");
    fs::write(&file, &exported).expect("a file");
    other.run(&["import", "--file", file.to_str().expect("text")]).assert_exit_code(0);
    let without_location = |bench: &Bench| {
        let texts = bench.visible().into_iter().map(|body| String::from_utf8(body).expect("text"));
        texts.map(|text| text.split("\"Overflow\"").next().expect("text").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(without_location(&other), without_location(&bench));
}

#[test]
fn a_bad_line_of_an_import_is_reported_without_hidden_characters() {
    let bench = Bench::local();
    let mut letter = bench.handle(&Batch::of(hostile_events(HIDDEN))).dead_letters.remove(0);
    letter["Stage"] = HIDDEN.into();
    let line = format!("{{\"message\":{letter},\"completeDeadLetter\":{letter}}}\n");
    let file = bench.app.path("in.jsonl");
    fs::write(&file, format!("{line}{{\"{HIDDEN}\":1}}\n{{{HIDDEN}\n")).expect("a file");
    let words = ["import", "--file", file.to_str().expect("text")];
    let result = bench.run(&words).assert_exit_code(1);
    assert_clean(&result, &words);
    assert!(result.errors.contains("line 1: "), "{}", result.errors);
}

#[test]
fn the_command_in_a_hint_of_edit_can_be_pasted() {
    let bench = Bench::local();
    let id = bench.handle(&Batch::of(hostile_events("d"))).dead_letters[0]["Id"].as_str().expect("an id").to_owned();
    let name = "f'\u{9b}2J\u{202e}; touch owned";
    fs::write(bench.app.path(name), r#"{"deviceId":"d","flightMode":98}"#).expect("a file");
    let words = ["edit", &id, "--file", name];
    let result =
        CommandOutput::from(bench.command(&words).current_dir(bench.app.path("")).output().expect("the binary"));
    assert_clean(&result.assert_exit_code(1), &words);
    let result =
        CommandOutput::from(bench.command(&words).current_dir(bench.app.path("")).output().expect("the binary"));
    let (_, hint) = result.errors.split_once("the text is kept: devicestate ").expect("a hint");
    let command = bench.command(&[]);
    let program = command.get_program().to_str().expect("text");
    let pasted = Command::new("bash")
        .args(["-c", &format!("'{program}' {hint}")])
        .current_dir(bench.app.path(""))
        .env("StateStore", "sqlite")
        .env("SqlitePath", bench.state())
        .env("Telemetry", "drone")
        .output();
    let pasted = CommandOutput::from(pasted.expect("bash"));
    assert!(pasted.errors.contains("flight mode 98"), "the file was found: {}", pasted.errors);
    assert!(!bench.app.path("owned").exists());
}

#[test]
fn the_handler_logs_no_hidden_character() {
    let bench = Bench::local();
    let handler = bench.app.start();
    let response = handler.post(HIDDEN.trim_matches(char::is_control).get(..4).unwrap_or("x"), b"no request");
    assert!(!String::from_utf8(response.body).expect("text").contains(is_hidden));
    let envelope = Batch::of(hostile_events(HIDDEN)).envelope();
    let response = handler.post("i", envelope.to_string().as_bytes());
    let reply: Value = serde_json::from_slice(&response.body).expect("JSON");
    let logs: Vec<_> =
        reply["Logs"].as_array().expect("lines").iter().map(|line| line.as_str().expect("text")).collect();
    assert_eq!(logs.len(), 5, "the batch and its dead letters");
    assert!(logs.iter().all(|line| !line.contains(is_hidden)), "{logs:?}");
    let records = logs.iter().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    assert_eq!(records.filter(|record| record["deviceId"] == HIDDEN).count(), 1);
    drop(handler);
    assert!(!bench.app.log().contains(is_hidden), "{:?}", bench.app.log());
}
