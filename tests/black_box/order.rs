//! The order of readings: by sequence number within a partition, by IoT Hub's time where there is one.

use devicestate_test_support::{App, Batch, Event, fixture};
use serde_json::{Value, json};

const FIRST_CASE: &str = "cases/03-times-go-back";
const RESENT_CASE: &str = "cases/19-iot-hub-repeats-a-message";

/// Keeps one of the events of a request.
fn only(mut request: Value, index: usize) -> Value {
    let keep = |array: &mut Value| {
        let cells: Vec<Value> = serde_json::from_str(array.as_str().expect("text")).expect("an array");
        *array = json!([cells[index]]).to_string().into();
    };
    keep(&mut request["Data"]["messages"]);
    let metadata = request["Metadata"].as_object_mut().expect("an object");
    metadata.iter_mut().filter(|(name, _)| name.ends_with("Array")).for_each(|(_, array)| keep(array));
    request
}

#[test]
fn the_later_event_of_a_partition_wins_although_its_enqueued_time_is_earlier() {
    let app = App::shipped();
    let handler = app.start();
    handler.invoke(&fixture(FIRST_CASE)).assert_all_applied(2);
    assert_eq!(app.readings("drone-3")["Battery"], 0.4);
    // The host may repeat the batch, or a part of it.
    for repeated in [fixture(FIRST_CASE), only(fixture(FIRST_CASE), 0)] {
        let counts = handler.invoke(&repeated).counts();
        assert_eq!((counts[1], counts[2]), (0, counts[0]), "applied, superseded");
        assert_eq!(app.readings("drone-3")["Battery"], 0.4);
    }
}

#[test]
fn the_later_event_wins_over_an_event_of_an_earlier_batch_with_a_later_enqueued_time() {
    let app = App::shipped();
    let handler = app.start();
    for (index, battery) in [(0, 0.9), (1, 0.4)] {
        handler.invoke(&only(fixture(FIRST_CASE), index)).assert_all_applied(1);
        assert_eq!(app.readings("drone-3")["Battery"], battery);
    }
    let versions = &app.state("drone-3").expect("a document")["Versions"]["Battery"];
    assert_eq!((&versions[0], &versions[1]), (&json!(1_777_636_805_200_i64), &json!(4101)), "the time never decreases");
}

/// Returns an event of a message that IoT Hub accepted at this second, with the battery level as its number.
fn iot_hub_event(sequence_number: i64, message: i32) -> Event {
    Event::json(sequence_number, &json!({"deviceId": "drone-1", "battery": message}))
        .system_property("iothub-connection-device-id", "drone-1")
        .system_property("iothub-enqueuedtime", &format!("2024-11-20T00:00:0{message}.5"))
}

#[test]
fn a_series_that_iot_hub_repeats_never_goes_back() {
    let app = App::shipped();
    let handler = app.start();
    let mut newest = 0;
    let mut next = 1..;
    for series in [[1, 2].as_slice(), &[1, 2, 3], &[1], &[2, 3, 4]] {
        let events: Vec<_> =
            series.iter().zip(&mut next).map(|(message, number)| iot_hub_event(number, *message)).collect();
        handler.invoke(&Batch::of(events).envelope());
        newest = newest.max(*series.last().expect("an event"));
        assert_eq!(app.readings("drone-1")["Battery"], f64::from(newest), "{series:?}");
    }
}

#[test]
fn a_message_that_a_device_sends_again_wins_unless_the_time_of_its_creation_counts() {
    // IoT Hub accepted the three messages at the same time, so the place in the partition decides.
    let app = App::shipped();
    app.start().invoke(&fixture(RESENT_CASE)).assert_all_applied(3);
    assert_eq!(app.readings("drone-19")["Battery"], 0.5);

    let app = App::shipped().with("IoTHubTime", "created");
    app.start().invoke(&fixture(RESENT_CASE)).assert_all_applied(3);
    assert_eq!(app.readings("drone-19")["Battery"], 0.4);

    // Also if it comes in a later batch.
    let app = App::shipped().with("IoTHubTime", "created");
    let handler = app.start();
    for (index, battery) in [(0, 0.5), (1, 0.4), (2, 0.4)] {
        handler.invoke(&only(fixture(RESENT_CASE), index));
        assert_eq!(app.readings("drone-19")["Battery"], battery);
    }
}

#[test]
fn a_creation_time_that_is_ahead_or_unreadable_freezes_nothing() {
    let app = App::shipped().with("IoTHubTime", "created");
    let handler = app.start();
    let times = ["2999-01-01T00:00:00Z", "yesterday", "0001-01-01T00:00:00Z"];
    for (message, created) in (1..).zip(times) {
        let mut request = Batch::of([iot_hub_event(message.into(), message)]).envelope();
        request["Metadata"]["PropertiesArray"] = json!([{"iothub-creation-time-utc": created}]).to_string().into();
        handler.invoke(&request).assert_all_applied(1);
        assert_eq!(app.readings("drone-1")["Battery"], f64::from(message), "{created}");
    }
}

/// Event Hubs keeps a system property that a sender sets, so the time of IoT Hub may be any sender's.
#[test]
fn a_time_of_iot_hub_that_a_sender_sets_ahead_holds_nothing_off() {
    let app = App::shipped();
    let handler = app.start();
    let battery = |number: i64| Event::json(number, &json!({"deviceId": "drone-1", "battery": number}));
    let forged = battery(1).system_property("iothub-enqueuedtime", "2999-01-01T00:00:00");
    handler.invoke(&Batch::of([forged]).envelope()).assert_all_applied(1);
    handler.invoke(&Batch::of([battery(2)]).envelope()).assert_all_applied(1);
    assert_eq!(app.readings("drone-1")["Battery"], 2.0);
    // By clocks that differ a little it is the time of IoT Hub.
    let accepted = iot_hub_event(3, 4);
    handler.invoke(&Batch::of([accepted]).envelope()).assert_all_applied(1);
    let versions = &app.state("drone-1").expect("a document")["Versions"]["Battery"];
    assert_eq!(versions[0], 1_732_060_804_500_i64, "T0 and 4.5 s, although the hub enqueued it earlier");
}

#[test]
fn a_time_far_ahead_is_warned_of_once_and_changes_nothing() {
    let app = App::shipped();
    let handler = app.start();
    for number in [7, 8] {
        let battery = Event::json(number, &json!({"deviceId": "drone-1", "battery": number}));
        let mut request = Batch::of([battery]).envelope();
        request["Metadata"]["EnqueuedTimeUtcArray"] = json!(["2999-01-01T00:00:00"]).to_string().into();
        handler.invoke(&request).assert_all_applied(1);
    }
    let document = app.state("drone-1").expect("a document");
    assert_eq!(
        (&document["Battery"], &document["Versions"]["Battery"][0]),
        (&json!(8.0), &json!(32_472_144_000_000_i64))
    );
    let errors = handler.stop();
    let warnings: Vec<_> = errors.lines().filter(|line| line.contains("is ahead of this machine's clock")).collect();
    let [warning] = warnings[..] else { panic!("{errors}") };
    let warning: Value = serde_json::from_str(warning).expect("JSON");
    assert_eq!(
        (&warning["level"], &warning["deviceId"], &warning["partitionId"], &warning["sequenceNumber"]),
        (&json!("WARN"), &json!("drone-1"), &json!("0"), &json!(7)),
        "{warning}"
    );
}
