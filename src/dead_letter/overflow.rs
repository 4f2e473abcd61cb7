//! Where a dead letter goes that is too large for the queue.

use std::{io, path::PathBuf};

use async_trait::async_trait;

/// A place for dead letters that do not fit into the queue.
#[async_trait]
pub trait Overflow: Send + Sync {
    /// Keeps these bytes under this name and tells where they are. What is there under the name is replaced: the name
    /// is a dead letter's id, so it is the same event.
    ///
    /// # Errors
    ///
    /// [`OverflowError`], when they are not surely kept.
    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<String, OverflowError>;
}

/// Why a dead letter could not be kept.
#[derive(Debug, thiserror::Error)]
#[error("a dead letter too large for the queue cannot be written to {location}: {error} (setting DeadLetterDirectory)")]
pub struct OverflowError {
    location: String,
    error: io::Error,
}

impl OverflowError {
    /// It took longer than the invocation may.
    #[must_use]
    pub fn too_slow(name: &str) -> Self {
        let error = io::Error::new(io::ErrorKind::TimedOut, "it took longer than InvocationBudget allows");
        Self { location: name.to_owned(), error }
    }
}

/// Files in a folder.
#[derive(Debug, Clone)]
pub struct Directory(pub PathBuf);

#[async_trait]
impl Overflow for Directory {
    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<String, OverflowError> {
        let path = self.0.join(format!("{name}.json"));
        // Written under another name first: a reader never sees half of a file, nor does a crash leave one.
        let unfinished = self.0.join(format!("{name}.{}.unfinished", uuid::Uuid::new_v4().simple()));
        let write = async {
            tokio::fs::create_dir_all(&self.0).await?;
            tokio::fs::write(&unfinished, bytes).await?;
            tokio::fs::rename(&unfinished, &path).await
        };
        let location = path.display().to_string();
        match write.await {
            Ok(()) => Ok(location),
            Err(error) => Err(OverflowError { location, error }),
        }
    }
}
