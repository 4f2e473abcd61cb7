//! One SQLite file for the state documents and the dead letters of a machine, shared by all its processes.
//!
//! A connection lives on a thread of its own. What waits there is run as one transaction, so that the cost of a commit
//! is shared by all the devices of a batch; each caller hears of its own result after the commit.

use std::{
    path::Path,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use tokio::sync::oneshot;

/// How long one process waits for another one's transaction before it calls the file locked.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The most operations in one transaction.
const GROUP: usize = 1_000;

/// Marks a file as ours, so that no other program's database is written to by mistake ("DvSt").
const APPLICATION_ID: i32 = 0x4476_5374;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS documents (
        id TEXT PRIMARY KEY, etag TEXT NOT NULL, document TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS dead_letters (
        message_id INTEGER PRIMARY KEY AUTOINCREMENT, inserted_ms INTEGER NOT NULL, text BLOB NOT NULL) STRICT;
";

/// What the queue got later, and files of earlier versions get when they are written to again. An earlier version that
/// still has the file open goes on: the columns fill themselves.
///
/// The index is for a queue with many hidden messages, whose texts lie before the columns.
const VISIBILITY: &str = "
    ALTER TABLE dead_letters ADD COLUMN visible_ms INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE dead_letters ADD COLUMN dequeue_count INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE dead_letters ADD COLUMN receipt INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX dead_letters_by_visibility ON dead_letters (visible_ms);
    PRAGMA user_version = 1;
";

/// An open file. Clones share the connection.
#[derive(Debug, Clone)]
pub struct Database {
    path: Arc<Path>,
    jobs: mpsc::Sender<Job>,
}

/// What went wrong with the file, for people, and what kind of fault it is.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the state file {}: {reason}", path.display())]
pub struct DatabaseError {
    path: Arc<Path>,
    reason: String,
    /// What SQLite calls it, where it is SQLite that failed.
    pub code: Option<ErrorCode>,
}

struct Job {
    writes: bool,
    work: Work,
}

/// Does the operation in a transaction that has begun, or has failed to, and gives back what is to be done once it is
/// known how the transaction ended.
type Work = Box<dyn FnOnce(Result<&Connection, DatabaseError>) -> Answer + Send>;
type Answer = Box<dyn FnOnce(Result<(), DatabaseError>) + Send>;

/// What a file is opened for, and whether it must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// To write to it. A missing file is made, with the tables in it.
    Create,
    /// To write to it. A missing file is an error.
    Existing,
    /// To look at it. A missing file is an error, and nothing is written to one that is there.
    ReadOnly,
}

impl Database {
    /// Opens the file.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, is no database or one of another program, or is locked for longer than five seconds.
    pub fn open(path: &Path, opening: OpenMode) -> Result<Self, DatabaseError> {
        let path: Arc<Path> = path.into();
        let mut connection = connect(&path, opening)?;
        let (jobs, queue) = mpsc::channel::<Job>();
        let shared = Arc::clone(&path);
        thread::spawn(move || {
            while let Ok(first) = queue.recv() {
                let mut group = vec![first];
                group.extend(queue.try_iter().take(GROUP - 1));
                run(&mut connection, &shared, group);
            }
        });
        Ok(Self { path, jobs })
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs an operation that only reads.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub async fn read<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        self.submit(false, operation).await
    }

    /// Runs an operation that writes; it is committed when this returns.
    ///
    /// # Errors
    ///
    /// What SQLite says. Nothing of the operation has then been written.
    pub async fn write<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        self.submit(true, operation).await
    }

    async fn submit<T: Send + 'static>(
        &self,
        writes: bool,
        operation: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let (sender, receiver) = oneshot::channel();
        let path = Arc::clone(&self.path);
        let work: Work = Box::new(move |begun| {
            let result =
                begun.and_then(|connection| operation(connection).map_err(|error| DatabaseError::new(&path, &error)));
            Box::new(move |ended| {
                // A caller that no longer waits (its invocation ran out of budget) does not hear of it.
                let _ = sender.send(ended.and(result));
            })
        });
        let closed = || DatabaseError::because(&self.path, "its thread ended");
        self.jobs.send(Job { writes, work }).map_err(|_| closed())?;
        receiver.await.map_err(|_| closed())?
    }
}

