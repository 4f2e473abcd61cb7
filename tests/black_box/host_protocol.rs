//! The protocol between host and handler: readiness, framing, replies, replayed batches, and the format of bodies.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, TcpStream},
};

use devicestate_test_oracle::protobuf::Message;
use devicestate_test_support::{App, Batch, Event, FUNCTION, Framing, Reply, TIME_ZERO_MS, read_dead_letter, request};
use serde_json::{Value, json};

fn drone(sequence_number: i64, device: &str, battery: f64) -> Event {
    Event::json(sequence_number, &json!({"deviceId": device, "battery": battery}))
}

#[test]
fn the_response_to_get_is_an_empty_object() {
    let app = App::shipped();
    let handler = app.start();
    let response = request(handler.port, "GET", "/", &[], b"", Framing::Length).expect("an answer");
    assert_eq!(response.status, 200);
    assert_eq!(response.json(), json!({}));
}

#[test]
fn the_older_port_variable_is_supported() {
    let app = App::shipped();
    let handler = app.start_with("FUNCTIONS_HTTPWORKER_PORT");
    handler.invoke(&Batch::example().envelope()).assert_all_applied(3);
}

#[test]
fn chunked_bodies_and_bodies_with_a_length_are_applied() {
    let app = App::shipped();
    let handler = app.start();
    let framings = [Framing::Length, Framing::Chunked(1), Framing::Chunked(7), Framing::Chunked(1 << 20)];
    for (number, framing) in (0..).zip(framings) {
        let body = Batch::of([drone(number, "drone-7", 0.5)]).envelope().to_string();
        let response = handler.post_framed("2f6c64f0", body.as_bytes(), framing);
        Reply::from_response(&response).assert_all_applied(1);
    }
}

#[test]
fn a_request_with_an_excessive_length_that_breaks_off_does_not_end_the_handler() {
    let app = App::shipped();
    let mut handler = app.start();
    for length in [1_u64 << 45, u64::MAX >> 2] {
        let mut host = TcpStream::connect((Ipv4Addr::LOCALHOST, handler.port)).expect("a handler that listens");
        write!(host, "POST /{FUNCTION} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n")
            .expect("a head");
        host.write_all(&vec![b' '; 1 << 20]).expect("a part of the body");
        host.shutdown(Shutdown::Write).expect("an open connection");
        // With any response, the handler has seen the end.
        let _ = host.read_to_end(&mut Vec::new());
    }
    assert!(handler.is_alive());
    handler.invoke(&Batch::example().envelope()).assert_all_applied(3);
}

#[test]
fn an_unknown_path_is_not_found() {
    let app = App::shipped();
    let handler = app.start();
    let body = Batch::example().envelope().to_string();
    for path in ["/Other", "/api/RawTelemetryFunction", "/rawtelemetryfunction", "/RawTelemetryFunction/x"] {
        let response = request(handler.port, "POST", path, &[], body.as_bytes(), Framing::Length);
        assert_eq!(response.expect("an answer").status, 404, "{path}");
    }
    assert_eq!(handler.state("drone-0017"), None);
}

#[test]
fn a_request_without_the_hosts_headers_is_accepted() {
    let app = App::shipped();
    let handler = app.start();
    let body = Batch::example().envelope().to_string();
    let response = request(handler.port, "POST", &format!("/{FUNCTION}"), &[], body.as_bytes(), Framing::Length);
    Reply::from_response(&response.expect("an answer")).assert_all_applied(3);
}

#[test]
fn the_reply_has_the_dead_letters_under_the_name_of_the_binding() {
    let app = App::shipped().with_function(|function| function["bindings"][1]["name"] = "Poison".into());
    let envelope = Batch::of([Event::json(1, &json!({}))]).envelope();
    let response = app.start().post("51a7", envelope.to_string().as_bytes());
    let outputs = &response.json()["Outputs"];
    assert_eq!(outputs.as_object().expect("an object").keys().collect::<Vec<_>>(), ["Poison"]);
    read_dead_letter(outputs["Poison"][0].as_str().expect("text"));
}

#[test]
fn the_reply_has_the_dead_letters_as_return_value_if_the_binding_has_that_name() {
    let app = App::shipped().with_function(|function| function["bindings"][1]["name"] = "$return".into());
    let handler = app.start();
    let poison = Batch::of([Event::json(1, &json!({}))]).envelope();
    let reply = handler.post("51a9", poison.to_string().as_bytes()).json();
    assert_eq!(reply["Outputs"], json!({}), "the host replaces an output of this name");
    let messages = reply["ReturnValue"].as_array().expect("an array");
    assert_eq!(messages.len(), 1);
    read_dead_letter(messages[0].as_str().expect("text"));
    let reply = handler.post("51aa", Batch::example().envelope().to_string().as_bytes()).json();
    assert_eq!((&reply["Outputs"], &reply["ReturnValue"]), (&json!({}), &json!([])));
}

