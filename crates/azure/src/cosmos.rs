//! State documents in Azure Cosmos DB: one item for each device, with its id as the partition key.
//!
//! Creating the client sends requests, so the first operation creates it. Thus the handler is ready immediately. If connecting
//! fails, because of an outage or a missing container, the next operation connects again.

mod condition;
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
    store::{ETag, Filter, Page, RequestCharge, Selection, StateStore, StoreError, Stored, Written, WrittenRange},
};
use futures_util::TryStreamExt as _;
use serde::Deserialize as _;
use serde_json::Value;

use condition::Condition;
use connection::{Connection, Container};

pub use config::{CosmosConfig, Regions};

/// How late a write may become visible, in milliseconds: the clocks of the service and of this machine differ, and a replica is behind.
const MAX_DELAY_MS: i64 = 5_000;

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

impl CosmosStore {
    /// Passes the items of a query's results to a function until it returns false. The charge of each page is added.
    async fn query(
        &self,
        query: Query,
        page_size: MaxItemCountHint,
        charge: &RequestCharge,
        mut add: impl FnMut(Value) -> bool + Send,
    ) -> Result<(), StoreError> {
        let container = self.connection.container().await?;
        let failure = |error: CosmosError| self.handle_error(&container, &error, charge);
        let mut options = QueryOptions::default();
        options.feed.max_item_count = Some(page_size);
        let items = container.client.query_items(query, FeedScope::full_container(), Some(options)).await;
        let mut pages = items.map_err(failure)?.into_pages();
        while let Some(page) = pages.try_next().await.map_err(failure)? {
            add_charge(&page.diagnostics(), charge);
            if !page.into_items().into_iter().all(&mut add) {
                break;
            }
        }
        Ok(())
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
                let json = response.into_model::<Value>().map_err(|error| failure::invalid_response(id, &error))?;
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
        let condition = Condition::new(filter);
        let query = query(
            &format!("SELECT * FROM c WHERE c.id > @after AND {} ORDER BY c.id", condition.text),
            &[("@after", after.unwrap_or_default().into())],
            condition,
        )?;
        let mut page = Page::default();
        if limit == 0 {
            return Ok(page);
        }
        let add = |item: Value| {
            let id = item["id"].as_str().unwrap_or_default();
            match Document::deserialize(&item) {
                Ok(document) if !filter.matches(&document) => {}
                Ok(document) => page.documents.push(document),
                Err(error) => page.invalid.push(failure::invalid_document(id, &error).to_string()),
            }
            page.last_id = Some(id.to_owned());
            page.documents.len() + page.invalid.len() < limit
        };
        self.query(query, page_size(limit), charge, add).await?;
        if page.documents.is_empty() && page.invalid.is_empty() {
            page.last_id = None;
        }
        Ok(page)
    }

    /// Counts the documents by reading the number 1 for each of them, because the client supports `COUNT` only within one partition.
    /// If a query selects more documents than the filter, it reads them.
    async fn count(&self, filter: &Filter, charge: &RequestCharge) -> Result<u64, StoreError> {
        let condition = Condition::new(filter);
        let is_exact = condition.is_exact;
        let selected = if is_exact { "VALUE 1" } else { "*" };
        let query = query(&format!("SELECT {selected} FROM c WHERE {}", condition.text), &[], condition)?;
        let mut count = 0;
        let add = |item: Value| {
            let is_selected = is_exact || Document::deserialize(&item).is_ok_and(|document| filter.matches(&document));
            count += u64::from(is_selected);
            true
        };
        self.query(query, MaxItemCountHint::ServerDecides, charge, add).await?;
        Ok(count)
    }

    /// The times are the whole seconds of the property `_ts`, which every container has an index of.
    async fn written(&self, range: WrittenRange<'_>, charge: &RequestCharge) -> Result<Vec<Written>, StoreError> {
        let (after_s, until_s) = (range.after_ms.div_euclid(1_000), range.until_ms.div_euclid(1_000));
        let condition = Condition::new(range.filter);
        let query = query(
            &format!("SELECT * FROM c WHERE c._ts > @after AND c._ts <= @until AND {} ORDER BY c._ts", condition.text),
            &[("@after", after_s.into()), ("@until", until_s.into())],
            condition,
        )?;
        let mut written = Vec::<Written>::new();
        let add = |item: Value| {
            let written_ms = item["_ts"].as_i64().unwrap_or_default().saturating_mul(1_000);
            if written.len() >= range.limit && written.last().is_some_and(|last| last.written_ms < written_ms) {
                return false;
            }
            // A document that is not valid cannot be returned. `list` describes it.
            if let (Some(etag), Ok(document)) = (item["_etag"].as_str(), Document::deserialize(&item))
                && range.filter.matches(&document)
            {
                written.push(Written { stored: Stored { document, etag: ETag(etag.to_owned()) }, written_ms });
            }
            true
        };
        self.query(query, page_size(range.limit), charge, add).await?;
        Ok(written)
    }

    /// The last second that has passed, for all replicas and by all clocks.
    fn settled_ms(&self) -> i64 {
        ((self.clock.now_ms() - MAX_DELAY_MS).div_euclid(1_000) - 1) * 1_000
    }
}

/// Returns the maximum number of documents that the service returns for one request.
fn page_size(limit: usize) -> MaxItemCountHint {
    // The service accepts no more.
    const MAX: NonZeroU32 = NonZeroU32::new(1_000).expect("not 0");
    MaxItemCountHint::Limit(u32::try_from(limit).ok().and_then(NonZeroU32::new).map_or(MAX, |limit| limit.min(MAX)))
}

/// Returns a query with its parameters, and those of its condition.
fn query(text: &str, parameters: &[(&str, Value)], condition: Condition) -> Result<Query, StoreError> {
    let values = condition.parameters.into_iter().enumerate().map(|(index, value)| (format!("@p{index}"), value));
    let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    let add = |query: Query, (name, value)| query.with_parameter(name, value);
    let query = parameters.chain(values).try_fold(Query::from(text), add);
    query.map_err(|error| StoreError::Systemic(error.to_string()))
}
