//! The store of a run's documents. The handler writes them; the stand-in host reads them only for the report and the check.

use std::{path::PathBuf, sync::Arc};

use devicestate_engine::{
    clock::Clock,
    device_state::Document,
    store::{Pages, StateStore, StoreError},
};
use devicestate_read_api::IndexedFields;
use devicestate_sqlite::{Database, DatabaseError, OpenMode, SqliteStore};

/// The store of a run's documents, by the setting `StateStore`.
#[derive(Clone)]
pub enum Documents {
    /// The handler's memory, which no other process can read.
    Memory,
    /// This SQLite file.
    Sqlite(PathBuf),
    /// A store with this name, in which reading has a cost, and the fields that it finds without a scan.
    Remote(&'static str, Arc<dyn StateStore>, IndexedFields),
}

impl Documents {
    /// Returns the value of `StateStore`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite(_) => "sqlite",
            Self::Remote(name, ..) => name,
        }
    }

    /// Opens the store to read it; `None` for the handler's memory.
    pub(super) fn open(&self) -> Result<Option<Arc<dyn StateStore>>, DatabaseError> {
        Ok(match self {
            Self::Memory => None,
            Self::Sqlite(path) => Some(Arc::new(SqliteStore::new(Database::open(path, OpenMode::ReadOnly)?))),
            Self::Remote(_, store, _) => Some(Arc::clone(store)),
        })
    }

    /// Returns the fields that the store finds without a scan that has a cost.
    pub(super) fn indexed(&self) -> IndexedFields {
        match self {
            Self::Memory | Self::Sqlite(_) => IndexedFields::Every,
            Self::Remote(_, _, indexed) => indexed.clone(),
        }
    }

    /// Returns how many documents are read at most: all, or a limited number where reading has a cost.
    pub(super) fn max_read(&self) -> usize {
        const MAX_REMOTE_DOCUMENTS: usize = 10_000;
        match self {
            Self::Memory | Self::Sqlite(_) => usize::MAX,
            Self::Remote(..) => MAX_REMOTE_DOCUMENTS,
        }
    }

    /// Returns the sequence number of the first event of a run, above those of earlier runs: within a hub the sequence number
    /// decides which event is newer. Where reading has a cost, the time is such a number, in microseconds: a run may send more than
    /// one event per millisecond.
    pub(super) async fn next_sequence_number(&self, clock: &dyn Clock) -> i64 {
        match self {
            Self::Memory => 0,
            Self::Remote(..) => first_of_clock(clock),
            // Without a file there are no documents.
            Self::Sqlite(path) if !path.exists() => 0,
            // Whether the file is damaged, the handler reports.
            Self::Sqlite(_) => match self.open() {
                Ok(Some(store)) => next_sequence_number(&*store).await.unwrap_or_else(|_| first_of_clock(clock)),
                _ => first_of_clock(clock),
            },
        }
    }
}

/// Returns the microseconds of the clock.
fn first_of_clock(clock: &dyn Clock) -> i64 {
    clock.now_ms().saturating_mul(1_000)
}

/// Returns the sequence number above those of a store. Page by page, because not all documents may fit into memory.
async fn next_sequence_number(store: &dyn StateStore) -> Result<i64, StoreError> {
    let newest_of = |document: &Document| {
        let versions = document.readings().filter_map(|(name, _)| document.version(name));
        versions.map(|version| version.sequence_number).max()
    };
    let mut newest = None;
    let mut pages = Pages::new(store, usize::MAX);
    while let Some(page) = pages.next().await? {
        newest = newest.max(page.documents.iter().filter_map(newest_of).max());
    }
    Ok(newest.map_or(0, |newest: i64| newest.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use devicestate_engine::clock::System;

    use super::*;

    #[tokio::test]
    async fn the_first_sequence_number_is_the_time_if_the_documents_cannot_be_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.db");
        let documents = Documents::Sqlite(path.clone());
        assert_eq!(documents.next_sequence_number(&System).await, 0);
        let database = Database::open(&path, OpenMode::Create).expect("a database");
        assert_eq!(documents.next_sequence_number(&System).await, 0);
        database.write(|connection| connection.execute_batch("DROP TABLE documents")).await.expect("a table");
        let started = first_of_clock(&System);
        assert!(documents.next_sequence_number(&System).await >= started);
        database.close();
        std::fs::write(&path, "no database").expect("a file");
        assert!(documents.next_sequence_number(&System).await >= started);
    }
}
