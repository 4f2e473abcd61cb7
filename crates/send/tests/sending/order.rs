//! Events arrive completely and in order per key.

use super::{
    HubContent, RunOutput, command,
    hub::{BatchResponse, Hub},
    send,
};

#[test]
fn a_hundred_thousand_events_of_a_hundred_keys_arrive_complete_and_in_order_per_key() {
    let hub = Hub::new();
    let ran = send(hub.port, &["--keys", "100", "--events", "1000"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let accepted_batches = hub.accepted_batches();
    let kept = HubContent::of(&accepted_batches);
    kept.assert_numbered(100, 1_000);
    assert_eq!((ran.count("events"), ran.count("keys"), ran.count("notSent")), (100_000, 100, 0));
    // Without a retry there are no duplicates. On a busy machine, a client may miss a response.
    assert!(kept.repeated <= ran.count("possibleDuplicates"), "{} were repeated: {}", kept.repeated, ran.out);
    assert!(accepted_batches.len() as u64 >= ran.count("batches"), "{}", ran.out);
    println!("{} batches at the hub, {} events repeated\n{}", accepted_batches.len(), kept.repeated, ran.out);
}

#[test]
fn batches_of_different_keys_are_in_flight_concurrently() {
    let hub = Hub::with_responder(|_, _| BatchResponse::NoResponse);
    let one_each = ["--keys", "4", "--events", "1", "--in-flight", "4", "--attempts", "1", "--timeout", "5"];
    let ran = send(hub.port, &one_each);
    assert_eq!((ran.code, ran.count("notSent")), (Some(1), 4), "{}", ran.err);
    assert_eq!(hub.deliveries(), 4, "all were sent without a response");
}

#[test]
fn a_key_has_one_batch_in_flight() {
    let hub = Hub::with_responder(|_, _| BatchResponse::NoResponse);
    let ran = send(hub.port, &["--keys", "1", "--events", "100", "--batch", "10", "--attempts", "1", "--timeout", "5"]);
    assert_eq!((ran.code, ran.count("notSent")), (Some(1), 100), "{}", ran.err);
    assert_eq!(hub.deliveries(), 1);
    assert!(ran.err.contains("the hub did not respond within 5 s (--timeout)"), "{}", ran.err);
}

#[test]
fn a_batch_has_at_most_the_given_number_of_events() {
    let hub = Hub::new();
    let ran = send(hub.port, &["--keys", "3", "--events", "100", "--batch", "7", "--in-flight", "2"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let accepted_batches = hub.accepted_batches();
    assert!(accepted_batches.iter().all(|batch| batch.events.len() <= 7));
    HubContent::of(&accepted_batches).assert_numbered(3, 100);
}

#[test]
fn lanes_send_the_events_of_a_key_that_are_due_together() {
    let hub = Hub::new();
    let ran = send(hub.port, &["--keys", "200", "--events", "20", "--rate", "2000/s", "--in-flight", "8"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    HubContent::of(&hub.accepted_batches()).assert_numbered(200, 20);
    assert_eq!(ran.report()["rate"], 2_000, "{}", ran.out);
    // Eight lanes with 10 ms per response send fewer than 800 batches a second: less than half of the rate.
    assert!(ran.count("batches") < 3_000, "{}", ran.out);
    println!("{}", ran.out);
}

#[test]
fn a_rate_that_the_hub_cannot_take_is_reported() {
    let hub = Hub::new();
    let slow = ["--keys", "1", "--events", "100", "--batch", "1", "--rate", "1000/s"];
    let ran = send(hub.port, &slow);
    assert_eq!((ran.code, ran.count("events")), (Some(0), 100), "{}", ran.err);
    // At least 100 times 10 ms. At this rate it may be 605 ms.
    assert_eq!(ran.report()["rateReached"], false, "{}", ran.out);
    let endpoint = format!("amqp://127.0.0.1:{}", hub.port);
    let table = RunOutput::new(
        command(&[&["--endpoint", &endpoint, "--hub", "telemetry"], &slow[..]].concat()).output().expect("it runs"),
    );
    assert!(table.out.contains("the rate of 1000/s was not reached: "), "{}", table.out);
    let unlimited = send(hub.port, &["--keys", "1", "--events", "1"]).report();
    assert!(unlimited["rate"].is_null() && unlimited["rateReached"].is_null(), "{unlimited}");
}
