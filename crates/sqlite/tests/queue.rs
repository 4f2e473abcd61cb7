//! The queue in a state file: visibility, migration, and concurrent access.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

use devicestate_engine::{
    clock::Clock,
    queue::{DeadLetterQueue as _, MAX_RECEIVE_COUNT, QueueError},
};
use devicestate_sqlite::{Database, DatabaseError, OpenMode, SqliteQueue};
use rusqlite::{Connection, ErrorCode};
use tempfile::TempDir;

/// The start time of the tests' clock.
const NOW: i64 = 1_732_150_060_000;

const MINUTE: Duration = Duration::from_mins(1);

/// The schema of the earlier version, which could not hide messages.
const OLD_SCHEMA: &str = "
    CREATE TABLE documents (id TEXT PRIMARY KEY, etag TEXT NOT NULL, document TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE dead_letters (
        message_id INTEGER PRIMARY KEY AUTOINCREMENT, inserted_ms INTEGER NOT NULL, text BLOB NOT NULL) STRICT;
    INSERT INTO dead_letters (inserted_ms, text) VALUES (1732150000000, CAST('one' AS BLOB));
    INSERT INTO dead_letters (inserted_ms, text) VALUES (1732150000001, CAST('two' AS BLOB));
    PRAGMA application_id = 1148605300;
    PRAGMA journal_mode = WAL;
";

/// A clock that the test sets.
struct ManualClock(AtomicI64);

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

struct File {
    _folder: TempDir,
    path: PathBuf,
    clock: Arc<ManualClock>,
}

impl File {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.db");
        Self { _folder: folder, path, clock: Arc::new(ManualClock(AtomicI64::new(NOW))) }
    }

    /// Creates a file of an earlier version.
    fn old() -> Self {
        let file = Self::new();
        file.connection().execute_batch(OLD_SCHEMA).expect("a file of the earlier version");
        file
    }

    fn database(&self, mode: OpenMode) -> Database {
        Database::open(&self.path, mode).expect("a database")
    }

    fn queue(&self, mode: OpenMode) -> SqliteQueue {
        self.queue_on(self.database(mode))
    }

    fn queue_on(&self, database: Database) -> SqliteQueue {
        SqliteQueue::new(database, Arc::clone(&self.clock) as _)
    }

    fn connection(&self) -> Connection {
        Connection::open(&self.path).expect("a connection")
    }

    fn advance(&self, milliseconds: i64) {
        self.clock.0.fetch_add(milliseconds, Relaxed);
    }
}

async fn peeked(queue: &SqliteQueue) -> Vec<String> {
    let messages = queue.peek(MAX_RECEIVE_COUNT).await.expect("peeked");
    messages.into_iter().map(|message| String::from_utf8(message.body).expect("text")).collect()
}

async fn received(queue: &SqliteQueue, limit: usize, hidden: Duration) -> Vec<String> {
    let messages = queue.receive(limit, hidden).await.expect("received");
    messages.into_iter().map(|received| String::from_utf8(received.message.body).expect("text")).collect()
}

#[tokio::test]
async fn a_hidden_message_is_visible_again_exactly_after_its_time() {
    let file = File::new();
    let queue = file.queue(OpenMode::Create);
    queue.put(b"{}").await.expect("put");
    let first = queue.receive(1, MINUTE).await.expect("received").pop().expect("a message");
    assert_eq!((first.message.inserted_ms, first.message.expires_ms), (NOW, None));
    file.advance(59_999);
    assert_eq!((peeked(&queue).await.len(), received(&queue, 1, MINUTE).await.len()), (0, 0));
    file.advance(1);
    assert_eq!(peeked(&queue).await.len(), 1);
    let mut second = queue.receive(1, MINUTE).await.expect("received").pop().expect("a message");
    assert_eq!((&second.message.id, second.message.dequeue_count), (&first.message.id, 2));
    assert!(
        matches!(queue.delete(&first).await, Err(error @ QueueError::Gone(_)) if error.to_string().contains(&first.message.id))
    );

    queue.update(&mut second, None, 2 * MINUTE).await.expect("hidden for longer, from now on");
    file.advance(119_999);
    assert_eq!(peeked(&queue).await.len(), 0);
    file.advance(1);
    assert_eq!(peeked(&queue).await.len(), 1);
    queue.delete(&second).await.expect("no other receiver has it");
}

