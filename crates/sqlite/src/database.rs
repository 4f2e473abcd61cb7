//! The SQLite file with the state documents and the dead letters of a machine, shared by all its processes.
//!
//! Each connection has a thread of its own. The thread runs all waiting operations in one transaction, so that the devices of a
//! batch share the cost of one commit. Each caller gets its own result after the commit.

use std::{
    path::Path,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use tokio::sync::oneshot;

/// Limits how long a process waits for the transaction of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Limits the operations of one transaction.
const MAX_GROUP_SIZE: usize = 1_000;

/// Identifies our files ("DvSt"), so that another program's database is never written to.
const APPLICATION_ID: i32 = 0x4476_5374;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS documents (
        id TEXT PRIMARY KEY, etag TEXT NOT NULL, document TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS dead_letters (
        message_id INTEGER PRIMARY KEY AUTOINCREMENT, inserted_ms INTEGER NOT NULL, text BLOB NOT NULL) STRICT;
";

/// The migration that lets the queue hide messages. A file of an earlier version gets it when it is opened for writing. A
/// process of an earlier version that still has the file open continues to work, since the columns have defaults.
///
/// The index makes the search fast in a queue with many hidden messages.
const VISIBILITY_MIGRATION: &str = "
    ALTER TABLE dead_letters ADD COLUMN visible_ms INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE dead_letters ADD COLUMN dequeue_count INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE dead_letters ADD COLUMN receipt INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX dead_letters_by_visibility ON dead_letters (visible_ms);
    PRAGMA user_version = 1;
";

/// An open state file. Clones share the connection.
#[derive(Debug, Clone)]
pub struct Database {
    path: Arc<Path>,
    jobs: mpsc::Sender<Job>,
}

/// The error of an operation on a state file.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the state file {}: {reason}", path.display())]
pub struct DatabaseError {
    path: Arc<Path>,
    reason: String,
    /// SQLite's error code, if SQLite failed.
    pub code: Option<ErrorCode>,
}

/// An operation that waits for its transaction.
struct Job {
    is_write: bool,
    operation: Operation,
}

/// Runs in a transaction, or gets the error of its start. Returns the function to call with the result of the commit.
type Operation = Box<dyn FnOnce(Result<&Connection, DatabaseError>) -> AfterCommit + Send>;
type AfterCommit = Box<dyn FnOnce(Result<(), DatabaseError>) + Send>;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading and writing. A missing file is created with its tables.
    Create,
    /// For reading and writing. A missing file is an error.
    Existing,
    /// For reading. A missing file is an error, and nothing is written to an existing one.
    ReadOnly,
}

impl Database {
    /// Opens the file.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] if the file cannot be opened, is not a database, belongs to another program, or is locked for longer
    /// than five seconds.
    pub fn open(path: &Path, mode: OpenMode) -> Result<Self, DatabaseError> {
        let path: Arc<Path> = path.into();
        let mut connection = connect(&path, mode)?;
        let (jobs, queue) = mpsc::channel::<Job>();
        let shared = Arc::clone(&path);
        thread::spawn(move || {
            while let Ok(first) = queue.recv() {
                let mut group = vec![first];
                group.extend(queue.try_iter().take(MAX_GROUP_SIZE - 1));
                run_group(&mut connection, &shared, group);
            }
        });
        Ok(Self { path, jobs })
    }

    /// Returns the path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs an operation that only reads.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] if SQLite fails.
    pub async fn read<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        self.submit(false, operation).await
    }

    /// Runs an operation that writes. It is committed when this method returns.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] if SQLite fails. Nothing of the operation has then been written.
    pub async fn write<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        self.submit(true, operation).await
    }

    async fn submit<T: Send + 'static>(
        &self,
        is_write: bool,
        operation: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let (sender, receiver) = oneshot::channel();
        let path = Arc::clone(&self.path);
        let operation: Operation = Box::new(move |started| {
            let result =
                started.and_then(|connection| operation(connection).map_err(|error| DatabaseError::new(&path, &error)));
            Box::new(move |committed| {
                // The receiver is gone if the caller no longer waits, because its invocation's budget is spent.
                let _ = sender.send(committed.and(result));
            })
        });
        let thread_ended =
            || DatabaseError::with_reason(&self.path, "the thread of its connection has ended; restart the program");
        self.jobs.send(Job { is_write, operation }).map_err(|_| thread_ended())?;
        receiver.await.map_err(|_| thread_ended())?
    }
}

