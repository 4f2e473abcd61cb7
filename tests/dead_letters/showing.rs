//! One dead letter under the glass.

use devicestate_test_oracle::protobuf::Message;
use devicestate_test_storage::bench::Bench;
use devicestate_test_support::{Batch, Event, Reply};
use serde_json::{Value, json};

use crate::on_both_queues;

on_both_queues![
    a_json_body_keeps_its_digits_and_its_order,
    each_body_is_shown_so_that_a_person_can_read_it,
    what_the_host_said_of_the_event_is_shown_as_it_came,
    what_is_stored_now_and_what_a_replay_would_change_are_shown,
    a_replay_that_newer_readings_supersede_is_told,
    without_the_store_the_rest_is_told_all_the_same,
    the_query_leads_to_the_log,
    an_unknown_id_is_told_and_so_is_a_beginning_of_several,
    what_a_device_sends_cannot_move_the_cursor,
];

/// The events' dead letters, and their ids.
fn letters(bench: &Bench, events: impl Into<Vec<Event>>) -> (Reply, Vec<String>) {
    let reply = bench.handle(&Batch::of(events));
    let id = |letter: &Value| letter["Id"].as_str().expect("an id").to_owned();
    let ids = reply.dead_letters.iter().map(id).collect();
    (reply, ids)
}

/// Events that fail in a handler which takes everything for protobuf, and do not in the tool.
fn wrongly_refused(bench: &Bench, events: impl Into<Vec<Event>>) -> Vec<String> {
    let wrong = Bench::local();
    let app = wrong.app.with("TelemetryFormat", "protobuf");
    let reply = app.start().invoke(&Batch::of(events).envelope());
    bench.put_all(&reply);
    reply.dead_letters.iter().map(|letter| letter["Id"].as_str().expect("an id").to_owned()).collect()
}

#[track_caller]
fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in:\n{text}");
    }
}

fn a_json_body_keeps_its_digits_and_its_order(bench: &Bench) {
    let body = r#"{"z":12345678901234567890123,"deviceId":"d","flightMode":99,"battery":0.50,"a":[]}"#;
    let (_, ids) = letters(bench, [Event::new(1, body)]);
    let lines =
        [r#""z": 12345678901234567890123,"#, r#""deviceId": "d","#, r#""flightMode": 99,"#, r#""battery": 0.50,"#];
    let shown = bench.run(&["show", &ids[0]]).assert_exit_code(0).output;
    assert_says(&shown, &["BODY (JSON)\n", &lines.join("\n  ")]);
    let shown = bench.run(&["show", &ids[0], "--format", "json"]).assert_exit_code(0).output;
    assert_says(&shown, &[&lines.join("\n    ")]);
}

fn each_body_is_shown_so_that_a_person_can_read_it(bench: &Bench) {
    let (_, ids) = letters(
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
        assert_says(&bench.run(&["show", id]).assert_exit_code(0).output, &[expected]);
    }
    assert_eq!(bench.json(&["show", &ids[0]], 0)["Body"]["flightMode"], 99);
    assert_eq!(bench.json(&["show", &ids[1]], 0)["Body"], "{\"deviceId\":\"drone-1\",\n\t\"bat");
    assert_eq!(bench.json(&["show", &ids[3]], 0)["Body"], Value::Null);
}

fn what_the_host_said_of_the_event_is_shown_as_it_came(bench: &Bench) {
    let event = Event::json(7, &json!({"battery": 1})).partition_key("drone-1").system_property("user-id", "7");
    let (reply, ids) = letters(bench, [event]);
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
        let told: Value = serde_json::from_str(&row(name)).expect("JSON");
        assert_eq!(told, letter["EventData"][cell], "{name}");
    }
    assert_eq!(&bench.json(&["show", &ids[0]], 0)["DeadLetter"], letter);
}

