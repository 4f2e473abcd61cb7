use super::{state::MAX_QUEUE_BYTES, *};

const IDLE: Duration = Duration::from_secs(1);

fn queue(max_delivery_count: u32) -> Arc<SessionQueue> {
    SessionQueue::new(Options { max_delivery_count, ..Options::default() })
}

async fn send(queue: &SessionQueue, session_id: &str, bodies: &[&str]) {
    for body in bodies {
        let body = body.as_bytes().to_vec();
        queue.send(Sent { session_id: session_id.to_owned(), body, ..Sent::default() }).await;
    }
}

async fn accept(queue: &Arc<SessionQueue>) -> SessionReceiver {
    queue.accept_next_session().await.expect("a session")
}

async fn receive(receiver: &SessionReceiver) -> Delivery {
    receiver.receive(IDLE).await.expect("its lock").expect("a message")
}

fn body(delivery: &Delivery) -> &str {
    std::str::from_utf8(&delivery.message.body).expect("text")
}

/// Receives and completes every message of a session.
async fn drain(receiver: &SessionReceiver) -> Vec<String> {
    let mut bodies = Vec::new();
    while let Some(delivery) = receiver.receive(Duration::ZERO).await.expect("its lock") {
        receiver.complete(&delivery).expect("its lock");
        bodies.push(body(&delivery).to_owned());
    }
    bodies
}

#[tokio::test(start_paused = true)]
async fn a_session_is_received_in_order_and_sequence_numbers_rise_over_the_entire_queue() {
    let queue = queue(10);
    for (a, b) in [("a1", "b1"), ("a2", "b2"), ("a3", "b3")] {
        send(&queue, "a", &[a]).await;
        send(&queue, "b", &[b]).await;
    }
    let (a, b) = (accept(&queue).await, accept(&queue).await);
    assert_eq!((a.session_id(), b.session_id()), ("a", "b"), "first come, first served");
    let first = receive(&a).await;
    let Message { message_id, sequence_number, .. } = &*first.message;
    assert_eq!((message_id.as_str(), *sequence_number, first.delivery_count), ("1", 1, 1));
    a.complete(&first).expect("its lock");
    assert_eq!(drain(&a).await, ["a2", "a3"]);
    assert_eq!(receive(&b).await.message.sequence_number, 2);
    let counts = queue.counts();
    assert_eq!((counts.incoming, counts.active, counts.sessions, counts.deliveries), (6, 3, 2, 4));
}

