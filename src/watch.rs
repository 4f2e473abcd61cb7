//! How old the oldest dead letter is: what a timer function of the app asks for, once an hour.
//!
//! Only somebody who looks at the queue can know it, and while no events come no batch makes the handler look. So the
//! request's body is not read: that it comes is all there is to know. Looking changes nothing in the queue.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use devicestate_azure::StorageQueue;
use devicestate_engine::{
    clock::{Clock as _, System},
    function_app::Function,
    queue::{DeadLetterQueue, MAX_RECEIVE_COUNT, Message, QueueError},
    record::{DeadLetterQueueRecord, Record},
    reply::Reply,
    settings::{ConfigError, Settings},
    text::panic_message,
};
use devicestate_sqlite::{Database, DatabaseError, Opening, SqliteQueue};
use futures_util::{FutureExt as _, future::join_all};
use tokio::{task::spawn_blocking, time::timeout};

use crate::{config::QueueConfig, log};

/// How long a look may take: an outage of the service is known within five seconds, a missing token within fifteen.
const BUDGET: Duration = Duration::from_secs(20);

/// Looks at the queues of an app's dead letters.
#[derive(Debug)]
pub struct Watch {
    queues: Vec<Watched>,
    budget: Duration,
}

/// A queue. It is opened for each look, so that what is wrong now may be right in an hour.
#[derive(Debug, PartialEq, Eq)]
struct Watched {
    name: String,
    place: Result<QueueConfig, ConfigError>,
}

/// Why a queue could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The settings do not say where it is.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no state file, or it is none.
    #[error("{0} (setting DeadLetterSqlitePath)")]
    File(DatabaseError),
    /// The queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The queue was too slow, in whatever way.
    #[error("the queue {name} was not looked at within {} s", .budget.as_secs())]
    Late {
        /// Its name.
        name: String,
        /// How long that might take.
        budget: Duration,
    },
    /// The handler's own fault.
    #[error("looking at the queue {name} panicked: {message}")]
    Panic {
        /// The queue's name.
        name: String,
        /// What it said.
        message: String,
    },
}

impl Watch {
    /// A watch over the queues that these functions put their dead letters into. It answers within its own budget, and in
    /// any case within `invocation_budget`.
    ///
    /// Settings that lead nowhere are no reason not to start, since batches do not need them: each look then fails, and
    /// says why.
    #[must_use]
    pub fn new(functions: &[Function], settings: &Settings, invocation_budget: Duration) -> Self {
        let mut queues = Vec::new();
        for Function { dead_letters, .. } in functions {
            let name = settings.resolve(&dead_letters.queue_name).unwrap_or_else(|_| dead_letters.queue_name.clone());
            let watched = Watched { name, place: QueueConfig::from_settings(settings, dead_letters) };
            if !queues.contains(&watched) {
                queues.push(watched);
            }
        }
        Self { queues, budget: BUDGET.min(invocation_budget) }
    }

    /// Answers an invocation of the timer function of this name: with 200 and this body, which has a record for each queue.
    ///
    /// # Errors
    ///
    /// With 503 and this body, when a queue cannot be looked at. The host calls again when it is time, so nothing is lost
    /// but this one look; what was seen of other queues is then told in the handler's own log, as well as the reason.
    pub async fn invoke(&self, function: &str, invocation_id: &str) -> Result<String, String> {
        let looks = join_all(self.queues.iter().map(|watched| self.look(watched))).await;
        let (mut records, mut errors) = (Vec::new(), Vec::new());
        for look in looks {
            match look {
                Ok(record) => records.push(Record::DeadLetterQueue(record)),
                Err(error) => errors.push(error.to_string()),
            }
        }
        if errors.is_empty() {
            return Ok(Reply::from_logs(&records).to_json());
        }
        records.iter().for_each(log::tell);
        let error = format!("how old the dead letters are is not known: {}", errors.join("; "));
        tracing::error!(function, invocation_id, "{error}");
        Err(serde_json::json!({ "error": error }).to_string())
    }

