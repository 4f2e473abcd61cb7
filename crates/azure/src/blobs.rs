//! Blobs for dead letters that are too large for the queue.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::{Bytes, error::ErrorKind};
use azure_storage_blob::{BlockBlobClient, models::BlockBlobClientUploadOptions};
use devicestate_engine::{
    dead_letter::{Overflow, OverflowError, name_in_location, without_query},
    settings::ConfigError,
};

use crate::storage::{Container, Fault, StorageConnection};

/// Blobs in a container of a storage account. The container is made when the first dead letter finds none.
pub struct Blobs(Container);

impl Blobs {
    /// Blobs in the container of this name. Nobody is asked yet.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], when the connection does not lead to a blob service.
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
        let kept = self.0.made_for(|| upload(&client, bytes.clone())).await;
        kept.map_err(|error| {
            OverflowError::WriteFailed(Arc::new(self.0.translate(&format!("the blob {name}"), &error)))
        })?;
        let mut location = blob.url().clone();
        // The query is the connection's shared access signature, if it has one.
        location.set_query(None);
        Ok(location.into())
    }

    async fn get(&self, location: &str) -> Result<Vec<u8>, OverflowError> {
        let name = name_in_location(location)?;
        self.0.read(name, 0).await.map_err(|error| {
            let is_without_container = is_without_container(&error);
            let error = self.0.translate(&format!("the blob {name}"), &error);
            match error.fault {
                Fault::Missing => {
                    let (name, place, location) = (name.to_owned(), self.0.place(), without_query(location));
                    let setting = format!("DeadLetterContainer or {}", self.0.setting());
                    if is_without_container {
                        OverflowError::StorageMissing {
                            place: place.trim_start_matches("the ").to_owned(),
                            setting,
                            location,
                        }
                    } else {
                        OverflowError::Missing { name, place, setting, location }
                    }
                }
                // A blob in the archive is refused, for one.
                Fault::Refused(_) | Fault::BadName => OverflowError::ReadRejected(Arc::new(error)),
                _ => OverflowError::ReadFailed(Arc::new(error)),
            }
        })
    }
}

/// Whether it is the container that is not there.
fn is_without_container(error: &azure_core::Error) -> bool {
    matches!(error.kind(), ErrorKind::HttpResponse { error_code: Some(code), .. } if code == "ContainerNotFound")
}

async fn upload(blob: &BlockBlobClient, bytes: Bytes) -> azure_core::Result<()> {
    let options =
        BlockBlobClientUploadOptions { blob_content_type: Some("application/json".to_owned()), ..Default::default() };
    blob.upload(bytes.into(), Some(options)).await.map(drop)
}
