//! The known faults of the reference implementation, in their order: one test for each that is visible from outside.
//!
//! Not tested here: fault 5 (throttling reported as an argument error) needs a store that throttles, and fault 8 is in the reference's simulator.

use std::{fs, sync::Barrier, thread};

use devicestate_test_oracle::protobuf::Message;
use devicestate_test_support::{App, Batch, Event, from_base64, read_dead_letter, repository_file, sha256};
use serde_json::{Value, json};

/// An undecodable event that does not fit into a queue message.
fn large(sequence_number: i64) -> Event {
    Event::json(sequence_number, &json!({"battery": 0.5, "padding": "x".repeat(65_536)}))
}

/// Events of a batch: a large undecodable one between two valid ones.
fn events_with_a_large_one() -> [Event; 3] {
    let valid = |number| Event::json(number, &json!({"deviceId": format!("drone-{number}"), "battery": 0.5}));
    [valid(1), large(2), valid(3)]
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no text {name} in {value}"))
}

/// Fault 1: the update was called anyway, and dead-lettered the event a second time with a misleading issue.
#[test]
fn a_failed_deserialization_is_dead_lettered_once_with_its_reason() {
    let app = App::shipped();
    let handler = app.start();
    let batch = Batch::of([Event::json(1, &json!({"deviceId": "d", "battery": "full"}))]);
    let reply = handler.invoke(&batch.envelope());
    assert_eq!(reply.counts(), [1, 0, 0, 1]);
    let letter = reply.dead_letter();
    assert_eq!(letter["Stage"], "deserialize");
    assert!(text(letter, "Issue").contains("\"full\""), "{letter}");
    assert_eq!(reply.batch["reads"].as_u64().zip(reply.batch["writes"].as_u64()), Some((0, 0)), "no update");
    assert_eq!(handler.state("d"), None);
}

/// Fault 2: partition key and sequence number never reached the log lines.
#[test]
fn a_dead_letter_and_its_record_have_the_same_position_and_partition_key() {
    let app = App::shipped();
    let handler = app.start();
    let events = [(7, "drone-a"), (8, "drone-b")].map(|(number, key)| Event::new(number, "{").partition_key(key));
    let reply = handler.invoke(&Batch::of(events).partition("11").envelope());
    for (index, (number, key)) in [(7, "drone-a"), (8, "drone-b")].into_iter().enumerate() {
        let letter = &reply.dead_letters[index];
        assert_eq!(letter["Source"]["PartitionId"], "11");
        assert_eq!(
            (&letter["EventData"]["SequenceNumber"], &letter["EventData"]["PartitionKey"]),
            (&json!(number), &json!(key))
        );

        let record = &reply.records[index];
        assert_eq!(record["record"], "deadLetter");
        assert_eq!(record["deadLetterId"], letter["Id"]);
        assert_eq!((&record["partitionId"], &record["partitionKey"]), (&json!("11"), &json!(key)));
        assert_eq!(record["sequenceNumber"], number);
        assert_eq!(record["invocationId"], letter["InvocationId"]);
    }
}

/// Fault 3: the state of the previous event leaked into a dead letter, and the event's own data were missing.
#[test]
fn a_dead_letter_has_its_own_event_and_device_state() {
    let app = App::shipped();
    let long_id = "x".repeat(1_024);
    let bodies = [
        json!({"deviceId": "before", "battery": 0.1}).to_string(),
        "{\"battery\":0.2}".to_owned(),
        json!({"deviceId": long_id, "battery": 0.3}).to_string(),
        "not telemetry".to_owned(),
        json!({"deviceId": "after", "battery": 0.4}).to_string(),
    ];
    let events: Vec<_> = (0..).zip(&bodies).map(|(number, body)| Event::new(number, body.as_str())).collect();
    let reply = app.start().invoke(&Batch::of(events).envelope());
    assert_eq!(reply.counts(), [5, 2, 0, 3]);
    for (letter, number) in reply.dead_letters.iter().zip([1, 2, 3]) {
        let data = &letter["EventData"];
        assert_eq!(data["SequenceNumber"], number);
        assert_eq!(data["Properties"], json!({"n": number}));
        assert_eq!(data["SystemProperties"]["SequenceNumber"], number);
        assert_eq!(from_base64(text(data, "Body")), bodies[usize::try_from(number).expect("an index")].as_bytes());
        match number {
            2 => assert_eq!(letter["DeviceState"], json!({"id": long_id, "Battery": 0.3}), "what was decoded"),
            _ => assert_eq!(letter["DeviceState"], Value::Null, "nothing was decoded"),
        }
    }
}

