//! The live page: a server on this machine that shows the devices of a store as they change.

mod access;
mod assets;
mod detail;
mod events;
mod filter;
mod fleet;
mod letters;
mod poller;
mod problem;
mod run;
mod server;
mod shared;
#[cfg(test)]
mod test_store;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use axum::Router;
use devicestate_engine::{queue::DeadLetterQueue, store::StateStore};
use devicestate_read_api::ReadApi;

pub use access::protected;
pub use run::{PartitionFigures, Run, RunFigures};
pub use server::LiveServer;

/// What the page shows.
pub struct Options {
    /// The store of the documents. It must implement [`StateStore::written`].
    pub store: Arc<dyn StateStore>,
    /// The name of the store, such as `sqlite`.
    pub store_name: String,
    /// The state file, if the store is one.
    pub state: Option<PathBuf>,
    /// How the store is read.
    pub poll: Poll,
    /// Answers the requests below `/api`, and has the clock.
    pub api: Arc<ReadApi>,
    /// The dead letters.
    pub dead_letters: Option<DeadLetters>,
    /// The run whose figures the page shows.
    pub run: Option<Arc<dyn Run>>,
    /// The partition id of each number of a source: see [`Source::number`](devicestate_engine::batch::Source::number).
    pub partitions: BTreeMap<u64, String>,
    /// How long a device may be quiet until it is silent, in milliseconds.
    pub silent_after_ms: Option<i64>,
    /// Accepts events.
    pub listen: Option<Listen>,
}

/// How often a store is read.
#[derive(Debug, Clone, Copy)]
pub struct Poll {
    /// The time between two reads of what was written.
    pub every: Duration,
    /// The time between two counts of the documents, which discover that some were deleted.
    pub count_every: Duration,
    /// Whether the store is read only while a page is open, because each read has its price.
    pub only_for_readers: bool,
}

impl Poll {
    /// For a store on this machine.
    pub const LOCAL: Self =
        Self { every: Duration::from_millis(250), count_every: Duration::from_mins(1), only_for_readers: false };
    /// For Cosmos DB.
    pub const COSMOS: Self =
        Self { every: Duration::from_secs(2), count_every: Duration::from_mins(10), only_for_readers: true };
}

/// A queue of dead letters.
pub struct DeadLetters {
    /// The queue, which is only peeked.
    pub queue: Arc<dyn DeadLetterQueue>,
    /// How the commands that repair them are written.
    pub commands: Commands,
}

/// How commands about a queue are written for a user who copies them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commands {
    /// The program, such as `devicestate`, with settings in front if it needs them.
    pub program: String,
    /// The options that select the queue, such as ` --state state.db`, quoted for a shell.
    pub options: String,
}

/// Routes that accept events. They need no token, but the server checks `Host` and `Origin`.
pub struct Listen {
    /// The path to which events are sent, such as `/telemetry/messages`.
    pub path: String,
    /// The routes.
    pub routes: Router,
}
