//! `devicestate ui`: the live page of a store.

use std::{collections::BTreeMap, io::ErrorKind, path::Path, path::PathBuf, sync::Arc};

use clap::{Args, ValueEnum};
use devicestate_engine::{
    clock::System, processor::heard_every, queue::DeadLetterQueue, settings::Settings, silence::silent_after,
};
use devicestate_live::{Commands, DeadLetters, LiveServer, Poll};
use devicestate_read_api::ReadApi;
use devicestate_sqlite::{Database, OpenMode, SqliteQueue};
use devicestate_terminal::{CommandError, interrupt::Interrupts, print, print_message, shell_quoted};

use super::{dead_letters::configured_queue, devices::store_config, program};
use crate::{
    bootstrap::open_store,
    config::{SqliteConfig, StoreConfig},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  # The devices and dead letters in a state file of devicestate local
  devicestate ui --state state.db

  # Those of Azure, with the settings of the handler
  CosmosConnection__accountEndpoint=https://ACCOUNT.documents.azure.com devicestate ui --store cosmos

The command prints the address of the page, which only this machine can open, and runs until Ctrl-C. It \
changes nothing. While the page is open, a Cosmos DB container charges request units for it: at first \
for all documents, then every 2 seconds for those that were written, and every 10 minutes for their \
count. The dead letters are those in the state file, or of the Storage queue if its connection is set.

Exit codes: 0 stopped by Ctrl-C, SIGTERM or SIGHUP; 1 failed; 2 not started: invalid options or \
settings, the file cannot be opened, or the port is in use.

Docs: docs/reference/commands.md")]
pub(super) struct Options {
    /// SQLite file with the documents and dead letters, which another process may be writing
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    state: Option<PathBuf>,
    /// Store of the documents, with its settings [default: the one of the setting StateStore]
    #[arg(long, value_enum, value_name = "STORE", conflicts_with = "state", help_heading = "Connection")]
    store: Option<Store>,
    /// Port on 127.0.0.1; 0 selects a free one
    #[arg(long, default_value_t = 7080)]
    port: u16,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Store {
    /// Azure Cosmos DB
    Cosmos,
}

impl Options {
    pub(super) async fn run(self) -> Result<(), CommandError> {
        let mut settings = Settings::from_environment();
        let store = match (self.state, self.store) {
            (Some(path), _) => StoreConfig::Sqlite(SqliteConfig::new(path)),
            (None, store) => {
                if let Some(Store::Cosmos) = store {
                    settings.set("StateStore", "cosmos");
                }
                store_config(&settings)?
            }
        };
        let server = LiveServer::bind(page(&store, &settings)?, self.port).await;
        let server = server.map_err(|error| not_listening(self.port, &error))?;
        // Before the address is printed, so that a program that reads it can end the command regularly.
        let mut interrupts = Interrupts::listen();
        print(format!("{}\n", server.address()))?;
        print_message("The address of the live page is above. Press Ctrl-C to stop.");
        server.serve(async move { interrupts.next().await }).await.map_err(CommandError::failed)
    }
}

fn not_listening(port: u16, error: &std::io::Error) -> CommandError {
    let advice = match error.kind() {
        ErrorKind::AddrInUse => "stop the program that uses the port, or use --port 0 for a free one",
        _ => "use --port 0 for a free port",
    };
    CommandError::not_started(format!("the page cannot be served on 127.0.0.1:{port}: {}; {advice}", error.kind()))
}

/// Returns what the page shows of a store.
fn page(config: &StoreConfig, settings: &Settings) -> Result<devicestate_live::Options, CommandError> {
    let store = open_store(config, OpenMode::ReadOnly).map_err(CommandError::not_started)?;
    let indexed = config.indexed_fields(settings).map_err(CommandError::not_started)?;
    let api = ReadApi { store: Arc::clone(&store), indexed, clock: Arc::new(System) };
    let (state, poll) = match config {
        StoreConfig::Sqlite(file) => (Some(file.path.clone()), Poll::LOCAL),
        StoreConfig::Memory | StoreConfig::Cosmos(_) => (None, Poll::COSMOS),
    };
    let queue: Option<Arc<dyn DeadLetterQueue>> = match &state {
        Some(path) => {
            let database = Database::open(path, OpenMode::ReadOnly).map_err(CommandError::not_started)?;
            Some(Arc::new(SqliteQueue::new(database, Arc::new(System))))
        }
        None => configured_queue(Path::new("."), settings)?,
    };
    let heard_every = heard_every(settings).map_err(CommandError::not_started)?;
    let silent_after = silent_after(settings, heard_every).map_err(CommandError::not_started)?;
    let options = state.as_ref().map(|path| format!(" --state {}", shell_quoted(&path.display().to_string())));
    let commands = Commands { program: program(), options: options.unwrap_or_default() };
    Ok(devicestate_live::Options {
        store,
        store_name: config.name().into(),
        state,
        poll,
        api: Arc::new(api),
        dead_letters: queue.map(|queue| DeadLetters { queue, commands }),
        run: None,
        partitions: BTreeMap::new(),
        silent_after_ms: silent_after.map(|time| i64::try_from(time.as_millis()).unwrap_or(i64::MAX)),
        listen: None,
    })
}
