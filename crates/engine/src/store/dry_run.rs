//! A store in which writes are only tried: they stay in memory, over what another store holds.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use async_trait::async_trait;

use super::{ETag, RequestCharge, StateStore, StoreError, Stored};
use crate::device_state::Document;

/// Shows what writes would come to, by the same conditions, and changes nothing.
pub struct DryRunStore {
    below: Arc<dyn StateStore>,
    written: Mutex<HashMap<String, Stored>>,
    tags: AtomicU64,
}

impl DryRunStore {
    /// Over this store, which is only read.
    #[must_use]
    pub fn new(below: Arc<dyn StateStore>) -> Self {
        Self { below, written: Mutex::default(), tags: AtomicU64::default() }
    }

    /// The documents that were written, by their ids.
    #[must_use]
    pub fn outcome(&self) -> BTreeMap<String, Document> {
        self.written().iter().map(|(id, stored)| (id.clone(), stored.document.clone())).collect()
    }

    fn written(&self) -> MutexGuard<'_, HashMap<String, Stored>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, document: &Document) -> ETag {
        let etag = ETag(format!("trial-{}", self.tags.fetch_add(1, Relaxed)));
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
            None => self.below.read(id, charge).await,
        }
    }

    async fn create(&self, document: &Document, charge: &RequestCharge) -> Result<ETag, StoreError> {
        match self.read(&document.id, charge).await? {
            Some(_) => Err(StoreError::Conflict),
            None => Ok(self.keep(document)),
        }
    }

    async fn replace(&self, document: &Document, if_match: &ETag, charge: &RequestCharge) -> Result<ETag, StoreError> {
        match self.read(&document.id, charge).await? {
            Some(stored) if stored.etag == *if_match => Ok(self.keep(document)),
            _ => Err(StoreError::Conflict),
        }
    }

    /// The other store's documents, as the trial left them. Those that it created are not among them.
    async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<Document>, StoreError> {
        let documents = self.below.list(after, limit).await?;
        let written = self.written();
        let as_tried = |document: Document| match written.get(&document.id) {
            Some(stored) => stored.document.clone(),
            None => document,
        };
        Ok(documents.into_iter().map(as_tried).collect())
    }
}
