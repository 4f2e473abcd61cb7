//! Opens the connection to a state file, and prepares its tables.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use crate::{
    error::{BUSY_TIMEOUT, DatabaseError},
    open_files::{OpenFiles, has_log},
};

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

/// The migration that adds the times of the last writes; 0 for a row that an earlier version wrote. It changes no row, so that a large
/// file is opened as fast as before. There is no index: it would be written with each document.
const WRITE_TIME_MIGRATION: &str = "
    ALTER TABLE documents ADD COLUMN written_ms INTEGER NOT NULL DEFAULT 0;
    PRAGMA user_version = 2;
";

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading and writing. A missing file is created with its tables.
    Create,
    /// For reading and writing. A missing file is an error.
    Existing,
    /// For reading. A missing file is an error. Nothing is written to an existing one, and no file is created next to it, so
    /// that neither the file nor its folder has to be writable.
    ReadOnly,
}

/// What a commit waits for. A commit survives the end of any process in both cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Synchronous {
    /// The disk has it, so that it survives a power failure. The checkpoints of a real hub are in other storage, and may be
    /// ahead of a file that lost commits: the host would never send their events again.
    #[default]
    Full,
    /// The operating system has it. A power failure may undo the last commits. Only for a hub that is lost with them.
    Normal,
}

/// Opens a connection and returns it with the files that it has open.
pub(crate) fn connect(
    path: &Arc<Path>,
    mode: OpenMode,
    synchronous: Synchronous,
) -> Result<(Connection, OpenFiles), DatabaseError> {
    let file = file_path(path).map_err(|reason| DatabaseError::with_reason(path, &reason))?;
    let io_error = |error: std::io::Error| {
        DatabaseError::with_reason(path, &format!("it cannot be opened; check the path ({})", error.kind()))
    };
    if let (true, Some(address)) = (mode == OpenMode::ReadOnly && !has_log(&file), immutable_address(&file)) {
        let files = OpenFiles::unchanged(&file).map_err(io_error)?;
        return Ok((open(path, &address, mode)?, files));
    }
    let connection = open(path, &file, mode)?;
    let connection = if mode == OpenMode::ReadOnly {
        connection
    } else {
        set_up(connection, synchronous).map_err(|error| DatabaseError::new(path, &error))?
    };
    let files = OpenFiles::new(&file).map_err(io_error)?;
    Ok((connection, files))
}

/// Returns the absolute path of a file, which SQLite takes for nothing else: `:memory:`, an empty path and `file:` have a
/// meaning of their own.
fn file_path(path: &Path) -> Result<PathBuf, String> {
    if path.as_os_str() == ":memory:" {
        return Err(
            "it is not a file; set the path of a file, or the setting `StateStore` to `memory` for documents that are lost with the \
             process"
                .into(),
        );
    }
    if path.as_os_str().as_encoded_bytes().starts_with(b"file:") {
        return Err("an SQLite address is not supported; set the path of a file, without `file:` and parameters".into());
    }
    let file = std::path::absolute(path).map_err(|error| format!("it cannot be opened; check the path ({error})"))?;
    if file.is_dir() {
        return Err("it cannot be opened, because it is a folder; set the path of a file".into());
    }
    Ok(file)
}

/// Returns the address with which SQLite reads a file and creates no other one next to it; `None` for a path that is not UTF-8 or
/// not of Unix, which is opened as usual.
fn immutable_address(file: &Path) -> Option<PathBuf> {
    let path = file.to_str().filter(|path| path.starts_with('/'))?;
    let escaped = path.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    Some(format!("file://{escaped}?immutable=1").into())
}

/// Opens a file and checks that it is ours, or new. Nothing is written to it.
fn open(path: &Arc<Path>, address: &Path, mode: OpenMode) -> Result<Connection, DatabaseError> {
    let access = match mode {
        OpenMode::Create => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        OpenMode::Existing => OpenFlags::SQLITE_OPEN_READ_WRITE,
        OpenMode::ReadOnly => OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI,
    };
    let open = || {
        let connection = Connection::open_with_flags(address, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // One transaction, so that both values are consistent: another process may be setting up the file.
        let snapshot = connection.unchecked_transaction()?;
        let tables: i64 = snapshot.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        let application: i32 = snapshot.pragma_query_value(None, "application_id", |row| row.get(0))?;
        drop(snapshot);
        Ok((connection, application, tables))
    };
    let (connection, application, tables) = open().map_err(|error| DatabaseError::new(path, &error))?;
    let reason = match (application, tables, mode) {
        (APPLICATION_ID, ..) | (0, 0, OpenMode::Create) => return Ok(connection),
        (0, 0, _) => {
            let name = path.file_name().unwrap_or_default().display();
            format!("it is empty; if it is a copy, copy {name}-wal as well, or copy it when no process has it open")
        }
        _ => "it is a database of another program; set another path".to_owned(),
    };
    Err(DatabaseError::with_reason(path, &reason))
}

fn set_up(mut connection: Connection, synchronous: Synchronous) -> rusqlite::Result<Connection> {
    // The write-ahead log allows readers concurrently with one writer.
    switch_to_wal(&connection)?;
    let synchronous = match synchronous {
        Synchronous::Full => "FULL",
        Synchronous::Normal => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(SCHEMA)?;
    if !can_hide_messages(&transaction)? {
        transaction.execute_batch(VISIBILITY_MIGRATION)?;
    }
    if !has_write_times(&transaction)? {
        transaction.execute_batch(WRITE_TIME_MIGRATION)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.commit()?;
    Ok(connection)
}

/// Returns whether the queue of this file can hide messages. It cannot if an earlier version created the file, and since then
/// the file was only opened for reading.
pub(crate) fn can_hide_messages(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(schema_version(connection)? >= 1)
}

/// Returns whether the documents of this file have the times of their last writes, with the same exception.
pub(crate) fn has_write_times(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(schema_version(connection)? >= 2)
}

fn schema_version(connection: &Connection) -> rusqlite::Result<i32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
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
