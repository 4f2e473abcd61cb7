//! State documents in an SQLite file, which several handler processes of one machine may share.

mod filtered;
mod quick;
mod scan;

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
};

use async_trait::async_trait;
use devicestate_engine::{
    clock::{Clock, System},
    device_state::Document,
    store::{
        ETag, Filter, Page, RequestCharge, Selection, StateStore, StoreError, Stored, Written, WrittenRange,
        keep_first_written,
    },
};
use rusqlite::{ErrorCode, OptionalExtension as _, Row, params};

use crate::{database::Database, error::DatabaseError};
use filtered::FilteredText;
use scan::Scan;

/// How long a write may take until it is committed, in milliseconds: of the times since then, another process
/// may still commit a write. A transaction is that long only while the machine is suspended.
const MAX_COMMIT_MS: i64 = 500;

/// How long a list may take before it ends with a partial page, in milliseconds. Otherwise a filter that selects few of many devices would
/// never be answered.
const MAX_LIST_MS: i64 = 2_000;

/// A store in an SQLite file.
#[derive(Clone)]
pub struct SqliteStore {
    database: Database,
    clock: Arc<dyn Clock>,
    /// The time of the last write of this connection.
    last_written_ms: Arc<AtomicI64>,
    tags: Arc<Tags>,
}

/// Makes tags that are never used again, even for a document that was deleted and created again: the random number of this store,
/// and a counter. A random number for each tag would be a system call for each document.
struct Tags {
    store: u64,
    next: AtomicU64,
}

impl Tags {
    fn new() -> Self {
        Self { store: uuid::Uuid::new_v4().as_u64_pair().0, next: AtomicU64::new(0) }
    }

    fn next(&self) -> ETag {
        ETag(format!("{:016x}{:016x}", self.store, self.next.fetch_add(1, Relaxed)))
    }
}

impl SqliteStore {
    /// Creates a store for the documents of this file.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self::with_clock(database, Arc::new(System))
    }

    /// Creates a store that takes the times of writes from this clock.
    #[must_use]
    pub fn with_clock(database: Database, clock: Arc<dyn Clock>) -> Self {
        Self { database, clock, last_written_ms: Arc::default(), tags: Arc::new(Tags::new()) }
    }

    /// Returns a function that returns the time of a write, to be called within its transaction: then the writes of all processes are
    /// committed in the order of their times, since they share the machine's clock and one of them holds the lock.
    ///
    /// The times of a connection never step back. If the clock of the machine is set back while several processes write, another one
    /// may commit an earlier time than one that was already read, and [`SqliteStore::written`] does not return this write until the
    /// next one of its device. A process of an earlier version does not record the time at all.
    fn write_time(&self) -> impl FnOnce() -> i64 + Send + use<> {
        let (clock, last_written_ms) = (Arc::clone(&self.clock), Arc::clone(&self.last_written_ms));
        move || {
            let now = clock.now_ms();
            last_written_ms.fetch_max(now, Relaxed).max(now)
        }
    }
}

#[async_trait]
impl StateStore for SqliteStore {
    async fn read(&self, id: &str, _: &RequestCharge) -> Result<Option<Stored>, StoreError> {
        let key = id.to_owned();
        let row: Option<[Vec<u8>; 2]> = self
            .database
            .read(move |connection| {
                connection
                    .prepare_cached("SELECT etag, document FROM documents WHERE id = ?")?
                    .query_row([key], |row| Ok([bytes(row, 0)?, bytes(row, 1)?]))
                    .optional()
            })
            .await?;
        let Some([etag, text]) = row else { return Ok(None) };
        let document = parse_document(id, &text).map_err(StoreError::Rejected)?;
        let etag = String::from_utf8(etag)
            .map_err(|_| StoreError::Rejected(format!("the tag of the stored document {id:?} is not UTF-8 text")))?;
        Ok(Some(Stored { document, etag: ETag(etag) }))
    }

