//! The lists, one for each key. They are outside the instances: what is appended survives them.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use devicestate_ordering::{plan::Numbered, verdict::Arrived};
use indicatif::ProgressBar;
use redis::{AsyncConnectionConfig, Client, RedisError, aio::MultiplexedConnection};

use crate::fuse::Fuse;

/// Into how many pieces the appending of a full batch falls. A crash may come between any two of them.
const PIECES: usize = 10;

/// How long Redis may take for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the lists are.
#[derive(Clone)]
pub(crate) enum Place {
    /// In this process.
    Memory(Arc<Mutex<Arrived>>),
    /// `events:{key}` in a Redis server.
    Redis(Client),
}

/// A list cannot be reached.
#[derive(Debug, thiserror::Error)]
#[error("Redis does not do what it is asked: {0} (option --redis)")]
pub(crate) struct Unreachable(#[from] RedisError);

impl Place {
    /// In this process, or at this address.
    pub(crate) fn new(redis: Option<&str>) -> Result<Self, Unreachable> {
        Ok(match redis {
            None => Self::Memory(Arc::default()),
            Some(url) => Self::Redis(Client::open(url)?),
        })
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Memory(_) => "memory",
            Self::Redis(_) => "Redis",
        }
    }

    /// Everything in the lists of these keys.
    pub(crate) async fn read(&self, keys: impl Iterator<Item = String>) -> Result<Arrived, Unreachable> {
        Ok(match self {
            Self::Memory(lists) => {
                let lists = lists.lock().unwrap_or_else(PoisonError::into_inner);
                keys.map(|key| (lists.get(&key).cloned().unwrap_or_default(), key))
                    .map(|(list, key)| (key, list))
                    .collect()
            }
            Self::Redis(client) => {
                let mut connection = connect(client).await?;
                let mut arrived = Arrived::new();
                for key in keys {
                    let mut range = redis::cmd("LRANGE");
                    range.arg(name(&key)).arg(0).arg(-1);
                    arrived.insert(key, range.query_async(&mut connection).await?);
                }
                arrived
            }
        })
    }

    /// Deletes the lists of these keys, and no other.
    pub(crate) async fn clear(&self, keys: impl Iterator<Item = String>) -> Result<(), Unreachable> {
        match self {
            Self::Memory(lists) => lists.lock().unwrap_or_else(PoisonError::into_inner).clear(),
            Self::Redis(client) => {
                let mut connection = connect(client).await?;
                let names: Vec<_> = keys.map(|key| name(&key)).collect();
                redis::cmd("DEL").arg(names).query_async::<()>(&mut connection).await?;
            }
        }
        Ok(())
    }

    /// The lists as one handler has them, with a connection of its own.
    pub(crate) async fn open(
        &self,
        batch: usize,
        bar: ProgressBar,
        fuse: Option<Arc<Fuse>>,
    ) -> Result<Lists, Unreachable> {
        let at = match self {
            Self::Memory(lists) => At::Memory(Arc::clone(lists)),
            Self::Redis(client) => At::Redis(connect(client).await?),
        };
        Ok(Lists { at, piece: batch.div_ceil(PIECES), bar, fuse })
    }
}

async fn connect(client: &Client) -> Result<MultiplexedConnection, Unreachable> {
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(PATIENCE)).set_response_timeout(Some(PATIENCE));
    Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
}

fn name(key: &str) -> String {
    format!("events:{key}")
}

/// The lists of one handler.
pub(crate) struct Lists {
    at: At,
    /// How many events are appended in one piece.
    piece: usize,
    bar: ProgressBar,
    fuse: Option<Arc<Fuse>>,
}

enum At {
    Memory(Arc<Mutex<Arrived>>),
    Redis(MultiplexedConnection),
}

impl Lists {
    /// Appends each event to the list of its key, in order, piece by piece. If this is dropped, the pieces before stay.
    pub(crate) async fn append(&self, events: &[Numbered]) -> Result<(), Unreachable> {
        let half = events.len().div_ceil(self.piece) / 2;
        for (before, piece) in events.chunks(self.piece).enumerate() {
            self.push(piece).await?;
            self.bar.inc(piece.len() as u64);
            if let Some(fuse) = &self.fuse {
                fuse.burn(piece.len(), before + 1 == half).await;
            }
        }
        Ok(())
    }

    async fn push(&self, piece: &[Numbered]) -> Result<(), Unreachable> {
        match &self.at {
            At::Memory(lists) => {
                push_all(lists, piece);
                // As a server would: others have their turn between two pieces.
                tokio::task::yield_now().await;
            }
            At::Redis(connection) => {
                let mut pipeline = redis::pipe();
                for Numbered { key, number } in piece {
                    pipeline.cmd("RPUSH").arg(name(key)).arg(number).ignore();
                }
                pipeline.query_async::<()>(&mut connection.clone()).await?;
            }
        }
        Ok(())
    }
}

fn push_all(lists: &Mutex<Arrived>, piece: &[Numbered]) {
    let mut lists = lists.lock().unwrap_or_else(PoisonError::into_inner);
    for Numbered { key, number } in piece {
        lists.entry(key.clone()).or_default().push(*number);
    }
}
