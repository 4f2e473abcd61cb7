//! State documents in an SQLite file, which several handler processes of one machine may share.

use async_trait::async_trait;
use devicestate_engine::{
    device_state::Document,
    store::{ETag, Page, RequestCharge, Selection, StateStore, StoreError, Stored},
};
use rusqlite::{ErrorCode, OptionalExtension as _, Row, params};

use crate::{database::Database, error::DatabaseError};

/// A store in an SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteStore(Database);

impl SqliteStore {
    /// Creates a store for the documents of this file.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self(database)
    }
}

/// Returns a tag that is never used again, even for a document that was deleted and created again.
fn new_etag() -> ETag {
    ETag(uuid::Uuid::new_v4().simple().to_string())
}

#[async_trait]
impl StateStore for SqliteStore {
    async fn read(&self, id: &str, _: &RequestCharge) -> Result<Option<Stored>, StoreError> {
        let key = id.to_owned();
        let row: Option<[Vec<u8>; 2]> = self
            .0
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
        let (id, text, etag) = (document.id.clone(), to_json(document)?, new_etag());
        let tag = etag.0.clone();
        let rows = self
            .0
            .write(move |connection| {
                connection
                    .prepare_cached(
                        "INSERT INTO documents (id, etag, document) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                    )?
                    .execute(params![id, tag, text])
            })
            .await?;
        if rows == 1 { Ok(etag) } else { Err(StoreError::Conflict) }
    }

    async fn replace(&self, document: &Document, if_match: &ETag, _: &RequestCharge) -> Result<ETag, StoreError> {
        let (id, text, etag) = (document.id.clone(), to_json(document)?, new_etag());
        let (tag, condition) = (etag.0.clone(), if_match.0.clone());
        let rows = self
            .0
            .write(move |connection| {
                connection
                    .prepare_cached("UPDATE documents SET etag = ?, document = ? WHERE id = ? AND etag = ?")?
                    .execute(params![tag, text, id, condition])
            })
            .await?;
        if rows == 1 { Ok(etag) } else { Err(StoreError::Conflict) }
    }

    async fn list(&self, selection: Selection<'_>, _: &RequestCharge) -> Result<Page, StoreError> {
        let Selection { filter, after, limit } = selection;
        let (after, limit) = (after.unwrap_or_default().to_owned(), i64::try_from(limit).unwrap_or(i64::MAX));
        let rows: Vec<[Vec<u8>; 2]> = self
            .0
            .read(move |connection| {
                connection
                    .prepare_cached("SELECT id, document FROM documents WHERE id > ? ORDER BY id LIMIT ?")?
                    .query_map(params![after, limit], |row| Ok([bytes(row, 0)?, bytes(row, 1)?]))?
                    .collect()
            })
            .await?;
        let mut page = Page::default();
        for [id, text] in rows {
            let id = match String::from_utf8(id) {
                Ok(id) => id,
                Err(error) => {
                    // No page can start after such an id, because the parameter of a query is text.
                    let id = String::from_utf8_lossy(error.as_bytes()).into_owned();
                    page.invalid.push(format!("the id of the stored document {id:?} is not UTF-8 text"));
                    continue;
                }
            };
            match parse_document(&id, &text) {
                Ok(document) if !filter.matches(&document) => {}
                Ok(document) => page.documents.push(document),
                Err(reason) => page.invalid.push(reason),
            }
            page.last_id = Some(id);
        }
        Ok(page)
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
