//! What goes wrong on the way, and what is sent again.

use std::collections::HashSet;

use super::{
    Kept,
    hub::{Answer, Hub},
    send,
    wire::Event,
};

/// Twenty batches of two keys, or some more: what waits together goes together.
const SOME: [&str; 8] = ["--keys", "2", "--events", "100", "--batch", "10", "--in-flight", "2"];

#[test]
fn a_batch_that_the_hub_gives_back_is_sent_again_and_nothing_is_there_twice() {
    let hub = Hub::that(|number, _| match number {
        1 => Answer::Busy,
        4 => Answer::Release,
        7 => Answer::Modify,
        _ => Answer::Accept,
    });
    let ran = send(hub.port, &SOME);
    assert_eq!((ran.code, ran.count("retries"), ran.count("perhapsTwice")), (Some(0), 3, 0), "{}", ran.err);
    let kept = Kept::of(&hub.taken());
    kept.assert_numbered(2, 100);
    assert_eq!(kept.repeated, 0);
}

#[test]
fn a_batch_whose_connection_is_lost_is_sent_again_with_the_same_events_in_the_same_order() {
    let hub = Hub::that(|number, _| match number {
        1 | 8 => Answer::TakeAndCut,
        4 | 12 => Answer::Cut,
        _ => Answer::Accept,
    });
    // A client on fe2o3-amqp 0.14 does not always notice that its connection has ended.
    let ran = send(hub.port, &[&SOME[..], &["--timeout", "2"]].concat());
    assert_eq!((ran.code, ran.count("retries")), (Some(0), 4), "{}", ran.err);
    let taken = hub.taken();
    let kept = Kept::of(&taken);
    kept.assert_numbered(2, 100);
    // What was taken before the cut came again whole, and right behind: no other batch of the key was sent in between.
    assert_eq!(kept.repeated, hub.events_that_got(Answer::TakeAndCut));
    for key in ["key-00000", "key-00001"] {
        let of_key = taken.iter().filter(|batch| batch.key.as_deref() == Some(key));
        let mut batches: Vec<_> = of_key.map(|batch| batch.events.iter().map(|event| &event.id).collect()).collect();
        batches.dedup();
        let different: HashSet<Vec<_>> = batches.iter().cloned().collect();
        assert_eq!(different.len(), batches.len(), "{key}: a repetition stands behind its first");
    }
    // Nobody at the sender can tell the one kind from the other.
    assert_eq!(ran.count("perhapsTwice"), kept.repeated + hub.events_that_got(Answer::Cut));
}

#[test]
fn a_batch_that_gets_no_answer_is_sent_again_on_another_connection() {
    let hub = Hub::that(|number, _| if number == 3 { Answer::Silence } else { Answer::Accept });
    let ran = send(hub.port, &[&SOME[..], &["--timeout", "2"]].concat());
    assert_eq!((ran.code, ran.count("retries")), (Some(0), 1), "{}", ran.err);
    let kept = Kept::of(&hub.taken());
    kept.assert_numbered(2, 100);
    assert!(kept.repeated > 0);
    assert_eq!((kept.repeated, ran.count("perhapsTwice")), (hub.events_that_got(Answer::Silence), kept.repeated));
    assert!(ran.out.contains("no answer came within 2 s (--timeout)"), "{}", ran.out);
}

#[test]
fn a_hub_that_stays_busy_is_given_up_and_what_is_not_sent_is_told() {
    let hub = Hub::that(|_, _| Answer::Busy);
    let ran = send(hub.port, &["--keys", "1", "--events", "5", "--attempts", "3"]);
    assert_eq!((ran.code, ran.count("events"), ran.count("notSent")), (Some(1), 0, 5), "{}", ran.err);
    assert_eq!((hub.deliveries(), ran.count("retries")), (3, 2));
    assert!(ran.err.contains("the events of key key-00000: com.microsoft:server-busy"), "{}", ran.err);
}

#[test]
fn what_the_hub_does_not_allow_is_not_tried_again() {
    let hub = Hub::that(|_, _| Answer::NotAllowed);
    let ran = send(hub.port, &["--keys", "1", "--events", "5"]);
    assert_eq!((ran.code, ran.count("notSent"), hub.deliveries()), (Some(1), 5, 1), "{}", ran.err);
    assert!(ran.err.contains("amqp:not-allowed"), "{}", ran.err);
}

#[test]
fn a_key_that_fails_leaves_no_gap_and_ends_the_run_for_all() {
    let is_the_one = |event: &Event| event.body.ends_with(br#""key-00001","number":31}"#);
    let hub = Hub::that(
        move |_, batch| {
            if batch.events.iter().any(is_the_one) { Answer::NotAllowed } else { Answer::Accept }
        },
    );
    let ran = send(hub.port, &["--keys", "2", "--events", "100000", "--batch", "10", "--in-flight", "2"]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    let kept = Kept::of(&hub.taken());
    let of_key = |key: &str| kept.bodies.get(key).map_or(0, Vec::len);
    assert!(of_key("key-00001") <= 30, "what comes behind the gap is not sent");
    assert!(of_key("key-00000") < 100_000, "no more events are made");
    let events = of_key("key-00000") + of_key("key-00001");
    assert_eq!(ran.count("events"), events as u64, "and those that were made of the other key are sent");
    assert!(ran.count("notSent") > 0 && ran.err.contains("key-00001"), "{}", ran.err);
}
