//! State documents in Azure Cosmos DB: one item for each device, under its id as the partition key.
//!
//! The client asks the network when it is made, so it is made with the first operation: the handler is ready at once,
//! and after an outage, or when somebody created a container that was missing, the next operation finds its way.

mod config;
mod connection;
mod failure;

use std::num::NonZeroU32;

use async_trait::async_trait;
use azure_core::http::Etag;
use azure_data_cosmos::{
    CosmosError, FeedScope, Query,
    diagnostics::DiagnosticsContext,
    models::ItemResponse,
    options::{ItemWriteOptions, MaxItemCountHint, Precondition, QueryOptions},
};
use devicestate_engine::{
    device_state::Document,
    store::{ETag, RequestCharge, StateStore, StoreError, Stored},
};
use futures_util::TryStreamExt as _;
use serde::Deserialize as _;

use connection::{Connection, Container};

pub use config::{CosmosConfig, Regions};

/// A store in a container of Cosmos DB.
pub struct CosmosStore(Connection);

impl CosmosStore {
    /// The documents of this container. Asks nobody yet.
    #[must_use]
    pub fn new(config: CosmosConfig) -> Self {
        Self(Connection::new(config))
    }

    fn written(
        &self,
        container: &Container,
        written: Result<ItemResponse, CosmosError>,
        charge: &RequestCharge,
    ) -> Result<ETag, StoreError> {
        let response = written.map_err(|error| self.failed(container, &error, charge))?;
        charge_for(&response.diagnostics(), charge);
        etag(&response)
    }

    fn failed(&self, container: &Container, error: &CosmosError, charge: &RequestCharge) -> StoreError {
        if failure::is_state_lost(error) {
            self.0.forget(container);
        }
        if let Some(diagnostics) = error.diagnostics() {
            charge_for(&diagnostics, charge);
        }
        failure::classify(error, &self.0.config)
    }
}

/// The service tells what each request cost; the client's own repetitions are in the sum.
fn charge_for(diagnostics: &DiagnosticsContext, charge: &RequestCharge) {
    charge.add(diagnostics.total_request_charge().value());
}

fn etag(response: &ItemResponse) -> Result<ETag, StoreError> {
    let etag = response.headers().etag().map(|etag| ETag(etag.to_string()));
    etag.ok_or_else(|| StoreError::Transient("Cosmos DB answered without an ETag".into()))
}

#[async_trait]
impl StateStore for CosmosStore {
    async fn read(&self, id: &str, charge: &RequestCharge) -> Result<Option<Stored>, StoreError> {
        let container = self.0.container().await?;
        match container.client.read_item(id.to_owned(), id, None).await {
            Ok(response) => {
                charge_for(&response.diagnostics(), charge);
                let etag = etag(&response)?;
                // An answer that is no JSON at all was damaged on its way.
                let json = response.into_model::<serde_json::Value>().map_err(|error| failure::damaged(id, &error))?;
                let document = Document::deserialize(json).map_err(|error| failure::unreadable(id, &error))?;
                if document.id != id {
                    return Err(failure::another(id, &document.id));
                }
                Ok(Some(Stored { document, etag }))
            }
            Err(error) => {
                let failed = self.failed(&container, &error, charge);
                if failure::is_absent(&error) { Ok(None) } else { Err(failed) }
            }
        }
    }

    async fn create(&self, document: &Document, charge: &RequestCharge) -> Result<ETag, StoreError> {
        let container = self.0.container().await?;
        let created = container.client.create_item(document.id.clone(), &document.id, document, None).await;
        self.written(&container, created, charge)
    }

    async fn replace(&self, document: &Document, if_match: &ETag, charge: &RequestCharge) -> Result<ETag, StoreError> {
        let container = self.0.container().await?;
        let unchanged = Precondition::if_match(Etag::from(if_match.0.clone()));
        let options = ItemWriteOptions::default().with_precondition(unchanged);
        let replaced = container.client.replace_item(document.id.clone(), &document.id, document, Some(options)).await;
        self.written(&container, replaced, charge)
    }

    async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<Document>, StoreError> {
        let free = RequestCharge::default();
        let container = self.0.container().await?;
        let query = Query::from("SELECT * FROM c WHERE c.id > @after ORDER BY c.id")
            .with_parameter("@after", after.unwrap_or_default())
            .map_err(|error| StoreError::Systemic(error.to_string()))?;
        let mut options = QueryOptions::default();
        options.feed.max_item_count = u32::try_from(limit).ok().and_then(NonZeroU32::new).map(MaxItemCountHint::Limit);
        let failed = |error: CosmosError| self.failed(&container, &error, &free);
        let items =
            container.client.query_items(query, FeedScope::full_container(), Some(options)).await.map_err(failed)?;
        let mut items = items.map_err(failed);
        let mut documents = Vec::new();
        while documents.len() < limit
            && let Some(document) = items.try_next().await?
        {
            documents.push(document);
        }
        Ok(documents)
    }
}
