//! Builds the parts that the settings select: the store, the engine and the overflow storage of large dead letters. The
//! handler and the commands use the same functions.

use std::sync::Arc;

use devicestate_azure::{Blobs, CosmosStore};
use devicestate_engine::{
    clock::System,
    dead_letter::{Directory, Overflow},
    observer::Observer,
    processor::{DocumentCache, Processor, Shared},
    settings::ConfigError,
    store::{MemoryStore, StateStore},
    telemetry::Telemetry,
};
use devicestate_sqlite::{Database, DatabaseError, OpenMode, SqliteStore};

use crate::config::{Config, OverflowConfig, SqliteConfig, StoreConfig};

/// Opens the selected store. `mode` matters for a store in a file only.
///
/// # Errors
///
/// Returns a [`DatabaseError`] if the store is a file and the file cannot be opened.
pub fn open_store(config: &StoreConfig, mode: OpenMode) -> Result<Arc<dyn StateStore>, DatabaseError> {
    Ok(match config {
        StoreConfig::Memory => Arc::new(MemoryStore::default()),
        StoreConfig::Cosmos(config) => Arc::new(CosmosStore::new(config.clone())),
        StoreConfig::Sqlite(SqliteConfig { path, synchronous }) => {
            Arc::new(SqliteStore::new(Database::open_with(path, mode, *synchronous)?))
        }
    })
}

/// Builds the engine for this telemetry, over this store and with this observer.
#[must_use]
pub fn build_processor(
    config: &Config,
    telemetry: Arc<dyn Telemetry>,
    store: Arc<dyn StateStore>,
    observer: Arc<dyn Observer>,
) -> Processor {
    Processor {
        telemetry,
        store,
        iot_hub_time: config.iot_hub_time,
        cache: DocumentCache::new(config.document_cache_bytes),
        clock: Arc::new(System),
        random: Arc::new(System),
        observer,
        budget: config.invocation_budget,
        concurrency: config.store_concurrency,
        heard_every: config.heard_every,
        max_readings: config.max_readings,
        shared: Shared::default(),
    }
}

/// Opens the overflow storage: where dead letters go that are too large for the queue. `None` if it is disabled.
///
/// # Errors
///
/// Returns a [`ConfigError`] if a connection has no usable blob service.
pub fn open_overflow(config: &OverflowConfig) -> Result<Option<Arc<dyn Overflow>>, ConfigError> {
    Ok(match config {
        OverflowConfig::Directory(path) => Some(Arc::new(Directory(path.clone()))),
        OverflowConfig::Blobs { connection, container } => Some(Arc::new(Blobs::new(connection, container)?)),
        OverflowConfig::Disabled { .. } => None,
    })
}
