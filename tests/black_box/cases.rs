//! Requests as public bug reports of others describe them: tests/fixtures/cases.

use devicestate_test_support::{App, Batch, Event, Framing, Reply, SESSIONS, fixture};
use serde_json::json;

/// Posts the request of a case.
#[track_caller]
fn invoke(app: &App, case: &str) -> Reply {
    app.start().invoke(&fixture(&format!("cases/{case}")))
}

/// Returns the app with the default telemetry.
fn any_json() -> App {
    App::shipped().without("Telemetry")
}

/// Posts a request whose only event must be applied, and checks the battery in its document.
#[track_caller]
fn assert_applied(case: &str, device: &str) {
    let app = App::shipped();
    invoke(&app, case).assert_all_applied(1);
    assert_eq!(app.readings(device)["Battery"], 0.5, "{case}");
}

/// Returns the issue of the only dead letter of a case.
#[track_caller]
fn issue(case: &str) -> String {
    let reply = invoke(&App::shipped(), case);
    assert_eq!(reply.counts(), [1, 0, 0, 1], "{case}");
    reply.dead_letter()["Issue"].as_str().expect("a text").to_owned()
}

#[test]
fn case_05_events_of_iot_hub_itself_are_ignored_whatever_the_device_id_is_from() {
    for setting in ["false", "true", "required"] {
        let app = App::shipped().with("DeviceIdFromIoTHub", setting);
        for case in ["05-device-deleted", "05-twin-change"] {
            let reply = invoke(&app, case);
            assert_eq!((reply.counts(), reply.not_stored()), ([1, 0, 0, 0], [0, 1]), "{case}, {setting}");
        }
        for device in ["drone-5", "drone-55"] {
            assert_eq!(app.state(device), None, "{setting}");
        }
    }
}

#[test]
fn case_07_names_in_other_letter_case_are_taken() {
    let app = App::shipped();
    invoke(&app, "07-names-in-other-case").assert_all_applied(3);
    assert_eq!(app.readings("drone-70"), json!({"id": "drone-70", "Battery": 0.5}));
    assert_eq!(app.readings("drone-71"), json!({"id": "drone-71", "Battery": 0.5}));
    assert_eq!(app.readings("drone-72"), json!({"id": "drone-72", "Battery": 0.5, "FlightMode": 3}));
}

#[test]
fn case_08_an_object_in_a_json_string_is_applied() {
    assert_applied("08-json-in-a-json-string", "drone-8");
    let app = App::shipped()
        .with("ServiceBusConnection__fullyQualifiedNamespace", "bus.servicebus.windows.net")
        .with("SessionQueueName", "sessions");
    let message = fixture("cases/08-session-message").to_string();
    let handler = app.start();
    let response = handler.call(SESSIONS, "08", message.as_bytes(), Framing::Chunked(16_384));
    Reply::from_response(&response).assert_all_applied(1);
    assert_eq!(handler.readings("drone-8")["Battery"], 0.5);
}

#[test]
fn case_09_several_events_in_one_body_are_named_as_such() {
    let array = issue("09-array-in-one-body");
    assert!(array.contains("an array of 2 elements: send one event for each"), "{array}");
    let lines = issue("09-lines-in-one-body");
    assert!(lines.contains("the body has 2 JSON values: send one event for each"), "{lines}");
}

/// With the default telemetry, any JSON.
#[test]
fn case_09_several_records_in_one_body_are_as_many_documents_of_any_json() {
    for case in ["09-array-in-one-body", "09-lines-in-one-body"] {
        let app = any_json();
        invoke(&app, case).assert_all_applied(1);
        assert_eq!(app.readings("drone-90")["battery"], 0.5, "{case}");
        assert_eq!(app.readings("drone-91")["battery"], 0.6, "{case}");
    }
}

#[test]
fn cases_08_10_26_and_28_are_applied_as_any_json() {
    for (case, events, device) in [
        ("08-json-in-a-json-string", 1, "drone-8"),
        ("10-gzip-body", 2, "drone-10"),
        ("26-content-type-encoded-twice", 1, "drone-26"),
        ("28-kafka-headers-are-bytes", 1, "drone-28"),
    ] {
        let app = any_json();
        invoke(&app, case).assert_all_applied(events);
        assert_eq!(app.readings(device)["battery"], 0.5, "{case}");
    }
}

#[test]
fn case_10_a_gzip_body_is_unpacked_with_and_without_its_content_encoding() {
    let app = App::shipped();
    invoke(&app, "10-gzip-body").assert_all_applied(2);
    let state = app.state("drone-10").expect("a document");
    assert_eq!((&state["Battery"], &state["Versions"]["Battery"][1]), (&json!(0.5), &json!(4_101)));
}

#[test]
fn case_18_a_flight_mode_with_a_fraction_of_zero_is_an_integer() {
    assert_applied("18-mode-with-a-fraction-of-zero", "drone-18");
}

#[test]
fn case_18_a_number_with_a_fraction_of_zero_is_kept_or_as_the_telemetry_file_says() {
    let flight_mode = |app: App| {
        invoke(&app, "18-mode-with-a-fraction-of-zero").assert_all_applied(1);
        app.readings("drone-18")["flightMode"].clone()
    };
    let mapped = |rule| App::shipped().with_telemetry_file(&json!({"readings": {"flightMode": rule}}));
    let names = json!({"Ready": 1, "Inflight": 3});
    assert_eq!(flight_mode(any_json()), 3.0);
    assert_eq!(flight_mode(mapped(json!({"from": "/flightMode", "type": "integer"}))), 3);
    assert_eq!(flight_mode(mapped(json!({"from": "/flightMode", "values": names}))), 3);
    let name = json!({"from": "/flightMode", "type": "string", "values": names});
    assert_eq!(flight_mode(mapped(name)), "Inflight");
}

#[test]
fn case_26_an_encoded_content_type_leaves_the_format_to_the_body() {
    assert_applied("26-content-type-encoded-twice", "drone-26");
}

#[test]
fn case_28_headers_as_bytes_and_a_missing_partition_key_do_no_harm() {
    assert_applied("28-kafka-headers-are-bytes", "drone-28");
}

#[test]
fn an_unrecognized_event_is_counted_and_logged_with_its_fields() {
    let app = App::shipped();
    let handler = app.start();
    let event = |number: i64, body: serde_json::Value| Event::json(number, &body);
    let batch = |events: Vec<_>| Batch::of(events).envelope();
    let pump = |number| event(number, json!({"deviceId": "pump-1", "batteryX": 3.2, "\u{1b}[2J\u{202e}": 1}));
    for first in [1, 3] {
        let reply = handler.invoke(&batch(vec![pump(first), pump(first + 1)]));
        assert_eq!((reply.counts(), reply.not_stored()), ([2, 0, 0, 0], [2, 0]));
    }
    handler.invoke(&batch(vec![event(5, json!({"deviceId": "heartbeat"}))])).assert_all_applied(1);
    assert_eq!((app.state("pump-1"), app.state("heartbeat").is_some()), (None, true));
    let log = handler.stop();
    let warnings: Vec<_> = log.lines().filter(|line| line.contains("no known reading")).collect();
    let [warning] = warnings[..] else { panic!("one warning within a minute: {log}") };
    assert!(
        warning.contains("batteryX (did you mean battery?)") && warning.contains(r#""unrecognized":2"#),
        "{warning}"
    );
    assert!(!log.contains(['\u{1b}', '\u{202e}']), "{log}");
}
