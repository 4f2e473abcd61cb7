//! The queue as a table in the state file of a machine.

use std::{error::Error, sync::Arc, time::Duration};

use async_trait::async_trait;
use devicestate_engine::{
    clock::Clock,
    queue::{DeadLetterQueue, Message, QueueError, Received, at_once},
};
use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};

use crate::database::{Database, DatabaseError, has_visibility};

/// The queue in an SQLite file. Messages stay until somebody deletes them: there is no seven days' limit here.
///
/// The column `visible_ms` is 0 for a message that nobody has, and otherwise the time until which it is hidden.
#[derive(Clone)]
pub struct SqliteQueue {
    database: Database,
    clock: Arc<dyn Clock>,
}

/// The oldest of the messages that are not hidden. Those that nobody has are found without a look at any other, and
/// so are those that are hidden no more: the index has each kind in one piece.
macro_rules! visible {
    () => {
        "SELECT message_id FROM (
             SELECT message_id FROM dead_letters INDEXED BY dead_letters_by_visibility
             WHERE visible_ms = 0 ORDER BY message_id LIMIT :most)
         UNION ALL SELECT message_id FROM (
             SELECT message_id FROM dead_letters INDEXED BY dead_letters_by_visibility
             WHERE visible_ms > 0 AND visible_ms <= :now ORDER BY message_id LIMIT :most)
         ORDER BY message_id LIMIT :most"
    };
}

const PEEK: &str = concat!(
    "SELECT message_id, inserted_ms, text, dequeue_count, receipt FROM dead_letters WHERE message_id IN (",
    visible!(),
    ") ORDER BY message_id"
);

/// For a file of an earlier version, in which nothing can be hidden.
const PEEK_AT_ALL: &str =
    "SELECT message_id, inserted_ms, text, 0, 0 FROM dead_letters ORDER BY message_id LIMIT :most";

const RECEIVE: &str = concat!(
    "UPDATE dead_letters SET visible_ms = :until, dequeue_count = dequeue_count + 1, receipt = receipt + 1 \
     WHERE message_id IN (",
    visible!(),
    ") RETURNING message_id, inserted_ms, text, dequeue_count, receipt"
);

impl SqliteQueue {
    /// The queue of this file, in which messages are hidden by this clock.
    #[must_use]
    pub fn new(database: Database, clock: Arc<dyn Clock>) -> Self {
        Self { database, clock }
    }

    /// Runs an operation that writes, with the time at which it has the lock: it may have waited for it for seconds.
    async fn write<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Connection, i64) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let clock = Arc::clone(&self.clock);
        self.database.write(move |connection| operation(connection, clock.now_ms())).await
    }
}

#[async_trait]
impl DeadLetterQueue for SqliteQueue {
    fn name(&self) -> String {
        format!("dead_letters in {}", self.database.path().display())
    }

    async fn put(&self, body: &[u8]) -> Result<(), QueueError> {
        let body = body.to_vec();
        let put = move |connection: &Connection, now: i64| {
            connection
                .prepare_cached("INSERT INTO dead_letters (inserted_ms, text) VALUES (?, ?)")?
                .execute(params![now, body])
        };
        Ok(self.write(put).await.map(drop)?)
    }

    async fn count(&self) -> Result<u64, QueueError> {
        let count = |connection: &Connection| {
            connection.query_row("SELECT count(*) FROM dead_letters", [], |row| row.get::<_, i64>(0))
        };
        Ok(self.database.read(count).await.map(|count| u64::try_from(count).unwrap_or_default())?)
    }

    async fn peek(&self, most: usize) -> Result<Vec<Message>, QueueError> {
        let clock = Arc::clone(&self.clock);
        let peek = move |connection: &Connection| {
            let (now, most) = (clock.now_ms(), at_once(most));
            let message = |row: &Row<'_>| received(row).map(|received| received.message);
            if has_visibility(connection)? {
                let mut peek = connection.prepare_cached(PEEK)?;
                peek.query_map(named_params! {":now": now, ":most": most}, message)?.collect()
            } else {
                let mut peek = connection.prepare_cached(PEEK_AT_ALL)?;
                peek.query_map(named_params! {":most": most}, message)?.collect()
            }
        };
        Ok(self.database.read(peek).await?)
    }

