//! `devicestate dead-letters`: inspects and repairs dead letters.
//!
//! Each command is a module. `context` opens the queue and what belongs to it, `select` parses the options that select dead
//! letters, `progress` scans the queue with a progress bar and handles Ctrl-C.

mod context;
mod discard;
mod edit;
mod editor;
mod export;
mod find;
mod import;
mod lines;
mod list;
mod preview;
mod progress;
mod replay;
mod select;
mod show;

use clap::{Args, Subcommand};
use devicestate_sqlite::OpenMode;
use devicestate_terminal::{CommandError, CommandOutcome, Output, print_json_value};

use context::Context;
pub(super) use devicestate_terminal::shell_quoted;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  # Find the causes, and one dead letter with its details
  devicestate dead-letters list --group-by issue
  devicestate dead-letters show 0af1c2d4

  # Show what a replay would do, and replay
  devicestate dead-letters replay --stage update --dry-run
  devicestate dead-letters replay --stage update --yes

  # Correct the telemetry of one dead letter in $EDITOR
  devicestate dead-letters edit 0af1c2d4

  # Read the queue of devicestate local
  devicestate dead-letters list --state state.db

The queue is that of the function app in --app-root, on the storage account of the setting \
DeadLetterStorage or DeadLetterStorage__queueServiceUri; with --state, it is the one in that file. \
To read all messages of a Storage queue, a command must receive them. They are hidden from other \
consumers meanwhile, and made visible again at the end and on Ctrl-C.

Exit codes: 0 succeeded; 1 failed, or the dead letter does not exist; 2 not started: invalid \
options, or the queue or the store is not available.

Docs: docs/operate/repair-dead-letters.md")]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    connection: context::ConnectionOptions,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List dead letters, each once, or count them in groups
    List(list::Options),
    /// Show one dead letter: the event, the stored document, and what a replay would change
    Show(show::Options),
    /// Apply dead letters again and delete those that succeed
    Replay(replay::Options),
    /// Correct the telemetry of one dead letter in $VISUAL or $EDITOR, and replay it
    Edit(edit::Options),
    /// Delete dead letters permanently
    Discard(discard::Options),
    /// Write complete dead letters as JSON lines, and leave them in the queue
    Export(export::Options),
    /// Put exported dead letters into the queue
    Import(import::Options),
}

impl Command {
    /// Returns the command's name in the output, and its output format if it has one.
    fn output(&self) -> Option<(&'static str, Output)> {
        Some(match self {
            Self::List(options) => (list::COMMAND, options.output.output),
            Self::Show(options) => (show::COMMAND, options.output.output),
            Self::Replay(options) => (replay::COMMAND, options.output.output),
            Self::Edit(options) => (edit::COMMAND, options.output.output),
            Self::Discard(options) => (discard::COMMAND, options.output.output),
            Self::Import(options) => (import::COMMAND, options.output.output),
            Self::Export(_) => return None,
        })
    }

    fn accepts_other_telemetry(&self) -> bool {
        match self {
            Self::Replay(options) => options.other_telemetry,
            Self::Edit(options) => options.other_telemetry,
            _ => false,
        }
    }
}

impl Options {
    pub(super) async fn run(self) -> Result<(), CommandError> {
        let mode = match &self.command {
            // An import may create the state file.
            Command::Import(_) => OpenMode::Create,
            // A peek needs no write access.
            Command::List(options) if options.peek => OpenMode::ReadOnly,
            _ => OpenMode::Existing,
        };
        let mut context = Context::open(self.connection, mode)?;
        context.accepts_other_telemetry = self.command.accepts_other_telemetry();
        let output = self.command.output();
        let result = match self.command {
            Command::List(options) => options.run(&context).await,
            Command::Show(options) => options.run(&context).await,
            Command::Replay(options) => options.run(&context).await,
            Command::Edit(options) => options.run(&context).await,
            Command::Discard(options) => options.run(&context).await,
            Command::Export(options) => options.run(&context).await,
            Command::Import(options) => options.run(&context).await,
        };
        // With exit code 1 an envelope is always printed, even without a result.
        if let (Err(error), Some((command, Output::Json))) = (&result, output)
            && error.is_failure()
            && !context.has_printed_json()
        {
            print_json_value(Output::Json, command, CommandOutcome::Failed, &())?;
        }
        result
    }
}
