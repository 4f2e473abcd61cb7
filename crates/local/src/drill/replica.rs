//! The store's other region: the documents at the last replication. A failover replaces the first region's documents with them.

use std::collections::BTreeMap;

use devicestate_engine::device_state::{Document, Version};
use devicestate_sqlite::{Database, DatabaseError};
use rusqlite::{Connection, params};

/// The rows of all documents at one moment.
pub(super) struct Replica(Vec<Row>);

/// Id, ETag, document.
type Row = (String, String, String);

impl Replica {
    /// Reads the current documents.
    pub(super) async fn read(database: &Database) -> Result<Self, DatabaseError> {
        database.read(rows).await.map(Self)
    }

    /// Returns the number of documents.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Replaces the documents with the replica and returns how many readings are lost. The ETag of a document that was written
    /// after the replication becomes invalid.
    pub(super) async fn take_over(self, database: &Database) -> Result<usize, DatabaseError> {
        database
            .write(move |connection| {
                let before = versions(&rows(connection)?);
                connection.execute("DELETE FROM documents", [])?;
                let mut insert =
                    connection.prepare_cached("INSERT INTO documents (id, etag, document) VALUES (?, ?, ?)")?;
                for (id, etag, document) in &self.0 {
                    insert.execute(params![id, etag, document])?;
                }
                let after = versions(&self.0);
                Ok(before.iter().filter(|(reading, version)| after.get(reading) != Some(version)).count())
            })
            .await
    }
}

fn rows(connection: &Connection) -> rusqlite::Result<Vec<Row>> {
    let mut select = connection.prepare_cached("SELECT id, etag, document FROM documents")?;
    select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
}

/// Returns the version of each reading of each document.
fn versions(rows: &[Row]) -> BTreeMap<(String, String), Version> {
    let documents = rows.iter().filter_map(|(_, _, text)| serde_json::from_str::<Document>(text).ok());
    documents
        .flat_map(|document| {
            let names: Vec<_> = document.readings().map(|(name, _)| name.to_owned()).collect();
            names.into_iter().filter_map(move |name| {
                let version = document.version(&name)?;
                Some(((document.id.clone(), name), version))
            })
        })
        .collect()
}
