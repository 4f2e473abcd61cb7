//! A queue, from the first message to the last.

use std::{collections::HashMap, time::Duration};

use azure_storage_queue::{
    QueueServiceClient, QueueServiceClientOptions,
    models::{QueueClientCreateOptions, QueueClientGetPropertiesResultHeaders as _, QueueMessage},
};
use devicestate::{azure::Fault, dead_letter::QUEUE_LIMIT, queue::StorageQueue};

use crate::{
    azurite::{Azurite, SHARED, signing},
    support::base64,
};

/// Longer than any test takes.
const LONG: Duration = Duration::from_hours(1);

#[tokio::test]
async fn a_message_survives_the_queue_byte_for_byte() {
    let queue = SHARED.queue("bytes").await;
    let bodies = [
        b"{\"Id\":\"1\",\"Issue\":\"<&>'\\\"\"}".to_vec(),
        "a drone over the Zürichsee \u{1f681}\r\n\t".as_bytes().to_vec(),
        (0..=255).collect(),
        b"AAAA".to_vec(),
        b" ".to_vec(),
        vec![b'x'; QUEUE_LIMIT],
    ];
    for body in &bodies {
        queue.put(body).await.expect("put");
    }
    assert_eq!(queue.count().await.expect("counted"), bodies.len() as u64);
    let peeked = queue.peek(32).await.expect("peeked");
    assert_eq!(peeked.iter().map(|message| &message.body).collect::<Vec<_>>(), bodies.iter().collect::<Vec<_>>());
    assert!(peeked.iter().all(|message| message.dequeue_count == 0 && message.inserted_ms > 1_700_000_000_000));

    let received = queue.receive(32, LONG).await.expect("received");
    assert_eq!(received.iter().map(|received| &received.message.body).collect::<Vec<_>>(), Vec::from_iter(&bodies));
    for received in &received {
        queue.delete(received).await.expect("deleted");
    }
    assert_eq!(queue.count().await.expect("counted"), 0);
}

#[tokio::test]
async fn a_received_message_is_invisible_and_comes_back_when_released() {
    let queue = SHARED.queue("released").await;
    queue.put(b"once").await.expect("put");
    let mut first = queue.receive(1, LONG).await.expect("received").pop().expect("a message");
    assert_eq!(first.message.dequeue_count, 1);
    assert_eq!(queue.receive(32, LONG).await.expect("received"), []);
    assert_eq!(queue.peek(32).await.expect("peeked"), []);
    assert_eq!(queue.count().await.expect("counted"), 1, "it is not gone");

    queue.hide(&mut first, LONG).await.expect("hidden for longer");
    queue.hide(&mut first, Duration::ZERO).await.expect("released");
    let second = queue.receive(1, LONG).await.expect("received").pop().expect("a message");
    assert_eq!((&second.message.id, second.message.dequeue_count), (&first.message.id, 2));
    assert_eq!(second.message.body, b"once");

    let error = queue.delete(&first).await.expect_err("it is somebody else's now");
    assert_eq!(error.fault, Fault::Gone, "{error}");
    queue.delete(&second).await.expect("deleted");
    assert_eq!(queue.delete(&second).await.expect_err("it is gone").fault, Fault::Gone);
}

#[tokio::test]
async fn what_the_functions_binding_writes_in_base64_is_read_and_plain_text_too() {
    let queue = SHARED.queue("binding").await;
    let service = service();
    let client = service.queue_client("binding").expect("a queue");
    let letter = r#"{"Id":"0af1","Issue":"Grüße <&> aus dem All"}"#;
    for text in [base64(letter), letter.to_owned(), String::new()] {
        let message = QueueMessage { message_text: Some(text) };
        client.send_message(message.try_into().expect("XML"), None).await.expect("sent");
    }
    let received = queue.receive(32, LONG).await.expect("received");
    let bodies: Vec<_> = received.iter().map(|received| received.message.body.as_slice()).collect();
    assert_eq!(bodies, [letter.as_bytes(), letter.as_bytes(), b""]);
}

