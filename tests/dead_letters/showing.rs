//! The command `show`.

use devicestate_test_oracle::protobuf::Message;
use devicestate_test_storage::bench::Bench;
use devicestate_test_support::{Batch, Event, Reply};
use serde_json::{Value, json};

use crate::on_both_queues;

on_both_queues![
    show_keeps_the_digits_and_the_order_of_a_json_body,
    show_formats_each_kind_of_body,
    show_prints_the_metadata_of_the_host,
    show_prints_the_document_and_the_effect_of_a_replay,
    show_reports_a_superseded_event,
    show_works_without_a_store,
    show_prints_the_log_query,
    an_unknown_id_and_an_ambiguous_id_are_reported,
    show_replaces_control_characters,
];

/// Returns the reply with the events' dead letters, and their ids.
fn dead_letters(bench: &Bench, events: impl Into<Vec<Event>>) -> (Reply, Vec<String>) {
    let reply = bench.handle(&Batch::of(events));
    let id = |letter: &Value| letter["Id"].as_str().expect("an id").to_owned();
    let ids = reply.dead_letters.iter().map(id).collect();
    (reply, ids)
}

/// Puts dead letters of valid events, from a handler that decodes everything as protobuf, and returns their ids.
fn dead_letter_of_valid_events(bench: &Bench, events: impl Into<Vec<Event>>) -> Vec<String> {
    let protobuf_bench = Bench::local();
    let app = protobuf_bench.app.with("TelemetryFormat", "protobuf");
    let reply = app.start().invoke(&Batch::of(events).envelope());
    bench.put_all(&reply);
    reply.dead_letters.iter().map(|letter| letter["Id"].as_str().expect("an id").to_owned()).collect()
}

#[track_caller]
fn assert_contains(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in:\n{text}");
    }
}