/// Fault 4: two writers lost updates, and older events overwrote newer ones.
///
/// Each writer writes a field of its own once for each device, so a lost update is never repaired. Then it sends an older event
/// with the next writer's field.
#[test]
fn two_concurrent_handlers_store_the_fold_of_all_events() {
    const ROUNDS: i64 = 25;
    const DEVICES: i64 = 4;
    let fields = [
        ("Battery", json!({"battery": 0.5}), json!(0.5)),
        ("FlightMode", json!({"flightMode": "landing"}), json!(4)),
        ("Latitude", json!({"position": {"latitude": 47.5}}), json!(47.5)),
        ("Longitude", json!({"position": {"longitude": 8.25}}), json!(8.25)),
        ("Altitude", json!({"position": {"altitude": 408.0}}), json!(408.0)),
        ("GyrometerOK", json!({"health": {"gyrometerOK": true}}), json!(true)),
        ("AccelerometerOK", json!({"health": {"accelerometerOK": false}}), json!(false)),
        ("MagnetometerOK", json!({"health": {"magnetometerOK": true}}), json!(true)),
    ];
    let device = |round: i64, number: i64| format!("drone-{round}-{number}");
    let batch = |round: i64, wire: &Value, first: i64| {
        let event = |number: i64| {
            let mut body = wire.clone();
            body["deviceId"] = device(round, number).into();
            Event::json(first + number, &body)
        };
        // All batches are of one partition, as if its old and its new owner processed it at the same time.
        Batch::of((0..DEVICES).map(event).collect::<Vec<_>>()).envelope()
    };
    let newest = |round: i64, writer: usize| 100_000 + round * 100 + i64::try_from(writer).expect("small") * DEVICES;

    let app = App::shipped();
    let handlers = [app.start(), app.start()];
    let together = Barrier::new(fields.len());
    thread::scope(|scope| {
        for writer in 0..fields.len() {
            let (fields, together, batch, handler) = (&fields, &together, &batch, &handlers[writer % 2]);
            scope.spawn(move || {
                let (_, own, _) = &fields[writer];
                let (_, other_field, _) = &fields[(writer + 1) % fields.len()];
                for round in 0..ROUNDS {
                    together.wait();
                    handler.invoke(&batch(round, own, newest(round, writer))).assert_all_applied(4);
                    assert_eq!(handler.invoke(&batch(round, other_field, round)).counts()[3], 0);
                }
            });
        }
    });
    for (round, number) in (0..ROUNDS).flat_map(|round| (0..DEVICES).map(move |number| (round, number))) {
        let document = app.state(&device(round, number)).expect("a document");
        for (writer, (name, _, value)) in fields.iter().enumerate() {
            assert_eq!(&document[name], value, "{name} was lost: {document}");
            assert_eq!(document["Versions"][name][1], newest(round, writer) + number, "{name} is old: {document}");
        }
    }
}

/// Fault 6, first case: a dead letter that was too large for the queue threw, and the other events of the batch were lost.
#[test]
fn a_large_dead_letter_is_stored_in_the_folder_and_the_other_events_are_applied() {
    let app = App::shipped();
    let folder = app.path("large");
    let app = app.with("DeadLetterDirectory", folder.display().to_string());
    let reply = app.start().invoke(&Batch::of(events_with_a_large_one()).retry(0, -1).envelope());
    assert_eq!(reply.counts(), [3, 2, 0, 1]);
    assert_eq!(
        (app.readings("drone-1")["Battery"].as_f64(), app.readings("drone-3")["Battery"].as_f64()),
        (Some(0.5), Some(0.5))
    );

    let message = reply.dead_letter();
    let overflow = &message["Overflow"];
    let stored = fs::read(text(overflow, "Location")).expect("the file that the message names");
    assert_eq!(overflow["Length"], stored.len());
    assert_eq!(overflow["Sha256"], sha256(&stored));
    let letter = read_dead_letter(&stored);
    for name in ["Id", "Issue", "Stage", "ErrorClass", "Source", "InvocationId", "Attempt"] {
        assert_eq!(letter[name], message[name], "{name}");
    }
    assert_eq!(letter["EventData"]["SequenceNumber"], message["EventData"]["SequenceNumber"]);
    let body: Value = serde_json::from_slice(&from_base64(text(&letter["EventData"], "Body"))).expect("the event");
    assert_eq!(text(&body, "padding").len(), 65_536);
    assert_eq!(fs::read_dir(folder).expect("the folder").count(), 1, "no temporary file is left");
}

