//! A scripted store: a memory store with scripted responses.

use std::{
    collections::VecDeque,
    future::pending,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use devicestate_engine::{
    device_state::{Document, Update},
    store::{ETag, MemoryStore, Page, RequestCharge, Selection, StateStore, StoreError, Stored},
};
use tokio::time::{Instant, sleep};

/// The request units of each read, even if it fails.
pub const READ_UNITS: f64 = 1.0;
/// The request units of each write, even if it fails.
pub const WRITE_UNITS: f64 = 6.29;

/// A kind of store operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Read,
    Write,
}

/// A scripted response of the store.
#[derive(Debug, Clone)]
pub enum StoreResponse {
    /// Performs the operation.
    Perform,
    /// Performs nothing and returns this error.
    Fail(StoreError),
    /// Performs the operation and returns this error.
    LoseResponse(StoreError),
    /// Lets another writer change the document first, then performs the operation with its condition.
    OtherWriterFirst(Update),
    /// Performs the operation after this delay.
    Slow(Duration),
    /// Never completes.
    Stall,
    /// Panics.
    Panic,
    /// Returns the error of this function for the document to write, if there is one.
    FailIf(fn(&Document) -> Option<StoreError>),
}

impl StoreResponse {
    pub fn transient() -> Self {
        Self::Fail(StoreError::Transient("the store is busy".into()))
    }

    pub fn throttled(delay: Duration) -> Self {
        Self::Fail(StoreError::Throttled { reason: "too many requests".into(), delay })
    }

    pub fn lost() -> Self {
        Self::LoseResponse(StoreError::Transient("the connection was cut".into()))
    }

    pub fn systemic() -> Self {
        Self::Fail(StoreError::Systemic("the key is wrong".into()))
    }

    pub fn refused() -> Self {
        Self::Fail(StoreError::Refused("the store refuses it".into()))
    }

    pub fn rejected() -> Self {
        Self::Fail(StoreError::Rejected("the document is too large".into()))
    }

    pub fn bad_request() -> Self {
        Self::Fail(StoreError::BadRequest("the request is bad".into()))
    }
}

/// The scripted responses of some operations. The first rule that matches and has a response is used.
#[derive(Debug)]
struct Rule {
    operation: Operation,
    id: Option<String>,
    next: VecDeque<StoreResponse>,
    always: Option<StoreResponse>,
}

/// Matches every document in a script.
pub const ANY: &str = "*";

/// An operation that was started.
#[derive(Debug, Clone)]
pub struct Request {
    pub operation: Operation,
    pub id: String,
    pub at: Instant,
}

#[derive(Debug, Default)]
pub struct ScriptedStore {
    memory: MemoryStore,
    script: Mutex<Vec<Rule>>,
    requests: Mutex<Vec<Request>>,
    in_flight: AtomicUsize,
    max_in_flight: AtomicUsize,
    do_lists_fail: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ScriptedStore {
    /// Scripts the next operations of this kind on this document; later ones are performed.
    pub fn respond(&self, operation: Operation, id: &str, responses: impl IntoIterator<Item = StoreResponse>) {
        self.add(operation, id, responses.into_iter().collect(), None);
    }

    /// Scripts all operations of this kind on this document, or on [`ANY`].
    pub fn always(&self, operation: Operation, id: &str, response: StoreResponse) {
        self.add(operation, id, VecDeque::new(), Some(response));
    }

    fn add(&self, operation: Operation, id: &str, next: VecDeque<StoreResponse>, always: Option<StoreResponse>) {
        let id = (id != ANY).then(|| id.to_owned());
        lock(&self.script).push(Rule { operation, id, next, always });
    }

    /// Sets whether documents cannot be listed.
    pub fn fail_lists(&self, do_fail: bool) {
        self.do_lists_fail.store(do_fail, SeqCst);
    }

    /// Clears the script.
    pub fn clear_script(&self) {
        lock(&self.script).clear();
    }

    /// Creates a document, bypassing the script and the counts.
    pub async fn put(&self, document: &Document) {
        self.memory.create(document, &RequestCharge::default()).await.expect("a new document");
    }

    /// Replaces a document, as an operator does who restores a backup.
    pub async fn restore(&self, document: &Document) {
        let etag = self.etag(&document.id).await.expect("a document to replace");
        self.memory.replace(document, &etag, &RequestCharge::default()).await.expect("no other writer");
    }

    /// Returns the document, bypassing the script and the counts.
    pub async fn document(&self, id: &str) -> Option<Document> {
        self.memory.read(id, &RequestCharge::default()).await.expect("memory can be read").map(|stored| stored.document)
    }

    /// Returns the tag of the document, which changes with each write.
    pub async fn etag(&self, id: &str) -> Option<ETag> {
        self.memory.read(id, &RequestCharge::default()).await.expect("memory can be read").map(|stored| stored.etag)
    }

    /// Returns the operations so far, in order.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.requests).clone()
    }

