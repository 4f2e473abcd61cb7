//! Why a run or a drill cannot start.

use std::path::PathBuf;

use devicestate_engine::{function_app::FunctionAppError, queue::QueueError, settings::ConfigError, store::StoreError};
use devicestate_sqlite::DatabaseError;

use crate::source::SourceError;

/// Why a run or a drill cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The files of the function app.
    #[error(transparent)]
    FunctionApp(#[from] FunctionAppError),
    /// `local.settings.json`.
    #[error("the file {} cannot be read: {reason}", path.display())]
    LocalSettings {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A setting.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The stand-in host does not support this.
    #[error("{0}")]
    Unsupported(String),
    /// The state file.
    #[error("{0} (option --state)")]
    Database(#[from] DatabaseError),
    /// The dead-letter queue in the state file.
    #[error("{0} (option --state)")]
    Queue(#[from] QueueError),
    /// The documents cannot be read for the check.
    #[error("the documents cannot be read: {0}")]
    Store(#[from] StoreError),
    /// The telemetry file.
    #[error("the telemetry file {} cannot be written: {reason} (option --telemetry)", path.display())]
    Telemetry {
        /// Its path.
        path: PathBuf,
        /// The system's error.
        reason: String,
    },
    /// A folder.
    #[error("the folder {} cannot be used: {reason}", path.display())]
    Folder {
        /// Its path.
        path: PathBuf,
        /// The system's error.
        reason: String,
    },
    /// The input.
    #[error(transparent)]
    Source(#[from] SourceError),
}
