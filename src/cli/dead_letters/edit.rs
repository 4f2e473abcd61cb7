//! `dead-letters edit`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use devicestate_dead_letters::{
    Action, BodyForm, Candidate, Edit, Entry, Filter, Replay, ReplayOutcome, ReplaySummary, readable_body,
    rebuild_edited, rebuild_event,
};
use devicestate_engine::{
    batch::Event,
    clock::System,
    dead_letter::{DeadLetter, FetchError, event_body},
    rate_limit::RateLimit,
    telemetry::{Decoded, DecodedRecord, Telemetry},
    text::truncated,
};
use devicestate_sqlite::OpenMode;
use devicestate_terminal::{
    ApplyMode, CommandError, ConfirmOptions, DRY_RUN_NOTICE, Output, OutputOption, confirm, count_of, eprint, print,
    shell_quoted,
};
use futures_util::TryFutureExt as _;
use serde::Serialize;
use serde_json::json;

use super::{
    context::Context,
    editor::{open_editor, read_text},
    find::find_only,
    preview::{Change, Preview, preview},
    progress, replay, select,
};

pub(super) const COMMAND: &str = "dead-letters edit";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  devicestate dead-letters edit 0af1c2d4
  devicestate dead-letters edit 0af1c2d4 --file corrected.json --yes

The editor shows the telemetry as JSON, also if the device sent another format. The saved text is \
validated and replayed at the event's original position in the hub. On a terminal the command shows \
what a replay would change, and asks. Without a terminal and without --yes it is a dry run. The \
audit trail records the body before and after.

Docs: docs/operate/repair-dead-letters.md")]
pub(super) struct Options {
    /// Id, or at least its first 8 digits
    #[arg(value_name = "ID", value_parser = select::id)]
    id: String,
    /// File with the corrected telemetry, instead of an editor
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    file: Option<PathBuf>,
    /// Accept another device id: the replay writes the document of that device
    #[arg(long, help_heading = "Input")]
    allow_device_change: bool,
    /// Replay it also if the handler decoded it with another value of the setting `Telemetry`
    #[arg(long, help_heading = "Input")]
    pub(super) other_telemetry: bool,
    #[command(flatten)]
    confirm: ConfirmOptions,
    #[command(flatten)]
    pub(super) output: OutputOption,
}

/// The result, for machines.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EditResult<'a> {
    id: &'a str,
    dry_run: bool,
    /// `applied`, `superseded`, `failedAgain`, or `unchanged` if the text was not edited.
    outcome: &'static str,
    telemetry: &'a str,
    changes: &'a [Change],
    /// The file that keeps a corrected text that was not replayed.
    file: Option<&'a Path>,
}

