//! What the configuration names, put together: the store, the engine, the place for large dead letters. The handler and
//! the tools use the same ones.

use std::sync::Arc;

use devicestate_azure::{Blobs, CosmosStore};
use devicestate_engine::{
    clock::System,
    dead_letter::{Directory, Overflow},
    observer::Observer,
    processor::{DocumentCache, Processor, Shared},
    settings::ConfigError,
    store::{MemoryStore, StateStore},
};
use devicestate_sqlite::{Database, DatabaseError, Opening, SqliteStore};

use crate::config::{Config, OverflowConfig, StoreConfig};

/// Opens the store that the settings name.
///
/// # Errors
///
/// When there is a file and it cannot be opened.
pub fn open_store(config: &StoreConfig, opening: Opening) -> Result<Arc<dyn StateStore>, DatabaseError> {
    Ok(match config {
        StoreConfig::Memory => Arc::new(MemoryStore::default()),
        StoreConfig::Cosmos(config) => Arc::new(CosmosStore::new(config.clone())),
        StoreConfig::Sqlite(path) => Arc::new(SqliteStore::new(Database::open(path, opening)?)),
    })
}

/// The engine over a store, for the telemetry that ships and with somebody who watches it.
#[must_use]
pub fn engine(config: &Config, store: Arc<dyn StateStore>, observer: Arc<dyn Observer>) -> Processor {
    Processor {
        telemetry: Arc::new(config.telemetry),
        store,
        cache: DocumentCache::new(config.document_cache_bytes),
        clock: Arc::new(System),
        random: Arc::new(System),
        observer,
        budget: config.invocation_budget,
        concurrency: config.store_concurrency,
        shared: Shared::default(),
    }
}

/// Where dead letters go that are too large for the queue; `None` for nowhere.
///
/// # Errors
///
/// [`ConfigError`], when a connection does not lead to blobs.
pub fn open_overflow(config: &OverflowConfig) -> Result<Option<Arc<dyn Overflow>>, ConfigError> {
    Ok(match config {
        OverflowConfig::Directory(path) => Some(Arc::new(Directory(path.clone()))),
        OverflowConfig::Blobs { connection, container } => Some(Arc::new(Blobs::new(connection, container)?)),
        OverflowConfig::Nowhere { .. } => None,
    })
}
