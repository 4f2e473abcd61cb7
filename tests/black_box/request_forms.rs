//! Forms of a batch that no recording of a running host has: of older extensions, with real arrays, without metadata, with
//! metadata that do not match the events, of IoT Hub. Each is a batch in the recorded form (see `forms.rs`) with one change.

use devicestate_test_support::{App, Batch, Event, Reply, base64, from_base64};
use serde_json::{Value, json};

/// Posts the example, changed, to the app.
fn invoke(app: &App, change: impl FnOnce(&mut Value)) -> Reply {
    let mut request = Batch::example().envelope();
    change(&mut request);
    app.start().invoke(&request)
}

/// Changes the cells of an array in a string.
fn change_cells(array: &mut Value, change: impl FnOnce(&mut Vec<Value>)) {
    let mut cells = serde_json::from_str(array.as_str().expect("text")).expect("an array");
    change(&mut cells);
    *array = json!(cells).to_string().into();
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
fn assert_versions_of_the_events(app: &App) {
    let versions = [("drone-0017", "FlightMode"), ("drone-0042", "Battery"), ("drone-0017", "Battery")]
        .map(|(device, reading)| version(app, device, reading));
    assert_eq!(versions.as_slice(), Batch::example().events().iter().map(Event::position).collect::<Vec<_>>());
}

#[test]
fn a_batch_is_applied_with_the_versions_of_its_events() {
    let app = App::shipped();
    let reply = invoke(&app, |_| {});
    assert_three_events_of_two_drones(&app, &reply);
    assert_versions_of_the_events(&app);
    assert_eq!(reply.batch["partitionId"], "0");
    assert_eq!(reply.batch["eventHubName"], "telemetry");
    assert_eq!(reply.batch["attempt"], 1);
}

#[test]
fn a_batch_of_an_older_extension_without_offset_strings_is_applied() {
    let app = App::shipped();
    let reply = invoke(&app, |request| {
        request["Metadata"].as_object_mut().expect("an object").remove("OffsetStringArray").expect("an array");
        change_cells(&mut request["Metadata"]["SystemPropertiesArray"], |cells| {
            for cell in cells {
                cell.as_object_mut().expect("an object").remove("OffsetString").expect("a text");
            }
        });
    });
    assert_three_events_of_two_drones(&app, &reply);
    assert_versions_of_the_events(&app);
}

#[test]
fn arrays_are_accepted_instead_of_strings_that_hold_arrays() {
    fn hold_no_json(value: &mut Value) {
        match value {
            Value::String(text) if text.starts_with('[') => *value = serde_json::from_str(text).expect("an array"),
            Value::Object(members) => members.values_mut().for_each(hold_no_json),
            _ => {}
        }
    }
    let app = App::shipped();
    let reply = invoke(&app, |request| {
        hold_no_json(request);
        assert!(request["Data"]["messages"].is_array() && request["Metadata"]["SystemPropertiesArray"].is_array());
    });
    assert_three_events_of_two_drones(&app, &reply);
    assert_versions_of_the_events(&app);
}

#[test]
fn missing_and_null_metadata_are_accepted() {
    for metadata in [None, Some(Value::Null)] {
        let app = App::shipped();
        let reply = invoke(&app, |request| {
            request.as_object_mut().expect("an object").remove("Metadata");
            if let Some(metadata) = metadata {
                request["Metadata"] = metadata;
            }
        });
        assert_three_events_of_two_drones(&app, &reply);
        assert!(version(&app, "drone-0017", "Battery") > version(&app, "drone-0017", "FlightMode"));
    }
}

#[test]
fn an_empty_batch_has_a_reply_without_events() {
    assert_eq!(App::shipped().start().invoke(&Batch::of([]).envelope()).counts(), [0; 4]);
}

#[test]
fn arrays_of_different_lengths_dead_letter_every_event_and_apply_none() {
    let too_few: fn(&mut Vec<Value>) = |cells| drop(cells.pop());
    let too_many: fn(&mut Vec<Value>) = |cells| cells.push(cells[0].clone());
    for (array, change) in [("SequenceNumberArray", too_few), ("EnqueuedTimeUtcArray", too_many)] {
        let app = App::shipped();
        let reply = invoke(&app, |request| change_cells(&mut request["Metadata"][array], change));
        assert_eq!(reply.counts(), [3, 0, 0, 3]);
        for letter in &reply.dead_letters {
            assert_eq!(letter["Stage"], "envelope");
            assert!(letter["Issue"].as_str().expect("text").contains(array), "{letter}");
            assert!(letter["EventData"]["Body"].is_string(), "the dead letter has the event: {letter}");
        }
        assert_eq!((app.state("drone-0017"), app.state("drone-0042")), (None, None), "{array}");
    }
}

#[test]
fn a_dead_letter_has_no_value_from_an_array_of_the_wrong_length() {
    let app = App::shipped();
    let reply = invoke(&app, |request| {
        change_cells(&mut request["Data"]["messages"], |bodies| bodies[1] = base64(r#"{"battery":1}"#).into());
        change_cells(&mut request["Metadata"]["PropertiesArray"], |cells| drop(cells.remove(1)));
    });
    // It is unknown which of the three properties is missing: any value may be another event's.
    let letter = reply.dead_letter();
    assert_eq!(letter["EventData"]["SequenceNumber"], Batch::EXAMPLE + 1);
    assert_eq!(letter["EventData"]["Properties"], Value::Null, "{letter}");
}

#[test]
fn invalid_base64_affects_only_its_own_event() {
    let app = App::shipped();
    let reply = invoke(&app, |request| {
        change_cells(&mut request["Data"]["messages"], |bodies| bodies[1] = "eyJkZXZpY2VJZCI6*".into());
    });
    assert_eq!(reply.counts(), [3, 2, 0, 1]);
    let letter = reply.dead_letter();
    assert_eq!(letter["Stage"], "envelope");
    assert_eq!(letter["EventData"]["SequenceNumber"], Batch::EXAMPLE + 1);
    assert!(letter["Issue"].as_str().expect("text").contains("base64"), "{letter}");
    assert_eq!(from_base64(letter["EventData"]["Body"].as_str().expect("what was sent")), b"eyJkZXZpY2VJZCI6*");
    assert_eq!(app.readings("drone-0017")["Battery"], 0.8);
}

#[test]
fn an_element_that_is_not_a_string_affects_only_itself() {
    let app = App::shipped();
    let reply = invoke(&app, |request| {
        change_cells(&mut request["Data"]["messages"], |bodies| bodies[1] = json!({"a": 1}));
    });
    assert_eq!(reply.counts(), [3, 2, 0, 1]);
    assert_eq!(reply.dead_letter()["Stage"], "envelope");
}

/// Returns an event as IoT Hub forwards a message of this device.
fn of_iot_hub(sequence_number: i64, device: &str, body: &Value) -> Event {
    let auth_method = r#"{"scope":"device","type":"sas","issuer":"iothub"}"#;
    Event::json(sequence_number, body)
        .system_property("iothub-connection-device-id", device)
        .system_property("iothub-connection-auth-method", auth_method)
        .system_property("iothub-connection-auth-generation-id", "638677412345678901")
        .system_property("iothub-enqueuedtime", "2024-11-20T09:14:07.123")
        .system_property("iothub-message-source", "Telemetry")
}

#[test]
fn the_device_id_of_iot_hub_is_used_only_if_enabled_and_missing_in_the_body() {
    let batch = Batch::of([
        of_iot_hub(1, "drone-0017", &json!({"battery": 0.64})),
        of_iot_hub(2, "drone-0042", &json!({"deviceId": "drone-4711", "battery": 0.32})),
    ]);
    let app = App::shipped();
    let reply = app.start().invoke(&batch.envelope());
    assert_eq!(reply.counts(), [2, 1, 0, 1]);
    assert_eq!(reply.dead_letter()["EventData"]["SequenceNumber"], 1);
    assert_eq!(app.state("drone-0017"), None);

    let app = App::shipped().with("DeviceIdFromIoTHub", "true");
    app.start().invoke(&batch.envelope()).assert_all_applied(2);
    assert_eq!(app.readings("drone-0017"), json!({"id": "drone-0017", "Battery": 0.64}));
    assert_eq!(app.readings("drone-4711"), json!({"id": "drone-4711", "Battery": 0.32}));
    assert_eq!(app.state("drone-0042"), None);
}
