//! The queue in a state file: its time, its file, and others who have it open.

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

/// The time that the clock of these tests begins at.
const NOW: i64 = 1_732_150_060_000;

const MINUTE: Duration = Duration::from_mins(1);

/// The tables as they were before messages could be hidden.
const OLD_FILE: &str = "
    CREATE TABLE documents (id TEXT PRIMARY KEY, etag TEXT NOT NULL, document TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE dead_letters (
        message_id INTEGER PRIMARY KEY AUTOINCREMENT, inserted_ms INTEGER NOT NULL, text BLOB NOT NULL) STRICT;
    INSERT INTO dead_letters (inserted_ms, text) VALUES (1732150000000, CAST('one' AS BLOB));
    INSERT INTO dead_letters (inserted_ms, text) VALUES (1732150000001, CAST('two' AS BLOB));
    PRAGMA application_id = 1148605300;
    PRAGMA journal_mode = WAL;
";

/// A clock that the test sets.
struct OwnClock(AtomicI64);

impl Clock for OwnClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

struct File {
    _folder: TempDir,
    path: PathBuf,
    clock: Arc<OwnClock>,
}

impl File {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.db");
        Self { _folder: folder, path, clock: Arc::new(OwnClock(AtomicI64::new(NOW))) }
    }

    /// As an earlier version left it.
    fn old() -> Self {
        let file = Self::new();
        file.connection().execute_batch(OLD_FILE).expect("an old file");
        file
    }

    fn database(&self, opening: OpenMode) -> Database {
        Database::open(&self.path, opening).expect("a database")
    }

    fn queue(&self, opening: OpenMode) -> SqliteQueue {
        self.queue_of(self.database(opening))
    }

    fn queue_of(&self, database: Database) -> SqliteQueue {
        SqliteQueue::new(database, Arc::clone(&self.clock) as _)
    }

    fn connection(&self) -> Connection {
        Connection::open(&self.path).expect("a connection")
    }

    fn pass(&self, milliseconds: i64) {
        self.clock.0.fetch_add(milliseconds, Relaxed);
    }
}

async fn peeked(queue: &SqliteQueue) -> Vec<String> {
    let messages = queue.peek(MAX_RECEIVE_COUNT).await.expect("peeked");
    messages.into_iter().map(|message| String::from_utf8(message.body).expect("text")).collect()
}

async fn received(queue: &SqliteQueue, most: usize, hidden: Duration) -> Vec<String> {
    let messages = queue.receive(most, hidden).await.expect("received");
    messages.into_iter().map(|received| String::from_utf8(received.message.body).expect("text")).collect()
}

#[tokio::test]
async fn a_message_is_back_when_its_time_has_passed_and_not_before() {
    let file = File::new();
    let queue = file.queue(OpenMode::Create);
    queue.put(b"{}").await.expect("put");
    let first = queue.receive(1, MINUTE).await.expect("received").pop().expect("a message");
    assert_eq!((first.message.inserted_ms, first.message.expires_ms), (NOW, None));
    file.pass(59_999);
    assert_eq!((peeked(&queue).await.len(), received(&queue, 1, MINUTE).await.len()), (0, 0));
    file.pass(1);
    assert_eq!(peeked(&queue).await.len(), 1);
    let mut second = queue.receive(1, MINUTE).await.expect("received").pop().expect("a message");
    assert_eq!((&second.message.id, second.message.dequeue_count), (&first.message.id, 2));
    assert!(
        matches!(queue.delete(&first).await, Err(error @ QueueError::Gone(_)) if error.to_string().contains(&first.message.id))
    );

    queue.update(&mut second, None, 2 * MINUTE).await.expect("hidden for longer, from now on");
    file.pass(119_999);
    assert_eq!(peeked(&queue).await.len(), 0);
    file.pass(1);
    assert_eq!(peeked(&queue).await.len(), 1);
    queue.delete(&second).await.expect("nobody else has taken it");
}

#[tokio::test]
async fn a_message_is_hidden_for_whole_seconds_and_for_one_at_least() {
    let file = File::new();
    let queue = file.queue(OpenMode::Create);
    queue.put(b"{}").await.expect("put");
    for (hidden, seconds) in [(0, 1), (999, 1), (1_999, 1), (2_000, 2)] {
        assert_eq!(received(&queue, 1, Duration::from_millis(hidden)).await.len(), 1, "{hidden}");
        file.pass(seconds * 1_000 - 1);
        assert_eq!(peeked(&queue).await.len(), 0, "{hidden}");
        file.pass(1);
    }
    assert_eq!(received(&queue, 1, Duration::MAX).await.len(), 1);
    file.pass(100 * 365 * 24 * 3_600_000);
    assert_eq!(peeked(&queue).await.len(), 0);
}