impl Options {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        // Checked before the text is edited: without these it could not be replayed.
        context.dry_run_replayer()?;
        context.audit_writer(Action::Edit, None)?;
        let entry = find_only(context, &self.id).await?;
        let message = entry.dead_letter().expect("only dead letters are found by an id");
        let fetch = context.fetch_complete(message).map_err(|error| match error {
            FetchError::Lost(reason) => CommandError::failed(reason),
            FetchError::Unavailable(reason) => CommandError::not_started(reason),
        });
        let letter = progress::unless_stopped(fetch).await?;
        let original = event_body(&letter).map_err(CommandError::failed)?;
        let telemetry = context.telemetry()?;
        let initial = initial_text(&*telemetry, &letter, &original, entry.summary().device());
        let (edited, file) = match &self.file {
            Some(path) => (read_text(path)?, path.clone()),
            None => open_editor(&initial)?,
        };
        // An editor may have changed the line ends.
        let is_done = if edited.trim().lines().eq(initial.trim().lines()) {
            let telemetry = context.telemetry_name().unwrap_or_default();
            let outcome = "unchanged";
            let data = EditResult { id: &letter.id, dry_run: true, outcome, telemetry, changes: &[], file: None };
            self.print(context, "The text was not changed: nothing to replay.\n", &Ok(()), &data)?;
            true
        } else {
            let edit = Edit { original, edited: edited.into_bytes() };
            let again = format!(
                "the text is kept: devicestate dead-letters edit {} --file {}{}",
                letter.id,
                shell_quoted(&file.display().to_string()),
                context.command_line_options()
            );
            let found = Found { entry: &entry, letter: &letter };
            self.replay(context, found, edit, &file, &again).await.map_err(|failed| failed.with_line(&again))?
        };
        if is_done && self.file.is_none() {
            let _ = fs::remove_file(&file);
        }
        Ok(())
    }

    /// Replays the dead letter with its corrected body, if it is valid and confirmed. Returns true if it was replayed.
    async fn replay(
        &self,
        context: &Context,
        found: Found<'_>,
        edit: Edit,
        file: &Path,
        again: &str,
    ) -> Result<bool, CommandError> {
        let Found { entry, letter } = found;
        let rejected =
            |reason: &str| CommandError::failed(format!("the corrected telemetry was not replayed: {reason}"));
        let edited = edit.edited.clone();
        // One value, or one for each record.
        let mut values = serde_json::Deserializer::from_slice(&edited).into_iter::<serde::de::IgnoredAny>();
        values
            .try_for_each(|value| value.map(drop))
            .map_err(|error| rejected(&format!("it is not valid JSON: {error}")))?;
        if let Some((before, after)) =
            changed_device(&*context.telemetry()?, entry, letter, &edit).filter(|_| !self.allow_device_change)
        {
            return Err(rejected(&format!(
                "its device id is {after}, and that of the dead letter is {before}, so a replay would write the document of \
                 another device. Correct the device id, or use --allow-device-change"
            )));
        }
        let candidate = Candidate { letter, edited: Some(&edited) };
        let preview = progress::unless_stopped(preview(context, candidate)).await?;
        match &preview.outcome {
            ReplayOutcome::FailedAgain(failure) => return Err(rejected(&failure.issue)),
            ReplayOutcome::NotTried(reason) => return Err(CommandError::not_started(reason)),
            ReplayOutcome::Unrecognized => {
                return Err(rejected("it has no known field, so nothing of it can be stored"));
            }
            ReplayOutcome::Applied | ReplayOutcome::Superseded | ReplayOutcome::Ignored => {}
        }
        let table = preview.table().map(|table| table.to_string()).unwrap_or_default();
        let effect = format!("{}{}\n{table}", context.telemetry_line(), preview.sentence());
        match self.output.output {
            Output::Table => print(effect)?,
            // Only the result is on standard output.
            Output::Json | Output::Jsonl => eprint(&effect),
        }
        let (is_confirmed, notice) = match self.confirm.mode() {
            ApplyMode::Apply => (true, ""),
            ApplyMode::DryRun => (false, DRY_RUN_NOTICE),
            ApplyMode::Ask => (progress::unless_stopped(confirm("Replay it?")).await?, "Nothing changed."),
        };
        if !is_confirmed {
            let data = EditResult {
                id: &letter.id,
                dry_run: true,
                outcome: preview.outcome_name(),
                telemetry: context.telemetry_name().unwrap_or_default(),
                changes: &preview.changes,
                file: Some(file),
            };
            self.print(context, &format!("{notice}\n{}\n", capitalized(again)), &Ok(()), &data)?;
            return Ok(false);
        }
        self.apply(context, found, edit, &preview).await.map(|()| true)
    }

    async fn apply(
        &self,
        context: &Context,
        Found { entry, letter }: Found<'_>,
        edit: Edit,
        preview: &Preview,
    ) -> Result<(), CommandError> {
        let edited = edit.edited.clone();
        let audit = context.audit_writer(Action::Edit, Some(edit))?;
        let mut replay = Replay {
            replayer: &context.replayer(context.store(OpenMode::Existing)?)?,
            filter: &Filter { only: entry.identity().cloned(), ..Filter::default() },
            edited: Some(&edited),
            max_replays: u32::MAX,
            audit: Some(&audit),
            rate_limit: RateLimit::new(None),
            clock: &System,
            summary: ReplaySummary::default(),
        };
        let (scan, result) = progress::scan_partially(context, None, &mut replay).await;
        let (summary, messages) = one_dead_letter(replay.summary);
        progress::report_audit_trail(Some(&audit), summary.replayed);
        result?;
        progress::check_not_stopped(scan)?;
        if summary.replayed == 0 && summary.reason.is_none() {
            return Err(CommandError::failed(
                "the dead letter is no longer in the queue: another process has deleted or received it",
            ));
        }
        let result = replay::check_summary(&summary, true);
        let outcome = match &summary {
            _ if progress::has_exit_code_2(&result) => return result,
            ReplaySummary { failed_again: 1.., .. } => "failedAgain",
            ReplaySummary { unrecognized: 1.., .. } => "unrecognized",
            ReplaySummary { ignored: 1.., .. } => "ignored",
            ReplaySummary { applied: 0, .. } => "superseded",
            _ => "applied",
        };
        let changes = if outcome == "applied" { &preview.changes[..] } else { &[] };
        let telemetry = context.telemetry_name().unwrap_or_default();
        let data = EditResult { id: &letter.id, dry_run: false, outcome, telemetry, changes, file: None };
        let repeats = match messages.saturating_sub(1) {
            0 => String::new(),
            repeats => format!("\n{} of the same dead letter: the same was done.\n", count_of(repeats, "more message")),
        };
        self.print(context, &(replay::summary_text(&summary, true, u32::MAX) + &repeats), &result, &data)?;
        result
    }

    fn print(
        &self,
        context: &Context,
        text: &str,
        result: &Result<(), CommandError>,
        data: &EditResult<'_>,
    ) -> Result<(), CommandError> {
        match self.output.output {
            Output::Table => print(text),
            output => context.print_json(output, COMMAND, result, data),
        }
    }
}

