//! A store for dry runs: writes stay in memory, on top of another store.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use async_trait::async_trait;

use super::{ETag, Page, RequestCharge, Selection, StateStore, StoreError, Stored};
use crate::device_state::Document;

/// A store that applies writes in memory, under the same conditions, and does not change the underlying store.
pub struct DryRunStore {
    underlying: Arc<dyn StateStore>,
    written: Mutex<HashMap<String, Stored>>,
    tags: AtomicU64,
}

impl DryRunStore {
    /// Creates a dry run over a store, which is only read.
    #[must_use]
    pub fn new(underlying: Arc<dyn StateStore>) -> Self {
        Self { underlying, written: Mutex::default(), tags: AtomicU64::default() }
    }

    /// Returns the documents that were written, by id.
    #[must_use]
    pub fn written_documents(&self) -> BTreeMap<String, Document> {
        self.written().iter().map(|(id, stored)| (id.clone(), stored.document.clone())).collect()
    }

    fn written(&self) -> MutexGuard<'_, HashMap<String, Stored>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record_write(&self, document: &Document) -> ETag {
        let etag = ETag(format!("dry-run-{}", self.tags.fetch_add(1, Relaxed)));
        self.written().insert(document.id.clone(), Stored { document: document.clone(), etag: etag.clone() });
        etag
    }
}

#[async_trait]
impl StateStore for DryRunStore {
    async fn read(&self, id: &str, charge: &RequestCharge) -> Result<Option<Stored>, StoreError> {
        let written = self.written().get(id).cloned();
        match written {
            Some(stored) => Ok(Some(stored)),
            None => self.underlying.read(id, charge).await,
        }
    }

    async fn create(&self, document: &Document, charge: &RequestCharge) -> Result<ETag, StoreError> {
        match self.read(&document.id, charge).await? {
            Some(_) => Err(StoreError::Conflict),
            None => Ok(self.record_write(document)),
        }
    }

    async fn replace(&self, document: &Document, if_match: &ETag, charge: &RequestCharge) -> Result<ETag, StoreError> {
        match self.read(&document.id, charge).await? {
            Some(stored) if stored.etag == *if_match => Ok(self.record_write(document)),
            _ => Err(StoreError::Conflict),
        }
    }

    /// Returns the documents of the underlying store with the writes of the dry run. Documents that the dry run created are
    /// not included.
    async fn list(&self, selection: Selection<'_>, charge: &RequestCharge) -> Result<Page, StoreError> {
        let mut page = self.underlying.list(selection, charge).await?;
        let written = self.written();
        for document in &mut page.documents {
            if let Some(stored) = written.get(&document.id) {
                document.clone_from(&stored.document);
            }
        }
        page.documents.retain(|document| selection.filter.matches(document));
        Ok(page)
    }
}