fn show_keeps_the_digits_and_the_order_of_a_json_body(bench: &Bench) {
    let body = r#"{"z":12345678901234567890123,"deviceId":"d","flightMode":99,"battery":0.50,"a":[]}"#;
    let (_, ids) = dead_letters(bench, [Event::new(1, body)]);
    let lines =
        [r#""z": 12345678901234567890123,"#, r#""deviceId": "d","#, r#""flightMode": 99,"#, r#""battery": 0.50,"#];
    let shown = bench.run(&["show", &ids[0]]).assert_exit_code(0).output;
    assert_contains(&shown, &["BODY (JSON)\n", &lines.join("\n  ")]);
    let shown = bench.run(&["show", &ids[0], "--output", "json"]).assert_exit_code(0).output;
    assert_contains(&shown, &[&lines.join("\n      ")]);
}

fn show_formats_each_kind_of_body(bench: &Bench) {
    let (_, ids) = dead_letters(
        bench,
        [
            Event::protobuf(1, Message::with_device("drone-1").double(2, 0.5).varint(3, 99)),
            Event::new(2, "{\"deviceId\":\"drone-1\",\n\t\"bat"),
            Event::new(3, b"\xff\xfe\x00hello".to_vec()),
            Event::new(4, ""),
        ],
    );
    let expected = [
        "BODY (shown as JSON)\n{\n  \"battery\": 0.5,\n  \"deviceId\": \"drone-1\",\n  \"flightMode\": 99\n}\n",
        "BODY (text)\n{\"deviceId\":\"drone-1\",\n\t\"bat\n",
        "BODY (hexadecimal)\n00000000  ff fe 00 68 65 6c 6c 6f                          ...hello\n",
        "BODY (empty)\n",
    ];
    for (id, expected) in ids.iter().zip(expected) {
        assert_contains(&bench.run(&["show", id]).assert_exit_code(0).output, &[expected]);
    }
    assert_eq!(bench.json(&["show", &ids[0]], 0)["body"]["flightMode"], 99);
    assert_eq!(bench.json(&["show", &ids[1]], 0)["body"], "{\"deviceId\":\"drone-1\",\n\t\"bat");
    assert_eq!(bench.json(&["show", &ids[3]], 0)["body"], Value::Null);
}

fn show_prints_the_metadata_of_the_host(bench: &Bench) {
    let event = Event::json(7, &json!({"battery": 1})).partition_key("drone-1").system_property("user-id", "7");
    let (reply, ids) = dead_letters(bench, [event]);
    let letter = &reply.dead_letters[0];
    let shown = bench.run(&["show", &ids[0][..8]]).assert_exit_code(0).output;
    let row = |name: &str| {
        let line = shown.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {shown}"));
        line.trim().to_owned()
    };
    let issue = "the device id is missing or empty: each event needs one";
    assert_eq!((row("issue"), row("stage")), (issue.into(), "deserialize (poison)".into()));
    assert_eq!(
        (row("partition key"), row("sequence number"), row("offset")),
        ("drone-1".into(), "7".into(), "784".into())
    );
    for (name, cell) in [("properties", "Properties"), ("system properties", "SystemProperties")] {
        let shown: Value = serde_json::from_str(&row(name)).expect("JSON");
        assert_eq!(shown, letter["EventData"][cell], "{name}");
    }
    assert_eq!(&bench.json(&["show", &ids[0]], 0)["deadLetter"], letter);
}

fn show_prints_the_document_and_the_effect_of_a_replay(bench: &Bench) {
    bench.handle(&Batch::of([Event::json(5, &json!({"deviceId": "drone-1", "battery": 0.5}))]));
    let event =
        Event::new(9, r#"{"deviceId":"drone-1","battery":0.25,"flightMode":"Landing"}"#).partition_key("drone-1");
    let ids = dead_letter_of_valid_events(bench, [event]);
    let shown = bench.run(&["show", &ids[0]]).assert_exit_code(0).output;
    assert_contains(&shown, &["STORED NOW (device of the partition key)\ndrone-1\n", "Battery    0.5"]);
    let replay = "REPLAY\nIt would be applied:\n\
                  DEVICE   READING     STORED NOW  AFTER REPLAY\n\
                  drone-1  Battery            0.5          0.25\n\
                  drone-1  FlightMode                         4\n";
    assert_contains(&shown, &[replay]);
    let shown = bench.json(&["show", &ids[0]], 0);
    let change = |reading: &str, stored: Value, after: Value| json!({"device": "drone-1", "reading": reading, "stored": stored, "afterReplay": after});
    let changes = json!([change("Battery", json!(0.5), json!(0.25)), change("FlightMode", Value::Null, json!(4))]);
    assert_eq!(shown["replay"], json!({"outcome": "applied", "detail": "It would be applied:", "changes": changes}));
    assert_eq!(shown["stored"]["Battery"], 0.5);
    assert_eq!(bench.count(), 1, "show changes nothing");
    assert_eq!(bench.documents()["drone-1"]["Battery"], 0.5, "show changes nothing");
}

fn show_reports_a_superseded_event(bench: &Bench) {
    bench.handle(&Batch::of([Event::json(9, &json!({"deviceId": "drone-1", "battery": 0.5}))]));
    let ids = dead_letter_of_valid_events(bench, [Event::new(5, r#"{"deviceId":"drone-1","battery":0.25}"#)]);
    let shown = bench.run(&["show", &ids[0]]).assert_exit_code(0).output;
    assert_contains(&shown, &["REPLAY\nIt would change nothing: the document has the same or newer readings.\n"]);
    assert_contains(&shown, &["STORED NOW\nunknown: the dead letter has no device id\n"]);
}

fn show_works_without_a_store(bench: &Bench) {
    let (_, ids) = dead_letters(
        bench,
        [Event::json(1, &json!({"deviceId": "drone-1", "flightMode": 99})).partition_key("drone-1")],
    );
    let shown = bench.run(&["show", &ids[0]]).assert_exit_code(0).output;
    assert_contains(&shown, &["REPLAY\nIt would fail again (validate): flight mode 99 is undefined"]);
    let mut command = bench.command(&["show", &ids[0]]);
    let output = command.env("StateStore", "memory").output().expect("the binary runs");
    assert!(output.status.success());
    let shown = String::from_utf8(output.stdout).expect("text");
    assert_contains(&shown, &["flight mode 99 is undefined", "BODY (JSON)", "IN LOG ANALYTICS"]);
    assert_contains(
        &shown,
        &["STORED NOW\nunknown: the setting StateStore is memory", "REPLAY\nunknown: the setting StateStore is memory"],
    );
    if !bench.is_local() {
        let output = bench.command(&["show", &ids[0]]).env_remove("StateStore").output().expect("the binary runs");
        let shown = String::from_utf8(output.stdout).expect("text");
        assert_contains(&shown, &["BODY (JSON)", "STORED NOW\nunknown: the setting `StateStore`"]);
    }
}

fn show_prints_the_log_query(bench: &Bench) {
    let (reply, ids) = dead_letters(bench, [Event::json(1, &json!({"battery": 1}))]);
    let invocation = reply.dead_letters[0]["InvocationId"].as_str().expect("an id");
    let query = bench.json(&["show", &ids[0]], 0)["logQuery"].as_str().expect("text").to_owned();
    let id = &ids[0];
    let condition = format!("| where Message has '{id}' or tostring(Properties.InvocationId) == '{invocation}'\n");
    assert_contains(&query, &["AppTraces\n| where TimeGenerated between (datetime(", &condition]);
    let result = bench.run(&["show", id]).assert_exit_code(0);
    assert_contains(&result.output, &[&format!("IN LOG ANALYTICS\n{query}\n")]);
    assert!(!result.errors.contains("more messages"), "the scan stops after the dead letter: {}", result.errors);
}

fn an_unknown_id_and_an_ambiguous_id_are_reported(bench: &Bench) {
    let (reply, ids) = dead_letters(bench, [Event::json(1, &json!({"battery": 1}))]);
    let result = bench.run(&["show", "00000000"]).assert_exit_code(1);
    assert_contains(&result.errors, &["there is no dead letter 00000000 in the queue "]);
    let mut other = reply.dead_letters[0].clone();
    let twin = format!("{}{}", &ids[0][..8], "0".repeat(24));
    other["Id"] = twin.as_str().into();
    // Only the id of an incomplete event cannot be checked.
    other["EventData"]["BodyCut"] = json!({"Length": 5_000, "Sha256": "0".repeat(64)});
    bench.put(other.to_string());
    let output = bench.run(&["show", &ids[0][..8]]).assert_exit_code(2);
    assert_contains(&output.errors, &["several ids start with", &ids[0], &twin]);
    for wrong in ["1234567", "no-hex-digits", &"0".repeat(33)] {
        assert_contains(&bench.run(&["show", wrong]).assert_exit_code(2).errors, &["32 hexadecimal digits"]);
    }
    assert_eq!(bench.count(), 2);
}

fn show_replaces_control_characters(bench: &Bench) {
    let device = "\u{1b}[2J\u{9b}1A\r\u{202e}d";
    bench.handle(&Batch::of([Event::json(1, &json!({"deviceId": device, "battery": 0.5}))]));
    let bad = json!({"deviceId": device, "flightMode": 99, "\u{7f}\u{9b}": "\u{9b}"});
    let (_, ids) = dead_letters(bench, [Event::json(2, &bad).partition_key(device)]);
    let result = bench.run(&["show", &ids[0]]).assert_exit_code(0);
    assert_contains(&result.output, &["partition key      \u{fffd}[2J", "Battery    0.5"]);
    let moves = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!result.output.contains(moves), "{:?}", result.output);
}

#[test]
#[ignore = "just test-azure"]
fn show_works_while_the_store_is_down() {
    let bench = Bench::azurite();
    let (_, ids) = dead_letters(&bench, [Event::json(1, &json!({"battery": 1})).partition_key("drone-1")]);
    bench.cosmos.as_ref().expect("an account").down();
    let mut command = bench.command(&["show", &ids[0]]);
    let output = command.env("InvocationBudget", "00:00:02").output().expect("the binary runs");
    let shown = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{shown}");
    assert_contains(&shown, &["BODY (JSON)\n{\n  \"battery\": 1\n}", "key)\nunknown: ", "IN LOG ANALYTICS"]);
    assert_contains(&shown, &["REPLAY\nIt would fail again (deserialize): the device id is missing"]);
}
