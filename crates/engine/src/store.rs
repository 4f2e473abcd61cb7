//! The store of the state documents, as a trait: it reads, creates and replaces, and classifies its errors by the reaction
//! that they need.
//!
//! The only loop of optimistic concurrency and its backoff are in [`processor`](crate::processor): a store does not retry a
//! conflict.

mod charge;
mod dry_run;
mod filter;
mod memory;
mod operations;

use std::time::Duration;

use async_trait::async_trait;

use crate::device_state::Document;

pub use charge::RequestCharge;
pub use dry_run::DryRunStore;
pub use filter::{Filter, Operator, Scalar};
pub use memory::MemoryStore;
pub use operations::Operations;

/// A store of state documents by id, with conditional writes.
///
/// The cost of each operation is added to `charge`, even if the operation fails.
///
/// ```
/// use devicestate_engine::{
///     device_state::Document,
///     store::{MemoryStore, RequestCharge, StateStore, StoreError},
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), StoreError> {
/// let (store, charge) = (MemoryStore::default(), RequestCharge::default());
/// let document = Document::new("drone-7".into());
/// let created = store.create(&document, &charge).await?;
/// let replaced = store.replace(&document, &created, &charge).await?;
/// assert_ne!(created, replaced);
/// // The tag of an earlier state no longer matches: another writer was first.
/// assert_eq!(store.replace(&document, &created, &charge).await, Err(StoreError::Conflict));
/// assert_eq!(store.read("drone-7", &charge).await?.expect("it was created").etag, replaced);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait StateStore: Send + Sync {
    /// Reads a document and the tag of its state; `None` if the document does not exist.
    ///
    /// # Errors
    ///
    /// Returns any [`StoreError`] except [`StoreError::Conflict`]; [`StoreError::Rejected`] if the document is not valid.
    async fn read(&self, id: &str, charge: &RequestCharge) -> Result<Option<Stored>, StoreError>;

    /// Creates a document and returns its tag.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError::Conflict`] if a document with this id exists, or any other [`StoreError`].
    async fn create(&self, document: &Document, charge: &RequestCharge) -> Result<ETag, StoreError>;

    /// Replaces a document if it still has this tag, and returns its new tag.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError::Conflict`] if another writer has written or deleted the document, or any other [`StoreError`].
    async fn replace(&self, document: &Document, if_match: &ETag, charge: &RequestCharge) -> Result<ETag, StoreError>;

    /// Returns the selected documents in the order of their ids. The processor does not use it.
    ///
    /// # Errors
    ///
    /// The same as [`StateStore::read`], without [`StoreError::Rejected`]: an invalid document does not hide the others.
    async fn list(&self, selection: Selection<'_>, charge: &RequestCharge) -> Result<Page, StoreError>;

    /// Returns the number of documents that a filter selects.
    ///
    /// # Errors
    ///
    /// The same as [`StateStore::list`].
    async fn count(&self, filter: &Filter, charge: &RequestCharge) -> Result<u64, StoreError> {
        let (mut after, mut count) = (None, 0);
        loop {
            let selection = Selection { filter, after: after.as_deref(), limit: MAX_PAGE_DOCUMENTS };
            let page = self.list(selection, charge).await?;
            count += page.documents.len() as u64;
            if page.last_id.is_none() || page.last_id <= after {
                return Ok(count);
            }
            after = page.last_id;
        }
    }

    /// Returns the documents that were last written in a range of time, in the order of their writes. The silence watch and the
    /// live page use it.
    ///
    /// # Errors
    ///
    /// The same as [`StateStore::list`].
    async fn written(&self, range: WrittenRange<'_>, charge: &RequestCharge) -> Result<Vec<Written>, StoreError> {
        let _ = (range, charge);
        Err(StoreError::Systemic("this store does not know when a document was written".into()))
    }

    /// Returns the time, in milliseconds since 1970 by the clock of the store, up to which [`StateStore::written`] has every write:
    /// of later times, more writes may appear. Who reads what was written since the last time begins no later than here, and so
    /// reads the newest documents more than once.
    fn settled_ms(&self) -> i64 {
        0
    }
}

/// Which documents of a store are listed.
#[derive(Debug, Clone, Copy)]
pub struct Selection<'a> {
    /// The condition on a document.
    pub filter: &'a Filter,
    /// The id of a document, after which the list starts.
    pub after: Option<&'a str>,
    /// The maximum number of documents.
    pub limit: usize,
}

impl<'a> Selection<'a> {
    /// Selects up to `limit` documents after an id, whatever they contain.
    #[must_use]
    pub fn every(after: Option<&'a str>, limit: usize) -> Self {
        const EVERY: &Filter = &Filter::EVERY;
        Self { filter: EVERY, after, limit }
    }
}

