//! Where the state documents are kept: a store reads, creates and replaces, and says what went wrong by what is to be done about it.
//!
//! The loop of optimistic concurrency and the back-off stand once, above this trait (see
//! [`processor`](crate::processor)): no store retries a conflict. A store knows nothing of dead letters.

mod charge;
mod dry_run;
mod memory;
mod operations;

use std::time::Duration;

use async_trait::async_trait;

use crate::device_state::Document;

pub use charge::RequestCharge;
pub use dry_run::DryRunStore;
pub use memory::MemoryStore;
pub use operations::Operations;

/// A store of state documents, each under its id.
///
/// What an operation costs is added to `charge`, also when it fails: a refused write is paid for, too.
#[async_trait]
pub trait StateStore: Send + Sync {
    /// Reads a document, with the tag of this state of it; `None` when there is none.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] but [`StoreError::Conflict`]. A document that cannot be understood is
    /// [`StoreError::Rejected`].
    async fn read(&self, id: &str, charge: &RequestCharge) -> Result<Option<Stored>, StoreError>;

    /// Creates a document.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] when there is one with this id already.
    async fn create(&self, document: &Document, charge: &RequestCharge) -> Result<ETag, StoreError>;

    /// Replaces a document, on the condition that it is still as it was when it had this tag.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] when someone else wrote or deleted it meanwhile.
    async fn replace(&self, document: &Document, if_match: &ETag, charge: &RequestCharge) -> Result<ETag, StoreError>;

    /// Up to `limit` documents in the order of their ids, from behind `after` on. For people; the processor never
    /// lists.
    ///
    /// # Errors
    ///
    /// As [`StateStore::read`].
    async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<Document>, StoreError>;
}

/// A document as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The document.
    pub document: Document,
    /// The tag of this state of it.
    pub etag: ETag,
}

/// Names one state of a stored document. Another write, or a deletion and a creation, gives another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ETag(pub String);

/// What came in the way of a store operation, by what is to be done about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Someone else wrote the document since it was read: read again and merge again.
    #[error("another writer changed the document at the same time")]
    Conflict,
    /// The store refuses this document, whatever else it takes. Nobody else is harmed: the event is poison.
    #[error("{0}")]
    Rejected(String),
    /// The store calls the request bad. That is this document's fault while others pass, and everybody's (a wrong
    /// setting) when no document of a batch passes.
    #[error("{0}")]
    BadRequest(String),
    /// It may go better later.
    #[error("{0}")]
    Transient(String),
    /// The store is asked for more than it does, and says when to come back. That is the fault of no document.
    #[error("{reason}")]
    Throttled {
        /// What happened, for people.
        reason: String,
        /// The delay that the store asks for.
        delay: Duration,
    },
    /// No request will fare better until somebody repairs something.
    #[error("{0}")]
    Systemic(String),
}

/// The documents of a store, page by page.
pub struct Pages<'a> {
    store: &'a dyn StateStore,
    after: Option<String>,
    left: usize,
}

impl<'a> Pages<'a> {
    /// Up to `limit` documents.
    #[must_use]
    pub fn new(store: &'a dyn StateStore, limit: usize) -> Self {
        Self { store, after: None, left: limit }
    }

    /// The next page; `None` behind the last one.
    ///
    /// # Errors
    ///
    /// As [`StateStore::list`].
    pub async fn next(&mut self) -> Result<Option<Vec<Document>>, StoreError> {
        const PAGE: usize = 1_000;
        let page = self.store.list(self.after.as_deref(), self.left.min(PAGE)).await?;
        let Some(last) = page.last() else { return Ok(None) };
        self.after = Some(last.id.clone());
        self.left -= page.len();
        Ok(Some(page))
    }
}

/// Up to `limit` documents of a store.
///
/// # Errors
///
/// As [`StateStore::list`].
pub async fn documents(store: &dyn StateStore, limit: usize) -> Result<Vec<Document>, StoreError> {
    let mut documents = Vec::new();
    let mut pages = Pages::new(store, limit);
    while let Some(page) = pages.next().await? {
        documents.extend(page);
    }
    Ok(documents)
}
