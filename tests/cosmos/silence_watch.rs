//! The silence watch over Cosmos DB, which knows the times of writes in whole seconds.

use std::time::{Duration, Instant};

use devicestate_test_support::{
    Batch, Event, Framing, Handler, Response, SILENCE_WATCH,
    listener::{Fault, Listener},
    read_record,
};
use serde_json::{Value, json};

fn call(handler: &Handler) -> Response {
    handler.call(SILENCE_WATCH, "3f21", b"{}", Framing::Length)
}

/// Runs the watch until a device is silent, and returns the summary of that run. The store leaves out the most recent writes.
fn watch_until_silent(handler: &Handler) -> Value {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        let json = call(handler).json();
        let summary = read_record(json["Logs"][0].as_str().unwrap_or_else(|| panic!("no record: {json}")));
        if summary["silent"] == 1 {
            return summary;
        }
    }
    panic!("no device is silent");
}

fn send(handler: &Handler, number: i64) {
    let event = Event::json(number, &json!({"deviceId": "drone-1", "battery": 0.5}));
    handler.invoke(&Batch::of([event]).envelope()).assert_all_applied(1);
}

#[test]
fn a_silent_device_is_marked_with_its_tag_and_what_the_store_charges_is_recorded() {
    let listener = Listener::start();
    let app = super::app(&listener).with("HeardEvery", "00:00:00").with("SilentAfter", "00:00:00.001");
    let handler = app.start();
    send(&handler, 1);
    let summary = watch_until_silent(&handler);
    assert!(summary["requestUnits"].as_f64().is_some_and(|units| units > 1.0), "{summary}");
    let document = listener.documents()["drone-1"].clone();
    assert_eq!(document["SilentSince"], document["Heard"], "{document}");
    // The cached document of the batches has another tag.
    send(&handler, 2);
    let marked = listener.documents()["drone-1"].clone();
    assert_eq!((&marked["SilentSince"], &marked["Versions"]["Battery"][1]), (&document["SilentSince"], &2.into()));
}

#[test]
fn an_account_that_throttles_or_refuses_the_query_is_the_reason_in_the_reply() {
    let listener = Listener::start();
    let app = super::app(&listener).with("SilentAfter", "00:10:00");
    let handler = app.start();
    for status in [429, 403] {
        listener.fault(Fault::status(status).on(&["query"]));
        let response = call(&handler);
        let body = response.json();
        let error = body["error"].as_str().unwrap_or_default();
        assert!(response.status == 503 && error.contains(&status.to_string()), "{body}");
        listener.clear_faults();
    }
    assert_eq!(call(&handler).status, 200, "the next run succeeds");
}
