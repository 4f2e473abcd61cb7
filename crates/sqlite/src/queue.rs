//! The dead-letter queue: a table in the state file of a machine.

use std::{error::Error, sync::Arc, time::Duration};

use async_trait::async_trait;
use devicestate_engine::{
    clock::Clock,
    queue::{DeadLetterQueue, Message, QueueError, Received, receive_count},
};
use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};

use crate::{connection::can_hide_messages, database::Database, error::DatabaseError};

/// The dead-letter queue in an SQLite file. Its messages do not expire.
///
/// The column `visible_ms` is the time until which a received message is hidden, in milliseconds since 1970; 0 for a message
/// that is not received.
#[derive(Clone)]
pub struct SqliteQueue {
    database: Database,
    clock: Arc<dyn Clock>,
}

/// Selects the oldest visible messages. Both parts use the index and read no hidden message: one finds messages that are not
/// received, the other those whose hidden time has ended.
macro_rules! visible {
    () => {
        "SELECT message_id FROM (
             SELECT message_id FROM dead_letters INDEXED BY dead_letters_by_visibility
             WHERE visible_ms = 0 ORDER BY message_id LIMIT :limit)
         UNION ALL SELECT message_id FROM (
             SELECT message_id FROM dead_letters INDEXED BY dead_letters_by_visibility
             WHERE visible_ms > 0 AND visible_ms <= :now ORDER BY message_id LIMIT :limit)
         ORDER BY message_id LIMIT :limit"
    };
}

const PEEK: &str = concat!(
    "SELECT message_id, inserted_ms, text, dequeue_count, receipt FROM dead_letters WHERE message_id IN (",
    visible!(),
    ") ORDER BY message_id"
);

/// Returns the messages that follow one, hidden or not. It works in a file of an earlier version, too, which cannot hide messages.
const PEEK_AFTER: &str = "SELECT message_id, inserted_ms, text, 0, 0 FROM dead_letters WHERE message_id > :after \
                          ORDER BY message_id LIMIT :limit";

const RECEIVE: &str = concat!(
    "UPDATE dead_letters SET visible_ms = :until, dequeue_count = dequeue_count + 1, receipt = receipt + 1 \
     WHERE message_id IN (",
    visible!(),
    ") RETURNING message_id, inserted_ms, text, dequeue_count, receipt"
);

impl SqliteQueue {
    /// Creates a queue in this file. The clock decides how long messages are hidden.
    #[must_use]
    pub fn new(database: Database, clock: Arc<dyn Clock>) -> Self {
        Self { database, clock }
    }

    /// Closes the connection to the file: see [`Database::close`].
    pub fn close(&self) {
        self.database.close();
    }

    /// Runs a write with the time at which it acquired the lock, since it may have waited for seconds.
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

    async fn peek(&self, limit: usize) -> Result<Vec<Message>, QueueError> {
        let clock = Arc::clone(&self.clock);
        let peek = move |connection: &Connection| {
            let (now, limit) = (clock.now_ms(), receive_count(limit));
            let message = |row: &Row<'_>| read_message(row).map(|received| received.message);
            if can_hide_messages(connection)? {
                let mut peek = connection.prepare_cached(PEEK)?;
                peek.query_map(named_params! {":now": now, ":limit": limit}, message)?.collect()
            } else {
                let mut peek = connection.prepare_cached(PEEK_AFTER)?;
                peek.query_map(named_params! {":after": 0, ":limit": limit}, message)?.collect()
            }
        };
        Ok(self.database.read(peek).await?)
    }

    /// Returns hidden messages as well, without their numbers of receives.
    async fn peek_after(&self, after: Option<&str>, limit: usize) -> Result<Vec<Message>, QueueError> {
        // An id of another queue is before all messages of this one.
        let after: i64 = after.and_then(|id| id.parse().ok()).unwrap_or_default();
        let peek = move |connection: &Connection| {
            let mut peek = connection.prepare_cached(PEEK_AFTER)?;
            let parameters = named_params! {":after": after, ":limit": receive_count(limit)};
            peek.query_map(parameters, |row| read_message(row).map(|received| received.message))?.collect()
        };
        Ok(self.database.read(peek).await?)
    }

