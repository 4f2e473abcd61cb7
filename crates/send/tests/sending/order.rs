//! The promise: complete, and in order per key.

use super::{
    Kept,
    hub::{Answer, Hub},
    send,
};

#[test]
fn a_hundred_thousand_events_of_a_hundred_keys_arrive_complete_and_in_order_per_key() {
    let hub = Hub::new();
    let ran = send(hub.port, &["--keys", "100", "--events", "1000"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let taken = hub.taken();
    let kept = Kept::of(&taken);
    kept.assert_numbered(100, 1_000);
    assert_eq!((ran.count("events"), ran.count("keys"), ran.count("notSent")), (100_000, 100, 0));
    // Without a retry there is nothing twice. On a machine that is busy enough a client may miss an answer.
    assert!(kept.repeated <= ran.count("perhapsTwice"), "{} were repeated: {}", kept.repeated, ran.out);
    assert!(taken.len() as u64 >= ran.count("batches"), "{}", ran.out);
    println!("{} batches at the hub, {} events repeated\n{}", taken.len(), kept.repeated, ran.out);
}

#[test]
fn batches_of_many_keys_are_on_their_way_at_the_same_time() {
    let hub = Hub::that(|_, _| Answer::Silence);
    let one_each = ["--keys", "4", "--events", "1", "--in-flight", "4", "--attempts", "1", "--timeout", "5"];
    let ran = send(hub.port, &one_each);
    assert_eq!((ran.code, ran.count("notSent")), (Some(1), 4), "{}", ran.err);
    assert_eq!(hub.deliveries(), 4, "none was answered, and all were sent");
}

#[test]
fn a_key_has_one_batch_on_its_way_and_the_next_one_waits_for_its_answer() {
    let hub = Hub::that(|_, _| Answer::Silence);
    let ran = send(hub.port, &["--keys", "1", "--events", "100", "--batch", "10", "--attempts", "1", "--timeout", "5"]);
    assert_eq!((ran.code, ran.count("notSent")), (Some(1), 100), "{}", ran.err);
    assert_eq!(hub.deliveries(), 1);
    assert!(ran.err.contains("no answer came within 5 s (--timeout)"), "{}", ran.err);
}

#[test]
fn a_batch_has_as_many_events_as_it_may() {
    let hub = Hub::new();
    let ran = send(hub.port, &["--keys", "3", "--events", "100", "--batch", "7", "--in-flight", "2"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let taken = hub.taken();
    assert!(taken.iter().all(|batch| batch.events.len() <= 7));
    Kept::of(&taken).assert_numbered(3, 100);
}
