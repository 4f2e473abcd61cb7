//! An overflow in a folder.

use std::{io::ErrorKind, path::PathBuf};

use async_trait::async_trait;

use super::{Overflow, OverflowError, name_in_location, without_query};

/// An overflow that stores each dead letter as a file in one folder.
#[derive(Debug, Clone)]
pub struct Directory(pub PathBuf);

#[async_trait]
impl Overflow for Directory {
    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<String, OverflowError> {
        let path = self.0.join(format!("{name}.json"));
        // Written under another name first, so that neither a reader nor a crash sees a partial file.
        let unfinished = self.0.join(format!("{name}.{}.unfinished", uuid::Uuid::new_v4().simple()));
        let write = async {
            tokio::fs::create_dir_all(&self.0).await?;
            tokio::fs::write(&unfinished, bytes).await?;
            tokio::fs::rename(&unfinished, &path).await
        };
        match write.await {
            Ok(()) => Ok(path.display().to_string()),
            Err(error) => Err(OverflowError::FileWriteFailed { path, error }),
        }
    }

    async fn get(&self, location: &str) -> Result<Vec<u8>, OverflowError> {
        let name = name_in_location(location)?;
        let path = self.0.join(name);
        tokio::fs::read(&path).await.map_err(|error| match error.kind() {
            ErrorKind::NotFound if !self.0.is_dir() => OverflowError::StorageMissing {
                storage: format!("folder {}", self.0.display()),
                setting: "`DeadLetterDirectory`".to_owned(),
                location: without_query(location),
            },
            ErrorKind::NotFound => OverflowError::Missing {
                name: name.to_owned(),
                storage: self.0.display().to_string(),
                setting: "`DeadLetterDirectory`".to_owned(),
                location: without_query(location),
            },
            _ => OverflowError::FileReadFailed { path, error },
        })
    }
}