    async fn create(&self, document: &Document, _: &RequestCharge) -> Result<ETag, StoreError> {
        let (id, text, etag) = (document.id.clone(), to_json(document)?, self.tags.next());
        let (tag, write_time) = (etag.0.clone(), self.write_time());
        let rows = self
            .database
            .write(move |connection| {
                connection
                    .prepare_cached(
                        "INSERT INTO documents (id, etag, document, written_ms) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    )?
                    .execute(params![id, tag, text, write_time()])
            })
            .await?;
        if rows == 1 { Ok(etag) } else { Err(StoreError::Conflict) }
    }

    async fn replace(&self, document: &Document, if_match: &ETag, _: &RequestCharge) -> Result<ETag, StoreError> {
        let (id, text, etag) = (document.id.clone(), to_json(document)?, self.tags.next());
        let (tag, condition, write_time) = (etag.0.clone(), if_match.0.clone(), self.write_time());
        let rows = self
            .database
            .write(move |connection| {
                connection
                    .prepare_cached(
                        "UPDATE documents SET etag = ?, document = ?, written_ms = ? WHERE id = ? AND etag = ?",
                    )?
                    .execute(params![tag, text, write_time(), id, condition])
            })
            .await?;
        if rows == 1 { Ok(etag) } else { Err(StoreError::Conflict) }
    }

    async fn list(&self, selection: Selection<'_>, _: &RequestCharge) -> Result<Page, StoreError> {
        let Selection { filter, after, limit } = selection;
        let text = FilteredText::new(filter);
        let mut scan = Scan::new(&self.database, after);
        let (mut page, mut last_examined) = (Page::default(), None);
        let end_ms = self.clock.now_ms().saturating_add(MAX_LIST_MS);
        loop {
            let missing = limit - page.documents.len() - page.invalid.len();
            let rows = scan.next_rows(if *filter == Filter::EVERY { missing } else { usize::MAX }).await?;
            if missing == 0 || rows.is_empty() {
                break;
            }
            for row in rows {
                if page.documents.len() + page.invalid.len() == limit {
                    break;
                }
                let id = match String::from_utf8(row.id) {
                    Ok(id) => id,
                    Err(error) => {
                        // No page can start after such an id, because the id of a page is text.
                        let id = String::from_utf8_lossy(error.as_bytes()).into_owned();
                        page.invalid.push(format!("the id of the stored document {id:?} is not UTF-8 text"));
                        continue;
                    }
                };
                match text.select(&id, &row.document) {
                    Ok(None) => {}
                    Ok(Some(document)) => page.documents.push(document),
                    Err(reason) => page.invalid.push(reason),
                }
                last_examined = Some(id);
            }
            let is_full = page.documents.len() + page.invalid.len() == limit;
            if *filter != Filter::EVERY && !is_full && self.clock.now_ms() >= end_ms {
                page.is_partial = true;
                break;
            }
        }
        if page.is_partial || !page.documents.is_empty() || !page.invalid.is_empty() {
            // The next page need not examine the documents again that the filter rejects.
            page.last_id = last_examined;
        }
        Ok(page)
    }

    async fn count(&self, filter: &Filter, _: &RequestCharge) -> Result<u64, StoreError> {
        let text = FilteredText::new(filter);
        let (mut scan, mut count) = (Scan::new(&self.database, None), 0);
        loop {
            let rows = scan.next_rows(usize::MAX).await?;
            if rows.is_empty() {
                return Ok(count);
            }
            let is_selected =
                |row: &&scan::Row| str::from_utf8(&row.id).is_ok_and(|id| text.is_selected(id, &row.document));
            count += rows.iter().filter(is_selected).count() as u64;
        }
    }

    /// Reads every row, whatever the range is: there is no index of the times. Large pages are cheaper.
    async fn written(&self, range: WrittenRange<'_>, _: &RequestCharge) -> Result<Vec<Written>, StoreError> {
        let text = FilteredText::new(range.filter);
        let mut until_ms = range.until_ms;
        let mut scan = Scan::new(&self.database, None);
        let mut written = Vec::new();
        while let Some(rows) = scan.next_written(range.after_ms, until_ms).await? {
            for row in rows {
                // A row that is not valid cannot be returned. `list` describes it.
                let Ok(id) = String::from_utf8(row.id) else { continue };
                let Ok(Some(document)) = text.select(&id, &row.document) else { continue };
                let Ok(etag) = String::from_utf8(row.etag) else { continue };
                written.push(Written { stored: Stored { document, etag: ETag(etag) }, written_ms: row.written_ms });
            }
            if written.len() > range.limit.saturating_mul(2) {
                keep_first_written(&mut written, range.limit, |written| written.written_ms);
                until_ms = written.last().map_or(until_ms, |last| last.written_ms);
            }
        }
        keep_first_written(&mut written, range.limit, |written| written.written_ms);
        Ok(written)
    }

    fn settled_ms(&self) -> i64 {
        self.clock.now_ms().saturating_sub(MAX_COMMIT_MS)
    }
}

/// Returns the bytes of a text, which SQLite does not check: a damaged row must be an error of its document only. Another
/// type has no bytes.
fn bytes(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<u8>> {
    Ok(row.get_ref(column)?.as_bytes().unwrap_or_default().to_vec())
}

/// Returns the document in a row with this id, or why it is invalid.
fn parse_document(id: &str, text: &[u8]) -> Result<Document, String> {
    let document: Document =
        serde_json::from_slice(text).map_err(|error| format!("the stored document {id:?} is invalid: {error}"))?;
    if document.id != id {
        // Writing it would mix two devices.
        return Err(format!("the stored document {id:?} is invalid: it names the document {:?}", document.id));
    }
    Ok(document)
}

fn to_json(document: &Document) -> Result<String, StoreError> {
    serde_json::to_string(document)
        .map_err(|error| StoreError::Rejected(format!("the document {:?} cannot be written: {error}", document.id)))
}

impl From<DatabaseError> for StoreError {
    fn from(error: DatabaseError) -> Self {
        match error.code {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Transient(error.to_string()),
            Some(ErrorCode::TooBig) => Self::Rejected(error.to_string()),
            _ => Self::Systemic(error.to_string()),
        }
    }
}
