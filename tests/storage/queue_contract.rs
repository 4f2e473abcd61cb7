//! The contract of a dead-letter queue on which the tools rely, for the queue in Azure Storage and the one in a state file.

use std::{sync::Arc, time::Duration};

use devicestate_engine::{
    clock::System,
    dead_letter::MAX_MESSAGE_BYTES,
    queue::{DeadLetterQueue, MAX_RECEIVE_COUNT, Message, Received},
};
use devicestate_sqlite::{Database, OpenMode, SqliteQueue};
use devicestate_test_storage::azurite::SHARED;

/// Longer than any test takes.
const LONG: Duration = Duration::from_hours(1);

/// Runs a test with an empty queue of each kind. The name is that of the queue in Azure Storage.
async fn for_each_queue(name: &str, test: impl AsyncFn(&dyn DeadLetterQueue)) {
    let storage = SHARED.queue(name).await;
    let folder = tempfile::tempdir().expect("a folder");
    let database = Database::open(&folder.path().join("state.db"), OpenMode::Create).expect("a database");
    let sqlite = SqliteQueue::new(database, Arc::new(System));
    for queue in [&storage as &dyn DeadLetterQueue, &sqlite] {
        println!("{}", queue.name());
        test(queue).await;
    }
}

async fn put(queue: &dyn DeadLetterQueue, bodies: &[&str]) {
    for body in bodies {
        queue.put(body.as_bytes()).await.expect("put");
    }
}

async fn receive(queue: &dyn DeadLetterQueue, limit: usize) -> Vec<Received> {
    queue.receive(limit, LONG).await.expect("received")
}

async fn receive_one(queue: &dyn DeadLetterQueue) -> Received {
    receive(queue, 1).await.pop().expect("a message")
}

async fn peek(queue: &dyn DeadLetterQueue) -> Vec<Message> {
    queue.peek(MAX_RECEIVE_COUNT).await.expect("peeked")
}

fn texts<'a>(messages: impl IntoIterator<Item = &'a Message>) -> Vec<&'a str> {
    messages.into_iter().map(|message| str::from_utf8(&message.body).expect("text")).collect()
}

#[track_caller]
fn assert_gone<T: std::fmt::Debug>(result: Result<T, devicestate_engine::queue::QueueError>) {
    let error = result.expect_err("it was deleted, or received again");
    assert!(error.is_gone(), "{error}");
    assert!(error.to_string().contains("no longer exists"), "{error}");
}

#[tokio::test]
async fn a_message_is_preserved_byte_for_byte() {
    let bodies = [
        b"{\"Id\":\"1\",\"Issue\":\"<&>'\\\"\"}".to_vec(),
        "a drone over the Zürichsee \u{1f681}\r\n\t".as_bytes().to_vec(),
        (0..=255).collect(),
        b"AAAA".to_vec(),
        b" ".to_vec(),
        Vec::new(),
        vec![b'x'; MAX_MESSAGE_BYTES],
    ];
    for_each_queue("bytes", async |queue| {
        for body in &bodies {
            queue.put(body).await.expect("put");
        }
        assert_eq!(queue.count().await.expect("counted"), bodies.len() as u64);
        let peeked = peek(queue).await;
        assert_eq!(peeked.iter().map(|message| &message.body).collect::<Vec<_>>(), Vec::from_iter(&bodies));
        let is_new = |message: &Message| {
            message.dequeue_count == 0 && message.inserted_ms > 1_700_000_000_000 && message.expires_ms.is_none()
        };
        assert!(peeked.iter().all(is_new), "{peeked:?}");

        let received = receive(queue, 32).await;
        assert_eq!(received.iter().map(|received| &received.message.body).collect::<Vec<_>>(), Vec::from_iter(&bodies));
        for (received, peeked) in received.iter().zip(&peeked) {
            assert_eq!(received.message, Message { dequeue_count: 1, ..peeked.clone() });
            queue.delete(received).await.expect("deleted");
        }
        assert_eq!(queue.count().await.expect("counted"), 0);
    })
    .await;
}

#[tokio::test]
async fn a_received_message_is_hidden_until_released() {
    for_each_queue("released", async |queue| {
        put(queue, &["once"]).await;
        let mut first = receive_one(queue).await;
        assert_eq!(receive(queue, 32).await, []);
        assert_eq!(peek(queue).await, []);
        assert_eq!(queue.count().await.expect("counted"), 1, "it still exists");

        queue.update(&mut first, None, LONG).await.expect("hidden for longer");
        assert_eq!(receive(queue, 32).await, []);
        queue.update(&mut first, None, Duration::ZERO).await.expect("released");
        assert_eq!(peek(queue).await, [first.message.clone()]);
        let second = receive_one(queue).await;
        assert_eq!(second.message, Message { dequeue_count: 2, ..first.message });
    })
    .await;
}

