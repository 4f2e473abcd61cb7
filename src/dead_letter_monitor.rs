//! The dead-letter monitor: the app's timer function, which reports how old the oldest dead letter is once an hour.
//!
//! Only a read of the queue shows the age, and while no events arrive, the handler has no other reason to read it. The
//! request's body is not read, because the timer has no data. The monitor changes nothing in the queue.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use devicestate_azure::{StorageError, StorageErrorKind, StorageQueue};
use devicestate_engine::{
    clock::{Clock as _, System},
    function_app::Function,
    queue::{DeadLetterQueue, MAX_RECEIVE_COUNT, Message, QueueError},
    record::{DeadLetterQueueRecord, Record},
    reply::Reply,
    settings::{ConfigError, Settings},
    text::panic_message,
};
use devicestate_sqlite::{Database, DatabaseError, OpenMode, SqliteQueue};
use futures_util::{FutureExt as _, future::join_all};
use tokio::{task::spawn_blocking, time::timeout};

use crate::{config::QueueConfig, log};

/// Limits the inspection of a queue: an outage of the service is detected within 5 s, a missing token within 15 s.
const INSPECTION_TIME: Duration = Duration::from_secs(20);

/// Inspects the dead-letter queues of an app.
#[derive(Debug)]
pub struct DeadLetterMonitor {
    queues: Vec<MonitoredQueue>,
    budget: Duration,
}

/// A dead-letter queue. It is opened for each inspection, so that an error ends once its cause is repaired.
#[derive(Debug, PartialEq, Eq)]
struct MonitoredQueue {
    name: String,
    config: Result<QueueConfig, ConfigError>,
}

/// Why a queue could not be inspected.
#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    /// The settings of the queue are missing or invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The state file is missing or invalid.
    #[error("{0} (setting `DeadLetterSqlitePath`)")]
    File(DatabaseError),
    /// The request to the queue failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The inspection took too long.
    #[error("the inspection of the queue {name} did not finish within {} s", .budget.as_secs())]
    Timeout {
        /// The queue's name.
        name: String,
        /// The time that the inspection was given.
        budget: Duration,
    },
    /// A bug of the handler.
    #[error("the inspection of the queue {name} panicked: {message}")]
    Panic {
        /// The queue's name.
        name: String,
        /// The message of the panic.
        message: String,
    },
}

impl DeadLetterMonitor {
    /// Creates a monitor of these functions' dead-letter queues. An inspection ends within 20 s and within
    /// `invocation_budget`.
    ///
    /// Invalid settings of a queue do not prevent the start, since batches do not need them: each inspection then fails
    /// with the reason.
    #[must_use]
    pub fn new(functions: &[Function], settings: &Settings, invocation_budget: Duration) -> Self {
        let mut queues = Vec::new();
        for Function { dead_letters, .. } in functions {
            let name = settings.resolve(&dead_letters.queue_name).unwrap_or_else(|_| dead_letters.queue_name.clone());
            let queue = MonitoredQueue { name, config: QueueConfig::from_settings(settings, dead_letters) };
            if !queues.contains(&queue) {
                queues.push(queue);
            }
        }
        Self { queues, budget: INSPECTION_TIME.min(invocation_budget) }
    }

    /// Handles an invocation of the timer function of this name. Returns the body of a reply with status 200, which has a
    /// record for each queue.
    ///
    /// # Errors
    ///
    /// Returns the body of a reply with status 503 if a queue cannot be inspected. The host calls again at the timer's next
    /// time. The records of the other queues and the error are then in the handler's own log.
    pub async fn invoke(&self, function: &str, invocation_id: &str) -> Result<String, String> {
        let inspections = join_all(self.queues.iter().map(|queue| self.inspect(queue))).await;
        let (mut records, mut errors) = (Vec::new(), Vec::new());
        for inspection in inspections {
            match inspection {
                Ok(record) => records.push(Record::DeadLetterQueue(record)),
                Err(error) => errors.push(error.to_string()),
            }
        }
        if errors.is_empty() {
            return Ok(Reply::from_logs(&records).to_json());
        }
        records.iter().for_each(log::write_record);
        let error = format!("the age of the oldest dead letter is unknown: {}", errors.join("; "));
        tracing::error!(function, invocationId = invocation_id, "{error}");
        Err(serde_json::json!({ "error": error }).to_string())
    }

    /// Inspects one queue, with a time limit, and turns a panic into an error.
    async fn inspect(&self, queue: &MonitoredQueue) -> Result<DeadLetterQueueRecord, MonitorError> {
        let name = || queue.name.clone();
        let inspection = AssertUnwindSafe(timeout(self.budget, queue.inspect())).catch_unwind();
        match inspection.await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(MonitorError::Timeout { name: name(), budget: self.budget }),
            Err(panic) => Err(MonitorError::Panic { name: name(), message: panic_message(&*panic).to_owned() }),
        }
    }
}

