//! The lists, one per key. They are outside the instances: appended events survive a crash.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use devicestate_ordering::{order_check::ArrivedLists, plan::Numbered};
use indicatif::ProgressBar;
use redis::{AsyncConnectionConfig, Client, RedisError, aio::MultiplexedConnection};

use crate::crash_trigger::CrashTrigger;

/// The number of chunks in which a full batch is appended. A crash may happen between any two of them.
const CHUNKS_PER_BATCH: usize = 10;

/// The timeout of Redis connections and replies.
const REDIS_TIMEOUT: Duration = Duration::from_secs(30);

/// The storage of the lists.
#[derive(Clone)]
pub(crate) enum ListStore {
    /// In this process.
    Memory(Arc<Mutex<ArrivedLists>>),
    /// `events:{key}` in a Redis server.
    Redis(Client),
}

/// A Redis command failed.
#[derive(Debug, thiserror::Error)]
#[error("the Redis request failed: {0}; check --redis")]
pub(crate) struct ListStoreError(#[from] RedisError);

impl ListStore {
    /// Opens the store: in memory, or in Redis at this URL.
    pub(crate) fn new(redis: Option<&str>) -> Result<Self, ListStoreError> {
        Ok(match redis {
            None => Self::Memory(Arc::default()),
            Some(url) => Self::Redis(Client::open(url)?),
        })
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Memory(_) => "memory",
            Self::Redis(_) => "redis",
        }
    }

    /// Returns the lists of these keys.
    pub(crate) async fn read(&self, keys: impl Iterator<Item = String>) -> Result<ArrivedLists, ListStoreError> {
        Ok(match self {
            Self::Memory(lists) => {
                let lists = lists.lock().unwrap_or_else(PoisonError::into_inner);
                keys.map(|key| (lists.get(&key).cloned().unwrap_or_default(), key))
                    .map(|(list, key)| (key, list))
                    .collect()
            }
            Self::Redis(client) => {
                let mut connection = connect(client).await?;
                let mut arrived = ArrivedLists::new();
                for key in keys {
                    let mut range = redis::cmd("LRANGE");
                    range.arg(redis_key(&key)).arg(0).arg(-1);
                    arrived.insert(key, range.query_async(&mut connection).await?);
                }
                arrived
            }
        })
    }

    /// Deletes the lists of these keys and no others.
    pub(crate) async fn clear(&self, keys: impl Iterator<Item = String>) -> Result<(), ListStoreError> {
        match self {
            Self::Memory(lists) => lists.lock().unwrap_or_else(PoisonError::into_inner).clear(),
            Self::Redis(client) => {
                let mut connection = connect(client).await?;
                let names: Vec<_> = keys.map(|key| redis_key(&key)).collect();
                redis::cmd("DEL").arg(names).query_async::<()>(&mut connection).await?;
            }
        }
        Ok(())
    }

    /// Opens the lists for one handler, with its own connection.
    pub(crate) async fn open(
        &self,
        batch: usize,
        bar: ProgressBar,
        crash_trigger: Option<Arc<CrashTrigger>>,
    ) -> Result<Lists, ListStoreError> {
        let backend = match self {
            Self::Memory(lists) => Backend::Memory(Arc::clone(lists)),
            Self::Redis(client) => Backend::Redis(connect(client).await?),
        };
        Ok(Lists { backend, chunk: batch.div_ceil(CHUNKS_PER_BATCH), bar, crash_trigger })
    }
}

async fn connect(client: &Client) -> Result<MultiplexedConnection, ListStoreError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(REDIS_TIMEOUT))
        .set_response_timeout(Some(REDIS_TIMEOUT));
    Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
}

fn redis_key(key: &str) -> String {
    format!("events:{key}")
}

/// The lists of one handler.
pub(crate) struct Lists {
    backend: Backend,
    /// The number of events per chunk.
    chunk: usize,
    bar: ProgressBar,
    crash_trigger: Option<Arc<CrashTrigger>>,
}

enum Backend {
    Memory(Arc<Mutex<ArrivedLists>>),
    Redis(MultiplexedConnection),
}

impl Lists {
    /// Appends each event to the list of its key, in order, chunk by chunk. If this is dropped, earlier chunks remain.
    pub(crate) async fn append(&self, events: &[Numbered]) -> Result<(), ListStoreError> {
        let half = events.len().div_ceil(self.chunk) / 2;
        for (before, chunk) in events.chunks(self.chunk).enumerate() {
            self.push(chunk).await?;
            self.bar.inc(chunk.len() as u64);
            if let Some(crash_trigger) = &self.crash_trigger {
                crash_trigger.advance(chunk.len(), before + 1 == half).await;
            }
        }
        Ok(())
    }

    async fn push(&self, chunk: &[Numbered]) -> Result<(), ListStoreError> {
        match &self.backend {
            Backend::Memory(lists) => {
                push_all(lists, chunk);
                // As with a server, other tasks run between two chunks.
                tokio::task::yield_now().await;
            }
            Backend::Redis(connection) => {
                let mut pipeline = redis::pipe();
                for Numbered { key, number } in chunk {
                    pipeline.cmd("RPUSH").arg(redis_key(key)).arg(number).ignore();
                }
                pipeline.query_async::<()>(&mut connection.clone()).await?;
            }
        }
        Ok(())
    }
}

fn push_all(lists: &Mutex<ArrivedLists>, chunk: &[Numbered]) {
    let mut lists = lists.lock().unwrap_or_else(PoisonError::into_inner);
    for Numbered { key, number } in chunk {
        lists.entry(key.clone()).or_default().push(*number);
    }
}