fn what_is_stored_now_and_what_a_replay_would_change_are_shown(bench: &Bench) {
    bench.handle(&Batch::of([Event::json(5, &json!({"deviceId": "drone-1", "battery": 0.5}))]));
    let event =
        Event::new(9, r#"{"deviceId":"drone-1","battery":0.25,"flightMode":"Landing"}"#).partition_key("drone-1");
    let ids = wrongly_refused(bench, [event]);
    let shown = bench.run(&["show", &ids[0]]).assert_exit_code(0).output;
    assert_says(&shown, &["STORED NOW (of the device that the partition key names)\ndrone-1\n", "Battery    0.5"]);
    let replay = "A REPLAY\nIt would be applied:\n\
                  DEVICE   READING     STORED NOW  AFTER A REPLAY\n\
                  drone-1  Battery            0.5            0.25\n\
                  drone-1  FlightMode                           4\n";
    assert_says(&shown, &[replay]);
    let shown = bench.json(&["show", &ids[0]], 0);
    let change = |reading: &str, stored: Value, after: Value| json!({"Device": "drone-1", "Reading": reading, "Stored": stored, "AfterAReplay": after});
    let changes = json!([change("Battery", json!(0.5), json!(0.25)), change("FlightMode", Value::Null, json!(4))]);
    assert_eq!(shown["Replay"], json!({"Outcome": "It would be applied:", "Changes": changes}));
    assert_eq!(shown["Stored"]["Battery"], 0.5);
    assert_eq!(bench.count(), 1, "looking changes nothing");
    assert_eq!(bench.documents()["drone-1"]["Battery"], 0.5, "looking changes nothing");
}

fn a_replay_that_newer_readings_supersede_is_told(bench: &Bench) {
    bench.handle(&Batch::of([Event::json(9, &json!({"deviceId": "drone-1", "battery": 0.5}))]));
    let ids = wrongly_refused(bench, [Event::new(5, r#"{"deviceId":"drone-1","battery":0.25}"#)]);
    let shown = bench.run(&["show", &ids[0]]).assert_exit_code(0).output;
    assert_says(&shown, &["A REPLAY\nIt would change nothing: its readings are stored already, or newer ones.\n"]);
    assert_says(&shown, &["STORED NOW\nnot known: nothing says which device it is\n"]);
}

fn without_the_store_the_rest_is_told_all_the_same(bench: &Bench) {
    let (_, ids) =
        letters(bench, [Event::json(1, &json!({"deviceId": "drone-1", "flightMode": 99})).partition_key("drone-1")]);
    let shown = bench.run(&["show", &ids[0]]).assert_exit_code(0).output;
    assert_says(&shown, &["A REPLAY\nIt would fail again (validate): flight mode 99 is undefined"]);
    let mut command = bench.command(&["show", &ids[0]]);
    let output = command.env("StateStore", "memory").output().expect("the binary runs");
    assert!(output.status.success());
    let shown = String::from_utf8(output.stdout).expect("text");
    assert_says(&shown, &["flight mode 99 is undefined", "BODY (JSON)", "IN LOG ANALYTICS"]);
    assert_says(
        &shown,
        &[
            "STORED NOW (of the device that the partition key names)\nnot known: StateStore is memory",
            "A REPLAY\nnot known: StateStore is memory",
        ],
    );
    if !bench.is_local() {
        let output = bench.command(&["show", &ids[0]]).env_remove("StateStore").output().expect("the binary runs");
        let shown = String::from_utf8(output.stdout).expect("text");
        assert_says(&shown, &["BODY (JSON)", "names)\nnot known: the setting StateStore"]);
    }
}

fn the_query_leads_to_the_log(bench: &Bench) {
    let (reply, ids) = letters(bench, [Event::json(1, &json!({"battery": 1}))]);
    let invocation = reply.dead_letters[0]["InvocationId"].as_str().expect("an id");
    let query = bench.json(&["show", &ids[0]], 0)["LogQuery"].as_str().expect("text").to_owned();
    let id = &ids[0];
    let condition = format!("| where Message has '{id}' or tostring(Properties.InvocationId) == '{invocation}'\n");
    assert_says(&query, &["AppTraces\n| where TimeGenerated between (datetime(", &condition]);
    let said = bench.run(&["show", id]).assert_exit_code(0);
    assert_says(&said.output, &[&format!("IN LOG ANALYTICS\n{query}\n")]);
    assert!(!said.errors.contains("more messages"), "it stops at what was looked for: {}", said.errors);
}

fn an_unknown_id_is_told_and_so_is_a_beginning_of_several(bench: &Bench) {
    let (reply, ids) = letters(bench, [Event::json(1, &json!({"battery": 1}))]);
    let said = bench.run(&["show", "00000000"]).assert_exit_code(1);
    assert_says(&said.errors, &["there is no dead letter 00000000 in the queue "]);
    let mut other = reply.dead_letters[0].clone();
    let twin = format!("{}{}", &ids[0][..8], "0".repeat(24));
    other["Id"] = twin.as_str().into();
    bench.put(other.to_string());
    let said = bench.run(&["show", &ids[0][..8]]).assert_exit_code(2);
    assert_says(&said.errors, &["is the beginning of several ids", &ids[0], &twin]);
    for wrong in ["1234567", "no-hex-digits", &"0".repeat(33)] {
        assert_says(&bench.run(&["show", wrong]).assert_exit_code(2).errors, &["32 hexadecimal digits"]);
    }
    assert_eq!(bench.count(), 2);
}

fn what_a_device_sends_cannot_move_the_cursor(bench: &Bench) {
    let device = "\u{1b}[2J\u{9b}1A\r\u{202e}d";
    bench.handle(&Batch::of([Event::json(1, &json!({"deviceId": device, "battery": 0.5}))]));
    let bad = json!({"deviceId": device, "flightMode": 99, "\u{7f}\u{9b}": "\u{9b}"});
    let (_, ids) = letters(bench, [Event::json(2, &bad).partition_key(device)]);
    let said = bench.run(&["show", &ids[0]]).assert_exit_code(0);
    assert_says(&said.output, &["partition key      \u{fffd}[2J", "Battery    0.5"]);
    let moves = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!said.output.contains(moves), "{:?}", said.output);
}

#[test]
#[ignore = "just test-azure"]
fn a_store_that_is_out_is_told_and_so_is_all_the_rest() {
    let bench = Bench::azurite();
    let (_, ids) = letters(&bench, [Event::json(1, &json!({"battery": 1})).partition_key("drone-1")]);
    bench.cosmos.as_ref().expect("an account").down();
    let mut command = bench.command(&["show", &ids[0]]);
    let output = command.env("InvocationBudget", "00:00:02").output().expect("the binary runs");
    let shown = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{shown}");
    assert_says(&shown, &["BODY (JSON)\n{\n  \"battery\": 1\n}", "names)\nnot known: ", "IN LOG ANALYTICS"]);
    assert_says(&shown, &["A REPLAY\nIt would fail again (deserialize): the device id is missing"]);
}
