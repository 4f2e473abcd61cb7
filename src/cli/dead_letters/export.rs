//! `dead-letters export`.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use devicestate_dead_letters::{Action, Export};
use devicestate_engine::clock::{Clock as _, System};
use devicestate_terminal::{CommandError, count_of, print_message};

use super::{context::Context, progress, select::Selection};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  devicestate dead-letters export --file kept.jsonl
  devicestate dead-letters export --stage update | gzip > kept.jsonl.gz

The output has one JSON object per line: a message and, if it is large, its complete dead letter \
from a blob or a file. Without a filter, it includes messages that are not dead letters.

Docs: docs/operate/repair-dead-letters.md")]
pub(super) struct Options {
    #[command(flatten)]
    selection: Selection,
    /// New file for the lines [default: standard output]
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    file: Option<PathBuf>,
}

impl Options {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let filter = self.selection.filter(System.now_ms());
        let audit = context.audit_writer(Action::Export, None)?;
        let output: Box<dyn Write + Send> = match &self.file {
            // An existing file is never overwritten: it may be the only copy of other dead letters.
            Some(path) => Box::new(BufWriter::new(File::create_new(path).map_err(|error| create_error(path, &error))?)),
            None => Box::new(BufWriter::new(io::stdout())),
        };
        let overflow = context.overflow.clone();
        let mut export =
            Export { filter: &filter, overflow, output, audit: &audit, written: 0, incomplete: Vec::new() };
        let (scan, result) = progress::scan_partially(context, None, &mut export).await;
        let (written, incomplete) = (export.written, export.incomplete);
        let rest = match written {
            0 => "",
            1 => "; it stays in the queue",
            _ => "; they stay in the queue",
        };
        print_message(format_args!("{} exported{rest}.", count_of(written, "message")));
        progress::report_audit_trail(Some(&audit), written);
        result?;
        if let Some(first) = incomplete.first() {
            let verb = if incomplete.len() == 1 { "is" } else { "are" };
            let letters = count_of(incomplete.len() as u64, "dead letter");
            return Err(CommandError::failed(format!(
                "{letters} {verb} incomplete in the export, for example {first}; correct that, and export again"
            )));
        }
        progress::check_not_stopped(scan)
    }
}

/// Returns the error of an output file that cannot be created.
fn create_error(path: &Path, error: &io::Error) -> CommandError {
    let path = path.display();
    CommandError::not_started(match error.kind() {
        io::ErrorKind::AlreadyExists => {
            format!("the file {path} exists, and an export never overwrites a file: use another name (option --file)")
        }
        _ => format!("the file {path} cannot be created: {error} (option --file)"),
    })
}
