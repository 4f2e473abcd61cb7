//! Why the system cannot run.

use std::{io, path::PathBuf};

use devicestate_engine::{function_app::FunctionAppError, queue::QueueError, settings::ConfigError};
use devicestate_sqlite::DatabaseError;

use crate::source::SourceError;

/// Why the system cannot run.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The function app's files.
    #[error(transparent)]
    FunctionApp(#[from] FunctionAppError),
    /// `local.settings.json`.
    #[error("{}: {reason}", path.display())]
    LocalSettings {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A setting.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Something that the stand-in does not do.
    #[error("{0}")]
    Unsupported(String),
    /// The state file.
    #[error("{0} (option --state)")]
    Database(#[from] DatabaseError),
    /// The queue in it.
    #[error("{0} (option --state)")]
    Queue(#[from] QueueError),
    /// The file for the telemetry.
    #[error("{}: {error} (option --telemetry)", path.display())]
    Telemetry {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A folder.
    #[error("{}: {error}", path.display())]
    Folder {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The input.
    #[error(transparent)]
    Source(#[from] SourceError),
}
