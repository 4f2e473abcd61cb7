//! Every known form of the host's request for a batch, each with a file in `tests/fixtures`.

use devicestate_test_support::{App, Batch, Event, Reply, fixture, from_base64};
use serde_json::{Value, json};

/// The enqueued time of the fixtures' first event: 2024-11-20T09:14:07.123 UTC.
const ENQUEUED_MS: i64 = 1_732_094_047_123;

/// Posts a fixture to the app.
fn invoke(app: &App, name: &str) -> Reply {
    app.start().invoke(&fixture(name))
}

#[track_caller]
fn assert_three_events_of_two_drones(app: &App, reply: &Reply) {
    reply.assert_all_applied(3);
    assert_eq!(reply.batch["devices"], 2);
    assert_eq!(
        app.readings("drone-0017"),
        json!({"id": "drone-0017", "Battery": 0.8, "FlightMode": 3,
               "Latitude": 47.476_075, "Longitude": -122.192_026, "Altitude": 121.5})
    );
    assert_eq!(
        app.readings("drone-0042"),
        json!({"id": "drone-0042", "Battery": 0.375, "FlightMode": 4,
               "GyrometerOK": true, "AccelerometerOK": true, "MagnetometerOK": false})
    );
}

/// The enqueued time and the sequence number of a stored reading's version.
#[track_caller]
fn version(app: &App, device: &str, reading: &str) -> (i64, i64) {
    let document = app.state(device).unwrap_or_else(|| panic!("no document of {device}"));
    let version = document["Versions"][reading].as_array().unwrap_or_else(|| panic!("{document}"));
    let part = |index: usize| version[index].as_i64().expect("a number");
    assert_eq!(version.len(), 3, "time, sequence number, source");
    (part(0), part(1))
}

#[track_caller]
fn assert_fixtures_versions(app: &App) {
    assert_eq!(version(app, "drone-0017", "FlightMode"), (ENQUEUED_MS, 48_211));
    assert_eq!(version(app, "drone-0042", "Battery"), (ENQUEUED_MS, 48_212));
    assert_eq!(version(app, "drone-0017", "Battery"), (ENQUEUED_MS + 777, 48_213));
}

#[test]
fn a_binary_batch_is_applied_with_the_versions_of_its_events() {
    let app = App::shipped();
    let reply = invoke(&app, "many-binary");
    assert_three_events_of_two_drones(&app, &reply);
    assert_fixtures_versions(&app);
    assert_eq!(reply.batch["partitionId"], "3");
    assert_eq!(reply.batch["eventHubName"], "telemetry");
    assert_eq!(reply.batch["attempt"], 1);
}

#[test]
fn a_batch_of_an_older_extension_without_offset_strings_is_applied() {
    let app = App::shipped();
    let reply = invoke(&app, "many-binary-older-extension");
    assert_three_events_of_two_drones(&app, &reply);
    assert_fixtures_versions(&app);
}

#[test]
fn a_retried_batch_is_applied_and_reports_its_attempt() {
    let app = App::shipped();
    let reply = invoke(&app, "many-retry");
    assert_three_events_of_two_drones(&app, &reply);
    assert_eq!(reply.batch["attempt"], 3);
}

#[test]
fn a_batch_of_data_type_string_is_applied() {
    let app = App::shipped().with_trigger("many", Some("string"));
    let reply = invoke(&app, "many-string");
    assert_three_events_of_two_drones(&app, &reply);
    assert_fixtures_versions(&app);
}

#[test]
fn arrays_are_accepted_instead_of_strings_that_hold_arrays() {
    let app = App::shipped();
    let reply = invoke(&app, "many-real-arrays");
    assert_three_events_of_two_drones(&app, &reply);
    assert_fixtures_versions(&app);
}

#[test]
fn a_single_event_is_applied_in_each_data_type() {
    for (data_type, name) in [(Some("binary"), "one-binary"), (Some("string"), "one-string"), (None, "one-unset")] {
        let app = App::shipped().with_trigger("one", data_type);
        let reply = invoke(&app, name);
        reply.assert_all_applied(1);
        assert_eq!(app.readings("drone-0017")["Altitude"], 121.5, "{name}");
        assert_eq!(version(&app, "drone-0017", "Battery"), (ENQUEUED_MS, 48_211), "{name}");
    }
}

