//! State documents in an SQLite file, which several handler processes of one machine may share.

use async_trait::async_trait;
use devicestate_engine::{
    device_state::Document,
    store::{ETag, RequestCharge, StateStore, StoreError, Stored},
};
use rusqlite::{ErrorCode, OptionalExtension as _, params};

use crate::database::{Database, DatabaseError};

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
        let row: Option<(String, String)> = self
            .0
            .read(move |connection| {
                connection
                    .prepare_cached("SELECT etag, document FROM documents WHERE id = ?")?
                    .query_row([key], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()
            })
            .await?;
        row.map(|(etag, text)| Ok(Stored { document: parse_document(id, &text)?, etag: ETag(etag) })).transpose()
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

    async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<Document>, StoreError> {
        let (after, limit) = (after.unwrap_or_default().to_owned(), i64::try_from(limit).unwrap_or(i64::MAX));
        let rows: Vec<(String, String)> = self
            .0
            .read(move |connection| {
                connection
                    .prepare_cached("SELECT id, document FROM documents WHERE id > ? ORDER BY id LIMIT ?")?
                    .query_map(params![after, limit], |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect()
            })
            .await?;
        rows.iter().map(|(id, text)| parse_document(id, text)).collect()
    }
}

fn parse_document(id: &str, text: &str) -> Result<Document, StoreError> {
    serde_json::from_str(text)
        .map_err(|error| StoreError::Rejected(format!("the stored document {id:?} is invalid: {error}")))
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
