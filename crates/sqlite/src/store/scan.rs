//! Reads the rows of the documents in the order of their ids, a bounded number in one operation: between two, the connection runs the
//! writes that wait.

use rusqlite::{Statement, params};

use super::bytes;
use crate::{connection::has_write_times, database::Database, error::DatabaseError};

/// Limits the rows that are read in one operation, about a millisecond.
const MAX_ROWS: i64 = 500;

/// Where the reading of a table has arrived.
pub(super) struct Scan<'a> {
    database: &'a Database,
    /// The id of the last row, which need not be valid text.
    after: Vec<u8>,
}

/// A row of the documents.
pub(super) struct Row {
    pub(super) id: Vec<u8>,
    pub(super) document: Vec<u8>,
}

/// A row of the documents with its tag and the time of its last write.
pub(super) struct WrittenRow {
    pub(super) id: Vec<u8>,
    pub(super) etag: Vec<u8>,
    pub(super) document: Vec<u8>,
    pub(super) written_ms: i64,
}

impl<'a> Scan<'a> {
    /// Starts after this id.
    pub(super) fn new(database: &'a Database, after: Option<&str>) -> Self {
        Self { database, after: after.unwrap_or_default().into() }
    }

    /// Returns the next rows, up to `limit`; none at the end.
    pub(super) async fn next_rows(&mut self, limit: usize) -> Result<Vec<Row>, DatabaseError> {
        let (after, limit) = (self.after.clone(), i64::try_from(limit).unwrap_or(MAX_ROWS).min(MAX_ROWS));
        let rows = self
            .database
            .read(move |connection| {
                // The parameter has the type of the column, whatever bytes it has.
                connection
                    .prepare_cached(
                        "SELECT id, document FROM documents WHERE id > CAST(? AS TEXT) ORDER BY id LIMIT ?",
                    )?
                    .query_map(params![after, limit], |row| Ok(Row { id: bytes(row, 0)?, document: bytes(row, 1)? }))?
                    .collect::<Result<Vec<_>, _>>()
            })
            .await?;
        if let Some(last) = rows.last() {
            self.after.clone_from(&last.id);
        }
        Ok(rows)
    }

    /// Returns those of the next rows that were written in a range of time; `None` at the end.
    pub(super) async fn next_written(
        &mut self,
        after_ms: i64,
        until_ms: i64,
    ) -> Result<Option<Vec<WrittenRow>>, DatabaseError> {
        let after = self.after.clone();
        let (rows, last) = self
            .database
            .read(move |connection| {
                let mut statement = if has_write_times(connection)? {
                    connection.prepare_cached(
                        "SELECT id, etag, document, written_ms FROM documents WHERE id > CAST(? AS TEXT) ORDER BY id LIMIT ?",
                    )?
                } else {
                    connection.prepare_cached(
                        "SELECT id, etag, document, 0 FROM documents WHERE id > CAST(? AS TEXT) ORDER BY id LIMIT ?",
                    )?
                };
                read_written(&mut statement, &after, |time_ms| time_ms > after_ms && time_ms <= until_ms)
            })
            .await?;
        let Some(last) = last else { return Ok(None) };
        self.after = last;
        Ok(Some(rows))
    }
}

/// Returns the rows of a page in the range, and the id of the last row of the page.
fn read_written(
    statement: &mut Statement<'_>,
    after: &[u8],
    is_in_range: impl Fn(i64) -> bool,
) -> rusqlite::Result<(Vec<WrittenRow>, Option<Vec<u8>>)> {
    let mut rows = statement.query(params![after, MAX_ROWS])?;
    let (mut selected, mut last) = (Vec::new(), None::<Vec<u8>>);
    while let Some(row) = rows.next()? {
        let id = row.get_ref(0)?.as_bytes().unwrap_or_default();
        let written_ms = match row.get(3)? {
            0 => unknown_time_ms(id),
            written_ms => written_ms,
        };
        if is_in_range(written_ms) {
            selected.push(WrittenRow { id: id.to_vec(), etag: bytes(row, 1)?, document: bytes(row, 2)?, written_ms });
        }
        let last = last.get_or_insert_default();
        last.clear();
        last.extend_from_slice(id);
    }
    Ok((selected, last))
}

/// Returns the time of a document that an earlier version wrote, and did not record when: a millisecond soon after 1970 that depends on
/// its id, so that a range of time does not have all of them at once.
fn unknown_time_ms(id: &[u8]) -> i64 {
    const SPREAD_MS: u32 = 1_000_000;
    // FNV-1a, which is the same in each process.
    let hash = id.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    i64::from(1 + hash % SPREAD_MS)
}
