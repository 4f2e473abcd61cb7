//! Caches the documents that this process wrote or read last, so that an active device costs one write per batch and no
//! read.
//!
//! A cached document may be the base of a conditional write, since the store checks its tag. It must never be the reason
//! *not* to write: another writer may have changed or deleted the document since.

use std::sync::Arc;

use quick_cache::{Weighter, sync};

use crate::{
    device_state::Document,
    store::{ETag, Stored},
};

/// A cache of documents, bounded by their size in memory.
///
/// They are stored as JSON text, which is compact and has a known size.
#[derive(Debug)]
pub struct DocumentCache(Option<sync::Cache<String, Arc<Entry>, EntryBytes>>);

#[derive(Debug)]
struct Entry {
    etag: ETag,
    json: Box<[u8]>,
}

#[derive(Debug, Clone)]
struct EntryBytes;

/// The memory of an entry besides its texts, in bytes: the cache's own tables, pointers and lengths.
const ENTRY_OVERHEAD_BYTES: usize = 160;

impl Weighter<String, Arc<Entry>> for EntryBytes {
    fn weight(&self, id: &String, entry: &Arc<Entry>) -> u64 {
        (id.len() + entry.etag.0.len() + entry.json.len() + ENTRY_OVERHEAD_BYTES) as u64
    }
}

impl DocumentCache {
    /// Creates a cache of at most `bytes` bytes. With 0 nothing is cached.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        // A typical document has a few hundred bytes. The number only sets the initial size of the tables.
        let documents = usize::try_from(bytes / 4096).unwrap_or(usize::MAX);
        Self((bytes > 0).then(|| sync::Cache::with_weighter(documents, bytes, EntryBytes)))
    }

    /// Returns the memory that the cached documents use now, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, sync::Cache::weight)
    }

    /// Returns a document as it was last read or written.
    pub(super) fn get(&self, id: &str) -> Option<Stored> {
        let entry = self.0.as_ref()?.get(id)?;
        let document = serde_json::from_slice(&entry.json).ok()?;
        Some(Stored { document, etag: entry.etag.clone() })
    }

    /// Caches the current state of a document.
    pub(super) fn insert(&self, document: &Document, etag: &ETag) {
        if let Some(cache) = &self.0
            && let Ok(json) = serde_json::to_vec(document)
        {
            // A copy has exactly the right size. Shrinking the buffer instead would fragment the heap.
            let json = Box::from(&json[..]);
            cache.insert(document.id.clone(), Arc::new(Entry { etag: etag.clone(), json }));
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
mod tests {
    use super::*;

    #[test]
    fn an_entry_counts_its_texts_and_the_overhead_of_the_cache() {
        let cache = DocumentCache::new(1 << 20);
        assert_eq!(cache.bytes(), 0);
        cache.insert(&Document::new("drone-7".into()), &ETag("tag".into()));
        assert_eq!(
            cache.bytes(),
            ("drone-7".len() + "tag".len() + r#"{"id":"drone-7","Versions":{}}"#.len()) as u64 + 160
        );
        cache.remove("drone-7");
        assert_eq!(cache.bytes(), 0);
    }
}