    async fn receive(&self, limit: usize, hidden: Duration) -> Result<Vec<Received>, QueueError> {
        let hidden = hidden.max(Duration::from_secs(1));
        let receive = move |connection: &Connection, now: i64| {
            let parameters =
                named_params! {":until": visible_ms(now, hidden), ":now": now, ":limit": receive_count(limit)};
            connection
                .prepare_cached(RECEIVE)?
                .query_map(parameters, |row| Ok((row.get::<_, i64>(0)?, read_message(row)?)))?
                .collect::<Result<Vec<_>, _>>()
        };
        let mut received = self.write(receive).await?;
        // SQLite does not guarantee an order of returned rows.
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
                .query_row(params![visible_ms(now, hidden), text, id, receipt], |row| row.get::<_, i64>(0))
                .optional()
        };
        match self.write(update).await? {
            Some(receipt) => received.apply_update(receipt.to_string(), body),
            None => return Err(message_gone(received)),
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
            0 => Err(message_gone(received)),
            _ => Ok(()),
        }
    }
}

/// Returns the error of a message that does not exist under this receipt.
fn message_gone(Received { message, .. }: &Received) -> QueueError {
    let text = format!("the message {} no longer exists, or another receiver has received it since", message.id);
    QueueError::Gone(Box::<dyn Error + Send + Sync>::from(text).into())
}

impl From<DatabaseError> for QueueError {
    fn from(error: DatabaseError) -> Self {
        Self::Unavailable(Arc::new(error))
    }
}

/// Reads a message from the columns of [`PEEK`].
fn read_message(row: &Row<'_>) -> rusqlite::Result<Received> {
    let message = Message {
        id: row.get::<_, i64>(0)?.to_string(),
        inserted_ms: row.get(1)?,
        body: row.get(2)?,
        expires_ms: None,
        dequeue_count: row.get(3)?,
    };
    Ok(Received { message, receipt: row.get::<_, i64>(4)?.to_string(), is_base64: false })
}

/// Returns the value of `visible_ms` for a message that is hidden for this time.
fn visible_ms(now: i64, hidden: Duration) -> i64 {
    match i64::try_from(hidden.as_secs()).unwrap_or(i64::MAX) {
        0 => 0,
        seconds => now.saturating_add(seconds.saturating_mul(1_000)),
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::connection::OpenMode;

    #[tokio::test]
    async fn peek_after_returns_each_message_once_also_those_that_are_received() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database::open(&folder.path().join("state.db"), OpenMode::Create).expect("a database");
        let queue = SqliteQueue::new(database, Arc::new(devicestate_engine::clock::System));
        for body in [b"a", b"b", b"c"] {
            queue.put(body).await.expect("it is put");
        }
        queue.receive(1, Duration::from_hours(1)).await.expect("it is received");
        let (mut after, mut bodies) = (None, Vec::new());
        while let Some(message) = queue.peek_after(after.as_deref(), 1).await.expect("it is peeked").pop() {
            after = Some(message.id);
            bodies.push(message.body);
        }
        assert_eq!(bodies, [b"a", b"b", b"c"]);
    }

    /// Counts the steps of SQLite's virtual machine, so that the result does not depend on time.
    #[tokio::test]
    async fn receive_does_not_scan_hidden_messages() {
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
            let parameters = named_params! {":until": 9, ":now": 5, ":limit": 32};
            let ids = receive.query_map(parameters, |row| row.get::<_, i64>(0))?.collect::<Result<Vec<_>, _>>()?;
            Ok((ids, receive.get_status(StatementStatus::VmStep)))
        };
        let (ids, steps) = database.write(steps).await.expect("valid statements");
        assert_eq!(ids, [5_000, 10_000]);
        assert!(steps < 1_000, "{steps} steps");
    }
}