#[test]
fn a_batch_without_dead_letters_has_an_empty_output() {
    let app = App::shipped();
    let response = app.start().post("51a8", Batch::example().envelope().to_string().as_bytes());
    assert_eq!(response.json()["Outputs"], json!({"deadLetterMessages": []}));
}

#[test]
fn a_dead_letter_has_all_metadata_of_the_host() {
    let app = App::shipped();
    let event = Event::new(41, "{").partition_key("drone-7").content_type("application/json");
    let envelope = Batch::of([drone(40, "a", 1.0), event]).partition("5").retry(1, -1).envelope();
    let response = app.start().post("0c9b1a52", envelope.to_string().as_bytes());
    let reply = Reply::from_response(&response);
    let letter = reply.dead_letter();
    let data = &letter["EventData"];
    assert_eq!(
        letter["Source"],
        json!({"FullyQualifiedNamespace": "drones.servicebus.windows.net", "EventHubName": "telemetry",
               "ConsumerGroup": "devicestate", "PartitionId": "5"})
    );
    assert_eq!((&letter["InvocationId"], &letter["Attempt"]), (&json!("0c9b1a52"), &json!(2)));
    assert_eq!((&letter["Stage"], &letter["ErrorClass"]), (&json!("deserialize"), &json!("poison")));
    assert_eq!(letter["Id"].as_str().expect("text").len(), 32);
    assert_eq!(data["Body"], "ew==");
    assert_eq!((&data["PartitionKey"], &data["SequenceNumber"]), (&json!("drone-7"), &json!(41)));
    assert_eq!((&data["Offset"], &data["EnqueuedTimeUtc"]), (&json!("4592"), &json!("2024-11-20T00:00:00.41")));
    assert_eq!(data["Properties"], json!({"n": 41}));
    assert_eq!(data["SystemProperties"]["content-type"], "application/json");
}

#[test]
fn a_replayed_batch_is_superseded_and_writes_nothing() {
    let app = App::shipped();
    let handler = app.start();
    let envelope = Batch::example().envelope();
    handler.invoke(&envelope).assert_all_applied(3);
    let before = [handler.state("drone-0017"), handler.state("drone-0042")];
    for _ in 0..2 {
        let reply = handler.invoke(&envelope);
        assert_eq!(reply.counts(), [3, 0, 3, 0]);
        assert_eq!(reply.batch["writes"], 0);
    }
    assert_eq!([handler.state("drone-0017"), handler.state("drone-0042")], before);
}

#[test]
fn a_replayed_dead_letter_has_the_same_id_and_another_event_has_another() {
    let app = App::shipped();
    let handler = app.start();
    let id = |sequence_number| {
        let reply = handler.invoke(&Batch::of([Event::json(sequence_number, &json!({}))]).envelope());
        reply.dead_letter()["Id"].clone()
    };
    assert_eq!(id(7), id(7));
    assert_ne!(id(7), id(8));
}

#[test]
fn an_older_batch_after_a_newer_one_fills_only_missing_readings() {
    let app = App::shipped();
    let handler = app.start();
    handler.invoke(&Batch::of([drone(20, "d", 0.2)]).envelope()).assert_all_applied(1);
    let older = [drone(9, "d", 0.9), Event::json(10, &json!({"deviceId": "d", "battery": 0.8, "flightMode": 2}))];
    let reply = handler.invoke(&Batch::of(older).envelope());
    assert_eq!(reply.counts(), [2, 1, 1, 0]);
    assert_eq!(handler.readings("d"), json!({"id": "d", "Battery": 0.2, "FlightMode": 2}));
    let versions = handler.state("d").expect("a document")["Versions"].clone();
    assert_eq!((&versions["Battery"][0], &versions["Battery"][1]), (&json!(TIME_ZERO_MS + 200), &json!(20)));
    assert_eq!((&versions["FlightMode"][0], &versions["FlightMode"][1]), (&json!(TIME_ZERO_MS + 100), &json!(10)));
}

#[test]
fn documents_survive_a_killed_handler() {
    let app = App::shipped();
    app.start().invoke(&Batch::of([drone(20, "d", 0.2)]).envelope()).assert_all_applied(1);
    let reply = app.start().invoke(&Batch::of([drone(10, "d", 0.9)]).envelope());
    assert_eq!(reply.counts(), [1, 0, 1, 0]);
    assert_eq!(app.readings("d")["Battery"], 0.2);
}

