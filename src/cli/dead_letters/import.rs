//! `dead-letters import`.

use std::{
    fmt::Display,
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use clap::Args;
use devicestate_dead_letters::{Action, AuditWriter, Entry, ImportError, Outcome, parse_export_line};
use devicestate_engine::until_failed::until_failed;
use devicestate_terminal::{CommandError, Output, OutputOption, count_of, print_message};
use futures_util::{StreamExt as _, stream};
use indicatif::ProgressBar;
use serde::Serialize;

use super::{
    context::Context,
    lines::{Line, Lines, NotAnExport},
    progress,
};

pub(super) const COMMAND: &str = "dead-letters import";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  devicestate dead-letters import --file kept.jsonl
  gunzip -c kept.jsonl.gz | devicestate dead-letters import --file -

An imported message stays until it is deleted; messages of the handler expire after seven \
days. A dead letter that is imported twice is listed once, and a second replay changes nothing.

Docs: docs/operate/repair-dead-letters.md")]
pub(super) struct Options {
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

impl Options {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let audit = context.audit_writer(Action::Import, None)?;
        let bar = progress::progress_bar(0, "messages");
        let mut counts = ImportResult::default();
        let mut lines = Lines::new(open(&self.file)?);
        loop {
            let chunk = lines.next_chunk(progress::CHUNK_SIZE).map_err(|error| read_error(&self.file, &error))?;
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
            Output::Table => print_message(format_args!("{} imported.", count_of(counts.imported, "message"))),
            output => context.print_json(output, COMMAND, &result, &counts)?,
        }
        progress::report_audit_trail(Some(&audit), counts.imported);
        result
    }
}

/// Parses numbered lines, and reports those that are not valid. Empty lines are skipped.
async fn parse_lines(
    context: &Context,
    lines: &[(usize, Line)],
    bar: &ProgressBar,
    counts: &mut ImportResult,
) -> Result<Vec<(usize, Entry)>, CommandError> {
    let parses = lines.iter().filter(|(_, line)| !line.is_empty()).map(|(number, line)| async move {
        let parsed = match line {
            Line::Text(text) => parse_export_line(text, &*context.queue, context.overflow.as_deref()).await,
            Line::TooLong { limit } => Err(ImportError::Line(format!(
                "it is too long: a line has at most {} MiB. Split the file, or check that it is an export",
                limit >> 20
            ))),
        };
        (*number, parsed)
    });
    let mut parses = stream::iter(parses.collect::<Vec<_>>()).buffered(MAX_CONCURRENT_REQUESTS);
    let mut entries = Vec::new();
    while let Some((number, parsed)) = parses.next().await {
        match parsed {
            Ok(entry) => entries.push((number, entry)),
            Err(ImportError::Line(reason)) => {
                counts.failed += 1;
                bar.suspend(|| print_message(format_args!("line {number}: {reason}")));
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

fn open(path: &Path) -> Result<Box<dyn BufRead>, CommandError> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path).map_err(|error| read_error(path, &error))?;
    Ok(Box::new(BufReader::new(file)))
}

/// Returns the error of an input that cannot be read, or is not an export.
fn read_error(path: &Path, error: &io::Error) -> CommandError {
    if let Some(reason) = error.get_ref().and_then(|error| error.downcast_ref::<NotAnExport>()) {
        let input =
            if path == Path::new("-") { "standard input".to_owned() } else { format!("the file {}", path.display()) };
        return CommandError::not_started(format!("{input} is not an export: {reason} (option --file)"));
    }
    if path == Path::new("-") {
        return CommandError::not_started(format!("standard input cannot be read: {error}"));
    }
    CommandError::not_started(format!("the file {} cannot be read: {error} (option --file)", path.display()))
}
