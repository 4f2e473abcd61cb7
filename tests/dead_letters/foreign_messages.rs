//! Foreign messages, messages of other versions, and messages in another encoding.

use azure_storage_queue::{QueueClient, QueueClientOptions, models::QueueMessage};
use devicestate_test_storage::{
    azurite::{Azurite, SHARED, signing_options},
    bench::Bench,
};
use devicestate_test_support::{Batch, Event, base64};
use serde_json::{Value, json};

use crate::faulty_bench::{FaultyBench, on_both_faulty, put_dead_letters};

on_both_faulty![
    foreign_messages_are_listed_and_discarded_only_by_message_id,
    a_dead_letter_of_an_earlier_version_is_found_and_counted,
    a_failed_replay_keeps_fields_of_a_later_version;
    and_a_storage_queue_beside:
    foreign_messages_are_exported_and_imported_byte_for_byte,
];

/// Returns a dead letter that fails again in each replay.
fn letter() -> Value {
    let batch = Batch::of([Event::json(1, &json!({"deviceId": "drone-1", "flightMode": 99}))]);
    Bench::local().app.start().invoke(&batch.envelope()).dead_letter().clone()
}

fn foreign() -> Vec<Vec<u8>> {
    let mut truncated = letter().to_string();
    truncated.truncate(truncated.len() / 2);
    let mut other_id = letter();
    other_id["Id"] = "not an id".into();
    let mut later_stage = letter();
    later_stage["Stage"] = "translate".into();
    // A derived parser would accept both: the members as an array, and invalid UTF-8 in a member that is skipped.
    let names = ["Id", "Issue", "Stage", "ErrorClass", "DeviceId", "EventData", "DeviceState", "Source"];
    let names = names.into_iter().chain(["InvocationId", "Attempt", "Time", "HandlerVersion"]);
    let complete = letter();
    let array: Vec<_> = names.map(|name| &complete[name]).collect();
    let not_utf8 = [b"{\"Later\":\"\xff\",", &complete.to_string().as_bytes()[1..]].concat();
    vec![
        json!(array).to_string().into_bytes(),
        not_utf8,
        b"{\"Id\": ".to_vec(),
        json!({"type": "order", "Id": 7}).to_string().into_bytes(),
        other_id.to_string().into_bytes(),
        later_stage.to_string().into_bytes(),
        Vec::new(),
        b"null".to_vec(),
        b"[1, 2]".to_vec(),
        b"{\"two\":\n\"lines\"}".to_vec(),
        b" {\"spaced\": 1.50} ".to_vec(),
        b"{\"big\":123456789012345678901234567890,\"a\":1,\"a\":2}".to_vec(),
        vec![0, 159, 146, 150, 255],
        truncated.into_bytes(),
    ]
}

fn sorted(mut bodies: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    bodies.sort();
    bodies
}

fn foreign_messages_are_listed_and_discarded_only_by_message_id(faulty: &FaultyBench) {
    let foreign = foreign();
    for body in &foreign {
        faulty.put(body);
    }
    faulty.put(letter().to_string());
    let listed = faulty.json(&["list"], 0);
    let others: Vec<_> = listed.as_array().expect("rows").iter().filter(|row| row["id"].is_null()).collect();
    assert_eq!(others.len(), foreign.len());
    let table = faulty.run(&["list"]).assert_exit_code(0);
    for row in &others {
        assert!(!row["issue"].as_str().expect("why").is_empty(), "{row}");
        assert!(table.output.contains(row["messageId"].as_str().expect("an id")), "{}", table.output);
    }

    let done = faulty.json(&["replay", "--yes"], 1);
    assert_eq!((&done["foreign"], &done["failedAgain"]), (&json!(foreign.len()), &json!(1)));
    let message = others[0]["messageId"].as_str().expect("an id");
    let done = faulty.json(&["replay", "--message", message, "--yes"], 0);
    assert_eq!(done["replayed"], 0);
    faulty.run(&["edit", "not an id"]).assert_exit_code(2);
    let done = faulty.json(&["discard", "--all", "--yes"], 0);
    assert_eq!(done["discarded"], 1);
    assert_eq!(sorted(faulty.visible()), sorted(foreign.clone()));

    let done = faulty.json(&["discard", "--message", message], 0);
    assert_eq!((&done["matched"], &done["dryRun"], faulty.count()), (&json!(1), &json!(true), foreign.len() as u64));
    faulty.run(&["discard", "--message", message, "--yes"]).assert_exit_code(0);
    assert_eq!(faulty.count(), foreign.len() as u64 - 1);
}

fn foreign_messages_are_exported_and_imported_byte_for_byte(faulty: &FaultyBench) {
    let foreign = foreign();
    for body in &foreign {
        faulty.put(body);
    }
    let exported = faulty.run(&["export"]).assert_exit_code(0).output;
    assert_eq!(faulty.run(&["export", "--device", "drone-1"]).assert_exit_code(0).output, "");
    for other in [Bench::local(), Bench::azurite()] {
        let file = other.app.path("kept.jsonl");
        std::fs::write(&file, &exported).expect("a file");
        other.run(&["import", "--file", file.to_str().expect("text")]).assert_exit_code(0);
        assert_eq!(sorted(other.visible()), sorted(foreign.clone()));
    }
}

fn a_dead_letter_of_an_earlier_version_is_found_and_counted(faulty: &FaultyBench) {
    let mut letter = letter();
    letter.as_object_mut().expect("an object").remove("DeviceId");
    letter["DeviceState"] = json!({"id": "drone-1"});
    faulty.put(letter.to_string());
    assert_eq!(faulty.json(&["list", "--device", "drone-1"], 0).as_array().map(Vec::len), Some(1));
    for attempts in 1..=2 {
        faulty.run(&["replay", "--yes"]).assert_exit_code(1);
        let there: Value = serde_json::from_slice(&faulty.visible()[0]).expect("JSON");
        assert_eq!((&there["Replay"]["Attempts"], &there["DeviceId"]), (&json!(attempts), &json!("drone-1")));
        assert_eq!(faulty.json(&["list", "--device", "drone-1"], 0)[0]["replays"], attempts);
    }
}