    /// Looks at one queue, in time and without a panic.
    async fn look(&self, watched: &Watched) -> Result<DeadLetterQueueRecord, WatchError> {
        let name = || watched.name.clone();
        let look = AssertUnwindSafe(timeout(self.budget, watched.look())).catch_unwind();
        match look.await {
            Ok(Ok(seen)) => seen,
            Ok(Err(_)) => Err(WatchError::Late { name: name(), budget: self.budget }),
            Err(panic) => Err(WatchError::Panic { name: name(), message: panic_message(&*panic).to_owned() }),
        }
    }
}

impl Watched {
    async fn look(&self) -> Result<DeadLetterQueueRecord, WatchError> {
        let queue = self.open().await?;
        let (count, seen) = tokio::join!(queue.count(), queue.peek(MAX_RECEIVE_COUNT));
        Ok(self.record(count?, &seen?, System.now_ms()))
    }

    /// The file is opened aside: another process may hold its lock, and batches must not wait for it.
    async fn open(&self) -> Result<Box<dyn DeadLetterQueue>, WatchError> {
        match self.place.clone()? {
            QueueConfig::Storage { connection, name } => {
                Ok(Box::new(StorageQueue::new(&connection, &name)?.for_a_reader()))
            }
            QueueConfig::Sqlite(path) => {
                let open = move || Database::open(&path, Opening::ReadOnly);
                let database = spawn_blocking(open).await.expect("opening does not panic").map_err(WatchError::File)?;
                Ok(Box::new(SqliteQueue::new(database, Arc::new(System))))
            }
        }
    }

    /// What there is to tell at this time, in milliseconds since 1970, of so many messages of which these were seen.
    fn record(&self, count: u64, seen: &[Message], now_ms: i64) -> DeadLetterQueueRecord {
        let oldest = seen.iter().map(|message| message.inserted_ms).min();
        let first_to_go = seen.iter().filter_map(|message| message.expires_ms).min();
        DeadLetterQueueRecord {
            queue_name: self.name.clone(),
            // The one is counted after the other, and both only about.
            messages: count.max(seen.len() as u64),
            // Two clocks need not agree.
            oldest_age_ms: oldest.map(|inserted| (now_ms - inserted).max(0)),
            expires_in_ms: first_to_go.map(|expires| (expires - now_ms).max(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;
    const NOW: i64 = 20_000 * DAY;

    /// A message of this age that is gone in so long, if ever.
    fn message(age: i64, expires_in: Option<i64>) -> Message {
        Message {
            id: "m".to_owned(),
            body: Vec::new(),
            inserted_ms: NOW - age,
            expires_ms: expires_in.map(|time| NOW + time),
            dequeue_count: 0,
        }
    }

    fn record(count: u64, seen: &[Message]) -> (u64, Option<i64>, Option<i64>) {
        let place = Ok(QueueConfig::Sqlite("state.db".into()));
        let record = Watched { name: "q".to_owned(), place }.record(count, seen, NOW);
        assert_eq!(record.queue_name, "q");
        (record.messages, record.oldest_age_ms, record.expires_in_ms)
    }

    #[test]
    fn the_oldest_message_is_told_of_wherever_it_lies() {
        let messages = [message(DAY, Some(6 * DAY)), message(6 * DAY, Some(DAY)), message(0, Some(7 * DAY))];
        assert_eq!(record(17, &messages), (17, Some(6 * DAY), Some(DAY)));
    }

    #[test]
    fn a_message_that_stays_does_not_hide_one_that_goes() {
        assert_eq!(record(1, &[message(9 * DAY, None)]), (1, Some(9 * DAY), None));
        assert_eq!(
            record(2, &[message(9 * DAY, None), message(DAY, Some(6 * DAY))]),
            (2, Some(9 * DAY), Some(6 * DAY))
        );
    }

    #[test]
    fn messages_of_which_none_is_seen_have_no_age() {
        assert_eq!(record(0, &[]), (0, None, None));
        assert_eq!(record(3, &[]), (3, None, None));
    }

    #[test]
    fn clocks_and_counts_that_do_not_agree_make_no_nonsense() {
        assert_eq!(record(0, &[message(-5_000, Some(-1))]), (1, Some(0), Some(0)));
    }
}
