//! `devicestate dead-letters`: examine dead letters, and decide what becomes of them.

mod discard;
mod edit;
mod find;
mod list;
mod place;
mod preview;
mod replay;
mod select;
mod show;
mod transfer;
mod way;

use clap::{Args, Subcommand};
use devicestate_sqlite::OpenMode;
use devicestate_terminal::{CommandError, Format};

use place::Place;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  devicestate dead-letters list --group-by issue
  devicestate dead-letters list --device drone-7 --since 2h --format json
  devicestate dead-letters show 0af1c2d4
  devicestate dead-letters replay --stage update            what a replay would come to
  devicestate dead-letters replay --stage update --yes      replays, at full speed
  devicestate dead-letters edit 0af1c2d4                    opens the telemetry in $EDITOR
  devicestate dead-letters export > kept.jsonl
  devicestate dead-letters list --state state.db            those of devicestate local

The queue is the one of the function app in --app-root, on the storage account that the setting
DeadLetterStorage (or DeadLetterStorage__queueServiceUri) leads to; with --state it is the one in
that file. A Storage queue shows all its messages only to those who receive them: they are hidden
from others meanwhile, and given back at the end and on Ctrl-C.

Exit codes: 0 done; 1 something failed, such as a replay, or there is no such dead letter; 2 usage,
or something could not be reached.")]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
    /// How to print.
    #[arg(long, global = true, value_enum, default_value = "table")]
    format: Format,
    #[command(flatten)]
    place: place::Where,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List dead letters, each once, or count them in groups.
    List(list::Options),
    /// Show one: what came, what is stored for its device now, what a replay would change.
    Show(show::Options),
    /// Put dead letters through the handler's own path once more; a dry run without --yes.
    Replay(replay::Options),
    /// Correct the telemetry of one in $VISUAL or $EDITOR, and replay it.
    Edit(edit::Options),
    /// Delete dead letters for good; a dry run without --yes.
    Discard(discard::Options),
    /// Write dead letters as JSON lines, whole, and leave them where they are.
    Export(transfer::ExportOptions),
    /// Put exported dead letters into the queue.
    Import(transfer::ImportOptions),
}

impl Options {
    pub(super) async fn run(self) -> Result<(), CommandError> {
        // What is brought along may go into a new state file.
        let opening = if matches!(self.command, Command::Import(_)) { OpenMode::Create } else { OpenMode::Existing };
        let place = Place::open(self.place, opening)?;
        match self.command {
            Command::List(options) => options.run(&place, self.format).await,
            Command::Show(options) => options.run(&place, self.format).await,
            Command::Replay(options) => options.run(&place, self.format).await,
            Command::Edit(options) => options.run(&place).await,
            Command::Discard(options) => options.run(&place, self.format).await,
            Command::Export(options) => options.run(&place).await,
            Command::Import(options) => options.run(&place).await,
        }
    }
}
