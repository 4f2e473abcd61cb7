//! `dead-letters replay`.

use clap::{Args, value_parser};
use devicestate_dead_letters::{
    Action, AuditWriter, FailureGroup, Filter, MAX_REPLAYS, Replay, ReplaySummary, Replayer, ScanSummary,
};
use devicestate_engine::{
    clock::{Clock as _, System},
    rate_limit::RateLimit,
};
use devicestate_sqlite::OpenMode;
use devicestate_terminal::{
    ApplyMode, CommandError, ConfirmOptions, DRY_RUN_NOTICE, Output, OutputOption, Table, confirm, count_of, eprint,
    parse_rate, print, print_message,
};
use serde::Serialize;

use super::{
    context::Context,
    find::check_ids,
    list::short_id,
    progress::{self, has_exit_code_2},
    select::Selection,
};

pub(super) const COMMAND: &str = "dead-letters replay";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  devicestate dead-letters replay --since 2h --dry-run
  devicestate dead-letters replay --since 2h --rate 100/s --yes

On a terminal the command shows what a replay would do, and asks. Without a terminal and \
without --yes it is a dry run. A replay never overwrites a newer reading, because each event keeps \
its position in the hub. A dead letter is deleted after its document is written. A dead letter that \
fails again stays in the queue, and its number of replays increases.

Docs: docs/operate/repair-dead-letters.md")]
pub(super) struct Options {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    confirm: ConfirmOptions,
    /// Maximum rate in dead letters per second, such as 100/s [default: unlimited]
    #[arg(long, value_name = "N/s", value_parser = parse_rate, help_heading = "Limits")]
    rate: Option<u32>,
    /// Set aside (skip) dead letters after this many failed replays, unless they are selected by id
    #[arg(long, value_name = "N", default_value_t = MAX_REPLAYS, value_parser = value_parser!(u32).range(1..), help_heading = "Limits")]
    max_replays: u32,
    /// Replay also dead letters that the handler decoded with another value of the setting `Telemetry`
    #[arg(long, help_heading = "Input")]
    pub(super) other_telemetry: bool,
    #[command(flatten)]
    pub(super) output: OutputOption,
}

/// The result, for machines.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReplayResult<'a> {
    dry_run: bool,
    stopped: bool,
    queue: String,
    store: Option<String>,
    telemetry: &'a str,
    #[serde(flatten)]
    summary: &'a ReplaySummary,
}

impl Options {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let filter = self.selection.filter(System.now_ms());
        check_ids(context, &filter).await?;
        match self.confirm.mode() {
            ApplyMode::Apply => self.apply(context, &filter).await,
            ApplyMode::DryRun => self.show_dry_run(context, &filter).await,
            ApplyMode::Ask => {
                let (scan, summary, result) = self.dry_run(context, &filter).await?;
                let has_work = result.is_ok() && !scan.is_stopped && summary.reason.is_none() && summary.replayed > 0;
                if has_work {
                    eprint(&format!(
                        "{}\n{}",
                        context.telemetry_line(),
                        summary_text(&summary, false, self.max_replays)
                    ));
                    let question = format!("\nReplay {}?", count_of(summary.replayed, "dead letter"));
                    if progress::unless_stopped(confirm(&question)).await? {
                        return self.apply(context, &filter).await;
                    }
                    if self.output.output == Output::Table {
                        return print("Nothing changed.\n");
                    }
                }
                self.finish(context, &filter, None, (scan, summary, result))
            }
        }
    }

    async fn apply(&self, context: &Context, filter: &Filter) -> Result<(), CommandError> {
        let replayer = context.replayer(context.store(OpenMode::Existing)?)?;
        let audit = context.audit_writer(Action::Replay, None)?;
        let done = self.scan(context, filter, &replayer, Some(&audit)).await;
        self.finish(context, filter, Some(&audit), done)
    }

    async fn show_dry_run(&self, context: &Context, filter: &Filter) -> Result<(), CommandError> {
        let done = self.dry_run(context, filter).await?;
        self.finish(context, filter, None, done)
    }

    async fn dry_run(&self, context: &Context, filter: &Filter) -> Result<Scanned, CommandError> {
        let replayer = context.dry_run_replayer()?.0;
        Ok(self.scan(context, filter, &replayer, None).await)
    }

    async fn scan(
        &self,
        context: &Context,
        filter: &Filter,
        replayer: &Replayer,
        audit: Option<&AuditWriter>,
    ) -> Scanned {
        let mut replay = Replay {
            replayer,
            filter,
            edited: None,
            max_replays: self.max_replays,
            audit,
            rate_limit: RateLimit::new(self.rate),
            clock: &System,
            summary: ReplaySummary::default(),
        };
        let (scan, result) = progress::scan_partially(context, self.rate, &mut replay).await;
        (scan, replay.summary, result)
    }

    /// Prints the result, and returns the error with which the command exits.
    fn finish(
        &self,
        context: &Context,
        filter: &Filter,
        audit: Option<&AuditWriter>,
        (scan, summary, result): Scanned,
    ) -> Result<(), CommandError> {
        if scan.received == 0 && result.is_err() {
            return result;
        }
        // Messages that are not dead letters can be named, and are not replayed.
        let named = if filter.messages.is_empty() { filter.ids.len() } else { 0 };
        let result = result
            .and_then(|()| check_summary(&summary, audit.is_some()))
            .and_then(|()| progress::check_not_stopped(scan))
            .and_then(|()| progress::check_all_found(named, summary.replayed));
        let (queue, store) = (context.queue.name(), context.store_name());
        let text = summary_text(&summary, audit.is_some(), self.max_replays);
        match self.output.output {
            Output::Table => {
                let store = store.as_deref().unwrap_or_default();
                print(format!("from {queue} into {store}\n{}\n{text}", context.telemetry_line()))?;
                if audit.is_none() && summary.replayed > 0 {
                    print(format!("\n{DRY_RUN_NOTICE}\n"))?;
                }
            }
            // With exit code 2, standard output stays empty.
            _ if has_exit_code_2(&result) => eprint(&(context.telemetry_line() + &text)),
            output => {
                let (dry_run, stopped) = (audit.is_none(), scan.is_stopped);
                let telemetry = context.telemetry_name().unwrap_or_default();
                let data = ReplayResult { dry_run, stopped, queue, store, telemetry, summary: &summary };
                context.print_json(output, COMMAND, &result, &data)?;
            }
        }
        progress::report_audit_trail(audit, summary.replayed);
        if scan.is_stopped {
            print_message("Stopped before the end: the other dead letters were not replayed.");
        }
        result
    }
}

