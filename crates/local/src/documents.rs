//! Where the documents of a run are. The handler writes them; what is played here only reads them at the end.

use std::{path::PathBuf, sync::Arc};

use devicestate_engine::store::StateStore;

/// Where the documents of a run are, by the setting `StateStore`.
#[derive(Clone)]
pub enum Documents {
    /// In the handler's memory, where nobody else sees them.
    Memory,
    /// In this SQLite file.
    Sqlite(PathBuf),
    /// In a store of this name, in which reading costs something.
    Remote(&'static str, Arc<dyn StateStore>),
}

impl Documents {
    /// The value of `StateStore`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite(_) => "sqlite",
            Self::Remote(name, _) => name,
        }
    }
}
