//! The store of a run's documents. The handler writes them; the stand-in host reads them only for the report and the check.

use std::{path::PathBuf, sync::Arc};

use devicestate_engine::store::StateStore;
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
}
