//! `devicestate telemetry`: shows how events are decoded, and writes a first telemetry file from a sample.

mod check;
mod infer;
#[cfg(feature = "local")]
mod page;
mod tables;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use clap::{Args, Subcommand};
use devicestate_event_files::{EventFile, EventFileError, FileEvent};
use devicestate_terminal::{CommandError, Progress, print_message};

use super::PROGRAM;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  devicestate telemetry check events.jsonl
  devicestate telemetry infer events.jsonl --output telemetry.json

A file of events is JSON lines, one JSON array or JSON values over several lines (UTF-8 or UTF-16), \
an Avro file of Event Hubs Capture, or the output of `devicestate dead-letters export`; plain or \
gzip. `-` is standard input.

Docs: docs/reference/commands.md")]
pub(super) struct Options {
    #[command(subcommand)]
    command: TelemetryCommand,
}

#[derive(Debug, Subcommand)]
enum TelemetryCommand {
    /// Show what each event of a file becomes, what is never used, and which would be dead letters
    Check(check::Options),
    /// Write a first telemetry file from a sample of events
    Infer(infer::Options),
}

/// The file of events.
#[derive(Debug, Args)]
struct EventsArgument {
    /// File of events, or - for standard input: JSON lines or values, a Capture file, dead letters; plain or gzip
    #[arg(value_name = "EVENTS")]
    events: PathBuf,
}

impl Options {
    pub(super) async fn run(self) -> Result<(), CommandError> {
        match self.command {
            TelemetryCommand::Check(options) => options.run().await,
            TelemetryCommand::Infer(options) => options.run().await,
        }
    }
}

/// Passes each event of a file to a visitor, with a progress bar. The visitor returns whether it needs more.
async fn visit_events<V: Send + 'static>(
    path: &Path,
    mut visitor: V,
    visit: impl Fn(&mut V, &FileEvent) -> bool + Send + 'static,
) -> Result<V, CommandError> {
    let path = path.to_owned();
    let visited = Arc::new(AtomicU64::new(0));
    let shown = Arc::clone(&visited);
    let progress = Progress::start(PROGRAM, None, move || (shown.load(Relaxed), "Ctrl-C ends".into()));
    let read = tokio::task::spawn_blocking(move || -> Result<V, EventFileError> {
        for event in EventFile::open(&path)? {
            if !visit(&mut visitor, &event?) {
                break;
            }
            visited.fetch_add(1, Relaxed);
        }
        Ok(visitor)
    });
    let result = read.await;
    progress.end();
    let visitor = result.map_err(CommandError::failed)?.map_err(CommandError::not_started)?;
    Ok(visitor)
}

/// Prints a warning on standard error.
fn warn(text: impl std::fmt::Display) {
    print_message(format_args!("{PROGRAM}: warning: {text}"));
}
