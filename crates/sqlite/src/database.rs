//! The SQLite file with the state documents and the dead letters of a machine, shared by all its processes.
//!
//! Each connection has a thread of its own. The thread runs all waiting operations in one transaction, so that the devices of a
//! batch share the cost of one commit. Each caller gets its own result after the commit.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::AcqRel},
        mpsc,
    },
    thread::{self, JoinHandle, Thread},
    time::Duration,
};

use rusqlite::{Connection, TransactionBehavior, config::DbConfig};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::oneshot,
    task::{block_in_place, yield_now},
};

use crate::{
    connection::{OpenMode, Synchronous, connect},
    error::DatabaseError,
    open_files::OpenFiles,
};

/// Limits the operations of one transaction.
const MAX_GROUP_SIZE: usize = 1_000;

/// An open state file. Clones share the connection. It is closed when the last of them is dropped.
#[derive(Debug, Clone)]
pub struct Database {
    path: Arc<Path>,
    connection: Arc<ConnectionThread>,
}

/// The thread of a connection.
#[derive(Debug)]
struct ConnectionThread {
    messages: mpsc::Sender<Message>,
    /// Whether a caller wakes the thread for the messages that it has not yet taken.
    is_waking: Arc<AtomicBool>,
    thread: Thread,
    handle: Mutex<Option<JoinHandle<()>>>,
}

/// A message to the thread of a connection.
enum Message {
    Run(Job),
    Close,
}

impl ConnectionThread {
    fn close(&self) {
        let _ = self.messages.send(Message::Close);
        self.thread.unpark();
        let Some(thread) = self.handle.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        // The last transaction and the checkpoint may take seconds, in which this thread of a runtime must run no other task.
        if Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread) {
            let _ = block_in_place(|| thread.join());
        } else {
            let _ = thread.join();
        }
    }
}

/// Wakes a thread when it is dropped, so that the end of an invocation cannot prevent it.
struct Wake<'a>(&'a Thread);

impl Drop for Wake<'_> {
    fn drop(&mut self) {
        self.0.unpark();
    }
}

impl Drop for ConnectionThread {
    fn drop(&mut self) {
        self.close();
    }
}

/// An operation that waits for its transaction.
struct Job {
    is_write: bool,
    operation: Operation,
    /// The runtime of the caller.
    runtime: Handle,
}

/// Runs in a transaction, or gets the error of its start. Returns the function to call with the result of the commit.
type Operation = Box<dyn FnOnce(Result<&Connection, DatabaseError>) -> AfterCommit + Send>;
type AfterCommit = Box<dyn FnOnce(Result<(), DatabaseError>) + Send>;

impl Database {
    /// Opens the file. Its commits survive a power failure.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] if the file cannot be opened, is not a database, belongs to another program, or is locked for longer
    /// than five seconds.
    pub fn open(path: &Path, mode: OpenMode) -> Result<Self, DatabaseError> {
        Self::open_with(path, mode, Synchronous::Full)
    }

    /// Opens the file, whose commits wait for what `synchronous` says.
    ///
    /// # Errors
    ///
    /// The same as [`Database::open`].
    pub fn open_with(path: &Path, mode: OpenMode, synchronous: Synchronous) -> Result<Self, DatabaseError> {
        let path: Arc<Path> = path.into();
        let (mut connection, mut files) = connect(&path, mode, synchronous)?;
        let (messages, queue) = mpsc::channel::<Message>();
        let (shared, is_waking) = (Arc::clone(&path), Arc::new(AtomicBool::new(false)));
        let is_woken = Arc::clone(&is_waking);
        let handle = thread::spawn(move || {
            let mut is_closed = false;
            while !is_closed {
                is_woken.swap(false, AcqRel);
                let mut group = Vec::new();
                for message in queue.try_iter().take(MAX_GROUP_SIZE) {
                    match message {
                        Message::Run(job) => group.push(job),
                        Message::Close => {
                            is_closed = true;
                            break;
                        }
                    }
                }
                if group.is_empty() {
                    if !is_closed {
                        thread::park();
                    }
                    continue;
                }
                // With the pages that this connection has, operations would read what another process has replaced.
                let opened = if files.must_be_reopened() {
                    connect(&shared, mode, synchronous).map(|reopened| (connection, files) = reopened)
                } else {
                    Ok(())
                };
                run_group(opened, &mut connection, &files, &shared, group);
            }
            prepare_close(&connection, &files);
        });
        let thread = handle.thread().clone();
        let connection = ConnectionThread { messages, is_waking, thread, handle: Mutex::new(Some(handle)) };
        Ok(Self { path, connection: Arc::new(connection) })
    }

    /// Closes the connection after the operations that were started, also for all clones, and waits until it is closed. A program
    /// that ended first would leave the last commits in the write-ahead log.
    ///
    /// Dropping the last clone does the same. Tasks that were aborted may keep a clone for longer than the program runs.
    pub fn close(&self) {
        self.connection.close();
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
        let message = Message::Run(Job { is_write, operation, runtime: Handle::current() });
        self.connection.messages.send(message).map_err(|_| thread_ended())?;
        if !self.connection.is_waking.swap(true, AcqRel) {
            // The tasks that are ready first queue their operations, too: then these share the transaction.
            let _wake = Wake(&self.connection.thread);
            yield_now().await;
        }
        receiver.await.map_err(|_| thread_ended())?
    }
}

/// Runs a group of jobs in one transaction, if the connection could be opened and the files at the path are its files.
fn run_group(
    opened: Result<(), DatabaseError>,
    connection: &mut Connection,
    files: &OpenFiles,
    path: &Arc<Path>,
    group: Vec<Job>,
) {
    let Some(Job { runtime, .. }) = group.first() else { return };
    let runtime = runtime.clone();
    let check_files = || files.check().map_err(|reason| DatabaseError::with_reason(path, &reason));
    // A group that writes takes the write lock at its start: SQLite cannot wait for it in a transaction that began with a read.
    let behavior = if group.iter().any(|job| job.is_write) {
        TransactionBehavior::Immediate
    } else {
        TransactionBehavior::Deferred
    };
    let started = opened.and_then(|()| check_files()).and_then(|()| {
        connection.transaction_with_behavior(behavior).map_err(|error| DatabaseError::new(path, &error))
    });
    let (callbacks, committed): (Vec<AfterCommit>, _) = match started {
        Ok(transaction) => {
            let callbacks = group.into_iter().map(|job| (job.operation)(Ok(&transaction))).collect();
            let committed = transaction.commit().map_err(|error| DatabaseError::new(path, &error));
            // Again, because the file may have been moved away before the commit.
            (callbacks, committed.and_then(|()| check_files()))
        }
        Err(error) => (group.into_iter().map(|job| (job.operation)(Err(error.clone()))).collect(), Ok(())),
    };
    // One task wakes all callers. From here, each of them would be woken through a system call.
    runtime.spawn(async move {
        for callback in callbacks {
            callback(committed.clone());
        }
    });
}

/// Moves everything from the write-ahead log into the file, as far as other processes allow it.
///
/// SQLite deletes the log when the last connection is closed, by its path: if the files at the path belong to another file, they
/// must be left as they are.
fn prepare_close(connection: &Connection, files: &OpenFiles) {
    // All errors are ignored: the log then stays, and the next process that opens the file applies it.
    if files.check().is_err() {
        let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    } else if connection.is_readonly("main").is_ok_and(|is_readonly| !is_readonly) {
        let _ = connection.busy_timeout(Duration::ZERO);
        let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }
}
