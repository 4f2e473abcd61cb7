//! The store's other region: the documents as they were when they were last replicated. A failover puts them in the place
//! of what the first region had.

use std::collections::BTreeMap;

use devicestate_engine::device_state::{Document, Version};
use devicestate_sqlite::{Database, DatabaseError};
use rusqlite::{Connection, params};

/// The rows of all documents at one moment.
pub(super) struct Replica(Vec<Row>);

/// Id, tag, document.
type Row = (String, String, String);

impl Replica {
    /// What the other region has when everything of now is replicated.
    pub(super) async fn of(database: &Database) -> Result<Self, DatabaseError> {
        database.read(rows).await.map(Self)
    }

    /// How many documents there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes the place of what is there, and gives back how many readings that loses. Who has read a document before has a
    /// tag of it that is none any more, as long as it was written since.
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

/// The version of each reading of each document.
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
