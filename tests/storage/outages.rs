//! Storage that is not there: how soon it is known, and what is said. Here alone, time is the subject.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener},
    time::{Duration, Instant},
};

use devicestate_azure::{BlobAudit, Blobs, StorageError, StorageErrorKind, StorageQueue};
use devicestate_dead_letters::{Action, Audit as _, AuditError};
use devicestate_engine::{
    clock::System,
    dead_letter::{Overflow as _, OverflowError},
    queue::{DeadLetterQueue as _, QueueError},
};
use devicestate_test_storage::azurite::{KEY, connection, connection_string};
use devicestate_test_support::app::free_port;

use crate::{audit::line, storage_error};

const LIMIT: Duration = Duration::from_secs(5);

/// What a put into the queue, one into a blob, a dead letter that is to be had back and a line of the audit trail come
/// to at this port; each must be known in time.
async fn told(port: u16) -> [StorageError; 4] {
    let connection = connection(&connection_string([port, port], &format!("AccountKey={KEY}")));
    let queue = StorageQueue::new(&connection, "deadletters").expect("a queue service");
    let blobs = Blobs::new(&connection, "deadletters").expect("a blob service");
    let put_into_queue = async {
        match queue.put(b"{}").await.expect_err("there is no storage") {
            QueueError::Unavailable(cause) => storage_error(&*cause).clone(),
            error => panic!("{error}"),
        }
    };
    let put_into_blob = async {
        match blobs.put("0af1", vec![b'x'; 100_000]).await.expect_err("there is no storage") {
            OverflowError::Unkept(cause) => storage_error(&*cause).clone(),
            error => panic!("{error}"),
        }
    };
    let read_blob = async { unread(blobs.get("0af1.json").await) };
    let trail = BlobAudit::new(&connection, "deadletters", Action::Replay, &System).expect("a blob service");
    let append_to_blob = async {
        match trail.append(&[line(1)]).await.expect_err("there is no storage") {
            AuditError::Unwritten(cause) => storage_error(&*cause).clone(),
            error @ AuditError::File { .. } => panic!("{error}"),
        }
    };
    let begin = Instant::now();
    let (queue, blob, read, trail) = tokio::join!(put_into_queue, put_into_blob, read_blob, append_to_blob);
    let elapsed = begin.elapsed();
    println!("known after {elapsed:?}");
    assert!(elapsed < LIMIT, "{elapsed:?}");
    [queue, blob, read, trail]
}

/// Why a dead letter was not had back, which must not be taken for its own matter.
fn unread(result: Result<Vec<u8>, OverflowError>) -> StorageError {
    let error = result.expect_err("there is no storage");
    assert!(!error.is_message_specific(), "{error}");
    let (OverflowError::Unread(cause) | OverflowError::Refused(cause)) = error else { panic!("{error}") };
    storage_error(&*cause).clone()
}

#[track_caller]
fn assert_told(error: &StorageError, port: u16, words: &str) {
    let text = error.to_string();
    for word in ["deadletters", &format!("127.0.0.1:{port}"), "(setting `DeadLetterStorage`)", words] {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
    assert!(!format!("{error:?}").contains(KEY));
}

#[tokio::test]
async fn storage_that_is_down_is_known_within_five_seconds() {
    let port = free_port();
    for error in told(port).await {
        assert!(matches!(error.kind, StorageErrorKind::Unreachable(_)), "{error:?}");
        assert_told(&error, port, "refused");
    }
}

/// The system accepts for a listener that never does, up to its backlog.
#[tokio::test]
async fn storage_that_accepts_and_never_answers_is_known_within_five_seconds() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    for error in told(port).await {
        assert_eq!(error.kind, StorageErrorKind::Timeout);
        assert_told(&error, port, "did not answer in time");
    }
}

#[tokio::test]
async fn storage_that_closes_each_connection_is_known_within_five_seconds() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    for error in told(port).await {
        assert!(matches!(error.kind, StorageErrorKind::Unreachable(_)), "{error:?}");
        assert_told(&error, port, "the connection failed");
    }
}

#[tokio::test]
async fn storage_that_stops_in_the_middle_of_a_dead_letter_is_known_within_five_seconds() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        let answered = listener.incoming().map(|stream| {
            let mut stream = stream.expect("a connection");
            let _ = stream.read(&mut [0; 8_192]).expect("a request");
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{\"Id\":").expect("written");
            stream
        });
        answered.collect::<Vec<_>>()
    });
    let connection = connection(&connection_string([port, port], &format!("AccountKey={KEY}")));
    let blobs = Blobs::new(&connection, "deadletters").expect("a blob service");
    let begin = Instant::now();
    let error = unread(blobs.get("0af1.json").await);
    assert!(begin.elapsed() < LIMIT, "{:?}", begin.elapsed());
    assert_eq!(error.kind, StorageErrorKind::Timeout);
    assert_told(&error, port, "the blob 0af1.json");
}