#[tokio::test]
async fn only_receiving_increments_the_dequeue_count() {
    for_each_queue("counts", async |queue| {
        put(queue, &["{}"]).await;
        for time in 1..=4 {
            assert_eq!(peek(queue).await[0].dequeue_count, time - 1);
            let mut received = receive_one(queue).await;
            assert_eq!(received.message.dequeue_count, time);
            queue.update(&mut received, Some(b"{}"), LONG).await.expect("updated");
            queue.update(&mut received, None, Duration::ZERO).await.expect("released");
        }
    })
    .await;
}

#[tokio::test]
async fn a_receipt_is_valid_until_there_is_a_newer_one() {
    for_each_queue("receipts", async |queue| {
        put(queue, &["{}"]).await;
        let mut stale = receive_one(queue).await;
        let mut first = stale.clone();
        queue.update(&mut first, None, LONG).await.expect("hidden for longer");
        assert_gone(queue.update(&mut stale, Some(b"stale"), Duration::ZERO).await);
        assert_gone(queue.delete(&stale).await);
        queue.update(&mut first, None, Duration::ZERO).await.expect("released");

        let second = receive_one(queue).await;
        assert_gone(queue.update(&mut first, Some(b"stale"), Duration::ZERO).await);
        assert_gone(queue.delete(&first).await);
        assert_eq!((first.message.body.as_slice(), peek(queue).await), (&b"{}"[..], vec![]), "nothing has changed");

        queue.delete(&second).await.expect("deleted");
        assert_gone(queue.delete(&second).await);
        assert_gone(queue.update(&mut second.clone(), Some(b"again"), LONG).await);
        assert_eq!(queue.count().await.expect("counted"), 0);
    })
    .await;
}

#[tokio::test]
async fn a_released_message_can_be_deleted_until_it_is_received_again() {
    for_each_queue("released-deleted", async |queue| {
        put(queue, &["{}"]).await;
        let mut received = receive_one(queue).await;
        queue.update(&mut received, None, Duration::ZERO).await.expect("released");
        queue.delete(&received).await.expect("deleted");
        assert_eq!(queue.count().await.expect("counted"), 0);
    })
    .await;
}

#[tokio::test]
async fn an_update_replaces_the_body_and_hides_or_releases_the_message() {
    for_each_queue("updated", async |queue| {
        put(queue, &["{\"Id\":\"1\"}", "{\"Id\":\"2\"}"]).await;
        let mut first = receive_one(queue).await;
        let edited = "{\"Id\":\"1\",\"Note\":\"<&>'\\\"\u{1f681}\"}";
        queue.update(&mut first, Some(edited.as_bytes()), LONG).await.expect("updated");
        assert_eq!(first.message.body, edited.as_bytes());
        assert_eq!(texts(&peek(queue).await), ["{\"Id\":\"2\"}"], "it is still hidden");
        queue.update(&mut first, Some(b""), Duration::ZERO).await.expect("updated and released");
        queue.update(&mut first, Some(edited.as_bytes()), Duration::ZERO).await.expect("updated and released");
        let mut both: Vec<_> = receive(queue, 2).await.into_iter().map(|received| received.message).collect();
        // Azure Storage puts a released message after the others.
        both.sort_by_key(|message| message.id != first.message.id);
        assert_eq!((&both[0].id, texts(&both)), (&first.message.id, vec![edited, "{\"Id\":\"2\"}"]));
    })
    .await;
}

#[tokio::test]
async fn receive_returns_at_most_32_messages_oldest_first() {
    let bodies: Vec<_> = (0..40).map(|number| format!("{{\"Id\":\"{number}\"}}")).collect();
    let bodies: Vec<_> = bodies.iter().map(String::as_str).collect();
    for_each_queue("many", async |queue| {
        put(queue, &bodies).await;
        assert_eq!(texts(&queue.peek(1_000).await.expect("peeked")), bodies[..32]);
        assert_eq!(queue.peek(0).await.expect("peeked").len(), 1);
        for expected in [&bodies[..1], &bodies[1..33], &bodies[33..]] {
            let received = receive(queue, if expected.len() == 1 { 0 } else { 1_000 }).await;
            assert_eq!(texts(received.iter().map(|received| &received.message)), expected);
        }
        assert_eq!(queue.count().await.expect("counted"), 40);
    })
    .await;
}

#[tokio::test]
async fn peeking_changes_nothing() {
    for_each_queue("peeked", async |queue| {
        put(queue, &["{\"Id\":\"1\"}", "{\"Id\":\"2\"}"]).await;
        let peeked = peek(queue).await;
        assert_eq!(peek(queue).await, peeked);
        let mut received = receive(queue, 2).await;
        for received in &mut received {
            assert_eq!(received.message.dequeue_count, 1, "a peek does not count");
            queue.update(received, None, Duration::ZERO).await.expect("a peek does not change a receipt");
        }
    })
    .await;
}
