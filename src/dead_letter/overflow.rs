//! Where a dead letter goes that is too large for the queue.

mod blob;
mod directory;

use std::path::PathBuf;

use async_trait::async_trait;

use crate::azure::StorageError;

pub use blob::Blobs;
pub use directory::Directory;

/// A place for dead letters that do not fit into the queue.
#[async_trait]
pub trait Overflow: Send + Sync {
    /// Keeps these bytes under this name and tells where they are. What is there under the name is replaced: the name
    /// has a dead letter's id and a digest of its text in it, so it is the same text.
    ///
    /// # Errors
    ///
    /// [`OverflowError`], when they are not surely kept.
    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<String, OverflowError>;
}

/// Why a dead letter could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum OverflowError {
    /// The folder.
    #[error(
        "a dead letter too large for the queue cannot be written to {}: {error} (setting DeadLetterDirectory)",
        path.display()
    )]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The blobs.
    #[error("a dead letter too large for the queue cannot be kept: {0}")]
    Blob(#[from] StorageError),
    /// It took longer than the invocation may.
    #[error("a dead letter too large for the queue cannot be kept as {name} in the time of InvocationBudget")]
    TooSlow {
        /// Its name.
        name: String,
    },
}

impl OverflowError {
    /// It took longer than the invocation may.
    #[must_use]
    pub fn too_slow(name: &str) -> Self {
        Self::TooSlow { name: name.to_owned() }
    }
}