#[tokio::test]
async fn a_message_is_hidden_for_full_seconds_and_at_least_one() {
    let file = File::new();
    let queue = file.queue(OpenMode::Create);
    queue.put(b"{}").await.expect("put");
    for (hidden, seconds) in [(0, 1), (999, 1), (1_999, 1), (2_000, 2)] {
        assert_eq!(received(&queue, 1, Duration::from_millis(hidden)).await.len(), 1, "{hidden}");
        file.advance(seconds * 1_000 - 1);
        assert_eq!(peeked(&queue).await.len(), 0, "{hidden}");
        file.advance(1);
    }
    assert_eq!(received(&queue, 1, Duration::MAX).await.len(), 1);
    file.advance(100 * 365 * 24 * 3_600_000);
    assert_eq!(peeked(&queue).await.len(), 0);
}

#[tokio::test]
async fn the_oldest_message_is_first_also_if_it_was_hidden() {
    let file = File::new();
    let queue = file.queue(OpenMode::Create);
    for body in ["1", "2", "3", "4", "5"] {
        queue.put(body.as_bytes()).await.expect("put");
    }
    let mut first = queue.receive(1, MINUTE).await.expect("received").pop().expect("a message");
    assert_eq!(received(&queue, 1, 2 * MINUTE).await, ["2"]);
    assert_eq!(received(&queue, 1, MINUTE).await, ["3"]);
    assert_eq!(peeked(&queue).await, ["4", "5"]);
    file.advance(60_000);
    assert_eq!(peeked(&queue).await, ["1", "3", "4", "5"]);
    queue.update(&mut first, None, Duration::ZERO).await.expect("released");
    file.advance(60_000);
    assert_eq!(received(&queue, 3, MINUTE).await, ["1", "2", "3"]);
    assert_eq!(received(&queue, 3, MINUTE).await, ["4", "5"]);
}