#[test]
fn an_invocation_from_the_admin_endpoint_is_applied_with_its_arrival_time() {
    let app = App::shipped();
    let reply = invoke(&app, "admin-endpoint");
    reply.assert_all_applied(1);
    assert_eq!(reply.batch["partitionId"], "", "the host sends none");
    let (time, _) = version(&app, "drone-0017", "Battery");
    assert!(time > ENQUEUED_MS, "{time}: not year 1");
}

#[test]
fn missing_and_null_metadata_are_accepted() {
    for name in ["no-metadata", "null-metadata"] {
        let app = App::shipped();
        let reply = invoke(&app, name);
        assert_three_events_of_two_drones(&app, &reply);
        assert!(version(&app, "drone-0017", "Battery") > version(&app, "drone-0017", "FlightMode"), "{name}");
    }
}

#[test]
fn an_empty_batch_has_a_reply_without_events() {
    let app = App::shipped();
    assert_eq!(invoke(&app, "empty-batch").counts(), [0; 4]);
}

#[test]
fn arrays_of_different_lengths_dead_letter_every_event_and_apply_none() {
    for (name, array) in
        [("sequence-numbers-too-few", "SequenceNumberArray"), ("enqueued-times-too-many", "EnqueuedTimeUtcArray")]
    {
        let app = App::shipped();
        let reply = invoke(&app, name);
        assert_eq!(reply.counts(), [3, 0, 0, 3]);
        for letter in &reply.dead_letters {
            assert_eq!(letter["Stage"], "envelope");
            assert!(letter["Issue"].as_str().expect("text").contains(array), "{letter}");
            assert!(letter["EventData"]["Body"].is_string(), "the dead letter has the event: {letter}");
        }
        assert_eq!((app.state("drone-0017"), app.state("drone-0042")), (None, None), "{name}");
    }
}

#[test]
fn a_dead_letter_has_no_value_from_an_array_of_the_wrong_length() {
    let app = App::shipped();
    let reply = invoke(&app, "properties-too-few");
    // It is unknown which of the three properties is missing: any value may be another event's.
    let letter = reply.dead_letters.iter().find(|letter| letter["EventData"]["SequenceNumber"] == 48_212);
    let letter = letter.expect("the event without a device id is dead-lettered");
    assert_eq!(letter["EventData"]["Properties"], Value::Null, "{letter}");
}

#[test]
fn invalid_base64_affects_only_its_own_event() {
    let app = App::shipped();
    let reply = invoke(&app, "bad-base64");
    assert_eq!(reply.counts(), [3, 2, 0, 1]);
    let letter = reply.dead_letter();
    assert_eq!(letter["Stage"], "envelope");
    assert_eq!(letter["EventData"]["SequenceNumber"], 48_212);
    assert!(letter["Issue"].as_str().expect("text").contains("base64"), "{letter}");
    assert_eq!(from_base64(letter["EventData"]["Body"].as_str().expect("what was sent")), b"eyJkZXZpY2VJZCI6*");
    assert_eq!(app.readings("drone-0017")["Battery"], 0.8);
}

#[test]
fn an_element_that_is_not_a_string_affects_only_itself() {
    let app = App::shipped();
    let mut envelope = Batch::of([0, 1, 2].map(|n| Event::json(n, &json!({"deviceId": format!("d{n}")})))).envelope();
    let elements: Value = serde_json::from_str(envelope["Data"]["messages"].as_str().expect("text")).expect("an array");
    envelope["Data"]["messages"] = json!([elements[0], {"a": 1}, elements[2]]).to_string().into();
    let reply = app.start().invoke(&envelope);
    assert_eq!(reply.counts(), [3, 2, 0, 1]);
    assert_eq!(reply.dead_letter()["Stage"], "envelope");
}

#[test]
fn the_device_id_of_iot_hub_is_used_only_if_enabled_and_missing_in_the_body() {
    let app = App::shipped();
    let reply = invoke(&app, "iot-hub");
    assert_eq!(reply.counts(), [2, 1, 0, 1]);
    assert_eq!(reply.dead_letter()["EventData"]["SequenceNumber"], 48_211);
    assert_eq!(app.state("drone-0017"), None);

    let app = App::shipped().with("DeviceIdFromIoTHub", "true");
    invoke(&app, "iot-hub").assert_all_applied(2);
    assert_eq!(app.readings("drone-0017"), json!({"id": "drone-0017", "Battery": 0.64}));
    assert_eq!(app.readings("drone-4711"), json!({"id": "drone-4711", "Battery": 0.32}));
    assert_eq!(app.state("drone-0042"), None);
}
