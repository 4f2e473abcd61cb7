//! The store of a run's documents. The handler writes them; the stand-in host reads them only for the report and the check.

use std::{path::PathBuf, sync::Arc};

use devicestate_engine::{clock::Clock, device_state::Document, store, store::StateStore};
use devicestate_sqlite::{Database, DatabaseError, OpenMode, SqliteStore};

/// The store of a run's documents, by the setting `StateStore`.
#[derive(Clone)]
pub enum Documents {
    /// The handler's memory, which no other process can read.
    Memory,
    /// This SQLite file.
    Sqlite(PathBuf),
    /// A store with this name, in which reading has a cost.
    Remote(&'static str, Arc<dyn StateStore>),
}

impl Documents {
    /// Returns the value of `StateStore`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite(_) => "sqlite",
            Self::Remote(name, _) => name,
        }
    }

    /// Opens the store to read it; `None` for the handler's memory.
    pub(super) fn open(&self) -> Result<Option<Arc<dyn StateStore>>, DatabaseError> {
        Ok(match self {
            Self::Memory => None,
            Self::Sqlite(path) => Some(Arc::new(SqliteStore::new(Database::open(path, OpenMode::ReadOnly)?))),
            Self::Remote(_, store) => Some(Arc::clone(store)),
        })
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
        let store = match self {
            Self::Memory => return 0,
            Self::Remote(..) => return clock.now_ms() * 1_000,
            Self::Sqlite(_) => self.open(),
        };
        // Without a file there are no documents. Whether it is damaged, the handler reports.
        let Ok(Some(store)) = store else { return 0 };
        let documents = store::documents(&*store, self.max_read()).await.unwrap_or_default();
        let numbers = |document: &Document| {
            let versions = document.readings().filter_map(|(name, _)| document.version(name));
            versions.map(|version| version.sequence_number).max()
        };
        documents.iter().filter_map(numbers).max().map_or(0, |newest| newest.saturating_add(1))
    }
}