/// The counts and the result of a scan.
type Scanned = (ScanSummary, ReplaySummary, Result<(), CommandError>);

/// Returns an error if the replay with this summary ended early or, if applied, has failures.
pub(super) fn check_summary(summary: &ReplaySummary, is_applied: bool) -> Result<(), CommandError> {
    if let Some(reason) = &summary.reason {
        return Err(CommandError::not_started(format!(
            "the replay stopped early, and the other dead letters are unchanged: {reason}"
        )));
    }
    if is_applied && summary.failed_again > 0 {
        let (letters, verb) = match summary.failed_again {
            1 => ("1 dead letter".to_owned(), "stays"),
            count => (format!("{count} dead letters"), "stay"),
        };
        return Err(CommandError::failed(format!("{letters} failed again and {verb} in the queue")));
    }
    if is_applied && summary.unrecognized > 0 {
        let letters = count_of(summary.unrecognized, "dead letter");
        return Err(CommandError::failed(format!(
            "{letters} without a known field, still in the queue: correct with `dead-letters edit`, or discard"
        )));
    }
    Ok(())
}

/// Returns the result of a replay or of a dry run as tables.
pub(super) fn summary_text(summary: &ReplaySummary, is_applied: bool, max_replays: u32) -> String {
    let ReplaySummary { replayed, applied, superseded, failed_again, set_aside, foreign, failures, .. } = summary;
    let ReplaySummary { ignored, unrecognized, .. } = summary;
    let mut table = Table::new([if is_applied { "REPLAYED" } else { "DRY RUN" }, ""]);
    for (name, count) in [
        ("replayed", replayed),
        ("applied", applied),
        ("superseded: newer readings are stored", superseded),
        ("failed again", failed_again),
    ] {
        table.row([name.to_owned(), count.to_string()]);
    }
    for (name, count) in
        [("ignored: no telemetry", ignored), ("unrecognized: no known field, still in the queue", unrecognized)]
    {
        if *count > 0 {
            table.row([name.to_owned(), count.to_string()]);
        }
    }
    let mut parts = vec![table.to_string()];
    if !failures.is_empty() {
        let mut table = Table::new(["COUNT", "EXAMPLE", "FAILED AGAIN"]);
        for FailureGroup { issue, count, example } in failures.values() {
            table.row([count.to_string(), short_id(example), issue.clone()]);
        }
        parts.push(format!("\n{table}"));
    }
    if *set_aside > 0 {
        let (verb, pronoun) = if *set_aside == 1 { ("is", "it") } else { ("are", "them") };
        parts.push(format!(
            "\n{} {verb} set aside after {}: select {pronoun} by id, or increase --max-replays.\n",
            count_of(*set_aside, "dead letter"),
            count_of(max_replays.into(), "failed replay"),
        ));
    }
    if *foreign > 0 {
        let rest = if *foreign == 1 { "is not a dead letter and was" } else { "are not dead letters and were" };
        parts.push(format!("\n{} {rest} skipped.\n", count_of(*foreign, "message")));
    }
    parts.concat()
}
