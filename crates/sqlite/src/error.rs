//! Failures of a state file, with what to do.

use std::{path::Path, sync::Arc, time::Duration};

use rusqlite::ErrorCode;

/// Limits how long a process waits for the transaction of another process.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The error of an operation on a state file.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the state file {}: {reason}", path.display())]
pub struct DatabaseError {
    path: Arc<Path>,
    reason: String,
    /// SQLite's error code, if SQLite failed.
    pub code: Option<ErrorCode>,
}

impl DatabaseError {
    pub(crate) fn new(path: &Arc<Path>, error: &rusqlite::Error) -> Self {
        let code = error.sqlite_error_code();
        let reason = match code {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                format!(
                    "another process has held its lock for more than {} s; try again when that process has ended ({error})",
                    BUSY_TIMEOUT.as_secs()
                )
            }
            Some(ErrorCode::NotADatabase) => "it is not an SQLite database; set another path".into(),
            Some(ErrorCode::CannotOpen) => format!("it cannot be opened; check the path ({error})"),
            Some(ErrorCode::SystemIoFailure) => {
                format!("it cannot be used; check that it is a file, and the disk ({error})")
            }
            Some(ErrorCode::DiskFull) => format!("the disk is full; free disk space ({error})"),
            Some(ErrorCode::ReadOnly) => format!("it cannot be written; check its permissions ({error})"),
            _ => error.to_string(),
        };
        Self { path: Arc::clone(path), reason, code }
    }

    pub(crate) fn with_reason(path: &Arc<Path>, reason: &str) -> Self {
        Self { path: Arc::clone(path), reason: reason.into(), code: None }
    }
}