#[tokio::test(start_paused = true)]
async fn a_session_has_one_receiver_and_a_released_session_is_accepted_after_the_others() {
    let queue = queue(10);
    for session in ["a", "b", "c"] {
        send(&queue, session, &["1", "2"]).await;
    }
    let a = accept(&queue).await;
    let others = [accept(&queue).await, accept(&queue).await];
    let waited = tokio::time::timeout(IDLE, queue.accept_next_session()).await;
    assert!(waited.is_err(), "every session is locked, though each has messages");
    a.complete(&receive(&a).await).expect("its lock");
    drop(others);
    drop(a);
    let mut turns = Vec::new();
    for _ in 0..3 {
        let next = accept(&queue).await;
        turns.push(next.session_id().to_owned());
        next.complete(&receive(&next).await).expect("its lock");
    }
    assert_eq!(turns, ["b", "c", "a"]);
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_message_is_delivered_again_first_and_moves_to_the_sub_queue_after_its_last_delivery() {
    let queue = queue(3);
    send(&queue, "a", &["invalid", "valid"]).await;
    let a = accept(&queue).await;
    for (count, expected) in [(1, Abandoned::Redelivered), (2, Abandoned::Redelivered), (3, Abandoned::DeadLettered)] {
        let delivery = receive(&a).await;
        assert_eq!((body(&delivery), delivery.delivery_count), ("invalid", count));
        assert_eq!(a.abandon(&delivery), Ok(expected));
    }
    assert_eq!(drain(&a).await, ["valid"]);
    let [dead_letter] = &queue.dead_letters()[..] else { panic!("one dead letter") };
    assert_eq!(
        (dead_letter.delivery_count, dead_letter.reason, &dead_letter.message.body[..]),
        (3, "MaxDeliveryCountExceeded", &b"invalid"[..])
    );
    let counts = queue.counts();
    assert_eq!((counts.active, counts.dead_lettered, counts.deliveries, counts.redeliveries), (0, 1, 4, 2));
}

#[tokio::test(start_paused = true)]
async fn the_delivery_count_rises_when_a_lock_expires_and_not_when_a_session_is_closed() {
    let queue = queue(2);
    send(&queue, "a", &["1", "2"]).await;
    let a = accept(&queue).await;
    assert_eq!(receive(&a).await.delivery_count, 1);
    drop(a);

    let a = accept(&queue).await;
    let first = receive(&a).await;
    assert_eq!((body(&first), first.delivery_count), ("1", 1));
    assert!(queue.expire_lock("a"));
    assert!(!queue.expire_lock("a"), "it is not locked");
    let next_owner = accept(&queue).await;
    let again = receive(&next_owner).await;
    assert_eq!((body(&again), again.delivery_count), ("1", 2));
    // The former receiver can neither complete or abandon a message nor release the session.
    assert_eq!((a.complete(&first), a.abandon(&first)), (Err(LockLost), Err(LockLost)));
    assert_eq!(a.receive(IDLE).await.err(), Some(LockLost));
    drop(a);
    next_owner.complete(&again).expect("its lock");

    let last = receive(&next_owner).await;
    assert_eq!(next_owner.abandon(&last), Ok(Abandoned::Redelivered));
    receive(&next_owner).await;
    assert!(queue.expire_lock("a"));
    let counts = queue.counts();
    assert_eq!((counts.active, counts.dead_lettered, counts.redeliveries), (0, 1, 3), "an expired lock counts, too");
}

#[tokio::test(start_paused = true)]
async fn a_receiver_waits_for_a_message_until_its_session_is_idle() {
    let queue = queue(10);
    send(&queue, "a", &["1"]).await;
    let a = accept(&queue).await;
    assert_eq!(drain(&a).await, ["1"]);
    let began = Instant::now();
    assert!(a.receive(IDLE).await.expect("its lock").is_none());
    assert_eq!(began.elapsed(), IDLE);
    let (received, ()) = tokio::join!(a.receive(IDLE), send(&queue, "a", &["2"]));
    assert_eq!(body(&received.expect("its lock").expect("a message")), "2");
    assert!(began.elapsed() < IDLE * 2, "it was received immediately");
}

#[tokio::test(start_paused = true)]
async fn a_closed_queue_ends_its_receivers_when_every_message_is_completed() {
    let queue = queue(10);
    send(&queue, "a", &["1"]).await;
    let a = accept(&queue).await;
    let delivery = receive(&a).await;
    let waiting = {
        let queue = Arc::clone(&queue);
        tokio::spawn(async move { queue.accept_next_session().await.is_none() })
    };
    queue.close();
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished(), "a received message may be released");
    a.complete(&delivery).expect("its lock");
    assert!(waiting.await.expect("no panic"));
    assert!(a.receive(IDLE * 60).await.expect("its lock").is_none());
    assert!(queue.accept_next_session().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn send_waits_while_the_queue_is_full() {
    let queue = queue(1);
    let large = |session_id: &str| {
        let session_id = session_id.to_owned();
        Sent { session_id, body: vec![0; MAX_QUEUE_BYTES / 2], ..Sent::default() }
    };
    queue.send(large("a")).await;
    queue.send(large("b")).await;
    let sending = {
        let queue = Arc::clone(&queue);
        let sent = large("c");
        tokio::spawn(async move { queue.send(sent).await })
    };
    tokio::task::yield_now().await;
    assert!(!sending.is_finished());
    let a = accept(&queue).await;
    // The message moves to the sub-queue.
    assert_eq!(a.abandon(&receive(&a).await), Ok(Abandoned::DeadLettered));
    assert_eq!(sending.await.expect("no panic"), 3);
}
