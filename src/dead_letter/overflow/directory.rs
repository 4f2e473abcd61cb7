//! A folder for dead letters that are too large for the queue.

use std::path::PathBuf;

use async_trait::async_trait;

use super::{Overflow, OverflowError};

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
        match write.await {
            Ok(()) => Ok(path.display().to_string()),
            Err(error) => Err(OverflowError::File { path, error }),
        }
    }
}
