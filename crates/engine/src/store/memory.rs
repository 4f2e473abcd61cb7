//! A store in memory, lost with the process: for measurements, tests and first steps.

use std::{
    collections::HashMap,
    fmt::{self, Debug, Formatter},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use super::{
    ETag, Filter, Page, RequestCharge, Selection, StateStore, StoreError, Stored, Written, WrittenRange,
    keep_first_written,
};
use crate::{
    clock::{Clock, System},
    device_state::Document,
};

/// A store in memory. Documents are never evicted, so its size is the sum of all documents.
pub struct MemoryStore {
    contents: Mutex<Contents>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
struct Contents {
    documents: HashMap<String, Written>,
    writes: Writes,
}

/// The writes so far.
#[derive(Debug, Default)]
struct Writes {
    number: u64,
    /// The time of the last one.
    last_ms: i64,
}

impl MemoryStore {
    /// Creates an empty store, which takes the times of writes from this clock.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { contents: Mutex::default(), clock }
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        // No operation leaves the contents inconsistent, so a poisoned lock can be used.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::with_clock(Arc::new(System))
    }
}

impl Debug for MemoryStore {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MemoryStore").field("contents", &self.contents).finish_non_exhaustive()
    }
}

impl Writes {
    /// Returns this state of a document with a new tag, as it is written now. The time never steps back, so that no write is earlier
    /// than one that was already read.
    fn next(&mut self, document: &Document, now_ms: i64) -> Written {
        self.number += 1;
        self.last_ms = self.last_ms.max(now_ms);
        let stored = Stored { document: document.clone(), etag: ETag(self.number.to_string()) };
        Written { stored, written_ms: self.last_ms }
    }
}

#[async_trait]
impl StateStore for MemoryStore {
    async fn read(&self, id: &str, _: &RequestCharge) -> Result<Option<Stored>, StoreError> {
        Ok(self.contents().documents.get(id).map(|written| written.stored.clone()))
    }

    async fn create(&self, document: &Document, _: &RequestCharge) -> Result<ETag, StoreError> {
        let mut contents = self.contents();
        if contents.documents.contains_key(&document.id) {
            return Err(StoreError::Conflict);
        }
        let written = contents.writes.next(document, self.clock.now_ms());
        let etag = written.stored.etag.clone();
        contents.documents.insert(document.id.clone(), written);
        Ok(etag)
    }

    async fn replace(&self, document: &Document, if_match: &ETag, _: &RequestCharge) -> Result<ETag, StoreError> {
        let Contents { documents, writes } = &mut *self.contents();
        match documents.get_mut(&document.id) {
            Some(held) if held.stored.etag == *if_match => {
                *held = writes.next(document, self.clock.now_ms());
                Ok(held.stored.etag.clone())
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
            rest.map(|(_, written)| &written.stored.document).filter(|document| filter.matches(document)).collect();
        documents.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        Ok(documents.into_iter().take(limit).cloned().collect::<Vec<_>>().into())
    }

    async fn count(&self, filter: &Filter, _: &RequestCharge) -> Result<u64, StoreError> {
        let contents = self.contents();
        Ok(contents.documents.values().filter(|written| filter.matches(&written.stored.document)).count() as u64)
    }

    async fn written(&self, range: WrittenRange<'_>, _: &RequestCharge) -> Result<Vec<Written>, StoreError> {
        let contents = self.contents();
        let times = range.after_ms.saturating_add(1)..=range.until_ms;
        let is_selected =
            |written: &&Written| times.contains(&written.written_ms) && range.filter.matches(&written.stored.document);
        let mut written: Vec<_> = contents.documents.values().filter(is_selected).collect();
        written.sort_unstable_by(|one, other| one.stored.document.id.cmp(&other.stored.document.id));
        keep_first_written(&mut written, range.limit, |written| written.written_ms);
        Ok(written.into_iter().cloned().collect())
    }

    /// In the running millisecond there may be more writes.
    fn settled_ms(&self) -> i64 {
        self.clock.now_ms() - 1
    }
}