    async fn receive(&self, most: usize, hidden: Duration) -> Result<Vec<Received>, QueueError> {
        let hidden = hidden.max(Duration::from_secs(1));
        let receive = move |connection: &Connection, now: i64| {
            let parameters = named_params! {":until": until(now, hidden), ":now": now, ":most": at_once(most)};
            connection
                .prepare_cached(RECEIVE)?
                .query_map(parameters, |row| Ok((row.get::<_, i64>(0)?, received(row)?)))?
                .collect::<Result<Vec<_>, _>>()
        };
        let mut received = self.write(receive).await?;
        // SQLite promises no order of the rows that it changes.
        received.sort_unstable_by_key(|(id, _)| *id);
        Ok(received.into_iter().map(|(_, received)| received).collect())
    }

    async fn update(&self, received: &mut Received, body: Option<&[u8]>, hidden: Duration) -> Result<(), QueueError> {
        let (id, receipt, text) = (received.message.id.clone(), received.receipt.clone(), body.map(<[u8]>::to_vec));
        let update = move |connection: &Connection, now: i64| {
            connection
                .prepare_cached(
                    "UPDATE dead_letters SET visible_ms = ?, text = coalesce(?, text), receipt = receipt + 1 \
                     WHERE message_id = ? AND receipt = ? RETURNING receipt",
                )?
                .query_row(params![until(now, hidden), text, id, receipt], |row| row.get::<_, i64>(0))
                .optional()
        };
        match self.write(update).await? {
            Some(receipt) => received.updated(receipt.to_string(), body),
            None => return Err(gone(received)),
        }
        Ok(())
    }

    async fn delete(&self, received: &Received) -> Result<(), QueueError> {
        let (id, receipt) = (received.message.id.clone(), received.receipt.clone());
        let delete = move |connection: &Connection, _: i64| {
            connection
                .prepare_cached("DELETE FROM dead_letters WHERE message_id = ? AND receipt = ?")?
                .execute(params![id, receipt])
        };
        match self.write(delete).await? {
            0 => Err(gone(received)),
            _ => Ok(()),
        }
    }
}

/// Nobody has the message any more under this receipt.
fn gone(Received { message, .. }: &Received) -> QueueError {
    let text = format!("the message {} is not there any more, or somebody else has received it since", message.id);
    QueueError::Gone(Box::<dyn Error + Send + Sync>::from(text).into())
}

impl From<DatabaseError> for QueueError {
    fn from(error: DatabaseError) -> Self {
        Self::Unavailable(Arc::new(error))
    }
}

/// A message from the columns of [`PEEK`].
fn received(row: &Row<'_>) -> rusqlite::Result<Received> {
    let message = Message {
        id: row.get::<_, i64>(0)?.to_string(),
        inserted_ms: row.get(1)?,
        body: row.get(2)?,
        expires_ms: None,
        dequeue_count: row.get(3)?,
    };
    Ok(Received { message, receipt: row.get::<_, i64>(4)?.to_string(), is_base64: false })
}

/// The value of `visible_ms` for a message that is hidden for so long.
fn until(now: i64, hidden: Duration) -> i64 {
    match i64::try_from(hidden.as_secs()).unwrap_or(i64::MAX) {
        0 => 0,
        seconds => now.saturating_add(seconds.saturating_mul(1_000)),
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::database::OpenMode;

    /// Counted in steps of SQLite's own machine, so that it is no matter of time.
    #[tokio::test]
    async fn messages_that_are_hidden_are_not_looked_at() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database::open(&folder.path().join("state.db"), OpenMode::Create).expect("a database");
        let steps = |connection: &Connection| {
            connection.execute(
                "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 10000)
                 INSERT INTO dead_letters (inserted_ms, text, visible_ms)
                 SELECT 0, x'00', CASE n WHEN 5000 THEN 1 WHEN 10000 THEN 0 ELSE 9 END FROM n",
                [],
            )?;
            let mut receive = connection.prepare(RECEIVE)?;
            let parameters = named_params! {":until": 9, ":now": 5, ":most": 32};
            let ids = receive.query_map(parameters, |row| row.get::<_, i64>(0))?.collect::<Result<Vec<_>, _>>()?;
            Ok((ids, receive.get_status(StatementStatus::VmStep)))
        };
        let (ids, steps) = database.write(steps).await.expect("the statements are right");
        assert_eq!(ids, [5_000, 10_000]);
        assert!(steps < 1_000, "{steps} steps");
    }
}
