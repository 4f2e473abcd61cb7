//! State documents in Azure Cosmos DB: one item for each device, with its id as the partition key.
//!
//! Creating the client sends requests, so the first operation creates it. Thus the handler is ready immediately. If connecting
//! fails, because of an outage or a missing container, the next operation connects again.

mod config;
mod connection;
mod failure;

use std::{num::NonZeroU32, sync::Arc};

use async_trait::async_trait;
use azure_core::http::Etag;
use azure_data_cosmos::{
    CosmosError, FeedScope, Query,
    diagnostics::DiagnosticsContext,
    models::ItemResponse,
    options::{ItemWriteOptions, MaxItemCountHint, Precondition, QueryOptions},
};
use devicestate_engine::{
    clock::{Clock, System},
    device_state::Document,
    store::{ETag, Page, RequestCharge, Selection, StateStore, StoreError, Stored},
};
use futures_util::TryStreamExt as _;
use serde::Deserialize as _;

use connection::{Connection, Container};

pub use config::{CosmosConfig, Regions};

/// A store in a container of Cosmos DB.
pub struct CosmosStore {
    connection: Connection,
    clock: Arc<dyn Clock>,
}

impl CosmosStore {
    /// Creates a store for the documents of this container. Sends no request yet.
    #[must_use]
    pub fn new(config: CosmosConfig) -> Self {
        Self::with_clock(config, Arc::new(System))
    }

    /// Creates a store that finds out by this clock which writes are recent.
    #[must_use]
    pub fn with_clock(config: CosmosConfig, clock: Arc<dyn Clock>) -> Self {
        Self { connection: Connection::new(config), clock }
    }

    fn write_result(
        &self,
        container: &Container,
        result: Result<ItemResponse, CosmosError>,
        charge: &RequestCharge,
    ) -> Result<ETag, StoreError> {
        let response = result.map_err(|error| self.handle_error(container, &error, charge))?;
        add_charge(&response.diagnostics(), charge);
        etag(&response)
    }

    /// Classifies an error, adds its cost to `charge`, and resets the connection if the account lost a state.
    fn handle_error(&self, container: &Container, error: &CosmosError, charge: &RequestCharge) -> StoreError {
        if failure::is_state_lost(error) {
            self.connection.reset(container);
        }
        if let Some(diagnostics) = error.diagnostics() {
            add_charge(&diagnostics, charge);
        }
        failure::classify(error, &self.connection.config)
    }
}

/// Adds the request units of an operation, including the client's own retries.
fn add_charge(diagnostics: &DiagnosticsContext, charge: &RequestCharge) {
    charge.add(diagnostics.total_request_charge().value());
}

fn etag(response: &ItemResponse) -> Result<ETag, StoreError> {
    let etag = response.headers().etag().map(|etag| ETag(etag.to_string()));
    etag.ok_or_else(|| StoreError::Transient("the response of Cosmos DB has no ETag".into()))
}

#[async_trait]
impl StateStore for CosmosStore {
    async fn read(&self, id: &str, charge: &RequestCharge) -> Result<Option<Stored>, StoreError> {
        let container = self.connection.container().await?;
        match container.client.read_item(id.to_owned(), id, None).await {
            Ok(response) => {
                add_charge(&response.diagnostics(), charge);
                let etag = etag(&response)?;
                // A response that is not JSON was damaged in transit, so the failure is transient.
                let json = response
                    .into_model::<serde_json::Value>()
                    .map_err(|error| failure::invalid_response(id, &error))?;
                let document = Document::deserialize(json).map_err(|error| failure::invalid_document(id, &error))?;
                if document.id != id {
                    return Err(failure::wrong_document(id, &document.id));
                }
                Ok(Some(Stored { document, etag }))
            }
            Err(error) => {
                let failure = self.handle_error(&container, &error, charge);
                if failure::is_missing_document(&error) { Ok(None) } else { Err(failure) }
            }
        }
    }

    async fn create(&self, document: &Document, charge: &RequestCharge) -> Result<ETag, StoreError> {
        let container = self.connection.container().await?;
        let created = container.client.create_item(document.id.clone(), &document.id, document, None).await;
        self.write_result(&container, created, charge)
    }

    async fn replace(&self, document: &Document, if_match: &ETag, charge: &RequestCharge) -> Result<ETag, StoreError> {
        let container = self.connection.container().await?;
        let unchanged = Precondition::if_match(Etag::from(if_match.0.clone()));
        let options = ItemWriteOptions::default().with_precondition(unchanged);
        let replaced = container.client.replace_item(document.id.clone(), &document.id, document, Some(options)).await;
        self.write_result(&container, replaced, charge)
    }

    async fn list(&self, selection: Selection<'_>, charge: &RequestCharge) -> Result<Page, StoreError> {
        let Selection { filter, after, limit } = selection;
        let container = self.connection.container().await?;
        let query = Query::from("SELECT * FROM c WHERE c.id > @after ORDER BY c.id")
            .with_parameter("@after", after.unwrap_or_default())
            .map_err(|error| StoreError::Systemic(error.to_string()))?;
        let mut options = QueryOptions::default();
        options.feed.max_item_count = u32::try_from(limit).ok().and_then(NonZeroU32::new).map(MaxItemCountHint::Limit);
        let failure = |error: CosmosError| self.handle_error(&container, &error, charge);
        let items =
            container.client.query_items(query, FeedScope::full_container(), Some(options)).await.map_err(failure)?;
        let mut items = items.map_err(failure);
        let mut page = Page::default();
        while page.documents.len() + page.invalid.len() < limit
            && let Some(item) = items.try_next().await?
        {
            let item: serde_json::Value = item;
            let id = item["id"].as_str().unwrap_or_default();
            match Document::deserialize(&item) {
                Ok(document) if !filter.matches(&document) => {}
                Ok(document) => page.documents.push(document),
                Err(error) => page.invalid.push(failure::invalid_document(id, &error).to_string()),
            }
            page.last_id = Some(id.to_owned());
        }
        Ok(page)
    }
}
