//! A blob container.

use std::num::NonZero;

use azure_core::http::StatusCode;
use azure_storage_blob::{
    BlobClient, BlobContainerClient, BlobServiceClient, BlobServiceClientOptions, models::BlobClientDownloadOptions,
};
use devicestate_engine::settings::ConfigError;

use super::{Resource, Service, StorageConnection, StorageError, retry};

/// A blob of at most this many bytes is read with one request. Parallel requests would be faster, but the SDK buffers each
/// part: a slow part could not be distinguished from one that has stopped.
const PARTITION_BYTES: NonZero<usize> = NonZero::new(1 << 30).expect("it is not zero");

/// A container of a storage account. A write creates it if it is missing.
pub(crate) struct Container {
    client: BlobContainerClient,
    resource: Resource,
}

impl Container {
    /// Creates a client of the container. Sends no request yet.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the connection has no usable blob service.
    pub(crate) fn new(connection: &StorageConnection, name: &str) -> Result<Self, ConfigError> {
        let (client, resource) = connection.client(Service::Blob, format!("the container {name}"))?;
        let options = BlobServiceClientOptions { client_options: client.options, ..Default::default() };
        let service = BlobServiceClient::new(client.url, client.credential, Some(options));
        let service = service.map_err(|_| resource.invalid_address())?;
        Ok(Self { client: service.blob_container_client(name), resource })
    }

    pub(crate) fn blob(&self, name: &str) -> BlobClient {
        self.client.blob_client(name)
    }

    /// Runs a write. If the container is missing, creates it and runs the write again.
    pub(crate) async fn write_creating_container<T, F>(&self, write: impl Fn() -> F) -> azure_core::Result<T>
    where
        F: Future<Output = azure_core::Result<T>>,
    {
        match write().await {
            Err(error) if error.http_status() == Some(StatusCode::NotFound) => {
                match self.client.create(None).await {
                    // Another process created it in the meantime.
                    Err(error) if error.http_status() == Some(StatusCode::Conflict) => {}
                    result => drop(result?),
                }
                write().await
            }
            result => result,
        }
    }

    /// Reads a blob from this byte to its end.
    pub(crate) async fn read(&self, name: &str, from: u64) -> azure_core::Result<Vec<u8>> {
        let options = BlobClientDownloadOptions {
            range: Some((from..).into()),
            partition_size: Some(PARTITION_BYTES),
            ..Default::default()
        };
        let blob = self.blob(name).download(Some(options)).await?;
        retry::collect_body(blob.body).await
    }

    /// Returns the container and its host, for messages.
    pub(crate) fn location(&self) -> String {
        format!("{} at {}", self.resource.subject, self.resource.host)
    }

    /// Returns the setting with the connection.
    pub(crate) fn setting(&self) -> &str {
        &self.resource.setting
    }

    /// Returns the context of errors about something in this container.
    pub(crate) fn resource(&self, subject: &str) -> Resource {
        Resource { subject: format!("{subject} in {}", self.resource.subject), ..self.resource.clone() }
    }

    /// Translates an error of the SDK.
    pub(crate) fn translate(&self, subject: &str, error: &azure_core::Error) -> StorageError {
        self.resource(subject).translate(error)
    }
}