impl MonitoredQueue {
    async fn inspect(&self) -> Result<DeadLetterQueueRecord, MonitorError> {
        let queue = self.open().await?;
        match tokio::try_join!(queue.count(), queue.peek(MAX_RECEIVE_COUNT)) {
            Ok((count, peeked)) => Ok(self.record(count, &peeked, System.now_ms())),
            Err(error) if is_missing_queue(&error) => {
                // It has no messages. A wrong name is visible only here.
                tracing::info!("{error}");
                Ok(self.record(0, &[], System.now_ms()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the queue. A file is opened on a blocking thread: another process may hold its lock, and batches must not wait
    /// for that.
    async fn open(&self) -> Result<Box<dyn DeadLetterQueue>, MonitorError> {
        match self.config.clone()? {
            QueueConfig::Storage { connection, name } => {
                Ok(Box::new(StorageQueue::new(&connection, &name)?.with_reader_role()))
            }
            QueueConfig::Sqlite(path) => {
                let open = move || Database::open(&path, OpenMode::ReadOnly);
                let database =
                    spawn_blocking(open).await.expect("opening does not panic").map_err(MonitorError::File)?;
                Ok(Box::new(SqliteQueue::new(database, Arc::new(System))))
            }
        }
    }

    /// Creates the record of a queue from the count of its messages, the peeked messages, and the time in milliseconds since
    /// 1970.
    fn record(&self, count: u64, peeked: &[Message], now_ms: i64) -> DeadLetterQueueRecord {
        let oldest_ms = peeked.iter().map(|message| message.inserted_ms).min();
        let next_expiry_ms = peeked.iter().filter_map(|message| message.expires_ms).min();
        DeadLetterQueueRecord {
            queue_name: self.name.clone(),
            // Two requests: the count is approximate, and messages may arrive between them.
            messages: count.max(peeked.len() as u64),
            // The clocks of the service and of this machine may differ.
            oldest_age_ms: oldest_ms.map(|inserted_ms| (now_ms - inserted_ms).max(0)),
            expires_in_ms: next_expiry_ms.map(|expires_ms| (expires_ms - now_ms).max(0)),
        }
    }
}

/// Returns true if the storage account has no such queue: the host creates it with the first dead letter.
fn is_missing_queue(error: &QueueError) -> bool {
    let error = error.cause().downcast_ref::<StorageError>();
    error.is_some_and(|error| error.kind == StorageErrorKind::MissingQueue)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;
    const NOW_MS: i64 = 20_000 * DAY_MS;

    /// Returns a message of this age that expires in `expires_in_ms` milliseconds; `None` for never.
    fn message(age_ms: i64, expires_in_ms: Option<i64>) -> Message {
        Message {
            id: "m".to_owned(),
            body: Vec::new(),
            inserted_ms: NOW_MS - age_ms,
            expires_ms: expires_in_ms.map(|time| NOW_MS + time),
            dequeue_count: 0,
        }
    }

    fn record(count: u64, peeked: &[Message]) -> (u64, Option<i64>, Option<i64>) {
        let config = Ok(QueueConfig::Sqlite("state.db".into()));
        let record = MonitoredQueue { name: "q".to_owned(), config }.record(count, peeked, NOW_MS);
        assert_eq!(record.queue_name, "q");
        (record.messages, record.oldest_age_ms, record.expires_in_ms)
    }

    #[test]
    fn the_age_is_that_of_the_oldest_message_at_any_position() {
        let messages =
            [message(DAY_MS, Some(6 * DAY_MS)), message(6 * DAY_MS, Some(DAY_MS)), message(0, Some(7 * DAY_MS))];
        assert_eq!(record(17, &messages), (17, Some(6 * DAY_MS), Some(DAY_MS)));
    }

    #[test]
    fn the_expiry_is_that_of_the_next_message_to_expire() {
        assert_eq!(record(1, &[message(9 * DAY_MS, None)]), (1, Some(9 * DAY_MS), None));
        assert_eq!(
            record(2, &[message(9 * DAY_MS, None), message(DAY_MS, Some(6 * DAY_MS))]),
            (2, Some(9 * DAY_MS), Some(6 * DAY_MS))
        );
    }

    #[test]
    fn a_queue_without_visible_messages_has_no_age() {
        assert_eq!(record(0, &[]), (0, None, None));
        assert_eq!(record(3, &[]), (3, None, None));
    }

    #[test]
    fn ages_are_never_negative_and_the_count_covers_the_peeked_messages() {
        assert_eq!(record(0, &[message(-5_000, Some(-1))]), (1, Some(0), Some(0)));
    }
}
