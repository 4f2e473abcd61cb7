//! Stores dead letters that are too large for the queue in blobs.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::{Bytes, error::ErrorKind};
use azure_storage_blob::{BlockBlobClient, models::BlockBlobClientUploadOptions};
use devicestate_engine::{
    dead_letter::{Overflow, OverflowError, name_in_location, without_query},
    settings::ConfigError,
};

use crate::storage::{Container, StorageConnection, StorageErrorKind};

/// The blobs of a container. The first dead letter creates the container if it is missing.
pub struct Blobs(Container);

impl Blobs {
    /// Uses the container of this name. Sends no request yet.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the connection has no usable blob service.
    pub fn new(connection: &StorageConnection, container: &str) -> Result<Self, ConfigError> {
        Container::new(connection, container).map(Self)
    }
}

#[async_trait]
impl Overflow for Blobs {
    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<String, OverflowError> {
        let name = format!("{name}.json");
        let blob = self.0.blob(&name);
        let (client, bytes) = (blob.block_blob_client(), Bytes::from(bytes));
        let result = self.0.write_creating_container(|| upload(&client, bytes.clone())).await;
        result.map_err(|error| {
            OverflowError::WriteFailed(Arc::new(self.0.translate(&format!("the blob {name}"), &error)))
        })?;
        let mut location = blob.url().clone();
        // The query may be the connection's shared access signature.
        location.set_query(None);
        Ok(location.into())
    }

    async fn get(&self, location: &str) -> Result<Vec<u8>, OverflowError> {
        let name = name_in_location(location)?;
        self.0.read(name, 0).await.map_err(|error| {
            let container_is_missing = is_container_missing(&error);
            let error = self.0.translate(&format!("the blob {name}"), &error);
            match error.kind {
                StorageErrorKind::Missing => {
                    let (name, storage, location) = (name.to_owned(), self.0.location(), without_query(location));
                    let setting = format!("`DeadLetterContainer` or `{}`", self.0.setting());
                    if container_is_missing {
                        OverflowError::StorageMissing {
                            storage: storage.trim_start_matches("the ").to_owned(),
                            setting,
                            location,
                        }
                    } else {
                        OverflowError::Missing { name, storage, setting, location }
                    }
                }
                // A blob in the archive tier, for example.
                StorageErrorKind::Rejected(_) | StorageErrorKind::InvalidName => {
                    OverflowError::ReadRejected(Arc::new(error))
                }
                _ => OverflowError::ReadFailed(Arc::new(error)),
            }
        })
    }
}

/// Returns whether the container is missing, not only the blob.
fn is_container_missing(error: &azure_core::Error) -> bool {
    matches!(error.kind(), ErrorKind::HttpResponse { error_code: Some(code), .. } if code == "ContainerNotFound")
}

async fn upload(blob: &BlockBlobClient, bytes: Bytes) -> azure_core::Result<()> {
    let options =
        BlockBlobClientUploadOptions { blob_content_type: Some("application/json".to_owned()), ..Default::default() };
    blob.upload(bytes.into(), Some(options)).await.map(drop)
}
