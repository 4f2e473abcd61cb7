//! Outages of Storage: how soon each is detected, and its error. Only these tests measure time.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener},
    time::{Duration, Instant},
};

use devicestate_azure::{BlobAudit, Blobs, StorageError, StorageErrorKind, StorageQueue};
use devicestate_dead_letters::{Action, AuditError, AuditTrail as _};
use devicestate_engine::{
    clock::System,
    dead_letter::{Overflow as _, OverflowError},
    queue::{DeadLetterQueue as _, QueueError},
};
use devicestate_test_storage::azurite::{KEY, connection, connection_string};
use devicestate_test_support::free_port;

use crate::{audit::line, storage_error};

const MAX_DETECTION_TIME: Duration = Duration::from_secs(5);

/// Returns the errors at this port of putting a message, storing a blob, reading a blob and appending to the audit trail. Each
/// must be detected in time.
async fn errors_at(port: u16) -> [StorageError; 4] {
    let connection = connection(&connection_string([port, port], &format!("AccountKey={KEY}")));
    let queue = StorageQueue::new(&connection, "deadletters").expect("a queue service");
    let blobs = Blobs::new(&connection, "deadletters").expect("a blob service");
    let put_into_queue = async {
        match queue.put(b"{}").await.expect_err("storage is down") {
            QueueError::Unavailable(cause) => storage_error(&*cause).clone(),
            error => panic!("{error}"),
        }
    };
    let put_into_blob = async {
        match blobs.put("0af1", vec![b'x'; 100_000]).await.expect_err("storage is down") {
            OverflowError::WriteFailed(cause) => storage_error(&*cause).clone(),
            error => panic!("{error}"),
        }
    };
    let read_blob = async { read_error(blobs.get("0af1.json").await) };
    let trail = BlobAudit::new(&connection, "deadletters", Action::Replay, &System).expect("a blob service");
    let append_to_blob = async {
        match trail.append(&[line(1)]).await.expect_err("storage is down") {
            AuditError::WriteFailed(cause) => storage_error(&*cause).clone(),
            error => panic!("{error}"),
        }
    };
    let begin = Instant::now();
    let (queue, blob, read, trail) = tokio::join!(put_into_queue, put_into_blob, read_blob, append_to_blob);
    let elapsed = begin.elapsed();
    println!("detected after {elapsed:?}");
    assert!(elapsed < MAX_DETECTION_TIME, "{elapsed:?}");
    [queue, blob, read, trail]
}

/// Returns the Storage error of a failed read, which must not be an error of that message alone.
fn read_error(result: Result<Vec<u8>, OverflowError>) -> StorageError {
    let error = result.expect_err("storage is down");
    assert!(!error.is_message_specific(), "{error}");
    let (OverflowError::ReadFailed(cause) | OverflowError::ReadRejected(cause)) = error else { panic!("{error}") };
    storage_error(&*cause).clone()
}

#[track_caller]
fn assert_error(error: &StorageError, port: u16, words: &str) {
    let text = error.to_string();
    for word in ["deadletters", &format!("127.0.0.1:{port}"), "(setting `DeadLetterStorage`)", words] {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
    assert!(!format!("{error:?}").contains(KEY));
}

#[tokio::test]
async fn storage_that_is_down_is_detected_within_five_seconds() {
    let port = free_port();
    for error in errors_at(port).await {
        assert!(matches!(error.kind, StorageErrorKind::Unreachable(_)), "{error:?}");
        assert_error(&error, port, "refused");
    }
}

/// The system accepts connections for a listener that never does, up to its backlog.
#[tokio::test]
async fn storage_that_never_answers_is_detected_within_five_seconds() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    for error in errors_at(port).await {
        assert_eq!(error.kind, StorageErrorKind::Timeout);
        assert_error(&error, port, "did not answer in time");
    }
}

#[tokio::test]
async fn storage_that_closes_connections_is_detected_within_five_seconds() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    for error in errors_at(port).await {
        assert!(matches!(error.kind, StorageErrorKind::Unreachable(_)), "{error:?}");
        assert_error(&error, port, "the connection failed");
    }
}

#[tokio::test]
async fn storage_that_stops_within_a_response_is_detected_within_five_seconds() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        let streams = listener.incoming().map(|stream| {
            let mut stream = stream.expect("a connection");
            let _ = stream.read(&mut [0; 8_192]).expect("a request");
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{\"Id\":").expect("written");
            stream
        });
        streams.collect::<Vec<_>>()
    });
    let connection = connection(&connection_string([port, port], &format!("AccountKey={KEY}")));
    let blobs = Blobs::new(&connection, "deadletters").expect("a blob service");
    let begin = Instant::now();
    let error = read_error(blobs.get("0af1.json").await);
    assert!(begin.elapsed() < MAX_DETECTION_TIME, "{:?}", begin.elapsed());
    assert_eq!(error.kind, StorageErrorKind::Timeout);
    assert_error(&error, port, "the blob 0af1.json");
}