    pub fn count(&self, operation: Operation) -> usize {
        self.requests().iter().filter(|request| request.operation == operation).count()
    }

    pub fn max_in_flight(&self) -> usize {
        self.max_in_flight.load(SeqCst)
    }

    fn begin(&self, operation: Operation, id: &str) -> (StoreResponse, InFlight<'_>) {
        lock(&self.requests).push(Request { operation, id: id.to_owned(), at: Instant::now() });
        self.max_in_flight.fetch_max(self.in_flight.fetch_add(1, SeqCst) + 1, SeqCst);
        let mut script = lock(&self.script);
        let matches = |rule: &&mut Rule| rule.operation == operation && rule.id.as_deref().is_none_or(|own| own == id);
        let response = script.iter_mut().filter(matches).find_map(|rule| rule.next.pop_front().or(rule.always.clone()));
        (response.unwrap_or(StoreResponse::Perform), InFlight(&self.in_flight))
    }

    /// Performs the part of the response before the operation.
    async fn before(&self, response: &StoreResponse, id: &str, document: Option<&Document>) -> Result<(), StoreError> {
        match response {
            StoreResponse::Perform | StoreResponse::LoseResponse(_) => Ok(()),
            StoreResponse::Fail(error) => Err(error.clone()),
            StoreResponse::OtherWriterFirst(update) => {
                self.write_bypassing_script(id, update).await;
                Ok(())
            }
            StoreResponse::Slow(delay) => {
                sleep(*delay).await;
                Ok(())
            }
            StoreResponse::Stall => pending().await,
            StoreResponse::Panic => panic!("the store panics on {id}"),
            StoreResponse::FailIf(error_of) => document.and_then(error_of).map_or(Ok(()), Err),
        }
    }

    /// Writes as another writer, bypassing the script and the counts.
    pub async fn write_bypassing_script(&self, id: &str, update: &Update) {
        if let Some(Stored { mut document, etag }) =
            self.memory.read(id, &RequestCharge::default()).await.expect("memory can be read")
        {
            document.merge(update);
            self.memory.replace(&document, &etag, &RequestCharge::default()).await.expect("no other writer");
        } else {
            let mut document = Document::new(id.to_owned());
            document.merge(update);
            self.put(&document).await;
        }
    }
}

/// Counts an operation as in flight until it is dropped.
struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

fn after<T>(response: StoreResponse, result: Result<T, StoreError>) -> Result<T, StoreError> {
    match response {
        StoreResponse::LoseResponse(error) => result.and(Err(error)),
        _ => result,
    }
}

#[async_trait]
impl StateStore for ScriptedStore {
    async fn read(&self, id: &str, charge: &RequestCharge) -> Result<Option<Stored>, StoreError> {
        let (response, _in_flight) = self.begin(Operation::Read, id);
        charge.add(READ_UNITS);
        self.before(&response, id, None).await?;
        after(response, self.memory.read(id, charge).await)
    }

    async fn create(&self, document: &Document, charge: &RequestCharge) -> Result<ETag, StoreError> {
        let (response, _in_flight) = self.begin(Operation::Write, &document.id);
        charge.add(WRITE_UNITS);
        self.before(&response, &document.id, Some(document)).await?;
        after(response, self.memory.create(document, charge).await)
    }

    async fn replace(&self, document: &Document, if_match: &ETag, charge: &RequestCharge) -> Result<ETag, StoreError> {
        let (response, _in_flight) = self.begin(Operation::Write, &document.id);
        charge.add(WRITE_UNITS);
        self.before(&response, &document.id, Some(document)).await?;
        after(response, self.memory.replace(document, if_match, charge).await)
    }

    async fn list(&self, selection: Selection<'_>, charge: &RequestCharge) -> Result<Page, StoreError> {
        if self.do_lists_fail.load(SeqCst) {
            return Err(StoreError::Transient("the store is busy".into()));
        }
        self.memory.list(selection, charge).await
    }
}
