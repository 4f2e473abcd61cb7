//! A container of blobs: what lies in it, and what else the dead letters need of one.

use std::num::NonZero;

use azure_core::http::StatusCode;
use azure_storage_blob::{
    BlobClient, BlobContainerClient, BlobServiceClient, BlobServiceClientOptions, models::BlobClientDownloadOptions,
};
use devicestate_engine::settings::ConfigError;

use super::{Resource, Service, StorageConnection, StorageError, retry};

/// A blob is read with one request up to this many bytes. Parts that are read at the same time would be faster, but
/// come whole: nothing would tell a slow one from one that has stopped.
const ONE_REQUEST: NonZero<usize> = NonZero::new(1 << 30).expect("it is not zero");

/// A container of a storage account. It is made when something is to be put into it and it is not there.
pub(crate) struct Container {
    client: BlobContainerClient,
    resource: Resource,
}

impl Container {
    /// The container of this name. Nobody is asked yet.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], when the connection does not lead to a blob service.
    pub(crate) fn new(connection: &StorageConnection, name: &str) -> Result<Self, ConfigError> {
        let (client, resource) = connection.client(Service::Blob, format!("the container {name}"))?;
        let options = BlobServiceClientOptions { client_options: client.options, ..Default::default() };
        let service = BlobServiceClient::new(client.url, client.credential, Some(options));
        let service = service.map_err(|_| resource.unusable())?;
        Ok(Self { client: service.blob_container_client(name), resource })
    }

    pub(crate) fn blob(&self, name: &str) -> BlobClient {
        self.client.blob_client(name)
    }

    /// Does something that needs the container, which is made if it is not there.
    pub(crate) async fn made_for<T, F>(&self, action: impl Fn() -> F) -> azure_core::Result<T>
    where
        F: Future<Output = azure_core::Result<T>>,
    {
        match action().await {
            Err(error) if error.http_status() == Some(StatusCode::NotFound) => {
                match self.client.create(None).await {
                    // Somebody else was faster.
                    Err(error) if error.http_status() == Some(StatusCode::Conflict) => {}
                    created => drop(created?),
                }
                action().await
            }
            done => done,
        }
    }

    /// A blob's bytes from this one on.
    pub(crate) async fn read(&self, name: &str, from: u64) -> azure_core::Result<Vec<u8>> {
        let options = BlobClientDownloadOptions {
            range: Some((from..).into()),
            partition_size: Some(ONE_REQUEST),
            ..Default::default()
        };
        let blob = self.blob(name).download(Some(options)).await?;
        retry::collected(blob.body).await
    }

    /// Where this is, for people.
    pub(crate) fn place(&self) -> String {
        format!("{} at {}", self.resource.subject, self.resource.host)
    }

    /// The setting that leads here.
    pub(crate) fn setting(&self) -> &str {
        &self.resource.setting
    }

    /// What is told of something in here.
    pub(crate) fn of(&self, subject: &str) -> Resource {
        Resource { subject: format!("{subject} in {}", self.resource.subject), ..self.resource.clone() }
    }

    /// What an error of the SDK comes to.
    pub(crate) fn translate(&self, subject: &str, error: &azure_core::Error) -> StorageError {
        self.of(subject).translate(error)
    }
}
