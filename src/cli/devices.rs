//! `devicestate devices`: reads the state documents.

mod list;

use std::{path::PathBuf, sync::Arc};

use clap::{Args, Subcommand};
use devicestate_engine::{
    clock::{Clock as _, System},
    device_state::{Document, device_id, document_id},
    settings::Settings,
    store::{RequestCharge, StateStore},
    text::iso8601,
};
use devicestate_sqlite::OpenMode;
use devicestate_terminal::{CommandError, CommandOutcome, Output, OutputOption, Table, print, print_json_value};
use serde_json::Value;

use crate::{
    bootstrap::open_store,
    cli::dead_letters::shell_quoted,
    config::{SqliteConfig, StoreConfig},
};
#[cfg(feature = "local")]
pub(super) use list::documents_table;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  devicestate devices list --state state.db
  devicestate devices show drone-7 --state state.db -o json

Without --state, the setting StateStore selects the store, as for the handler.

Docs: docs/reference/state-document.md")]
pub(super) struct Options {
    #[command(subcommand)]
    command: DevicesCommand,
    /// SQLite file with the documents [default: the store of the setting StateStore]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    state: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum DevicesCommand {
    /// List the devices with their latest readings, and how long ago they were heard
    List(list::Options),
    /// Show the document of one device, with the version of each reading
    #[command(after_help = "\
Examples:
  devicestate devices show drone-7 --state state.db
  devicestate devices show drone-7 -o json

Docs: docs/reference/state-document.md")]
    Show {
        /// Device id, as the device sends it
        device: String,
        #[command(flatten)]
        output: OutputOption,
    },
}

/// Returns the store that the settings select, which another process writes.
pub(super) fn store_config(settings: &Settings) -> Result<StoreConfig, CommandError> {
    let config = StoreConfig::from_settings(settings);
    settings.check_encoding().map_err(CommandError::not_started)?;
    match config {
        Ok(StoreConfig::Memory) => Err(CommandError::not_started(
            "the setting StateStore is memory: only the handler itself can read its documents; use --state FILE",
        )),
        Ok(config) => Ok(config),
        Err(error) => Err(CommandError::not_started(format!("{error}; or use --state FILE"))),
    }
}

impl Options {
    pub(super) async fn run(self) -> Result<(), CommandError> {
        let state = self.state.as_ref().map(|path| format!(" --state {}", shell_quoted(&path.display().to_string())));
        let store = match self.state {
            Some(path) => StoreConfig::Sqlite(SqliteConfig::new(path)),
            None => store_config(&Settings::from_environment())?,
        };
        let store = open_store(&store, OpenMode::ReadOnly).map_err(CommandError::not_started)?;
        match self.command {
            DevicesCommand::List(options) => options.run(&store).await,
            DevicesCommand::Show { device, output } => {
                show(&store, &device, output.output, &state.unwrap_or_default()).await
            }
        }
    }
}

/// Returns the text of a value in a table.
pub(super) fn cell_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Shows the document of a device. `state` is the option with which the command was run, for the advice.
async fn show(store: &Arc<dyn StateStore>, device: &str, output: Output, state: &str) -> Result<(), CommandError> {
    const COMMAND: &str = "devices show";
    let stored =
        store.read(&document_id(device), &RequestCharge::default()).await.map_err(CommandError::not_started)?;
    let Some(document) = stored.map(|stored| stored.document) else {
        if output == Output::Json {
            print_json_value(output, COMMAND, CommandOutcome::Failed, &None::<Document>)?;
        }
        return Err(CommandError::failed(format!(
            "there is no document of the device {device:?}: list the devices with `devicestate devices list{state}`"
        )));
    };
    match output {
        Output::Table => {
            print(format!("{}\n{}\n{}", device_id(&document.id), heard_line(&document), readings_table(&document)))
        }
        Output::Json | Output::Jsonl => print_json_value(output, COMMAND, CommandOutcome::Succeeded, &document),
    }
}

/// Returns when the device was last heard, how long ago, and whether the silence watch found it silent; empty if that is not known.
fn heard_line(document: &Document) -> String {
    let Some(heard_ms) = document.last_heard_ms() else { return String::new() };
    let age = list::age(System.now_ms() - heard_ms);
    let silent = if document.still_silent_since().is_some() { ", silent since then" } else { "" };
    format!("last heard (UTC)  {} ({age} ago{silent})\n", iso8601(heard_ms))
}

/// Returns the readings of a document as a table, each with its version.
pub(super) fn readings_table(document: &Document) -> Table {
    let mut table = Table::new(["READING", "VALUE", "TIME (UTC)", "SEQUENCE NUMBER"]);
    for (name, value) in document.readings() {
        let version = document.version(name);
        let time = version.map(|version| iso8601(version.time_ms)).unwrap_or_default();
        let number = version.map(|version| version.sequence_number.to_string()).unwrap_or_default();
        table.row([name.to_owned(), cell_text(value), time, number]);
    }
    table
}
