//! A store in memory, lost with the process: for measurements, tests and first steps.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use super::{ETag, Page, RequestCharge, Selection, StateStore, StoreError, Stored};
use crate::device_state::Document;

/// A store in memory. Documents are never evicted, so its size is the sum of all documents.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Contents>);

#[derive(Debug, Default)]
struct Contents {
    documents: HashMap<String, Stored>,
    writes: u64,
}

impl MemoryStore {
    fn contents(&self) -> MutexGuard<'_, Contents> {
        // No operation leaves the contents inconsistent, so a poisoned lock can be used.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    fn next_etag(&mut self) -> ETag {
        self.writes += 1;
        ETag(self.writes.to_string())
    }
}

#[async_trait]
impl StateStore for MemoryStore {
    async fn read(&self, id: &str, _: &RequestCharge) -> Result<Option<Stored>, StoreError> {
        Ok(self.contents().documents.get(id).cloned())
    }

    async fn create(&self, document: &Document, _: &RequestCharge) -> Result<ETag, StoreError> {
        let mut contents = self.contents();
        if contents.documents.contains_key(&document.id) {
            return Err(StoreError::Conflict);
        }
        let etag = contents.next_etag();
        let stored = Stored { document: document.clone(), etag: etag.clone() };
        contents.documents.insert(document.id.clone(), stored);
        Ok(etag)
    }

    async fn replace(&self, document: &Document, if_match: &ETag, _: &RequestCharge) -> Result<ETag, StoreError> {
        let mut contents = self.contents();
        let etag = contents.next_etag();
        match contents.documents.get_mut(&document.id) {
            Some(stored) if stored.etag == *if_match => {
                *stored = Stored { document: document.clone(), etag: etag.clone() };
                Ok(etag)
            }
            _ => Err(StoreError::Conflict),
        }
    }

    async fn list(&self, selection: Selection<'_>, _: &RequestCharge) -> Result<Page, StoreError> {
        let Selection { filter, after, limit } = selection;
        let contents = self.contents();
        let is_after = |id: &str| after.is_none_or(|after| id > after);
        let rest = contents.documents.iter().filter(|(id, _)| is_after(id));
        let mut documents: Vec<_> =
            rest.map(|(_, stored)| &stored.document).filter(|document| filter.matches(document)).collect();
        documents.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        Ok(documents.into_iter().take(limit).cloned().collect::<Vec<_>>().into())
    }
}
