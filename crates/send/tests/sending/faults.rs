//! Faults of the hub and the network, and what is sent again.

use std::collections::HashSet;

use super::{
    HubContent,
    hub::{BatchResponse, Hub},
    send,
    wire::Event,
};

/// At least twenty batches of two keys: buffered events of a key are sent together.
const SOME: [&str; 8] = ["--keys", "2", "--events", "100", "--batch", "10", "--in-flight", "2"];

#[test]
fn a_batch_that_the_hub_does_not_accept_is_sent_again_without_duplicates() {
    let hub = Hub::with_responder(|number, _| match number {
        1 => BatchResponse::Busy,
        4 => BatchResponse::Release,
        7 => BatchResponse::Modify,
        _ => BatchResponse::Accept,
    });
    let ran = send(hub.port, &SOME);
    assert_eq!((ran.code, ran.count("retries"), ran.count("possibleDuplicates")), (Some(0), 3, 0), "{}", ran.err);
    let kept = HubContent::of(&hub.accepted_batches());
    kept.assert_numbered(2, 100);
    assert_eq!(kept.repeated, 0);
}

#[test]
fn a_batch_after_a_lost_connection_is_sent_again_unchanged() {
    let hub = Hub::with_responder(|number, _| match number {
        1 | 8 => BatchResponse::AcceptAndDisconnect,
        4 | 12 => BatchResponse::Disconnect,
        _ => BatchResponse::Accept,
    });
    // A client on fe2o3-amqp 0.14 does not always notice that its connection has ended.
    let ran = send(hub.port, &[&SOME[..], &["--timeout", "2"]].concat());
    assert_eq!((ran.code, ran.count("retries")), (Some(0), 4), "{}", ran.err);
    let accepted_batches = hub.accepted_batches();
    let kept = HubContent::of(&accepted_batches);
    kept.assert_numbered(2, 100);
    // A batch that was accepted before the cut was repeated completely and immediately: no other batch of the key between.
    assert_eq!(kept.repeated, hub.events_with_response(BatchResponse::AcceptAndDisconnect));
    for key in ["key-00000", "key-00001"] {
        let of_key = accepted_batches.iter().filter(|batch| batch.key.as_deref() == Some(key));
        let mut batches: Vec<_> = of_key.map(|batch| batch.events.iter().map(|event| &event.id).collect()).collect();
        batches.dedup();
        let different: HashSet<Vec<_>> = batches.iter().cloned().collect();
        assert_eq!(different.len(), batches.len(), "{key}: a repeat follows its original");
    }
    // The sender cannot distinguish the two cases.
    assert_eq!(ran.count("possibleDuplicates"), kept.repeated + hub.events_with_response(BatchResponse::Disconnect));
}

#[test]
fn a_batch_without_a_response_is_sent_again_on_another_connection() {
    let hub =
        Hub::with_responder(|number, _| if number == 3 { BatchResponse::NoResponse } else { BatchResponse::Accept });
    let ran = send(hub.port, &[&SOME[..], &["--timeout", "2"]].concat());
    assert_eq!((ran.code, ran.count("retries")), (Some(0), 1), "{}", ran.err);
    let kept = HubContent::of(&hub.accepted_batches());
    kept.assert_numbered(2, 100);
    assert!(kept.repeated > 0);
    assert_eq!(
        (kept.repeated, ran.count("possibleDuplicates")),
        (hub.events_with_response(BatchResponse::NoResponse), kept.repeated)
    );
    assert!(ran.out.contains("the hub did not respond within 2 s (--timeout)"), "{}", ran.out);
}

#[test]
fn events_that_a_busy_hub_rejects_in_every_attempt_are_reported_as_unsent() {
    let hub = Hub::with_responder(|_, _| BatchResponse::Busy);
    let ran = send(hub.port, &["--keys", "1", "--events", "5", "--attempts", "3"]);
    assert_eq!((ran.code, ran.count("events"), ran.count("notSent")), (Some(1), 0, 5), "{}", ran.err);
    assert_eq!((hub.deliveries(), ran.count("retries")), (3, 2));
    assert!(ran.err.contains("the events of key key-00000 were not sent: com.microsoft:server-busy"), "{}", ran.err);
}

#[test]
fn a_permanent_failure_is_not_retried() {
    let hub = Hub::with_responder(|_, _| BatchResponse::NotAllowed);
    let ran = send(hub.port, &["--keys", "1", "--events", "5"]);
    assert_eq!((ran.code, ran.count("notSent"), hub.deliveries()), (Some(1), 5, 1), "{}", ran.err);
    assert!(ran.err.contains("amqp:not-allowed"), "{}", ran.err);
}

#[test]
fn a_failed_key_leaves_no_gap_and_ends_the_run() {
    let is_the_one = |event: &Event| event.body.ends_with(br#""key-00001","number":31}"#);
    let hub = Hub::with_responder(move |_, batch| {
        if batch.events.iter().any(is_the_one) { BatchResponse::NotAllowed } else { BatchResponse::Accept }
    });
    let ran = send(hub.port, &["--keys", "2", "--events", "100000", "--batch", "10", "--in-flight", "2"]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    let kept = HubContent::of(&hub.accepted_batches());
    let of_key = |key: &str| kept.bodies.get(key).map_or(0, Vec::len);
    assert!(of_key("key-00001") <= 30, "no event after the gap is sent");
    assert!(of_key("key-00000") < 100_000, "no more events are created");
    let events = of_key("key-00000") + of_key("key-00001");
    assert_eq!(ran.count("events"), events as u64, "and the created events of the other key are sent");
    assert!(ran.count("notSent") > 0 && ran.err.contains("key-00001"), "{}", ran.err);
}
