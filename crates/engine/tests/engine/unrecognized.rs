//! Events of which nothing is stored: without a known reading, or not telemetry.

use devicestate_engine::{
    batch::Event,
    telemetry::{Telemetry as _, drone::Drone},
};
use devicestate_test_doubles::{Envelope, Sent};
use serde_json::json;

use crate::{
    retries::{invoke_final, rig},
    telemetry_protobuf::{AUTO, JSON, bytes},
};

fn skipped(drone: Drone, body: impl Into<Vec<u8>>) -> Vec<String> {
    let event = Event { body: body.into().into(), ..Event::default() };
    drone.decode(&event).expect("an event that can be decoded").skipped
}

#[tokio::test(start_paused = true)]
async fn an_event_without_a_known_reading_is_unrecognized_and_nothing_is_written() {
    let (store, handler) = rig();
    let bodies = [
        r#"{"deviceId":"pump-1","pressure":3.2,"rpm":1200}"#,
        r#"{"deviceId":"pump-2","position":{"x":1}}"#,
        r#"{"deviceId":"pump-3","battery":null,"rpm":1}"#,
        r#"{"deviceId":"heartbeat"}"#,
        r#"{"deviceId":"key-frame","isKeyFrame":true,"position":{}}"#,
        r#"{"deviceId":"drone","battery":0.5,"rpm":1}"#,
    ];
    let envelope = Envelope::new((1..).zip(bodies).map(|(number, body)| Sent::new(number, body)));
    let reply = invoke_final(&handler, &envelope).await;
    assert_eq!((reply.counts(), reply.record.unrecognized), ([3, 0, 0], 3));
    assert_eq!((reply.record.attempt.devices, reply.record.attempt.operations.writes), (3, 3));
    for device in ["pump-1", "pump-2", "pump-3"] {
        assert_eq!(store.document(device).await, None, "{device}");
    }
    for device in ["heartbeat", "key-frame", "drone"] {
        assert!(store.document(device).await.is_some(), "{device}");
    }
}

#[test]
fn the_fields_of_an_unrecognized_event_are_named_with_what_they_may_be_meant_as() {
    for (body, fields) in [
        (r#"{"deviceId":"d","batteryX":0.5}"#, vec!["batteryX (did you mean battery?)"]),
        (r#"{"deviceId":"d","flight_mode":3}"#, vec!["flight_mode (did you mean flightMode?)"]),
        (r#"{"deviceId":"d","latitudes":3}"#, vec!["latitudes (did you mean latitude?)"]),
        (r#"{"deviceId":"d","position":{"altitudes":3}}"#, vec!["position.altitudes (did you mean altitude?)"]),
        (r#"{"deviceId":"d","rpm":1,"motor":{"temp":71}}"#, vec!["rpm", "motor"]),
        (r#"{"deviceId":"d"}"#, vec![]),
        (r#"{"deviceId":"d","battery":1,"rpm":1}"#, vec![]),
    ] {
        assert_eq!(skipped(JSON, body), fields, "{body}");
    }
    let many: Vec<_> = (0..100_000).map(|number| format!(r#","x{number}":1"#)).collect();
    assert_eq!(skipped(JSON, format!(r#"{{"deviceId":"d"{}}}"#, many.concat())).len(), 10);
    let long = skipped(JSON, format!(r#"{{"deviceId":"d","{}":1}}"#, "x".repeat(1 << 20)));
    assert_eq!(long, ["x".repeat(64) + "…"]);
    // The device "d", the unknown field 9 = 1, and field 4 (position) with an unknown field 7.
    assert_eq!(skipped(AUTO, bytes("0a01644801")), ["field 9"]);
    assert_eq!(skipped(AUTO, bytes("0a016422023801")), ["field 7 of field 4"]);
    assert_eq!(skipped(AUTO, bytes("0a01643001")), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_iot_hub_sent_itself_is_ignored() {
    let (store, handler) = rig();
    let sent = |number, device: &str, source: Option<&str>| {
        let mut sent = Sent::battery(number, device, 0.5);
        if let Some(source) = source {
            sent.system_properties =
                json!({ "iothub-connection-device-id": device, "iothub-message-source": source }).to_string();
        }
        sent
    };
    let envelope = Envelope::new([
        sent(1, "a", Some("Telemetry")),
        sent(2, "b", Some("twinChangeEvents")),
        Sent { body: b"not telemetry".to_vec(), ..sent(3, "c", Some("deviceLifecycleEvents")) },
        sent(4, "d", None),
    ]);
    let reply = invoke_final(&handler, &envelope).await;
    assert_eq!((reply.counts(), reply.record.ignored, reply.record.unrecognized), ([2, 0, 0], 2, 0));
    for (device, is_stored) in [("a", true), ("b", false), ("c", false), ("d", true)] {
        assert_eq!(store.document(device).await.is_some(), is_stored, "{device}");
    }
}
