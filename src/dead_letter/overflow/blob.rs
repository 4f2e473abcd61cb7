//! Blobs for dead letters that are too large for the queue.

use async_trait::async_trait;
use azure_core::{Bytes, http::StatusCode};
use azure_storage_blob::{
    BlobContainerClient, BlobServiceClient, BlobServiceClientOptions, BlockBlobClient,
    models::BlockBlobClientUploadOptions,
};

use super::{Overflow, OverflowError};
use crate::{
    azure::{Resource, Service, StorageConnection},
    settings::ConfigError,
};

/// Blobs in a container of a storage account. The container is made when the first dead letter finds none.
pub struct Blobs {
    container: BlobContainerClient,
    resource: Resource,
}

impl Blobs {
    /// Blobs in the container of this name. Nobody is asked yet.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], when the connection does not lead to a blob service.
    pub fn new(connection: &StorageConnection, container: &str) -> Result<Self, ConfigError> {
        let (client, resource) = connection.client(Service::Blob, format!("the container {container}"))?;
        let options = BlobServiceClientOptions { client_options: client.options, ..Default::default() };
        let service = BlobServiceClient::new(client.url, client.credential, Some(options));
        let service = service.map_err(|_| resource.unusable())?;
        Ok(Self { container: service.blob_container_client(container), resource })
    }

    async fn create_container(&self) -> azure_core::Result<()> {
        match self.container.create(None).await {
            // Another handler was faster.
            Err(error) if error.http_status() == Some(StatusCode::Conflict) => Ok(()),
            created => created.map(drop),
        }
    }
}

#[async_trait]
impl Overflow for Blobs {
    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<String, OverflowError> {
        let blob = self.container.blob_client(&format!("{name}.json"));
        let bytes = Bytes::from(bytes);
        let kept = async {
            match upload(&blob.block_blob_client(), bytes.clone()).await {
                Err(error) if error.http_status() == Some(StatusCode::NotFound) => {
                    self.create_container().await?;
                    upload(&blob.block_blob_client(), bytes).await
                }
                kept => kept,
            }
        };
        kept.await.map_err(|error| {
            let subject = format!("the blob {name}.json in {}", self.resource.subject);
            Resource { subject, ..self.resource.clone() }.translate(&error)
        })?;
        let mut location = blob.url().clone();
        // The query is the connection's shared access signature, if it has one.
        location.set_query(None);
        Ok(location.into())
    }
}

async fn upload(blob: &BlockBlobClient, bytes: Bytes) -> azure_core::Result<()> {
    let options =
        BlockBlobClientUploadOptions { blob_content_type: Some("application/json".to_owned()), ..Default::default() };
    blob.upload(bytes.into(), Some(options)).await.map(drop)
}
