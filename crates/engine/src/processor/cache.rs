//! Caches the documents that this process wrote or read last, so that an active device costs one write per batch and no
//! read.
//!
//! A cached document may be the base of a conditional write, since the store checks its tag. It must never be the reason
//! *not* to write: another writer may have changed or deleted the document since.

use std::{mem::size_of, sync::Arc};

use quick_cache::{Weighter, sync};

use crate::{
    device_state::{Document, allocation_bytes},
    store::{ETag, Stored},
};

/// A cache of documents, bounded by an estimate of their memory.
///
/// The estimate is at most 20 % from the memory of the process; a test compares them.
#[derive(Debug)]
pub struct DocumentCache(Option<sync::Cache<String, Arc<Entry>, EntryBytes>>);

#[derive(Debug)]
struct Entry {
    stored: Stored,
    /// The estimate when the entry was made. It must not change in the cache, and names may later be shared by other documents.
    bytes: usize,
}

#[derive(Debug, Clone)]
struct EntryBytes;

/// The memory of an entry in the cache's own tables, in bytes, with the room that they grow into.
const TABLE_BYTES: usize = 100;

impl Entry {
    fn new(document: &Document, etag: &ETag) -> Self {
        let stored = Stored { document: document.clone(), etag: etag.clone() };
        // The id is the key, too. An `Arc` has two counters.
        let bytes = TABLE_BYTES
            + allocation_bytes(2 * size_of::<usize>() + size_of::<Self>())
            + allocation_bytes(document.id.len())
            + allocation_bytes(etag.0.len())
            + stored.document.heap_bytes();
        Self { stored, bytes }
    }
}

impl Weighter<String, Arc<Entry>> for EntryBytes {
    fn weight(&self, _: &String, entry: &Arc<Entry>) -> u64 {
        entry.bytes as u64
    }
}

impl DocumentCache {
    /// Creates a cache of at most `bytes` bytes. With 0 nothing is cached.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        // A typical document has 1 to 2 kilobytes. The number only sets the initial size of the tables.
        let documents = usize::try_from(bytes / 4096).unwrap_or(usize::MAX);
        Self((bytes > 0).then(|| sync::Cache::with_weighter(documents, bytes, EntryBytes)))
    }

    /// Returns an estimate of the memory that the cached documents use now, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, sync::Cache::weight)
    }

    /// Returns a document as it was last read or written.
    pub(super) fn get(&self, id: &str) -> Option<Stored> {
        Some(self.0.as_ref()?.get(id)?.stored.clone())
    }

    /// Caches the current state of a document.
    pub(super) fn insert(&self, document: &Document, etag: &ETag) {
        if let Some(cache) = &self.0 {
            cache.insert(document.id.clone(), Arc::new(Entry::new(document, etag)));
        }
    }

    /// Removes a document whose current state is unknown.
    pub(super) fn remove(&self, id: &str) {
        if let Some(cache) = &self.0 {
            cache.remove(id);
        }
    }
}

#[cfg(test)]
mod tests;
