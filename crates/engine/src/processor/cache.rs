//! The documents that this process wrote or read last, so that a device that goes on sending costs one write a batch
//! and no read.
//!
//! A cached document may be the base of a conditional write, since its tag is checked there. It may never be the
//! ground for *not* writing: somebody else may have changed or deleted the document since.

use std::sync::Arc;

use quick_cache::{Weighter, sync};

use crate::{
    device_state::Document,
    store::{ETag, Stored},
};

/// A cache of documents, bounded by their size in memory.
///
/// They are kept as JSON text: compact, and of a known size.
#[derive(Debug)]
pub struct DocumentCache(Option<sync::Cache<String, Arc<Entry>, Bytes>>);

#[derive(Debug)]
struct Entry {
    etag: ETag,
    json: Box<[u8]>,
}

#[derive(Debug, Clone)]
struct Bytes;

/// What an entry costs beside its texts: the cache's own tables, pointers, lengths.
const OVERHEAD: usize = 160;

impl Weighter<String, Arc<Entry>> for Bytes {
    fn weight(&self, id: &String, entry: &Arc<Entry>) -> u64 {
        (id.len() + entry.etag.0.len() + entry.json.len() + OVERHEAD) as u64
    }
}

impl DocumentCache {
    /// A cache for so many bytes; none at all for 0.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        // A typical document has some hundred bytes. The number only sets the size of the tables at the start.
        let documents = usize::try_from(bytes / 4096).unwrap_or(usize::MAX);
        Self((bytes > 0).then(|| sync::Cache::with_weighter(documents, bytes, Bytes)))
    }

    /// How much memory the documents take now, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, sync::Cache::weight)
    }

    /// A document, as it was last seen.
    pub(super) fn get(&self, id: &str) -> Option<Stored> {
        let entry = self.0.as_ref()?.get(id)?;
        let document = serde_json::from_slice(&entry.json).ok()?;
        Some(Stored { document, etag: entry.etag.clone() })
    }

    /// Keeps a document as it is now.
    pub(super) fn keep(&self, document: &Document, etag: &ETag) {
        if let Some(cache) = &self.0
            && let Ok(json) = serde_json::to_vec(document)
        {
            // Copied to a piece of just its size: one that is cut to it leaves a rest that nothing fits into.
            let json = Box::from(&json[..]);
            cache.insert(document.id.clone(), Arc::new(Entry { etag: etag.clone(), json }));
        }
    }

    /// Forgets a document of which it is not known how it is now.
    pub(super) fn forget(&self, id: &str) {
        if let Some(cache) = &self.0 {
            cache.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_counts_with_its_texts_and_what_the_cache_itself_needs() {
        let cache = DocumentCache::new(1 << 20);
        assert_eq!(cache.bytes(), 0);
        cache.keep(&Document::new("drone-7".into()), &ETag("tag".into()));
        assert_eq!(
            cache.bytes(),
            ("drone-7".len() + "tag".len() + r#"{"id":"drone-7","Versions":{}}"#.len()) as u64 + 160
        );
        cache.forget("drone-7");
        assert_eq!(cache.bytes(), 0);
    }
}
