//! A store for tests, whose operations can fail and whose documents can be deleted.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use devicestate_engine::{
    clock::System,
    device_state::Document,
    store::{ETag, Filter, Page, RequestCharge, Selection, StateStore, StoreError, Stored, Written, WrittenRange},
};
use devicestate_read_api::{IndexedFields, ReadApi};
use serde_json::json;

use crate::{Options, Poll};

#[derive(Default)]
pub(crate) struct TestStore {
    documents: Mutex<BTreeMap<String, Written>>,
    pub(crate) is_failing: AtomicBool,
    pub(crate) lists: AtomicUsize,
    /// The number of the list that is throttled, from 1 on.
    pub(crate) throttled_list: AtomicUsize,
    /// How long before the last write other writes may still appear, in milliseconds.
    pub(crate) settling_ms: AtomicI64,
}

/// Returns the document of a device whose only reading is a number, at the time of this number.
pub(crate) fn document(device: &str, level: i64) -> Document {
    let version = [level, level, 2];
    let document = json!({"id": device, "level": level, "Versions": {"level": version, "Heard": version}});
    serde_json::from_value(document).expect("a document")
}

/// Returns a document as it was written at this time.
pub(crate) fn written(document: Document, written_ms: i64) -> Written {
    Written { stored: Stored { document, etag: ETag(written_ms.to_string()) }, written_ms }
}

/// Returns options for a store, without anything else.
pub(crate) fn options(store: Arc<TestStore>) -> Options {
    let api = ReadApi { store: store.clone(), indexed: IndexedFields::Every, clock: Arc::new(System) };
    Options {
        store,
        store_name: "memory".into(),
        state: None,
        poll: Poll::LOCAL,
        api: Arc::new(api),
        dead_letters: None,
        run: None,
        partitions: BTreeMap::new(),
        silent_after_ms: None,
        listen: None,
    }
}

impl TestStore {
    fn documents(&self) -> MutexGuard<'_, BTreeMap<String, Written>> {
        self.documents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self) -> Result<(), StoreError> {
        let error = || StoreError::Transient("the disk is away".into());
        if self.is_failing.load(SeqCst) { Err(error()) } else { Ok(()) }
    }

    /// Writes a document. Each one is written later than the last.
    pub(crate) fn write(&self, document: Document) {
        self.write_at(document, self.last_written_ms() + 1);
    }

    pub(crate) fn write_at(&self, document: Document, written_ms: i64) {
        self.documents().insert(document.id.clone(), written(document, written_ms));
    }

    pub(crate) fn last_written_ms(&self) -> i64 {
        self.documents().values().map(|written| written.written_ms).max().unwrap_or(i64::MAX / 2)
    }

    pub(crate) fn delete(&self, id: &str) {
        self.documents().remove(id).expect("it exists");
    }
}

#[async_trait]
impl StateStore for TestStore {
    async fn read(&self, id: &str, _: &RequestCharge) -> Result<Option<Stored>, StoreError> {
        self.check()?;
        Ok(self.documents().get(id).map(|written| written.stored.clone()))
    }

    async fn create(&self, _: &Document, _: &RequestCharge) -> Result<ETag, StoreError> {
        unreachable!("the page only reads")
    }

    async fn replace(&self, _: &Document, _: &ETag, _: &RequestCharge) -> Result<ETag, StoreError> {
        unreachable!("the page only reads")
    }

    async fn list(
        &self,
        Selection { filter, after, limit }: Selection<'_>,
        _: &RequestCharge,
    ) -> Result<Page, StoreError> {
        self.check()?;
        if self.lists.fetch_add(1, SeqCst) + 1 == self.throttled_list.load(SeqCst) {
            return Err(StoreError::Throttled { reason: "429".into(), delay: Duration::from_secs(5) });
        }
        let documents = self.documents();
        let documents = documents.values().map(|written| &written.stored.document);
        let selected = documents.filter(|d| after.is_none_or(|after| *d.id > *after) && filter.matches(d));
        // A document of another program with an id of this form is invalid.
        let (invalid, documents): (Vec<_>, Vec<_>) =
            selected.take(limit).cloned().partition(|document| document.id.starts_with("invalid"));
        let last_id = documents.iter().chain(&invalid).map(|document| document.id.clone()).max();
        let invalid = invalid.into_iter().map(|document| document.id).collect();
        Ok(Page { documents, invalid, last_id, ..Page::default() })
    }

    async fn count(&self, filter: &Filter, _: &RequestCharge) -> Result<u64, StoreError> {
        self.check()?;
        Ok(self.documents().values().filter(|written| filter.matches(&written.stored.document)).count() as u64)
    }

    async fn written(&self, range: WrittenRange<'_>, _: &RequestCharge) -> Result<Vec<Written>, StoreError> {
        self.check()?;
        let mut written: Vec<_> = self.documents().values().cloned().collect();
        written.retain(|written| written.written_ms > range.after_ms && written.written_ms <= range.until_ms);
        written.retain(|written| !written.stored.document.id.starts_with("invalid"));
        written.sort_by_key(|written| written.written_ms);
        written.truncate(range.limit);
        Ok(written)
    }

    fn settled_ms(&self) -> i64 {
        self.last_written_ms() - self.settling_ms.load(SeqCst)
    }
}
