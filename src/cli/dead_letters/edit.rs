//! `dead-letters edit`.

use std::{
    env, fs,
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use clap::Args;
use devicestate_dead_letters::{
    Action, BodyForm, Candidate, Edit, Replay, ReplayOutcome, ReplaySummary, readable_body,
};
use devicestate_engine::{
    clock::System,
    dead_letter::{DeadLetter, FetchError, event_body},
    rate_limit::RateLimit,
    text::error_message,
};
use devicestate_sqlite::OpenMode;
use devicestate_terminal::{
    ApplyMode, CommandError, ConfirmOptions, DRY_RUN_NOTICE, Output, OutputOption, clean, confirm, print,
};
use serde::Serialize;
use serde_json::json;

use super::{
    context::{Context, shell_quoted},
    find::find,
    preview::{Change, Preview, preview},
    progress, replay,
    select::{self, Selection},
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
    changes: &'a [Change],
    /// The file that keeps a corrected text that was not replayed.
    file: Option<&'a Path>,
}

impl Options {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        // Checked before the text is edited: without these it could not be replayed.
        context.dry_run_replayer()?;
        context.audit_writer(Action::Edit, None)?;
        let entry = find(context, &self.id).await?;
        let message = entry.dead_letter().expect("only dead letters are found by an id");
        let letter = context.fetch_complete(message).await.map_err(|error| match error {
            FetchError::Lost(reason) => CommandError::failed(reason),
            FetchError::Unavailable(reason) => CommandError::not_started(reason),
        })?;
        let original = event_body(&letter).map_err(CommandError::failed)?;
        let initial = initial_text(context, &letter, &original, entry.summary().device());
        let (edited, file) = match &self.file {
            Some(path) => (read(path)?, path.clone()),
            None => open_editor(&initial)?,
        };
        let is_done = if edited.trim() == initial.trim() {
            let data = EditResult { id: &letter.id, dry_run: true, outcome: "unchanged", changes: &[], file: None };
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
            self.replay(context, &letter, edit, &file, &again).await.map_err(|failed| failed.with_line(&again))?
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
        letter: &DeadLetter,
        edit: Edit,
        file: &Path,
        again: &str,
    ) -> Result<bool, CommandError> {
        let rejected =
            |reason: &str| CommandError::failed(format!("the corrected telemetry was not replayed: {reason}"));
        let edited = edit.edited.clone();
        serde_json::from_slice::<serde::de::IgnoredAny>(&edited)
            .map_err(|error| rejected(&format!("it is not valid JSON: {error}")))?;
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
        let effect = clean(&format!("{}\n{table}", preview.sentence()));
        match self.output.output {
            Output::Table => print(effect)?,
            // Only the result is on standard output.
            Output::Json | Output::Jsonl => eprint!("{effect}"),
        }
        let (is_confirmed, notice) = match self.confirm.mode() {
            ApplyMode::Apply => (true, ""),
            ApplyMode::DryRun => (false, DRY_RUN_NOTICE),
            ApplyMode::Ask => (progress::unless_stopped(confirm("Replay it?")).await?, "Nothing changed."),
        };
        if !is_confirmed {
            let outcome = preview.outcome_name();
            let data =
                EditResult { id: &letter.id, dry_run: true, outcome, changes: &preview.changes, file: Some(file) };
            self.print(context, &format!("{notice}\n{}\n", capitalized(again)), &Ok(()), &data)?;
            return Ok(false);
        }
        self.apply(context, letter, edit, &preview).await.map(|()| true)
    }

    async fn apply(
        &self,
        context: &Context,
        letter: &DeadLetter,
        edit: Edit,
        preview: &Preview,
    ) -> Result<(), CommandError> {
        let edited = edit.edited.clone();
        let audit = context.audit_writer(Action::Edit, Some(edit))?;
        let mut replay = Replay {
            replayer: &context.replayer(context.store(OpenMode::Existing)?),
            filter: &Selection::one(letter.id.clone()).filter(0),
            edited: Some(&edited),
            max_replays: u32::MAX,
            audit: Some(&audit),
            rate_limit: RateLimit::new(None),
            clock: &System,
            summary: ReplaySummary::default(),
        };
        let (scan, result) = progress::scan_partially(context, None, &mut replay).await;
        let summary = replay.summary;
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
        let data = EditResult { id: &letter.id, dry_run: false, outcome, changes, file: None };
        self.print(context, &replay::summary_text(&summary, true, u32::MAX), &result, &data)?;
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

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

/// Returns the text that the editor opens: the telemetry as JSON or text; for other bytes, an object with the device.
fn initial_text(context: &Context, letter: &DeadLetter, original: &[u8], device: Option<&str>) -> String {
    let readable = readable_body(letter, original, &context.telemetry);
    let text = match readable.form {
        BodyForm::Json | BodyForm::AsJson | BodyForm::Text => readable.text,
        BodyForm::Hexadecimal | BodyForm::Empty => {
            serde_json::to_string_pretty(&json!({ "deviceId": device.unwrap_or_default() }))
                .expect("a value is always JSON")
        }
    };
    text + "\n"
}

/// Opens a text in an editor, and returns what was saved and the path of its file.
fn open_editor(text: &str) -> Result<(String, PathBuf), CommandError> {
    let file = tempfile::Builder::new().prefix("devicestate-").suffix(".json").tempfile();
    let (mut file, path) = file.map_err(CommandError::not_started)?.keep().map_err(CommandError::not_started)?;
    file.write_all(text.as_bytes()).map_err(CommandError::not_started)?;
    let editor =
        ["VISUAL", "EDITOR"].into_iter().find_map(|name| env::var(name).ok().filter(|editor| !editor.is_empty()));
    let editor = match editor {
        Some(editor) => editor,
        None if io::stdin().is_terminal() => "vi".to_owned(),
        None => {
            return Err(CommandError::not_started(
                "the editor cannot be started: there is no terminal, and the environment variable EDITOR is not set; use --file FILE",
            ));
        }
    };
    // In a shell, as other tools do: the variable may contain options.
    let status = Command::new("sh").arg("-c").arg(format!("{editor} \"$1\"")).arg("editor").arg(&path).status();
    match status {
        Ok(status) if status.success() => Ok((read(&path)?, path)),
        status => {
            let reason = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            let failed = CommandError::not_started(format!(
                "the editor {editor:?} failed ({reason}), and nothing changed: set VISUAL or EDITOR to another one, or use \
                 --file FILE"
            ));
            if read(&path).is_ok_and(|saved| saved != text) {
                return Err(failed.with_line(&format!("the saved text is in {}", path.display())));
            }
            let _ = fs::remove_file(&path);
            Err(failed)
        }
    }
}

fn read(path: &Path) -> Result<String, CommandError> {
    fs::read_to_string(path).map_err(|error| {
        CommandError::not_started(format!("the file {} cannot be read: {}", path.display(), error_message(&error)))
    })
}