fn a_failed_replay_keeps_fields_of_a_later_version(faulty: &FaultyBench) {
    let mut letter = letter();
    letter["Severity"] = json!({"b": 1.50, "a": [null]});
    letter["EventData"]["TraceParent"] = "00-4bf9".into();
    letter["Source"]["Region"] = "swedencentral".into();
    // As another program may write it: in another order, and with numbers that no integer type can hold.
    let text = letter.to_string();
    let text = format!("{{\"Zeroth\":123456789012345678901234567890,{}", &text[1..]);
    faulty.put(&text);
    for attempts in 1..=2 {
        faulty.run(&["replay", "--yes"]).assert_exit_code(1);
        let body = String::from_utf8(faulty.visible().remove(0)).expect("text");
        let there: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(there["Replay"]["Attempts"], attempts);
        let (before, _) = body.split_once(",\"Replay\":").expect("at the end");
        assert_eq!(format!("{before}}}"), text, "everything else is unchanged");
    }
    let file = faulty.app.path("kept.jsonl");
    let exported = faulty.run(&["export"]).assert_exit_code(0).output;
    std::fs::write(&file, &exported).expect("a file");
    faulty.run(&["discard", "--all", "--yes"]).assert_exit_code(0);
    faulty.run(&["import", "--file", file.to_str().expect("text")]).assert_exit_code(0);
    let message = |exported: &str| serde_json::from_str::<Value>(exported).expect("JSON")["message"].to_string();
    assert_eq!(message(&faulty.run(&["export"]).assert_exit_code(0).output), message(&exported));
}

/// A dead letter that outgrows the queue keeps its unknown fields in the overflow.
#[test]
#[ignore = "just test-azure"]
fn fields_of_a_later_version_survive_export_and_import() {
    for faulty in [FaultyBench::local(), FaultyBench::azurite()] {
        let mut letter = letter();
        letter["Severity"] = "x".repeat(49_100 - letter.to_string().len()).into();
        faulty.put(letter.to_string());
        faulty.run(&["replay", "--yes"]).assert_exit_code(1);
        let exported = faulty.run(&["export"]).assert_exit_code(0).output;
        let line: Value = serde_json::from_str(&exported).expect("JSON");
        assert_eq!(line["completeDeadLetter"]["Severity"], letter["Severity"]);
        let file = faulty.app.path("kept.jsonl");
        std::fs::write(&file, &exported).expect("a file");
        faulty.run(&["import", "--file", file.to_str().expect("text")]).assert_exit_code(0);
        let both = faulty.run(&["export"]).assert_exit_code(0).output;
        for line in both.lines() {
            let line: Value = serde_json::from_str(line).expect("JSON");
            assert_eq!(line["completeDeadLetter"]["Severity"], letter["Severity"]);
        }
        assert_eq!(both.lines().count(), 2);
    }
}

/// Returns the texts of the messages as they are in the queue.
fn texts(bench: &Bench, client: &QueueClient) -> Vec<String> {
    let options = azure_storage_queue::models::QueueClientPeekMessagesOptions {
        number_of_messages: Some(32),
        ..Default::default()
    };
    let peeked = bench.wait_for(async { client.peek_messages(Some(options)).await?.into_model() });
    let items = peeked.expect("peeked").items.unwrap_or_default();
    items.into_iter().map(|message| message.message_text.unwrap_or_default()).collect()
}

#[test]
#[ignore = "just test-azure"]
fn plain_text_and_base64_messages_keep_their_encoding() {
    let bench = Bench::azurite();
    let options = QueueClientOptions { client_options: signing_options(), ..QueueClientOptions::default() };
    let url = format!("{}/{}", Azurite::url(SHARED.queue_port), bench.storage_name());
    let client = QueueClient::new(url.parse().expect("an address"), None, Some(options)).expect("a queue");
    let put = |text: String| {
        let message = QueueMessage { message_text: Some(text) };
        bench.wait_for(async { client.send_message(message.try_into()?, None).await.map(drop) }).expect("put");
    };
    let other = FaultyBench::local();
    put_dead_letters(&other, 2);
    for (number, body) in other.visible().into_iter().chain([letter().to_string().into_bytes()]).enumerate() {
        let text = String::from_utf8(body).expect("text");
        put(text.clone());
        put(if number == 2 { base64(text.replace("drone-1", "drone-3")) } else { base64(text) });
    }
    put("plain text of another program".into());
    let listed = bench.json(&["list"], 0);
    let repeats: Vec<_> = listed.as_array().expect("rows").iter().map(|row| row["repeats"].clone()).collect();
    assert_eq!(repeats, [json!(1), json!(1), json!(1), json!(0)]);

    let done = bench.json(&["replay", "--yes"], 1);
    assert_eq!((&done["replayed"], &done["failedAgain"], &done["foreign"]), (&json!(6), &json!(2), &json!(1)));
    let texts = texts(&bench, &client);
    let plain = texts.iter().filter(|text| text.starts_with('{')).count();
    let in_base64 = texts.iter().filter(|text| text.starts_with("eyJ")).count();
    assert_eq!((texts.len(), plain, in_base64), (3, 1, 1), "{texts:?}");
    for body in bench.visible().into_iter().filter(|body| body.starts_with(b"{")) {
        assert_eq!(devicestate_test_support::read_dead_letter(body)["Replay"]["Attempts"], 1);
    }
}