/// The dead letter that is edited.
#[derive(Clone, Copy)]
struct Found<'a> {
    /// Its message.
    entry: &'a Entry,
    /// It, complete.
    letter: &'a DeadLetter,
}

/// Returns the summary of a replay of all messages of one dead letter as that of one, and the number of the messages.
fn one_dead_letter(summary: ReplaySummary) -> (ReplaySummary, u64) {
    let messages = summary.replayed;
    let failed_again = summary.failed_again.min(1);
    // Only the first of the messages can be newer than the document.
    let applied = summary.applied.min(1 - failed_again);
    let superseded = summary.superseded.min(1 - failed_again - applied);
    (ReplaySummary { replayed: messages.min(1), applied, superseded, failed_again, foreign: 0, ..summary }, messages)
}

/// Returns the device ids before and after the edit, if they are known and the edit changes one. An id for a record that had none
/// changes none.
fn changed_device(
    telemetry: &dyn Telemetry,
    entry: &Entry,
    letter: &DeadLetter,
    edit: &Edit,
) -> Option<(String, String)> {
    let (mut before, without_id) = device_ids(telemetry, &rebuild_event(letter, edit.original.clone()));
    before.extend(entry.summary().device_id);
    let (after, _) = device_ids(telemetry, &rebuild_edited(letter, edit.edited.clone()));
    let are_added = before.is_subset(&after) && after.len() - before.len() <= without_id;
    let listed = |ids: &BTreeSet<String>| ids.iter().map(|id| format!("{id:?}")).collect::<Vec<_>>().join(", ");
    (!before.is_empty() && !after.is_subset(&before) && !are_added).then(|| (listed(&before), listed(&after)))
}

/// Returns the device ids of the records of an event, and how many records have none. As the id in a dead letter is truncated, so
/// are all.
fn device_ids(telemetry: &dyn Telemetry, event: &Event) -> (BTreeSet<String>, usize) {
    let Ok(records) = telemetry.decode_records(event) else {
        return (telemetry.rejected_device_id(event).iter().map(|id| truncated(id)).collect(), 0);
    };
    let (mut ids, mut without_id) = (BTreeSet::new(), 0);
    for record in records {
        match record {
            DecodedRecord::Valid(Decoded { device_id, .. })
            | DecodedRecord::Failed { device_id: Some(device_id), .. } => drop(ids.insert(truncated(&device_id))),
            DecodedRecord::Failed { device_id: None, .. } => without_id += 1,
            DecodedRecord::Ignored => {}
        }
    }
    (ids, without_id)
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

/// Returns the text that the editor opens: the telemetry as JSON or text; for other bytes, an object with the device.
fn initial_text(telemetry: &dyn Telemetry, letter: &DeadLetter, original: &[u8], device: Option<&str>) -> String {
    let readable = readable_body(letter, original, telemetry);
    let text = match readable.form {
        BodyForm::Json | BodyForm::AsJson | BodyForm::Text => readable.text,
        BodyForm::Hexadecimal | BodyForm::Empty => {
            serde_json::to_string_pretty(&json!({ "deviceId": device.unwrap_or_default() }))
                .expect("a value is always JSON")
        }
    };
    text + "\n"
}