/// Runs a group of jobs in one transaction.
fn run_group(connection: &mut Connection, path: &Arc<Path>, group: Vec<Job>) {
    // A group that writes takes the write lock at its start: SQLite cannot wait for it in a transaction that began with a read.
    let behavior = if group.iter().any(|job| job.is_write) {
        TransactionBehavior::Immediate
    } else {
        TransactionBehavior::Deferred
    };
    let (callbacks, committed): (Vec<AfterCommit>, _) = match connection.transaction_with_behavior(behavior) {
        Ok(transaction) => {
            let callbacks = group.into_iter().map(|job| (job.operation)(Ok(&transaction))).collect();
            (callbacks, transaction.commit().map_err(|error| DatabaseError::new(path, &error)))
        }
        Err(error) => {
            let error = DatabaseError::new(path, &error);
            (group.into_iter().map(|job| (job.operation)(Err(error.clone()))).collect(), Ok(()))
        }
    };
    for callback in callbacks {
        callback(committed.clone());
    }
}

fn connect(path: &Arc<Path>, mode: OpenMode) -> Result<Connection, DatabaseError> {
    let access = match mode {
        OpenMode::Create => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        OpenMode::Existing => OpenFlags::SQLITE_OPEN_READ_WRITE,
        OpenMode::ReadOnly => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // One transaction, so that both values are consistent: another process may be setting up the file.
        let snapshot = connection.unchecked_transaction()?;
        let tables: i64 = snapshot.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        let application: i32 = snapshot.pragma_query_value(None, "application_id", |row| row.get(0))?;
        drop(snapshot);
        Ok((connection, application, tables))
    };
    let (mut connection, application, tables) = open().map_err(|error| DatabaseError::new(path, &error))?;
    let is_new = application == 0 && tables == 0 && mode == OpenMode::Create;
    if application != APPLICATION_ID && !is_new {
        return Err(DatabaseError::with_reason(path, "it is a database of another program; set another path"));
    }
    if mode == OpenMode::ReadOnly {
        return Ok(connection);
    }
    let set_up = || {
        // The write-ahead log allows readers concurrently with one writer. With NORMAL, a commit survives the end of any
        // process. A power failure may undo the last commits, but then the hub, which is in memory, is lost too.
        switch_to_wal(&connection)?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(SCHEMA)?;
        if !can_hide_messages(&transaction)? {
            transaction.execute_batch(VISIBILITY_MIGRATION)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.commit()?;
        Ok(connection)
    };
    set_up().map_err(|error| DatabaseError::new(path, &error))
}

/// Returns whether the queue of this file can hide messages. It cannot if an earlier version created the file, and since then
/// the file was only opened for reading.
pub(crate) fn can_hide_messages(connection: &Connection) -> rusqlite::Result<bool> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0)).map(|version: i32| version >= 1)
}

/// Switches to the write-ahead log. Retries, since SQLite does not apply its busy timeout to this pragma.
#[expect(
    clippy::disallowed_methods,
    reason = "a file is opened at the start of a process, outside the runtime's clock"
)]
fn switch_to_wal(connection: &Connection) -> rusqlite::Result<()> {
    const MAX_TRIES: u32 = 500;
    for _ in 1..MAX_TRIES {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                thread::sleep(BUSY_TIMEOUT / MAX_TRIES);
            }
            result => return result,
        }
    }
    connection.pragma_update(None, "journal_mode", "WAL")
}

impl DatabaseError {
    fn new(path: &Arc<Path>, error: &rusqlite::Error) -> Self {
        let code = error.sqlite_error_code();
        let reason = match code {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                format!(
                    "another process has held its lock for more than {} s; try again when that process has ended ({error})",
                    BUSY_TIMEOUT.as_secs()
                )
            }
            Some(ErrorCode::NotADatabase) => "it is not an SQLite database; set another path".into(),
            Some(ErrorCode::CannotOpen) => format!("it cannot be opened; check the path ({error})"),
            Some(ErrorCode::SystemIoFailure) => {
                format!("it cannot be used; check that it is a file, and the disk ({error})")
            }
            Some(ErrorCode::DiskFull) => format!("the disk is full; free disk space ({error})"),
            Some(ErrorCode::ReadOnly) => format!("it cannot be written; check its permissions ({error})"),
            _ => error.to_string(),
        };
        Self { path: Arc::clone(path), reason, code }
    }

    fn with_reason(path: &Arc<Path>, reason: &str) -> Self {
        Self { path: Arc::clone(path), reason: reason.into(), code: None }
    }
}