#[tokio::test]
async fn what_is_put_is_written_as_the_functions_binding_writes_it() {
    let queue = SHARED.queue("written").await;
    queue.put(b"{}").await.expect("put");
    let client = service().queue_client("written").expect("a queue");
    let peeked = client.peek_messages(None).await.expect("peeked").into_model().expect("XML");
    let message = peeked.items.expect("messages").pop().expect("a message");
    assert_eq!(message.message_text, Some(base64("{}")));
    let lifetime = message.expiration_time.expect("a time") - message.insertion_time.expect("a time");
    assert!(lifetime.whole_days() > 365, "it stays until somebody deletes it, not {lifetime}");
}

#[tokio::test]
async fn a_message_too_large_for_the_queue_is_told_without_asking() {
    let queue = StorageQueue::new(&SHARED.connection(), "never-made").expect("a queue service");
    let error = queue.put(&vec![b'x'; QUEUE_LIMIT + 1]).await.expect_err("too large");
    assert_eq!(error.fault, Fault::TooLarge(QUEUE_LIMIT + 1));
    assert!(error.to_string().contains("49153 bytes, of 49152"), "{error}");
}

#[tokio::test]
async fn no_more_than_the_service_allows_are_asked_for_at_once() {
    let queue = SHARED.queue("many").await;
    for number in 0..33 {
        queue.put(number.to_string().as_bytes()).await.expect("put");
    }
    assert_eq!(queue.peek(1_000).await.expect("peeked").len(), 32);
    assert_eq!(queue.receive(0, LONG).await.expect("received").len(), 1);
    assert_eq!(queue.receive(1_000, LONG).await.expect("received").len(), 32);
}

#[tokio::test]
async fn a_queue_that_is_there_is_made_no_second_time() {
    let queue = SHARED.queue("twice").await;
    queue.put(b"{}").await.expect("put");
    queue.create_if_missing().await.expect("it is there");
    assert_eq!(queue.count().await.expect("counted"), 1);
}

#[tokio::test]
async fn a_queue_that_is_missing_is_told() {
    let queue = StorageQueue::new(&SHARED.connection(), "missing").expect("a queue service");
    let told = [
        queue.put(b"{}").await.map(drop),
        queue.receive(1, LONG).await.map(drop),
        queue.peek(1).await.map(drop),
        queue.count().await.map(drop),
    ];
    for error in told.map(|result| result.expect_err("there is none")) {
        assert_eq!(error.fault, Fault::Missing);
        let text = error.to_string();
        for word in ["the queue missing", "127.0.0.1", "DeadLetterStorage", "does not exist"] {
            assert!(text.contains(word), "{word:?} is not in: {text}");
        }
    }
}

#[tokio::test]
async fn a_name_that_no_queue_can_have_is_told() {
    for name in ["Upper", "a_b", "xy"] {
        let queue = StorageQueue::new(&SHARED.connection(), name).expect("a queue service");
        let error = queue.create_if_missing().await.expect_err("no name of a queue");
        assert_eq!(error.fault, Fault::BadName, "{name}: {error}");
    }
}

/// The headers of the account's metadata are signed in their order, and parameters by their names.
#[tokio::test]
async fn metadata_and_parameters_are_signed_as_the_service_reads_them() {
    let client = service().queue_client("signed").expect("a queue");
    let metadata = [("zeta", "last"), ("alpha", "a value with spaces"), ("m10", "="), ("m9", "&")];
    let metadata: HashMap<_, _> = metadata.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let options = QueueClientCreateOptions {
        metadata: Some(metadata.clone()),
        timeout: Some(5),
        ..QueueClientCreateOptions::default()
    };
    client.create(Some(options)).await.expect("made");
    let properties = client.get_properties(None).await.expect("read");
    assert_eq!(properties.metadata().expect("metadata"), metadata);
}

fn service() -> QueueServiceClient {
    let options = QueueServiceClientOptions { client_options: signing(), ..QueueServiceClientOptions::default() };
    QueueServiceClient::new(Azurite::url(SHARED.queue_port), None, Some(options)).expect("a service")
}
