//! A store that does as it is told: a memory store behind a script of answers.

use std::{
    collections::VecDeque,
    future::pending,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use devicestate_engine::{
    device_state::{Document, Update},
    store::{ETag, MemoryStore, RequestCharge, StateStore, StoreError, Stored},
};
use tokio::time::{Instant, sleep};

/// What each read costs, whatever comes of it.
pub const READ_UNITS: f64 = 1.0;
/// What each write costs, whatever comes of it.
pub const WRITE_UNITS: f64 = 6.29;

/// What is asked of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Read,
    Write,
}

/// What the store does when it is asked.
#[derive(Debug, Clone)]
pub enum StoreResponse {
    /// What was asked.
    Honest,
    /// Nothing, and says this.
    Fails(StoreError),
    /// What was asked, but says this.
    DoneButLost(StoreError),
    /// Lets another writer change the document first; then what was asked, and the condition tells.
    OtherWriterFirst(Update),
    /// What was asked, later.
    Slow(Duration),
    /// Nothing, for ever.
    Stalls,
    /// Panics.
    Panics,
    /// Fails if the document that is to be written is one of these.
    Judged(fn(&Document) -> Option<StoreError>),
}

impl StoreResponse {
    pub fn transient() -> Self {
        Self::Fails(StoreError::Transient("the store is busy".into()))
    }

    pub fn throttled(delay: Duration) -> Self {
        Self::Fails(StoreError::Throttled { reason: "too many requests".into(), delay })
    }

    pub fn lost() -> Self {
        Self::DoneButLost(StoreError::Transient("the connection was cut".into()))
    }

    pub fn systemic() -> Self {
        Self::Fails(StoreError::Systemic("the key is wrong".into()))
    }

    pub fn rejected() -> Self {
        Self::Fails(StoreError::Rejected("the document is too large".into()))
    }

    pub fn bad_request() -> Self {
        Self::Fails(StoreError::BadRequest("the request is bad".into()))
    }
}

/// The script's line for some operations; the first that fits and is not used up counts.
#[derive(Debug)]
struct Line {
    operation: Operation,
    id: Option<String>,
    answers: VecDeque<StoreResponse>,
    always: Option<StoreResponse>,
}

/// Stands for every document in a script.
pub const ANY: &str = "*";

/// An operation that was begun.
#[derive(Debug, Clone)]
pub struct Asked {
    pub operation: Operation,
    pub id: String,
    pub at: Instant,
}

#[derive(Debug, Default)]
pub struct ScriptedStore {
    memory: MemoryStore,
    script: Mutex<Vec<Line>>,
    asked: Mutex<Vec<Asked>>,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ScriptedStore {
    /// Answers the next operations of this kind on this document so, one after the other, and then honestly.
    pub fn answer(&self, operation: Operation, id: &str, answers: impl IntoIterator<Item = StoreResponse>) {
        self.add(operation, id, answers.into_iter().collect(), None);
    }

    /// Answers each operation of this kind on this document (or [`ANY`]) so.
    pub fn always(&self, operation: Operation, id: &str, answer: StoreResponse) {
        self.add(operation, id, VecDeque::new(), Some(answer));
    }

    fn add(&self, operation: Operation, id: &str, answers: VecDeque<StoreResponse>, always: Option<StoreResponse>) {
        let id = (id != ANY).then(|| id.to_owned());
        lock(&self.script).push(Line { operation, id, answers, always });
    }

    /// Whatever was scripted is over.
    pub fn recovers(&self) {
        lock(&self.script).clear();
    }

    /// Puts a document in place, past the script and the counts.
    pub async fn put(&self, document: &Document) {
        self.memory.create(document, &RequestCharge::default()).await.expect("a document that is not there yet");
    }

    /// Puts a document in the place of the one that is there, as somebody who restores a backup does.
    pub async fn restore(&self, document: &Document) {
        let etag = self.etag(&document.id).await.expect("a document to replace");
        self.memory.replace(document, &etag, &RequestCharge::default()).await.expect("nobody is in between");
    }

    /// The document as it is, past the script and the counts.
    pub async fn document(&self, id: &str) -> Option<Document> {
        self.memory.read(id, &RequestCharge::default()).await.expect("memory can be read").map(|stored| stored.document)
    }

    /// The tag of the document as it is: it changes with each write.
    pub async fn etag(&self, id: &str) -> Option<ETag> {
        self.memory.read(id, &RequestCharge::default()).await.expect("memory can be read").map(|stored| stored.etag)
    }

    /// What was asked so far, in order.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.asked).clone()
    }

