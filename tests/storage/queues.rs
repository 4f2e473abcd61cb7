//! The queue in Azure Storage: encodings, expiry, limits and errors.

use std::{collections::HashMap, time::Duration};

use azure_storage_queue::{
    QueueServiceClient, QueueServiceClientOptions,
    models::{
        QueueClientCreateOptions, QueueClientGetPropertiesResultHeaders as _, QueueClientSendMessageOptions,
        QueueMessage,
    },
};
use devicestate_azure::{StorageError, StorageErrorKind, StorageQueue};
use devicestate_engine::{
    dead_letter::MAX_MESSAGE_BYTES,
    queue::{DeadLetterQueue as _, Message, QueueError},
};
use devicestate_test_storage::azurite::{Azurite, KEY, SHARED, connection, signing_options};
use devicestate_test_support::base64;
use tokio::time::timeout;

use crate::storage_error;

/// Longer than any test takes.
const LONG: Duration = Duration::from_hours(1);

#[tokio::test]
async fn messages_in_base64_and_in_plain_text_are_read() {
    let queue = SHARED.queue("binding").await;
    let letter = r#"{"Id":"0af1","Issue":"Grüße <&> aus dem All"}"#;
    for text in [base64(letter), letter.to_owned(), String::new()] {
        send("binding", &text, -1).await;
    }
    let received = queue.receive(32, LONG).await.expect("received");
    let bodies: Vec<_> = received.iter().map(|received| received.message.body.as_slice()).collect();
    assert_eq!(bodies, [letter.as_bytes(), letter.as_bytes(), b""]);
}

#[tokio::test]
async fn messages_are_written_as_by_the_functions_binding() {
    let queue = SHARED.queue("written").await;
    queue.put(b"{}").await.expect("put");
    let client = service().queue_client("written").expect("a queue");
    let peeked = client.peek_messages(None).await.expect("peeked").into_model().expect("XML");
    let message = peeked.items.expect("messages").pop().expect("a message");
    assert_eq!(message.message_text, Some(base64("{}")));
    let lifetime = message.expiration_time.expect("a time") - message.insertion_time.expect("a time");
    assert!(lifetime.whole_days() > 365, "it does not expire, not after {lifetime}");
}

#[tokio::test]
async fn a_message_has_its_expiry() {
    const WEEK: i32 = 7 * 24 * 3_600;
    let queue = SHARED.queue("forgotten").await;
    send("forgotten", "{}", WEEK).await;
    queue.put(b"{}").await.expect("put");
    let check = |messages: Vec<&Message>| {
        let lifetimes: Vec<_> =
            messages.iter().map(|message| message.expires_ms.map(|expires| expires - message.inserted_ms)).collect();
        assert_eq!(lifetimes, [Some(i64::from(WEEK) * 1_000), None]);
    };
    check(queue.peek(32).await.expect("peeked").iter().collect());
    let received = queue.receive(32, LONG).await.expect("received");
    check(received.iter().map(|received| &received.message).collect());
}

#[tokio::test]
async fn a_message_keeps_its_encoding_when_it_gets_a_new_body() {
    let queue = SHARED.queue("encodings").await;
    let body = "{\"Issue\":\"Grüße <&> \u{1f681}\"}";
    for (before, after) in [("{\"Id\":\"plain\"}", body.to_owned()), (&base64("{}"), base64(body))] {
        send("encodings", before, -1).await;
        let mut received = queue.receive(1, LONG).await.expect("received").pop().expect("a message");
        queue.update(&mut received, Some(body.as_bytes()), Duration::ZERO).await.expect("updated");
        assert_eq!(text("encodings").await, Some(after));
        queue.delete(&received).await.expect("deleted");
    }
}

#[tokio::test]
async fn a_plain_message_may_be_as_large_as_the_service_allows_and_must_be_text() {
    const LIMIT: usize = 65_536;
    let queue = SHARED.queue("plain").await;
    send("plain", "{}", -1).await;
    let mut received = queue.receive(1, LONG).await.expect("received").pop().expect("a message");
    queue.update(&mut received, Some(&vec![b'{'; LIMIT]), LONG).await.expect("updated");
    let error = storage_failure(queue.update(&mut received, Some(&vec![b'{'; LIMIT + 1]), LONG).await);
    assert_eq!(error.kind, StorageErrorKind::TooLarge { bytes: LIMIT + 1, limit: LIMIT });
    for not_text in [&b"\xff"[..], b"\0", b"{\x1f}", "\u{ffff}".as_bytes()] {
        let error = storage_failure(queue.update(&mut received, Some(not_text), LONG).await);
        assert_eq!(error.kind, StorageErrorKind::NotText, "{not_text:?}");
    }
    queue.update(&mut received, None, Duration::ZERO).await.expect("released");
    let body = queue.peek(1).await.expect("peeked").remove(0).body;
    assert_eq!(body, vec![b'{'; LIMIT], "the rejected updates changed nothing");
}