/// Fault 6, second case: the folder of dead letters cannot be written.
#[test]
fn if_the_folder_is_not_writable_only_the_last_attempt_truncates_the_body() {
    let app = App::shipped();
    fs::write(app.path("file"), "a folder cannot be below a file").expect("a file in the temporary folder");
    let folder = app.path("file/large").display().to_string();
    let app = app.with("DeadLetterDirectory", folder);
    let handler = app.start();
    for (count, max_count) in [(0, -1), (1_000, -1), (0, 3), (2, 3)] {
        let batch = Batch::of(events_with_a_large_one()).retry(count, max_count).envelope().to_string();
        let response = handler.post("94d0", batch.as_bytes());
        assert_eq!(response.status, 503, "{count} of {max_count}");
        assert!(text(&response.json(), "error").contains("DeadLetterDirectory"));
    }
    // The last attempt, and every attempt without a retry policy. `invoke` checks that each dead letter fits into the queue.
    for batch in [Batch::of(events_with_a_large_one()).retry(3, 3), Batch::of(events_with_a_large_one())] {
        let reply = handler.invoke(&batch.envelope());
        assert_truncated(reply.dead_letter());
    }
    assert_eq!(handler.readings("drone-3")["Battery"], 0.5);
}

/// With the memory store, there is no folder unless a setting names one.
#[test]
fn without_a_folder_a_large_dead_letter_is_truncated_and_the_other_events_are_applied() {
    let app = App::shipped().with("StateStore", "memory");
    let reply = app.start().invoke(&Batch::of(events_with_a_large_one()).retry(0, -1).envelope());
    assert_eq!(reply.counts(), [3, 2, 0, 1]);
    assert_truncated(reply.dead_letter());
}

#[track_caller]
fn assert_truncated(message: &Value) {
    let complete = json!({"battery": 0.5, "padding": "x".repeat(65_536)}).to_string();
    assert_eq!(
        message["EventData"]["BodyCut"],
        json!({"Length": complete.len(), "Sha256": sha256(complete.as_bytes())})
    );
    let truncated = from_base64(text(&message["EventData"], "Body"));
    assert!(complete.as_bytes().starts_with(&truncated), "the beginning of the body");
    assert!(truncated.len() > 30_000, "the largest prefix that fits: {}", truncated.len());
    assert_eq!(message["EventData"]["SequenceNumber"], 2);
    assert_eq!(message["Stage"], "deserialize");
    // The complete message must fit, not only the body.
    assert!(message.to_string().len() <= 49_152);
}

/// A batch of large dead letters only: each has a message and a file.
#[test]
fn each_of_many_large_dead_letters_is_stored() {
    let app = App::shipped();
    let folder = app.path("large").display().to_string();
    let app = app.with("DeadLetterDirectory", folder);
    let reply = app.start().invoke(&Batch::of((0..50).map(large).collect::<Vec<_>>()).envelope());
    assert_eq!(reply.counts(), [50, 0, 0, 50]);
    assert_eq!(fs::read_dir(app.path("large")).expect("the folder").count(), 50);
}

/// Fault 7: the batch settings were at a level at which the host ignores them.
#[test]
fn the_batch_settings_of_host_json_are_where_the_host_reads_them() {
    let host = repository_file("host.json");
    let event_hubs = &host["extensions"]["eventHubs"];
    assert!(event_hubs["maxEventBatchSize"].as_u64().is_some_and(|size| size >= 100), "{host}");
    assert!(event_hubs["prefetchCount"].as_u64() > event_hubs["maxEventBatchSize"].as_u64(), "{host}");
    assert!(event_hubs["batchProcessorOptions"].is_null() && event_hubs["eventProcessorOptions"].is_null(), "{host}");
    assert!(host["eventHubs"].is_null() && host["eventHub"].is_null(), "{host}");
}

/// The handler reads what the reference's devices send: bytes of the reference's own serializer.
#[test]
fn a_delta_frame_of_the_reference_changes_only_its_own_fields() {
    let app = App::shipped();
    let first = Message::with_device("drone-7").double(2, 1.0).varint(3, 5).varint(6, 1);
    let delta = Message::with_device("drone-7").double(2, 0.9).varint(6, 0);
    let batch = Batch::of([Event::protobuf(1, first), Event::protobuf(2, delta)]);
    app.start().invoke(&batch.envelope()).assert_all_applied(2);
    assert_eq!(app.readings("drone-7"), json!({"id": "drone-7", "Battery": 0.9, "FlightMode": 5}));
}