#[test]
fn a_batch_costs_one_read_and_one_write_per_device() {
    let app = App::shipped();
    let events: Vec<_> = (0..200).map(|n| drone(n, &format!("drone-{}", n % 4), 0.5)).collect();
    let reply = app.start().invoke(&Batch::of(events).envelope());
    reply.assert_all_applied(200);
    let count = |name: &str| reply.batch[name].as_u64();
    assert_eq!([count("devices"), count("reads"), count("writes")], [Some(4); 3], "{}", reply.batch);
}

#[test]
fn an_event_without_readings_creates_the_document() {
    let app = App::shipped();
    app.start()
        .invoke(&Batch::of([Event::protobuf(1, Message::with_device("drone-7"))]).envelope())
        .assert_all_applied(1);
    assert_eq!(app.readings("drone-7"), json!({"id": "drone-7"}));
}

#[test]
fn zero_false_and_unknown_are_readings_and_null_is_not() {
    let app = App::shipped();
    let handler = app.start();
    let full = json!({"deviceId": "d", "battery": 0.5, "flightMode": "ready", "health": {"gyrometerOK": true}});
    let zeros = json!({"DeviceId": "d", "Battery": 0, "FlightMode": "Unknown", "Health": {"GyrometerOK": false}});
    let nulls = json!({"deviceId": "d", "battery": null, "flightMode": null, "health": null, "position": null});
    for (number, body) in (1..).zip([full, zeros, nulls]) {
        handler.invoke(&Batch::of([Event::json(number, &body)]).envelope()).assert_all_applied(1);
    }
    let expected = json!({"id": "d", "Battery": 0.0, "FlightMode": 0, "GyrometerOK": false});
    assert_eq!(handler.readings("d"), expected);
}

#[test]
fn device_ids_that_a_store_would_reject_are_encoded() {
    let app = App::shipped();
    let handler = app.start();
    handler.invoke(&Batch::of([drone(1, "a/b?c#d\\e%f ü", 0.5)]).envelope()).assert_all_applied(1);
    assert_eq!(handler.readings("a/b?c#d\\e%f ü")["id"], "a~2Fb~3Fc~23d~5Ce~25f ~C3~BC");
}

#[test]
fn the_content_type_takes_precedence_over_the_setting() {
    let json: Vec<u8> = json!({"deviceId": "j", "battery": 0.5}).to_string().into();
    let protobuf: Vec<u8> = Message::with_device("p").double(2, 0.25).into();
    for setting in ["auto", "json", "protobuf"] {
        let app = App::shipped().with("TelemetryFormat", setting);
        let handler = app.start();
        let named = [
            Event::new(1, json.clone()).content_type("Application/JSON; charset=utf-8"),
            Event::new(2, protobuf.clone()).content_type("application/x-protobuf"),
            Event::new(3, json.clone()).content_type("application/cloudevents+json"),
            Event::new(4, protobuf.clone()).content_type("application/vnd.google.protobuf"),
        ];
        handler.invoke(&Batch::of(named).envelope()).assert_all_applied(4);

        let unnamed = [Event::new(11, json.clone()), Event::new(12, protobuf.clone()).content_type("text/plain")];
        let reply = handler.invoke(&Batch::of(unnamed).envelope());
        let failed: Vec<_> = reply.dead_letters.iter().map(|letter| &letter["EventData"]["SequenceNumber"]).collect();
        match setting {
            "json" => assert_eq!(failed, [12], "protobuf is not JSON"),
            "protobuf" => assert_eq!(failed, [11], "JSON is not protobuf"),
            _ => assert_eq!(failed, [] as [&Value; 0], "detected from the body"),
        }
    }
}

#[test]
fn partitions_are_processed_concurrently() {
    let app = App::shipped();
    let handler = &app.start();
    std::thread::scope(|scope| {
        for partition in 0..8 {
            scope.spawn(move || {
                for number in 0..10 {
                    let event = drone(number, &format!("drone-{partition}"), 0.5);
                    let batch = Batch::of([event]).partition(&partition.to_string());
                    let reply = handler.invoke(&batch.envelope());
                    reply.assert_all_applied(1);
                    assert_eq!(reply.batch["partitionId"], partition.to_string());
                }
            });
        }
    });
    assert_eq!(handler.state("drone-7").expect("a document")["Versions"]["Battery"][1], 9);
}