fn run(connection: &mut Connection, path: &Arc<Path>, group: Vec<Job>) {
    // A group that writes takes the lock at once: one that began as a reader could not wait for it any more.
    let behavior =
        if group.iter().any(|job| job.writes) { TransactionBehavior::Immediate } else { TransactionBehavior::Deferred };
    let (answers, ended): (Vec<Answer>, _) = match connection.transaction_with_behavior(behavior) {
        Ok(transaction) => {
            let answers = group.into_iter().map(|job| (job.work)(Ok(&transaction))).collect();
            (answers, transaction.commit().map_err(|error| DatabaseError::new(path, &error)))
        }
        Err(error) => {
            let error = DatabaseError::new(path, &error);
            (group.into_iter().map(|job| (job.work)(Err(error.clone()))).collect(), Ok(()))
        }
    };
    for answer in answers {
        answer(ended.clone());
    }
}

fn connect(path: &Arc<Path>, opening: OpenMode) -> Result<Connection, DatabaseError> {
    let access = match opening {
        OpenMode::Create => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        OpenMode::Existing => OpenFlags::SQLITE_OPEN_READ_WRITE,
        OpenMode::ReadOnly => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // In one transaction, so that both are of the same moment: another process may be setting the file up.
        let snapshot = connection.unchecked_transaction()?;
        let tables: i64 = snapshot.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        let application: i32 = snapshot.pragma_query_value(None, "application_id", |row| row.get(0))?;
        drop(snapshot);
        Ok((connection, application, tables))
    };
    let (mut connection, application, tables) = open().map_err(|error| DatabaseError::new(path, &error))?;
    let is_new = application == 0 && tables == 0 && opening == OpenMode::Create;
    if application != APPLICATION_ID && !is_new {
        return Err(DatabaseError::because(path, "it is a database of another program; give another path"));
    }
    if opening == OpenMode::ReadOnly {
        return Ok(connection);
    }
    let set_up = || {
        // The write-ahead log lets readers and one writer work side by side. NORMAL: a commit survives the death of
        // any process; the power failing may undo the last ones, but then the in-memory hub is gone with them.
        switch_to_wal(&connection)?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(SCHEMA)?;
        if !has_visibility(&transaction)? {
            transaction.execute_batch(VISIBILITY)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.commit()?;
        Ok(connection)
    };
    set_up().map_err(|error| DatabaseError::new(path, &error))
}

/// Whether the queue of this file knows hidden messages. Not so where an earlier version has made the file, and one has
/// only looked at it since.
pub(crate) fn has_visibility(connection: &Connection) -> rusqlite::Result<bool> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0)).map(|version: i32| version >= 1)
}

/// SQLite does not wait for other connections here, as it does everywhere else.
#[expect(
    clippy::disallowed_methods,
    reason = "a file is opened at the start of a process, outside the runtime's clock"
)]
fn switch_to_wal(connection: &Connection) -> rusqlite::Result<()> {
    const TRIES: u32 = 500;
    for _ in 1..TRIES {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                thread::sleep(BUSY_TIMEOUT / TRIES);
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
                format!("another process holds its lock for more than {} s ({error})", BUSY_TIMEOUT.as_secs())
            }
            Some(ErrorCode::NotADatabase) => "it is no SQLite database; give another path".into(),
            Some(ErrorCode::CannotOpen) => format!("it cannot be opened; is the path right? ({error})"),
            _ => error.to_string(),
        };
        Self { path: Arc::clone(path), reason, code }
    }

    fn because(path: &Arc<Path>, reason: &str) -> Self {
        Self { path: Arc::clone(path), reason: reason.into(), code: None }
    }
}
