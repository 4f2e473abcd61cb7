//! What goes wrong on the way, and what is sent again.

use super::{
    Kept,
    hub::{Answer, Hub},
    send,
};

/// Twenty batches of two keys.
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
    let ran = send(hub.port, &SOME);
    assert_eq!((ran.code, ran.count("retries")), (Some(0), 4), "{}", ran.err);
    let taken = hub.taken();
    let kept = Kept::of(&taken);
    kept.assert_numbered(2, 100);
    // What was taken before the cut came again whole, and right behind: no other batch of the key was sent in between.
    assert_eq!(kept.repeated, 20);
    let ids = |batch: &super::Arrived| batch.events.iter().map(|event| event.id.clone()).collect::<Vec<_>>();
    for key in ["key-00000", "key-00001"] {
        let mut of_key: Vec<_> = taken.iter().filter(|batch| batch.key.as_deref() == Some(key)).map(ids).collect();
        of_key.dedup();
        assert_eq!(of_key.len(), 10, "{key} has ten batches, and a repetition stands behind its first");
    }
    // Nobody at the sender can tell the one kind from the other.
    assert_eq!(ran.count("perhapsTwice"), 40);
}

#[test]
fn a_batch_that_gets_no_answer_is_sent_again_on_another_connection() {
    let hub = Hub::that(|number, _| if number == 3 { Answer::Silence } else { Answer::Accept });
    let ran = send(hub.port, &[&SOME[..], &["--timeout", "2"]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let kept = Kept::of(&hub.taken());
    kept.assert_numbered(2, 100);
    assert!(kept.repeated >= 10 && ran.count("perhapsTwice") >= kept.repeated, "{} {}", kept.repeated, ran.out);
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
    let hub = Hub::that(|_, batch| match batch.events.first() {
        Some(event) if event.body.ends_with(br#""key-00001","number":31}"#) => Answer::NotAllowed,
        _ => Answer::Accept,
    });
    let ran = send(hub.port, &["--keys", "2", "--events", "100000", "--batch", "10", "--in-flight", "2"]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    let kept = Kept::of(&hub.taken());
    assert_eq!(kept.bodies["key-00001"].len(), 30, "what comes behind the gap is not sent");
    let other = kept.bodies["key-00000"].len();
    assert!(other < 100_000, "no more events are made");
    assert_eq!(ran.count("events"), 30 + other as u64, "and those that were made of the other key are sent");
}
