//! Invalid bodies, and large valid ones: none affects the other events of its batch or the handler.

use std::fs;

use devicestate_test_support::{App, Batch, Event, Handler, base64, from_base64, read_dead_letter};
use serde_json::{Value, json};

fn valid(sequence_number: i64) -> Event {
    Event::json(sequence_number, &json!({"deviceId": format!("valid-{sequence_number}"), "battery": 0.5}))
}

/// Posts an event between two valid ones, which must be applied, and returns its dead letter.
#[track_caller]
fn dead_letter(handler: &Handler, event: Event, case: &str) -> Value {
    // The valid events are the same in each case: applied at first, superseded later.
    let reply = handler.invoke(&Batch::of([valid(1), event, valid(3)]).envelope());
    let letter = reply.dead_letter();
    assert_eq!(letter["EventData"]["SequenceNumber"], 2, "{case}: {letter}");
    assert_eq!(letter["ErrorClass"], "poison", "{case}: {letter}");
    assert!(letter["Issue"].as_str().is_some_and(|issue| issue.len() > 10), "{case}: {letter}");
    for device in ["valid-1", "valid-3"] {
        assert_eq!(handler.readings(device)["Battery"], 0.5, "{case}");
    }
    letter.clone()
}

#[test]
fn json_that_is_not_telemetry_is_poison_with_a_reason() {
    let app = App::shipped();
    let handler = app.start();
    for (body, word) in [
        ("", "empty"),
        (" ", "JSON object"),
        ("{", "EOF"),
        ("{}", "device id"),
        ("null", "JSON object"),
        ("[]", "JSON object"),
        ("\"d\"", "JSON object"),
        ("42", "JSON object"),
        ("hello", "JSON object"),
        (r#"["d",0.5]"#, "JSON object"),
        (r#"{"deviceId":""}"#, "device id"),
        (r#"{"deviceId":null,"battery":1}"#, "device id"),
        (r#"{"deviceId":7}"#, "string"),
        (r#"{"deviceId":["d"]}"#, "string"),
        (r#"{"deviceId":"d","battery":"0.5"}"#, "battery: invalid type"),
        (r#"{"deviceId":"d","battery":NaN}"#, "expected value"),
        (r#"{"deviceId":"d","battery":Infinity}"#, "expected value"),
        (r#"{"deviceId":"d","battery":1e999}"#, "out of range"),
        (r#"{"deviceId":"d","battery":true}"#, "battery: invalid type"),
        (r#"{"deviceId":"d","flightMode":"gliding"}"#, "gliding"),
        (r#"{"deviceId":"d","flightMode":2.5}"#, "flight mode"),
        (r#"{"deviceId":"d","flightMode":18446744073709551615}"#, "flight mode"),
        (r#"{"deviceId":"d","position":[1,2,3]}"#, "object"),
        (r#"{"deviceId":"d","health":"good"}"#, "object"),
        (r#"{"deviceId":"d","health":{"gyrometerOK":1}}"#, "boolean"),
        (r#"{"deviceId":"d","isKeyFrame":"yes"}"#, "boolean"),
        (r#"{"deviceId":"d"}{"deviceId":"e"}"#, "trailing"),
        (r#"{"deviceId":"d","deviceId":"e"}"#, "duplicate"),
        (r#"{"deviceId":"\ud800"}"#, "hex escape"),
        ("{\"deviceId\":\"a\nb\"}", "control character"),
    ] {
        let letter = dead_letter(&handler, Event::new(2, body).content_type("application/json"), body);
        assert_eq!(letter["Stage"], "deserialize", "{body}: {letter}");
        assert!(letter["Issue"].as_str().expect("text").contains(word), "{body}: {letter}");
        assert_eq!(letter["EventData"]["Body"], base64(body), "{body}");
    }
}

#[test]
fn telemetry_with_invalid_values_is_poison_with_a_reason() {
    let app = App::shipped();
    let handler = app.start();
    let long = "x".repeat(1_024);
    let long_when_encoded = "/".repeat(342);
    for (body, words) in [
        (json!({"deviceId": "d", "flightMode": 6}), ["flight mode 6", "undefined"]),
        (json!({"deviceId": "d", "flightMode": -1}), ["flight mode -1", "undefined"]),
        (json!({"deviceId": long}), ["device id", "1024"]),
        (json!({"deviceId": long_when_encoded}), ["device id", "1026"]),
    ] {
        let letter = dead_letter(&handler, Event::json(2, &body), &body.to_string());
        assert_eq!(letter["Stage"], "validate", "{body}: {letter}");
        for word in words {
            assert!(letter["Issue"].as_str().expect("text").contains(word), "{body}: {letter}");
        }
    }
    let longest = json!({"deviceId": "x".repeat(1_023), "battery": 0.5});
    handler.invoke(&Batch::of([Event::json(9, &longest)]).envelope()).assert_all_applied(1);
}

#[test]
fn invalid_utf_8_is_poison_and_its_bytes_are_preserved() {
    let app = App::shipped();
    let handler = app.start();
    let bodies: [&[u8]; 4] =
        [b"\xff\xfe\xfd", b"{\"deviceId\":\"\xff\"}", b"{\"deviceId\":\"d\",\"x\xc3\":1}", b"\xef\xbb\xbf"];
    for body in bodies {
        for event in [Event::new(2, body), Event::new(2, body).content_type("application/json")] {
            let case = String::from_utf8_lossy(body);
            let letter = dead_letter(&handler, event, &case);
            assert_eq!(letter["Stage"], "deserialize", "{case}: {letter}");
            assert_eq!(from_base64(letter["EventData"]["Body"].as_str().expect("a body")), body, "{case}");
        }
    }
}

#[test]
fn a_byte_order_mark_is_accepted() {
    let app = App::shipped();
    let event = Event::new(1, "\u{feff}{\"deviceId\":\"d\",\"battery\":0.5}");
    app.start().invoke(&Batch::of([event]).envelope()).assert_all_applied(1);
    assert_eq!(app.readings("d")["Battery"], 0.5);
}

#[test]
fn deep_nesting_affects_neither_the_handler_nor_other_events() {
    let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
    let app = App::shipped();
    let handler = app.start();
    for (case, body) in [
        ("an id", format!(r#"{{"deviceId":{open}{close}}}"#)),
        ("an open id", format!(r#"{{"deviceId":{open}"#)),
        ("a battery", format!(r#"{{"deviceId":"d","battery":{open}{close}}}"#)),
        ("a position", format!(r#"{{"deviceId":"d","position":{open}{close}}}"#)),
        ("an open unknown field", format!(r#"{{"deviceId":"d","unknown":{open}"#)),
        ("nothing else", open.clone()),
        ("objects", r#"{"deviceId":"#.repeat(100_000)),
    ] {
        for event in [Event::new(2, body.clone()), Event::new(2, body.clone()).content_type("application/json")] {
            assert_eq!(dead_letter(&handler, event, case)["Stage"], "deserialize", "{case}");
        }
    }
    // Unknown fields are ignored with their content.
    let body = format!(r#"{{"deviceId":"deep","unknown":{open}{close},"battery":0.5}}"#);
    handler.invoke(&Batch::of([Event::new(4, body)]).envelope()).assert_all_applied(1);
    assert_eq!(handler.readings("deep")["Battery"], 0.5);
}

#[test]
fn deep_protobuf_groups_affect_neither_the_handler_nor_other_events() {
    let app = App::shipped();
    let handler = app.start();
    let groups = [b"\x0a\x01d".to_vec(), vec![0x3b; 100_000], vec![0x3c; 100_000]].concat();
    let letter = dead_letter(&handler, Event::protobuf(2, groups), "groups");
    assert_eq!(letter["Stage"], "deserialize");
}

#[test]
fn a_deeply_nested_request_does_not_end_the_handler() {
    let app = App::shipped();
    let mut handler = app.start();
    let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
    let bodies = [
        format!("{open}{close}"),
        format!(r#"{{"Data":{{"messages":{open}{close}}}}}"#),
        format!(r#"{{"Data":{{"messages":"{open}{close}"}}}}"#),
        format!(r#"{{"Data":{{"messages":"[]"}},"Metadata":{{"RetryContext":{open}{close}}}}}"#),
        format!(r#"{{"Data":{{"messages":"[]"}},"Metadata":{{"SystemPropertiesArray":{open}{close}}}}}"#),
        format!(r#"{{"Data":{{"messages":"[]"}},"Metadata":{{"PartitionContext":{open}{close}}}}}"#),
    ];
    for body in bodies {
        let status = handler.post("5f00", body.as_bytes()).status;
        assert!([200, 503].contains(&status), "{status}");
        assert!(handler.is_alive());
    }
    handler.invoke(&Batch::of([valid(1)]).envelope()).assert_all_applied(1);
}

#[test]
fn an_invalid_body_of_a_megabyte_is_stored_completely() {
    let app = App::shipped();
    let folder = app.path("large").display().to_string();
    let app = app.with("DeadLetterDirectory", folder);
    let handler = app.start();
    for (case, byte) in [("text", b'a'), ("zeros", 0), ("line feeds", b'\n'), ("spaces", b' '), ("ones", 0xff)] {
        let body = vec![byte; 1 << 20];
        let letter = dead_letter(&handler, Event::new(2, body.clone()), case);
        assert_eq!(letter["Stage"], "deserialize", "{case}: {letter}");
        let stored =
            fs::read(letter["Overflow"]["Location"].as_str().expect("a path")).expect("the complete dead letter");
        let stored = read_dead_letter(&stored);
        let stored_body = from_base64(stored["EventData"]["Body"].as_str().expect("the body"));
        assert!(stored_body == body, "{case}: the body is not the one that was sent");
    }
}

#[test]
fn an_issue_that_quotes_a_megabyte_fits_into_the_queue() {
    let app = App::shipped();
    let handler = app.start();
    // JSON writes the first of these characters with six bytes.
    for text in ["\u{1}".repeat(1 << 20), "\"".repeat(1 << 20), "\u{1f681}".repeat(1 << 18)] {
        let body = json!({"deviceId": "d", "flightMode": text});
        let letter = dead_letter(&handler, Event::json(2, &body), "a long mode");
        assert!(letter["Issue"].as_str().expect("text").contains("flight mode"));
    }
}

#[test]
fn a_hundred_events_of_a_megabyte_are_applied() {
    let padding = "x".repeat(1_000_000);
    let event = |number: i64| {
        let body = json!({"deviceId": format!("drone-{}", number % 10), "battery": 0.5, "padding": padding});
        Event::json(number, &body)
    };
    let app = App::shipped();
    let reply = app.start().invoke(&Batch::of((0..100).map(event).collect::<Vec<_>>()).envelope());
    reply.assert_all_applied(100);
    assert_eq!(reply.batch["devices"], 10);
    assert_eq!(app.state("drone-9").expect("a document")["Versions"]["Battery"][1], 99);
}
