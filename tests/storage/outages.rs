//! Storage that is not there: how soon it is known, and what is said. Here alone, time is the subject.

use std::{
    net::{Ipv4Addr, TcpListener},
    time::{Duration, Instant},
};

use devicestate::{
    azure::{Fault, StorageError},
    dead_letter::{Blobs, Overflow as _, OverflowError},
    queue::StorageQueue,
};

use crate::{
    azurite::{KEY, connection, connection_string},
    support::app::free_port,
};

const LIMIT: Duration = Duration::from_secs(5);

/// What a put into the queue and one into a blob at this port come to; each must be known in time.
async fn told(port: u16) -> [StorageError; 2] {
    let connection = connection(&connection_string([port, port], &format!("AccountKey={KEY}")));
    let queue = StorageQueue::new(&connection, "deadletters").expect("a queue service");
    let blobs = Blobs::new(&connection, "deadletters").expect("a blob service");
    let put_into_queue = async { queue.put(b"{}").await.expect_err("there is no storage") };
    let put_into_blob = async {
        match blobs.put("0af1", vec![b'x'; 100_000]).await.expect_err("there is no storage") {
            OverflowError::Blob(error) => error,
            error => panic!("{error}"),
        }
    };
    let begin = Instant::now();
    let (queue, blob) = tokio::join!(put_into_queue, put_into_blob);
    let elapsed = begin.elapsed();
    println!("known after {elapsed:?}");
    assert!(elapsed < LIMIT, "{elapsed:?}");
    [queue, blob]
}

#[track_caller]
fn assert_told(error: &StorageError, port: u16, words: &str) {
    let text = error.to_string();
    for word in ["deadletters", &format!("127.0.0.1:{port}"), "(setting DeadLetterStorage)", words] {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
    assert!(!format!("{error:?}").contains(KEY));
}

#[tokio::test]
async fn storage_that_is_down_is_known_within_five_seconds() {
    let port = free_port();
    for error in told(port).await {
        assert!(matches!(error.fault, Fault::Unreachable(_)), "{error:?}");
        assert_told(&error, port, "refused");
    }
}

/// The system accepts for a listener that never does, up to its backlog.
#[tokio::test]
async fn storage_that_accepts_and_never_answers_is_known_within_five_seconds() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    for error in told(port).await {
        assert_eq!(error.fault, Fault::Silent);
        assert_told(&error, port, "does not answer in time");
    }
}

#[tokio::test]
async fn storage_that_closes_each_connection_is_known_within_five_seconds() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    for error in told(port).await {
        assert!(matches!(error.fault, Fault::Unreachable(_)), "{error:?}");
        assert_told(&error, port, "cannot be reached");
    }
}
