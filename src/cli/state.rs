//! `devicestate state`: a look at the documents.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use clap::{Args, Subcommand};
use devicestate_engine::{
    device_state::{Document, document_id},
    settings::Settings,
    store::{self, Pages, RequestCharge, StateStore},
    text::iso8601,
};
use devicestate_sqlite::OpenMode;
use devicestate_terminal::{CommandError, Format, Table, clean, print};
use serde_json::Value;

use crate::{bootstrap::open_store, config::StoreConfig};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  devicestate state list --state state.db\n  \
                        devicestate state show drone-7 --state state.db --format json")]
pub(super) struct Options {
    #[command(subcommand)]
    command: StateCommand,
    /// The SQLite file to look into; without it, the store that the setting StateStore names.
    #[arg(long, global = true, value_name = "PATH")]
    state: Option<PathBuf>,
    /// How to print.
    #[arg(long, global = true, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum StateCommand {
    /// List the devices with their newest readings.
    List {
        /// The most documents to list.
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
    },
    /// Show the document of one device, with the version of each reading.
    Show {
        /// The device id, as the device calls itself.
        device: String,
    },
}

impl Options {
    pub(super) async fn run(self) -> Result<(), CommandError> {
        let store = match self.state {
            Some(path) => StoreConfig::Sqlite(path),
            None => StoreConfig::from_settings(&Settings::from_environment())
                .map_err(|error| CommandError::not_started(format!("{error}; or give --state PATH")))?,
        };
        if store == StoreConfig::Memory {
            return Err(CommandError::not_started(
                "StateStore is memory: only the handler itself can see its documents",
            ));
        }
        let store = open_store(&store, OpenMode::ReadOnly).map_err(CommandError::not_started)?;
        match self.command {
            StateCommand::List { limit } => list(&store, limit.unwrap_or(usize::MAX), self.format).await,
            StateCommand::Show { device } => show(&store, &device, self.format).await,
        }
    }
}

async fn list(store: &Arc<dyn StateStore>, limit: usize, format: Format) -> Result<(), CommandError> {
    match format {
        Format::Table => print(table(&store::documents(&**store, limit).await.map_err(CommandError::not_started)?))?,
        Format::Json => {
            // Page by page: there may be more documents than memory.
            let mut separator = "[\n";
            let mut pages = Pages::new(&**store, limit);
            while let Some(page) = pages.next().await.map_err(CommandError::failed)? {
                for document in page {
                    let json = serde_json::to_string(&document).map_err(CommandError::failed)?;
                    print(format!("{separator}{json}"))?;
                    separator = ",\n";
                }
            }
            print(if separator == "[\n" { "[]\n" } else { "\n]\n" })?;
        }
    }
    Ok(())
}

/// Documents as a table, a column for each reading.
pub(super) fn table(documents: &[Document]) -> Table {
    let names: BTreeSet<&str> = documents.iter().flat_map(Document::readings).map(|(name, _)| name).collect();
    let mut table = Table::new(["DEVICE", "NEWEST EVENT (UTC)"].into_iter().chain(names.iter().copied()));
    for document in documents {
        let newest = document.newest().map(|version| iso8601(version.enqueued_ms)).unwrap_or_default();
        let values = names.iter().map(|name| document.get(name).map(text).unwrap_or_default());
        table.row([document.id.clone(), newest].into_iter().chain(values));
    }
    table
}

/// A value as a cell of a table.
pub(super) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

async fn show(store: &Arc<dyn StateStore>, device: &str, format: Format) -> Result<(), CommandError> {
    let stored =
        store.read(&document_id(device), &RequestCharge::default()).await.map_err(CommandError::not_started)?;
    let Some(document) = stored.map(|stored| stored.document) else {
        return Err(CommandError::failed(format!("there is no document of the device {device:?}")));
    };
    match format {
        Format::Json => print(serde_json::to_string_pretty(&document).map_err(CommandError::failed)? + "\n"),
        Format::Table => print(format!("{}\n\n{}", clean(&document.id), readings(&document))),
    }
}

/// The readings of a document as a table, each with its version.
pub(super) fn readings(document: &Document) -> Table {
    let mut table = Table::new(["READING", "VALUE", "ENQUEUED (UTC)", "SEQUENCE NUMBER"]);
    for (name, value) in document.readings() {
        let version = document.version(name);
        let time = version.map(|version| iso8601(version.enqueued_ms)).unwrap_or_default();
        let number = version.map(|version| version.sequence_number.to_string()).unwrap_or_default();
        table.row([name.to_owned(), text(value), time, number]);
    }
    table
}