/// This test has to wait for a second, since the clock is the service's.
#[tokio::test]
async fn a_hidden_message_is_visible_again_after_its_time() {
    let queue = SHARED.queue("passing").await;
    queue.put(b"{}").await.expect("put");
    let first = queue.receive(1, Duration::from_secs(1)).await.expect("received").pop().expect("a message");
    let back = async {
        loop {
            if let Some(back) = queue.receive(1, LONG).await.expect("received").pop() {
                break back;
            }
        }
    };
    let second = timeout(Duration::from_mins(1), back).await.expect("it is visible again");
    assert_eq!((&second.message.id, second.message.dequeue_count), (&first.message.id, 2));
    assert!(queue.delete(&first).await.expect_err("it was received again").is_gone());
}

#[tokio::test]
async fn the_read_only_copy_can_be_peeked_and_counted() {
    let queue = SHARED.queue("copied").await;
    queue.put(b"{}").await.expect("put");
    let primary = SHARED.connection_string(KEY);
    let explicit = format!("{primary}QueueSecondaryEndpoint={}-secondary;", Azurite::url(SHARED.queue_port));
    for text in [primary, explicit] {
        let copy = StorageQueue::secondary(&connection(&text), "copied").expect("a queue service");
        assert_eq!(copy.name(), format!("copied at 127.0.0.1:{}", SHARED.queue_port));
        assert_eq!(copy.peek(32).await.expect("peeked"), queue.peek(32).await.expect("peeked"));
        assert_eq!(copy.count().await.expect("counted"), 1);
    }
    let missing = StorageQueue::secondary(&SHARED.connection(), "missing").expect("a queue service");
    let error = storage_failure(missing.count().await).to_string();
    assert!(error.starts_with("the read-only copy of the queue missing at 127.0.0.1"), "{error}");
}

#[tokio::test]
async fn a_message_too_large_for_the_queue_is_rejected_without_a_request() {
    let queue = StorageQueue::new(&SHARED.connection(), "never-made").expect("a queue service");
    let error = storage_failure(queue.put(&vec![b'x'; MAX_MESSAGE_BYTES + 1]).await);
    assert_eq!(error.kind, StorageErrorKind::TooLarge { bytes: MAX_MESSAGE_BYTES + 1, limit: MAX_MESSAGE_BYTES });
    assert!(error.to_string().contains("it has 49153 bytes, and the queue accepts at most 49152"), "{error}");
}

#[tokio::test]
async fn an_existing_queue_is_not_created_again() {
    let queue = SHARED.queue("twice").await;
    queue.put(b"{}").await.expect("put");
    queue.create_if_missing().await.expect("the queue exists");
    assert_eq!(queue.count().await.expect("counted"), 1);
}

#[tokio::test]
async fn a_missing_queue_is_reported() {
    let queue = StorageQueue::new(&SHARED.connection(), "missing").expect("a queue service");
    let results = [
        queue.put(b"{}").await.map(drop),
        queue.receive(1, LONG).await.map(drop),
        queue.peek(1).await.map(drop),
        queue.count().await.map(drop),
    ];
    for error in results.map(storage_failure) {
        assert_eq!(error.kind, StorageErrorKind::MissingQueue);
        let text = error.to_string();
        for word in ["the queue missing", "127.0.0.1", "DeadLetterStorage", "does not exist", "first dead letter"] {
            assert!(text.contains(word), "{word:?} is not in: {text}");
        }
    }
}

#[tokio::test]
async fn an_invalid_queue_name_is_reported() {
    for name in ["Upper", "a_b", "xy"] {
        let queue = StorageQueue::new(&SHARED.connection(), name).expect("a queue service");
        let error = queue.create_if_missing().await.expect_err("an invalid name");
        assert_eq!(error.kind, StorageErrorKind::InvalidName, "{name}: {error}");
    }
}

/// The service signs metadata headers in order and query parameters by name.
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

/// Sends a message with this text directly, which expires after this many seconds; -1 for never.
async fn send(queue: &str, text: &str, seconds: i32) {
    let client = service().queue_client(queue).expect("a queue");
    let message = QueueMessage { message_text: Some(text.to_owned()) };
    let options = QueueClientSendMessageOptions { message_time_to_live: Some(seconds), ..Default::default() };
    client.send_message(message.try_into().expect("XML"), Some(options)).await.expect("sent");
}

/// Returns the text of the oldest message.
async fn text(queue: &str) -> Option<String> {
    let client = service().queue_client(queue).expect("a queue");
    let peeked = client.peek_messages(None).await.expect("peeked").into_model().expect("XML");
    peeked.items.expect("messages").remove(0).message_text
}

#[track_caller]
fn storage_failure<T: std::fmt::Debug>(result: Result<T, QueueError>) -> StorageError {
    match result {
        Err(error) => storage_error(error.cause()).clone(),
        result => panic!("{result:?}"),
    }
}

fn service() -> QueueServiceClient {
    let options =
        QueueServiceClientOptions { client_options: signing_options(), ..QueueServiceClientOptions::default() };
    QueueServiceClient::new(Azurite::url(SHARED.queue_port), None, Some(options)).expect("a service")
}