/// Both queues have their own connections, like two processes.
#[tokio::test]
async fn concurrent_receivers_get_different_messages() {
    const MESSAGES: usize = 200;
    let file = File::new();
    let queues = [file.queue(OpenMode::Create), file.queue(OpenMode::Existing)];
    for number in 0..MESSAGES {
        queues[number % 2].put(number.to_string().as_bytes()).await.expect("put");
    }
    let receivers = queues.map(|queue| {
        tokio::spawn(async move {
            let mut all = Vec::new();
            loop {
                let some = received(&queue, 3, MINUTE).await;
                if some.is_empty() {
                    break all;
                }
                all.extend(some);
            }
        })
    });
    let mut all = Vec::new();
    for receiver in receivers {
        all.extend(receiver.await.expect("no panic"));
    }
    all.sort_unstable_by_key(|text| text.parse::<usize>().expect("a number"));
    assert_eq!(all, (0..MESSAGES).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_connection_sees_the_changes_of_another() {
    let file = File::new();
    let (one, other) = (file.queue(OpenMode::Create), file.queue(OpenMode::Existing));
    for body in ["1", "2"] {
        one.put(body.as_bytes()).await.expect("put");
    }
    let mut first = one.receive(1, MINUTE).await.expect("received").pop().expect("a message");
    assert_eq!(peeked(&other).await, ["2"]);
    one.update(&mut first, Some(b"edited"), Duration::ZERO).await.expect("updated");
    assert_eq!(peeked(&other).await, ["edited", "2"]);
    one.delete(&first).await.expect("deleted");
    assert_eq!((peeked(&other).await, other.count().await.expect("counted")), (vec!["2".to_owned()], 1));
}

#[tokio::test]
async fn a_file_of_an_earlier_version_is_migrated_with_its_messages() {
    for mode in [OpenMode::Create, OpenMode::Existing] {
        let file = File::old();
        // A process of the earlier version has the file open and continues to write.
        let earlier = file.connection();
        let put = "INSERT INTO dead_letters (inserted_ms, text) VALUES (?, CAST(? AS BLOB))";
        earlier.prepare_cached(put).expect("a statement");
        let queue = file.queue(mode);
        assert_eq!(earlier.prepare_cached(put).expect("a statement").execute((NOW, "three")), Ok(1));
        assert_eq!(peeked(&queue).await, ["one", "two", "three"]);
        let mut one = queue.receive(1, MINUTE).await.expect("received").pop().expect("a message");
        assert_eq!((one.message.inserted_ms, one.message.dequeue_count), (1_732_150_000_000, 1));
        queue.update(&mut one, Some(b"ONE"), Duration::ZERO).await.expect("updated");
        drop(queue);
        // The file must not be migrated again.
        assert_eq!(peeked(&file.queue(mode)).await, ["ONE", "two", "three"]);
    }
}

#[tokio::test]
async fn a_read_only_file_of_an_earlier_version_is_not_migrated() {
    let file = File::old();
    let reader = file.queue(OpenMode::ReadOnly);
    assert_eq!((peeked(&reader).await, reader.count().await.expect("counted")), (vec!["one".into(), "two".into()], 2));
    let columns = "SELECT count(*) FROM pragma_table_info('dead_letters')";
    assert_eq!(file.connection().query_row(columns, [], |row| row.get(0)), Ok(3));
    // Another process migrates it in the meantime.
    let writer = file.queue(OpenMode::Existing);
    assert_eq!(received(&writer, 1, MINUTE).await, ["one"]);
    assert_eq!(peeked(&reader).await, ["two"]);
}

#[tokio::test]
async fn a_read_only_file_rejects_writes() {
    let file = File::new();
    file.queue(OpenMode::Create).put(b"{}").await.expect("put");
    let queue = file.queue(OpenMode::ReadOnly);
    assert_eq!(peeked(&queue).await, ["{}"]);
    for error in [queue.put(b"{}").await.map(drop), queue.receive(1, MINUTE).await.map(drop)] {
        assert_eq!(error_code(error, &file.path), Some(ErrorCode::ReadOnly));
    }
}

/// Returns SQLite's code of a failure. The error must name the file.
#[track_caller]
fn error_code(result: Result<(), QueueError>, path: &Path) -> Option<ErrorCode> {
    match result {
        Err(error @ QueueError::Unavailable(_)) => {
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
            error.cause().downcast_ref::<DatabaseError>().expect("an error of the database").code
        }
        result => panic!("{result:?}"),
    }
}

#[tokio::test]
async fn while_another_process_holds_the_lock_writes_fail_and_reads_succeed() {
    let file = File::new();
    let database = file.database(OpenMode::Create);
    let queue = file.queue_on(database.clone());
    queue.put(b"{}").await.expect("put");
    let mut message = queue.receive(1, MINUTE).await.expect("received").pop().expect("a message");
    queue.update(&mut message, None, Duration::ZERO).await.expect("released");
    // Disables the wait of five seconds.
    database.read(|connection| connection.busy_timeout(Duration::ZERO)).await.expect("a setting");
    let other = file.connection();
    other.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    for result in [
        queue.put(b"{}").await,
        queue.receive(1, MINUTE).await.map(drop),
        queue.update(&mut message, Some(b"edited"), MINUTE).await,
        queue.delete(&message).await,
    ] {
        assert_eq!(error_code(result, &file.path), Some(ErrorCode::DatabaseBusy));
    }
    assert_eq!((peeked(&queue).await, queue.count().await.expect("counted")), (vec!["{}".to_owned()], 1));
    other.execute_batch("COMMIT").expect("the lock is released");
    queue.delete(&message).await.expect("deleted, with the receipt from before");
}

#[tokio::test]
async fn each_operation_reports_a_broken_file() {
    let file = File::new();
    let queue = file.queue(OpenMode::Create);
    queue.put(b"{}").await.expect("put");
    let mut message = queue.receive(1, MINUTE).await.expect("received").pop().expect("a message");
    file.connection().execute_batch("DROP TABLE dead_letters").expect("a broken file");
    for result in [
        queue.put(b"{}").await,
        queue.count().await.map(drop),
        queue.peek(1).await.map(drop),
        queue.receive(1, MINUTE).await.map(drop),
        queue.update(&mut message, None, MINUTE).await,
        queue.delete(&message).await,
    ] {
        assert_eq!(error_code(result, &file.path), Some(ErrorCode::Unknown));
    }
}
