//! `dead-letters export` and `import`.

use std::{
    fmt::Display,
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use clap::Args;
use devicestate_dead_letters::{Action, Export, ImportError, Outcome, import};
use devicestate_engine::{
    clock::{Clock as _, System},
    until_failed::until_failed,
};
use devicestate_terminal::CommandError;
use futures_util::{StreamExt as _, stream};

use super::{
    place::Place,
    select::Selection,
    way::{self, counted},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  devicestate dead-letters export -o kept.jsonl
  devicestate dead-letters export --stage update | gzip > kept.jsonl.gz

One JSON object a line: the message as it lies in the queue, and what lies in a blob or a file.
Without any filter also the messages that are no dead letters.")]
pub(super) struct ExportOptions {
    #[command(flatten)]
    selection: Selection,
    /// Write into this new file; without it, to standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  devicestate dead-letters import kept.jsonl
  gunzip -c kept.jsonl.gz | devicestate dead-letters import - --state state.db

What is imported stays until somebody deletes it, where what the handler puts is forgotten after
seven days. Imported twice, a dead letter lies there twice: it is listed once, and replaying it
twice does no harm.")]
pub(super) struct ImportOptions {
    /// The file that `export` wrote, or - for standard input.
    #[arg(value_name = "FILE")]
    input: PathBuf,
}

/// How many messages are put at the same time, and how many are read from their lines.
const AT_A_TIME: usize = 16;

impl ExportOptions {
    pub(super) async fn run(self, place: &Place) -> Result<(), CommandError> {
        let filter = self.selection.filter(System.now_ms());
        let audit = place.auditor(Action::Export, None)?;
        let output: Box<dyn Write + Send> = match &self.output {
            // A file that is there already may be all that is left of other dead letters.
            Some(path) => Box::new(BufWriter::new(File::create_new(path).map_err(|error| cannot(path, &error))?)),
            None => Box::new(BufWriter::new(io::stdout())),
        };
        let overflow = place.overflow.clone();
        let mut export =
            Export { filter: &filter, overflow, output, audit: &audit, written: 0, incomplete: Vec::new() };
        let (swept, went) = way::go_as_far(place, None, &mut export).await;
        let (written, incomplete) = (export.written, export.incomplete);
        eprintln!("{} exported, and still in the queue.", counted(written, "message"));
        way::tell_trail(Some(&audit), written);
        went?;
        if let Some(first) = incomplete.first() {
            return Err(CommandError::failed(format!("{} are not whole, such as {first}", incomplete.len())));
        }
        way::whole(swept)
    }
}

impl ImportOptions {
    pub(super) async fn run(self, place: &Place) -> Result<(), CommandError> {
        let audit = place.auditor(Action::Import, None)?;
        let bar = way::bar(0, "messages");
        let (mut imported, mut failed) = (0_u64, 0_u64);
        let mut lines = lines(&self.input)?.enumerate();
        loop {
            let mut chunk = Vec::new();
            for (number, line) in lines.by_ref().take(way::TOGETHER) {
                chunk.push((number + 1, line.map_err(|error| cannot(&self.input, &error))?));
            }
            if chunk.is_empty() {
                break;
            }
            bar.inc_length(chunk.len() as u64);
            let reads =
                chunk.iter().filter(|(_, line)| !line.trim_ascii().is_empty()).map(|(number, line)| async move {
                    (*number, import(line, &*place.queue, place.overflow.as_deref()).await)
                });
            let mut reads = stream::iter(reads.collect::<Vec<_>>()).buffered(AT_A_TIME);
            let mut entries = Vec::new();
            while let Some((number, read)) = reads.next().await {
                match read {
                    Ok(entry) => entries.push((number, entry)),
                    Err(ImportError::Line(reason)) => {
                        failed += 1;
                        bar.suspend(|| eprintln!("line {number}: {reason}"));
                    }
                    Err(ImportError::Place(error)) => return Err(so_far(number, imported, &error)),
                }
            }
            // Somebody may receive a message as soon as it is put.
            let trail = entries.iter().map(|(_, entry)| audit.line(&entry.summary(), Outcome::Imported, None));
            audit.append(&trail.collect::<Vec<_>>()).await.map_err(CommandError::not_started)?;
            let puts =
                entries.iter().map(|(number, entry)| async { (*number, place.queue.put(&entry.message.body).await) });
            let (refused, mut failure) = (AtomicBool::new(false), None);
            let mut puts = until_failed(&refused, puts.collect::<Vec<_>>()).buffered(AT_A_TIME);
            while let Some((number, put)) = puts.next().await {
                match put {
                    Ok(()) => imported += 1,
                    Err(error) => {
                        refused.store(true, Relaxed);
                        failure.get_or_insert((number, error));
                    }
                }
            }
            if let Some((number, error)) = failure {
                return Err(so_far(number, imported, &error));
            }
            bar.inc(chunk.len() as u64);
        }
        bar.finish_and_clear();
        eprintln!("{} imported.", counted(imported, "message"));
        way::tell_trail(Some(&audit), imported);
        if failed > 0 { Err(CommandError::failed(format!("{failed} lines could not be imported"))) } else { Ok(()) }
    }
}

/// Where a place failed, and how far it came before.
fn so_far(line: usize, imported: u64, error: &dyn Display) -> CommandError {
    CommandError::not_started(format!("at line {line}, after {imported} messages: {error}"))
}

/// Bytes: a line that is no text is one bad line.
fn lines(path: &Path) -> Result<Box<dyn Iterator<Item = io::Result<Vec<u8>>>>, CommandError> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock().split(b'\n')));
    }
    let file = File::open(path).map_err(|error| cannot(path, &error))?;
    Ok(Box::new(BufReader::new(file).split(b'\n')))
}

fn cannot(path: &Path, error: &io::Error) -> CommandError {
    CommandError::not_started(format!("{}: {error}", path.display()))
}