/// A range of the times at which documents were last written, in milliseconds since 1970 by the clock of the store. A store may
/// know the times in whole seconds only.
#[derive(Debug, Clone, Copy)]
pub struct WrittenRange<'a> {
    /// Only documents that this filter selects.
    pub filter: &'a Filter,
    /// Only documents that were written later than this.
    pub after_ms: i64,
    /// Only documents that were written at this time or before. The most recent writes are included: a device that sends all the
    /// time has no other. More writes of their times may follow: see [`StateStore::settled_ms`].
    pub until_ms: i64,
    /// About how many documents are returned. There are more if the last ones were written at the same time, so that the next range
    /// can begin after the time of the last one; there are fewer only if the range has no more.
    pub limit: usize,
}

/// A document with the time of its last write.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The document with its tag.
    pub stored: Stored,
    /// When it was last written, in milliseconds since 1970 by the clock of the store.
    pub written_ms: i64,
}

/// Sorts items by the time of their last write, and keeps about the first `limit` of them: as many more as were written at the same
/// time as the last one. Items of one time keep their order.
pub fn keep_first_written<T>(items: &mut Vec<T>, limit: usize, written_ms: impl Fn(&T) -> i64) {
    items.sort_by_key(&written_ms);
    if let Some(last) = items.get(limit.saturating_sub(1)) {
        let last_ms = written_ms(last);
        items.truncate(items.partition_point(|item| written_ms(item) <= last_ms));
    }
}

/// Limits the documents of a page.
const MAX_PAGE_DOCUMENTS: usize = 1_000;

/// Some documents of a store, in the order of their ids.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    /// The valid documents.
    pub documents: Vec<Document>,
    /// Why the other documents are invalid, each with its id.
    pub invalid: Vec<String>,
    /// The last id of the page, after which the next page starts; `None` if the page is empty and complete.
    pub last_id: Option<String>,
    /// Whether the store examined so many documents that it ended the page before its limit. There may be more documents.
    pub is_partial: bool,
}

impl From<Vec<Document>> for Page {
    fn from(documents: Vec<Document>) -> Self {
        let last_id = documents.last().map(|document| document.id.clone());
        Self { documents, last_id, ..Self::default() }
    }
}

/// A document as it was read, with its tag.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The document.
    pub document: Document,
    /// The tag of this state of the document.
    pub etag: ETag,
}

/// The tag of one state of a stored document. Each write, and a deletion with a new creation, gives another tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ETag(pub String);

/// Why a store operation failed, classified by the reaction that it needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another writer wrote the document since it was read: read and merge it again.
    #[error("another writer changed the document at the same time")]
    Conflict,
    /// The store rejects this document, and accepts others: the event is poison.
    #[error("{0}")]
    Rejected(String),
    /// The store reports a bad request. The cause is this document if the store accepts others, and an invalid setting
    /// if it accepts no document of a batch.
    #[error("{0}")]
    BadRequest(String),
    /// A retry may succeed.
    #[error("{0}")]
    Transient(String),
    /// The store refuses the operation. The cause is this document if the store accepts others, or else a key, a role or a
    /// setting. A retry within the same attempt does not help.
    #[error("{0}")]
    Refused(String),
    /// The store limits the load. No document is the cause.
    #[error("{reason}")]
    Throttled {
        /// A description of the failure.
        reason: String,
        /// The delay that the store requests before a retry.
        delay: Duration,
    },
    /// No request succeeds until the store or its settings are repaired.
    #[error("{0}")]
    Systemic(String),
}

/// Reads the documents of a store, page by page.
pub struct Pages<'a> {
    store: &'a dyn StateStore,
    after: Option<String>,
    remaining: usize,
}

impl<'a> Pages<'a> {
    /// Starts reading up to `limit` documents.
    #[must_use]
    pub fn new(store: &'a dyn StateStore, limit: usize) -> Self {
        Self { store, after: None, remaining: limit }
    }

    /// Returns the next page; `None` after the last one.
    ///
    /// # Errors
    ///
    /// The same as [`StateStore::list`].
    pub async fn next(&mut self) -> Result<Option<Page>, StoreError> {
        if self.remaining == 0 {
            return Ok(None);
        }
        let selection = Selection::every(self.after.as_deref(), self.remaining.min(MAX_PAGE_DOCUMENTS));
        let page = self.store.list(selection, &RequestCharge::default()).await?;
        let is_empty = page.documents.is_empty() && page.invalid.is_empty();
        // A store that does not advance would be read forever.
        if is_empty || page.last_id <= self.after {
            self.remaining = 0;
            return Ok((!is_empty).then_some(page));
        }
        self.after.clone_from(&page.last_id);
        self.remaining = self.remaining.saturating_sub(page.documents.len() + page.invalid.len());
        Ok(Some(page))
    }
}

/// Returns up to `limit` documents of a store, without the invalid ones.
///
/// # Errors
///
/// The same as [`StateStore::list`].
pub async fn documents(store: &dyn StateStore, limit: usize) -> Result<Vec<Document>, StoreError> {
    let mut documents = Vec::new();
    let mut pages = Pages::new(store, limit);
    while let Some(page) = pages.next().await? {
        documents.extend(page.documents);
    }
    Ok(documents)
}
