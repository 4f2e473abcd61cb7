//! What the configuration names, put together: the store, the engine, the place for large dead letters. The handler and
//! the tools use the same ones.

use std::sync::Arc;

use crate::{
    config::{Config, OverflowConfig, StoreConfig},
    dead_letter::{Blobs, Directory, Overflow},
    processor::{DocumentCache, Processor, Shared},
    settings::ConfigError,
    sqlite::{Database, DatabaseError, Opening},
    store::{CosmosStore, MemoryStore, SqliteStore, StateStore},
    surroundings::System,
    telemetry::drone::Drone,
};

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

/// The telemetry that ships.
#[must_use]
pub fn telemetry(config: &Config) -> Drone {
    Drone { format: config.telemetry_format, device_id_from_iot_hub: config.device_id_from_iot_hub }
}

/// The engine over a store, for the telemetry that ships.
#[must_use]
pub fn engine(config: &Config, store: Arc<dyn StateStore>) -> Processor {
    Processor {
        telemetry: Arc::new(telemetry(config)),
        store,
        cache: DocumentCache::new(config.document_cache_bytes),
        clock: Arc::new(System),
        random: Arc::new(System),
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
