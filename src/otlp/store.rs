//! A store with a span for each operation, by OpenTelemetry's conventions for databases.

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use devicestate_engine::{
    device_state::Document,
    store::{ETag, Filter, Page, RequestCharge, Selection, StateStore, StoreError, Stored, Written, WrittenRange},
    text::truncated,
};
use opentelemetry::{
    Context, KeyValue,
    trace::{Span as _, SpanBuilder, SpanKind, Status, Tracer as _},
};
use opentelemetry_sdk::trace::Span;

use super::exports::{Exports, error_type};
use crate::config::StoreConfig;

/// Passes each operation to the wrapped store, within a span.
pub(super) struct TracedStore {
    store: Arc<dyn StateStore>,
    exports: Arc<Exports>,
    /// The value of `db.system.name`.
    system: &'static str,
    /// The container of Cosmos DB. Other stores have no containers and no request units.
    collection: Option<String>,
    /// The attributes that all operations share.
    attributes: Vec<KeyValue>,
}

impl TracedStore {
    pub(super) fn new(config: &StoreConfig, store: Arc<dyn StateStore>, exports: Arc<Exports>) -> Self {
        let system = match config {
            StoreConfig::Cosmos(_) => "azure.cosmosdb",
            StoreConfig::Sqlite(_) => "sqlite",
            StoreConfig::Memory => "memory",
        };
        let mut traced = Self {
            store,
            exports,
            system,
            collection: None,
            attributes: vec![KeyValue::new("db.system.name", system)],
        };
        if let StoreConfig::Cosmos(cosmos) = config {
            traced.collection = Some(cosmos.container.clone());
            let host = cosmos.endpoint.host_str().unwrap_or_default().to_owned();
            traced.attributes.extend([
                KeyValue::new("db.namespace", cosmos.database.clone()),
                KeyValue::new("db.collection.name", cosmos.container.clone()),
                KeyValue::new("server.address", host),
            ]);
        }
        traced
    }

    fn start_operation<'a>(&'a self, name: &'static str, id: &str, total: &'a RequestCharge) -> Operation<'a> {
        let mut attributes = self.attributes.clone();
        attributes.push(KeyValue::new("db.operation.name", name));
        attributes.push(KeyValue::new("devicestate.document.id", id.to_owned()));
        let title =
            self.collection.as_ref().map_or_else(|| name.to_owned(), |collection| format!("{name} {collection}"));
        let span = SpanBuilder::from_name(title).with_kind(SpanKind::Client).with_attributes(attributes);
        let span = Context::map_current(|context| self.exports.tracer.build_with_context(span, context));
        let charge = RequestCharge::default();
        Operation { store: self, name, span, started: Instant::now(), charge, total, outcome: Outcome::Cancelled }
    }
}

/// A running operation. It is cancelled if it is dropped early: its budget was spent, or another failure made it useless.
struct Operation<'a> {
    store: &'a TracedStore,
    name: &'static str,
    span: Span,
    started: Instant,
    /// The request units of this operation alone.
    charge: RequestCharge,
    /// The sum to which they are added.
    total: &'a RequestCharge,
    outcome: Outcome,
}

enum Outcome {
    Succeeded,
    Failed { class: &'static str, reason: String },
    Cancelled,
}

impl Operation<'_> {
    fn set_outcome<T>(&mut self, result: &Result<T, StoreError>) {
        self.outcome = match result {
            Ok(_) => Outcome::Succeeded,
            Err(error) => Outcome::Failed { class: error_class(error), reason: truncated(&error.to_string()) },
        };
    }
}

impl Drop for Operation<'_> {
    fn drop(&mut self) {
        let units = self.charge.units();
        self.total.add(units);
        let mut attributes =
            vec![KeyValue::new("db.system.name", self.store.system), KeyValue::new("db.operation.name", self.name)];
        if self.store.collection.is_some() {
            self.span.set_attribute(KeyValue::new("azure.cosmosdb.operation.request_charge", units));
        }
        let failure = match &self.outcome {
            Outcome::Succeeded => None,
            Outcome::Failed { class, reason } => Some((*class, reason.as_str())),
            Outcome::Cancelled => Some(("cut-off", "cancelled before it was completed")),
        };
        if let Some((class, reason)) = failure {
            attributes.push(error_type(class));
            self.span.set_attribute(error_type(class));
            // A conflict with another writer is a normal part of optimistic concurrency, not an error.
            if class != CONFLICT {
                self.span.set_status(Status::error(reason.to_owned()));
            }
        }
        self.store.exports.metrics.operation.record(self.started.elapsed().as_secs_f64(), &attributes);
        self.span.end();
    }
}

const CONFLICT: &str = "conflict";

/// Returns the value of `error.type`.
fn error_class(error: &StoreError) -> &'static str {
    match error {
        StoreError::Conflict => CONFLICT,
        StoreError::Rejected(_) => "rejected",
        StoreError::BadRequest(_) => "bad-request",
        StoreError::Transient(_) => "transient",
        StoreError::Refused(_) => "refused",
        StoreError::Throttled { .. } => "throttled",
        StoreError::Systemic(_) => "systemic",
    }
}

#[async_trait]
impl StateStore for TracedStore {
    async fn read(&self, id: &str, charge: &RequestCharge) -> Result<Option<Stored>, StoreError> {
        let mut operation = self.start_operation("read_item", id, charge);
        let read = self.store.read(id, &operation.charge).await;
        if let Ok(stored) = &read {
            operation.span.set_attribute(KeyValue::new("db.response.returned_rows", i64::from(stored.is_some())));
        }
        operation.set_outcome(&read);
        read
    }

    async fn create(&self, document: &Document, charge: &RequestCharge) -> Result<ETag, StoreError> {
        let mut operation = self.start_operation("create_item", &document.id, charge);
        let created = self.store.create(document, &operation.charge).await;
        operation.set_outcome(&created);
        created
    }

    async fn replace(&self, document: &Document, if_match: &ETag, charge: &RequestCharge) -> Result<ETag, StoreError> {
        let mut operation = self.start_operation("replace_item", &document.id, charge);
        let replaced = self.store.replace(document, if_match, &operation.charge).await;
        operation.set_outcome(&replaced);
        replaced
    }

    async fn list(&self, selection: Selection<'_>, charge: &RequestCharge) -> Result<Page, StoreError> {
        self.store.list(selection, charge).await
    }

    async fn count(&self, filter: &Filter, charge: &RequestCharge) -> Result<u64, StoreError> {
        self.store.count(filter, charge).await
    }

    async fn written(&self, range: WrittenRange<'_>, charge: &RequestCharge) -> Result<Vec<Written>, StoreError> {
        self.store.written(range, charge).await
    }

    fn settled_ms(&self) -> i64 {
        self.store.settled_ms()
    }
}