    pub fn count(&self, operation: Operation) -> usize {
        self.asked().iter().filter(|asked| asked.operation == operation).count()
    }

    pub fn most_in_flight(&self) -> usize {
        self.most_in_flight.load(SeqCst)
    }

    fn begin(&self, operation: Operation, id: &str) -> (StoreResponse, InFlight<'_>) {
        lock(&self.asked).push(Asked { operation, id: id.to_owned(), at: Instant::now() });
        self.most_in_flight.fetch_max(self.in_flight.fetch_add(1, SeqCst) + 1, SeqCst);
        let mut script = lock(&self.script);
        let fits = |line: &&mut Line| line.operation == operation && line.id.as_deref().is_none_or(|own| own == id);
        let answer = script.iter_mut().filter(fits).find_map(|line| line.answers.pop_front().or(line.always.clone()));
        (answer.unwrap_or(StoreResponse::Honest), InFlight(&self.in_flight))
    }

    /// What comes in front of the operation itself.
    async fn before(&self, answer: &StoreResponse, id: &str, document: Option<&Document>) -> Result<(), StoreError> {
        match answer {
            StoreResponse::Honest | StoreResponse::DoneButLost(_) => Ok(()),
            StoreResponse::Fails(error) => Err(error.clone()),
            StoreResponse::OtherWriterFirst(update) => {
                self.write_past_the_script(id, update).await;
                Ok(())
            }
            StoreResponse::Slow(delay) => {
                sleep(*delay).await;
                Ok(())
            }
            StoreResponse::Stalls => pending().await,
            StoreResponse::Panics => panic!("the store panics on {id}"),
            StoreResponse::Judged(judge) => document.and_then(judge).map_or(Ok(()), Err),
        }
    }

    /// Another writer's write.
    pub async fn write_past_the_script(&self, id: &str, update: &Update) {
        if let Some(Stored { mut document, etag }) =
            self.memory.read(id, &RequestCharge::default()).await.expect("memory can be read")
        {
            document.merge(update);
            self.memory.replace(&document, &etag, &RequestCharge::default()).await.expect("nobody is in between");
        } else {
            let mut document = Document::new(id.to_owned());
            document.merge(update);
            self.put(&document).await;
        }
    }
}

/// An operation in flight, until it ends or is dropped.
struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

fn after<T>(answer: StoreResponse, result: Result<T, StoreError>) -> Result<T, StoreError> {
    match answer {
        StoreResponse::DoneButLost(error) => result.and(Err(error)),
        _ => result,
    }
}

#[async_trait]
impl StateStore for ScriptedStore {
    async fn read(&self, id: &str, charge: &RequestCharge) -> Result<Option<Stored>, StoreError> {
        let (answer, _in_flight) = self.begin(Operation::Read, id);
        charge.add(READ_UNITS);
        self.before(&answer, id, None).await?;
        after(answer, self.memory.read(id, charge).await)
    }

    async fn create(&self, document: &Document, charge: &RequestCharge) -> Result<ETag, StoreError> {
        let (answer, _in_flight) = self.begin(Operation::Write, &document.id);
        charge.add(WRITE_UNITS);
        self.before(&answer, &document.id, Some(document)).await?;
        after(answer, self.memory.create(document, charge).await)
    }

    async fn replace(&self, document: &Document, if_match: &ETag, charge: &RequestCharge) -> Result<ETag, StoreError> {
        let (answer, _in_flight) = self.begin(Operation::Write, &document.id);
        charge.add(WRITE_UNITS);
        self.before(&answer, &document.id, Some(document)).await?;
        after(answer, self.memory.replace(document, if_match, charge).await)
    }

    async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<Document>, StoreError> {
        self.memory.list(after, limit).await
    }
}
