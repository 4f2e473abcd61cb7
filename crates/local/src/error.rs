//! Why a run or a drill cannot start.

use std::{io, path::PathBuf};

use devicestate_engine::{
    function_app::FunctionAppError, queue::QueueError, settings::ConfigError, store::StoreError, text::error_message,
};
use devicestate_sqlite::DatabaseError;
use devicestate_telemetry::LoadError;

use crate::source::SourceError;

/// Why a run or a drill cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The files of the function app are invalid.
    #[error(transparent)]
    FunctionApp(#[from] FunctionAppError),
    /// `local.settings.json` cannot be read.
    #[error("the file {} cannot be read: {reason}", path.display())]
    LocalSettings {
        /// The file.
        path: PathBuf,
        /// The cause.
        reason: String,
    },
    /// A setting is invalid or missing.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A setting of the telemetry or the telemetry file is invalid.
    #[error(transparent)]
    Decoding(#[from] LoadError),
    /// The stand-in host does not support this app, setting or option.
    #[error("{0}")]
    Unsupported(String),
    /// The state file cannot be used.
    #[error("{0} (option --state)")]
    Database(#[from] DatabaseError),
    /// The dead-letter queue in the state file cannot be read.
    #[error("{0} (option --state)")]
    Queue(#[from] QueueError),
    /// The documents cannot be read for the check.
    #[error("the documents cannot be read: {0}")]
    Store(#[from] StoreError),
    /// The telemetry file cannot be written.
    #[error("the telemetry file {} cannot be written: {reason} (option --telemetry)", path.display())]
    Telemetry {
        /// Its path.
        path: PathBuf,
        /// The cause.
        reason: String,
    },
    /// A folder cannot be used.
    #[error("the folder {} cannot be used: {reason}", path.display())]
    Folder {
        /// Its path.
        path: PathBuf,
        /// The cause.
        reason: String,
    },
    /// No handler became ready, so that no event was processed.
    #[error("no handler became ready: {0} (option --verbose shows its log)")]
    HandlerNotStarted(String),
    /// The port cannot be opened.
    #[error(
        "127.0.0.1:{port} cannot be opened: {reason}; name another port, or 0 for a free one (options --listen and --ui)"
    )]
    Port {
        /// The port.
        port: u16,
        /// The cause.
        reason: String,
    },
    /// The input cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl LocalError {
    pub(super) fn port(port: u16, error: &io::Error) -> Self {
        Self::Port { port, reason: error_message(error) }
    }
}
