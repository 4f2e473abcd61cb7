//! The queue as a table in the state file of a machine.

use rusqlite::params;

use crate::sqlite::{Database, DatabaseError};

/// The queue in an SQLite file. Messages stay until somebody takes them: there is no seven days' limit here.
#[derive(Debug, Clone)]
pub struct SqliteQueue(Database);

impl SqliteQueue {
    /// The queue of this file.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self(database)
    }

    /// Puts a message; it is there for good when this returns.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub async fn put(&self, message: Vec<u8>, now_ms: i64) -> Result<(), DatabaseError> {
        let put = move |connection: &rusqlite::Connection| {
            connection
                .prepare_cached("INSERT INTO dead_letters (inserted_ms, text) VALUES (?, ?)")?
                .execute(params![now_ms, message])
        };
        self.0.write(put).await.map(drop)
    }

    /// How many messages there are.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub async fn count(&self) -> Result<usize, DatabaseError> {
        let count = |connection: &rusqlite::Connection| {
            connection.query_row("SELECT count(*) FROM dead_letters", [], |row| row.get::<_, i64>(0))
        };
        self.0.read(count).await.map(|count| usize::try_from(count).unwrap_or_default())
    }
}
