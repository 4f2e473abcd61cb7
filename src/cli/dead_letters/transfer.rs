//! `dead-letters export` and `import`.

use std::{
    fmt::Display,
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use clap::Args;
use devicestate_dead_letters::{Action, AuditWriter, Entry, Export, ImportError, Outcome, parse_export_line};
use devicestate_engine::{
    clock::{Clock as _, System},
    until_failed::until_failed,
};
use devicestate_terminal::{CommandError, Output, OutputOption, count_of};
use futures_util::{StreamExt as _, stream};
use indicatif::ProgressBar;
use serde::Serialize;

use super::{context::Context, progress, select::Selection};

pub(super) const IMPORT_COMMAND: &str = "dead-letters import";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  devicestate dead-letters export --file kept.jsonl
  devicestate dead-letters export --stage update | gzip > kept.jsonl.gz

The output has one JSON object per line: a message and, if it is large, its complete dead letter \
from a blob or a file. Without a filter, it includes messages that are not dead letters.

Docs: docs/operate/repair-dead-letters.md")]
pub(super) struct ExportOptions {
    #[command(flatten)]
    selection: Selection,
    /// New file for the lines [default: standard output]
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  devicestate dead-letters import --file kept.jsonl
  gunzip -c kept.jsonl.gz | devicestate dead-letters import --file -

An imported message stays until it is deleted; messages of the handler expire after seven \
days. A dead letter that is imported twice is listed once, and a second replay changes nothing.

Docs: docs/operate/repair-dead-letters.md")]
pub(super) struct ImportOptions {
    /// File that `export` wrote, or - for standard input
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    file: PathBuf,
    #[command(flatten)]
    pub(super) output: OutputOption,
}

/// The result of an import, for machines.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct ImportResult {
    imported: u64,
    failed: u64,
}

/// How many lines are parsed, and how many messages are put, at the same time.
const MAX_CONCURRENT_REQUESTS: usize = 16;

impl ExportOptions {
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
        eprintln!("{} exported{rest}.", count_of(written, "message"));
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

impl ImportOptions {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let audit = context.audit_writer(Action::Import, None)?;
        let bar = progress::progress_bar(0, "messages");
        let mut counts = ImportResult::default();
        let mut lines = lines(&self.file)?.enumerate();
        loop {
            let mut chunk = Vec::new();
            for (index, line) in lines.by_ref().take(progress::CHUNK_SIZE) {
                chunk.push((index + 1, line.map_err(|error| read_error(&self.file, &error))?));
            }
            if chunk.is_empty() {
                break;
            }
            bar.inc_length(chunk.len() as u64);
            let entries = parse_lines(context, &chunk, &bar, &mut counts).await?;
            put_entries(context, &audit, &entries, &mut counts).await?;
            bar.inc(chunk.len() as u64);
        }
        bar.finish_and_clear();
        let result = match counts.failed {
            0 => Ok(()),
            1 => Err(CommandError::failed("1 line could not be imported: correct it, and import only that line")),
            failed => Err(CommandError::failed(format!(
                "{failed} lines could not be imported: correct them, and import only those lines"
            ))),
        };
        match self.output.output {
            Output::Table => eprintln!("{} imported.", count_of(counts.imported, "message")),
            output => context.print_json(output, IMPORT_COMMAND, &result, &counts)?,
        }
        progress::report_audit_trail(Some(&audit), counts.imported);
        result
    }
}

/// Parses numbered lines, and reports those that are not valid. Empty lines are skipped.
async fn parse_lines(
    context: &Context,
    lines: &[(usize, Vec<u8>)],
    bar: &ProgressBar,
    counts: &mut ImportResult,
) -> Result<Vec<(usize, Entry)>, CommandError> {
    let parses = lines.iter().filter(|(_, line)| !line.trim_ascii().is_empty()).map(|(number, line)| async move {
        (*number, parse_export_line(line, &*context.queue, context.overflow.as_deref()).await)
    });
    let mut parses = stream::iter(parses.collect::<Vec<_>>()).buffered(MAX_CONCURRENT_REQUESTS);
    let mut entries = Vec::new();
    while let Some((number, parsed)) = parses.next().await {
        match parsed {
            Ok(entry) => entries.push((number, entry)),
            Err(ImportError::Line(reason)) => {
                counts.failed += 1;
                bar.suspend(|| eprintln!("line {number}: {reason}"));
            }
            Err(ImportError::Storage(error)) => return Err(interrupted_at(number, counts.imported, &error)),
        }
    }
    Ok(entries)
}

async fn put_entries(
    context: &Context,
    audit: &AuditWriter,
    entries: &[(usize, Entry)],
    counts: &mut ImportResult,
) -> Result<(), CommandError> {
    // The audit lines first: another process may receive a message immediately.
    let lines = entries.iter().map(|(_, entry)| audit.line(&entry.summary(), Outcome::Imported, None));
    audit.append(&lines.collect::<Vec<_>>()).await.map_err(CommandError::not_started)?;
    let puts = entries.iter().map(|(number, entry)| async { (*number, context.queue.put(&entry.message.body).await) });
    let (has_failed, mut failure) = (AtomicBool::new(false), None);
    let mut puts = until_failed(&has_failed, puts.collect::<Vec<_>>()).buffered(MAX_CONCURRENT_REQUESTS);
    while let Some((number, put)) = puts.next().await {
        match put {
            Ok(()) => counts.imported += 1,
            Err(error) => {
                has_failed.store(true, Relaxed);
                failure.get_or_insert((number, error));
            }
        }
    }
    failure.map_or(Ok(()), |(number, error)| Err(interrupted_at(number, counts.imported, &error)))
}

/// Returns the error of a service that failed at a line, with the number of messages imported before.
fn interrupted_at(line: usize, imported: u64, error: &dyn Display) -> CommandError {
    CommandError::not_started(format!(
        "the import stopped at line {line}, after {}: {error}",
        count_of(imported, "imported message")
    ))
}

/// Returns the lines as bytes, so that a line that is not UTF-8 does not affect the others.
fn lines(path: &Path) -> Result<Box<dyn Iterator<Item = io::Result<Vec<u8>>>>, CommandError> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock().split(b'\n')));
    }
    let file = File::open(path).map_err(|error| read_error(path, &error))?;
    Ok(Box::new(BufReader::new(file).split(b'\n')))
}

/// Returns the error of an input that cannot be read.
fn read_error(path: &Path, error: &io::Error) -> CommandError {
    if path == Path::new("-") {
        return CommandError::not_started(format!("standard input cannot be read: {error}"));
    }
    CommandError::not_started(format!("the file {} cannot be read: {error} (option --file)", path.display()))
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