#[tokio::test]
async fn the_oldest_comes_first_whether_it_was_hidden_or_not() {
    let file = File::new();
    let queue = file.queue(OpenMode::Create);
    for body in ["1", "2", "3", "4", "5"] {
        queue.put(body.as_bytes()).await.expect("put");
    }
    let mut first = queue.receive(1, MINUTE).await.expect("received").pop().expect("a message");
    assert_eq!(received(&queue, 1, 2 * MINUTE).await, ["2"]);
    assert_eq!(received(&queue, 1, MINUTE).await, ["3"]);
    assert_eq!(peeked(&queue).await, ["4", "5"]);
    file.pass(60_000);
    assert_eq!(peeked(&queue).await, ["1", "3", "4", "5"]);
    queue.update(&mut first, None, Duration::ZERO).await.expect("released");
    file.pass(60_000);
    assert_eq!(received(&queue, 3, MINUTE).await, ["1", "2", "3"]);
    assert_eq!(received(&queue, 3, MINUTE).await, ["4", "5"]);
}

/// The two have connections of their own, as two processes do.
#[tokio::test]
async fn of_two_who_receive_at_the_same_time_each_gets_messages_of_its_own() {
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
async fn one_sees_what_another_has_hidden_updated_and_deleted() {
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
async fn a_file_of_an_earlier_version_keeps_its_messages_and_gets_what_is_needed() {
    for opening in [OpenMode::Create, OpenMode::Existing] {
        let file = File::old();
        // An earlier version has it open, and goes on.
        let earlier = file.connection();
        let put = "INSERT INTO dead_letters (inserted_ms, text) VALUES (?, CAST(? AS BLOB))";
        earlier.prepare_cached(put).expect("a statement");
        let queue = file.queue(opening);
        assert_eq!(earlier.prepare_cached(put).expect("a statement").execute((NOW, "three")), Ok(1));
        assert_eq!(peeked(&queue).await, ["one", "two", "three"]);
        let mut one = queue.receive(1, MINUTE).await.expect("received").pop().expect("a message");
        assert_eq!((one.message.inserted_ms, one.message.dequeue_count), (1_732_150_000_000, 1));
        queue.update(&mut one, Some(b"ONE"), Duration::ZERO).await.expect("updated");
        drop(queue);
        // Not a second time.
        assert_eq!(peeked(&file.queue(opening)).await, ["ONE", "two", "three"]);
    }
}

#[tokio::test]
async fn a_file_of_an_earlier_version_can_be_looked_at_and_is_left_as_it_is() {
    let file = File::old();
    let looking = file.queue(OpenMode::ReadOnly);
    assert_eq!(
        (peeked(&looking).await, looking.count().await.expect("counted")),
        (vec!["one".into(), "two".into()], 2)
    );
    let columns = "SELECT count(*) FROM pragma_table_info('dead_letters')";
    assert_eq!(file.connection().query_row(columns, [], |row| row.get(0)), Ok(3));
    // Another process writes to it in the meantime.
    let writing = file.queue(OpenMode::Existing);
    assert_eq!(received(&writing, 1, MINUTE).await, ["one"]);
    assert_eq!(peeked(&looking).await, ["two"]);
}

#[tokio::test]
async fn what_is_only_looked_at_is_not_written_to() {
    let file = File::new();
    file.queue(OpenMode::Create).put(b"{}").await.expect("put");
    let queue = file.queue(OpenMode::ReadOnly);
    assert_eq!(peeked(&queue).await, ["{}"]);
    for error in [queue.put(b"{}").await.map(drop), queue.receive(1, MINUTE).await.map(drop)] {
        assert_eq!(failed(error, &file.path), Some(ErrorCode::ReadOnly));
    }
}

/// What a file fails with; the error names it.
#[track_caller]
fn failed(result: Result<(), QueueError>, path: &Path) -> Option<ErrorCode> {
    match result {
        Err(error @ QueueError::Unavailable(_)) => {
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
            error.cause().downcast_ref::<DatabaseError>().expect("a failure of the file").code
        }
        result => panic!("{result:?}"),
    }
}

#[tokio::test]
async fn while_another_process_holds_the_lock_a_write_fails_and_changes_nothing_and_reads_go_on() {
    let file = File::new();
    let database = file.database(OpenMode::Create);
    let queue = file.queue_of(database.clone());
    queue.put(b"{}").await.expect("put");
    let mut message = queue.receive(1, MINUTE).await.expect("received").pop().expect("a message");
    queue.update(&mut message, None, Duration::ZERO).await.expect("released");
    // It would wait for five seconds; the test does not.
    database.read(|connection| connection.busy_timeout(Duration::ZERO)).await.expect("a setting");
    let other = file.connection();
    other.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    for result in [
        queue.put(b"{}").await,
        queue.receive(1, MINUTE).await.map(drop),
        queue.update(&mut message, Some(b"edited"), MINUTE).await,
        queue.delete(&message).await,
    ] {
        assert_eq!(failed(result, &file.path), Some(ErrorCode::DatabaseBusy));
    }
    assert_eq!((peeked(&queue).await, queue.count().await.expect("counted")), (vec!["{}".to_owned()], 1));
    other.execute_batch("COMMIT").expect("the lock is given back");
    queue.delete(&message).await.expect("deleted, with the receipt from before");
}

#[tokio::test]
async fn a_file_that_fails_is_an_error_of_each_operation() {
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
        assert_eq!(failed(result, &file.path), Some(ErrorCode::Unknown));
    }
}
