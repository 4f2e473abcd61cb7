//! `dead-letters edit`.

use std::{
    env, fs,
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use clap::Args;
use devicestate_dead_letters::{Action, Candidate, Edit, Form, Redrive, Replayed, Tally, readable};
use devicestate_engine::{
    clock::System,
    dead_letter::{DeadLetter, FetchError, event_body},
    rate_limit::RateLimit,
};
use devicestate_sqlite::OpenMode;
use devicestate_terminal::{CommandError, clean, print};
use serde_json::json;

use super::{
    find::find,
    place::{Place, quoted},
    preview::preview,
    replay,
    select::{self, Selection},
    way,
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  devicestate dead-letters edit 0af1c2d4
  devicestate dead-letters edit 0af1c2d4 --from corrected.json --yes

The editor shows the telemetry as JSON, whatever the device sent. What is saved is checked, tried,
and replayed under the event's own place in the hub, once that is confirmed. The audit trail keeps
the body before and after.")]
pub(super) struct Options {
    /// The id, or its beginning.
    #[arg(value_name = "ID", value_parser = select::id)]
    id: String,
    /// Take the corrected telemetry from this file, without an editor.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Replay it without being asked.
    #[arg(long)]
    yes: bool,
}

impl Options {
    pub(super) async fn run(self, place: &Place) -> Result<(), CommandError> {
        // Before anybody has worked on the text: without these it could not be replayed.
        place.trial()?;
        place.auditor(Action::Edit, None)?;
        let entry = find(place, &self.id).await?;
        let message = entry.letter().expect("only dead letters are found by an id");
        let letter = place.fetch_complete(message).await.map_err(|error| match error {
            FetchError::Lost(reason) => CommandError::failed(reason),
            FetchError::Unavailable(reason) => CommandError::not_started(reason),
        })?;
        let original = event_body(&letter).map_err(CommandError::failed)?;
        let offered = offered(place, &letter, &original, entry.summary().device());
        let (edited, kept) = match &self.from {
            Some(path) => (read(path)?, path.clone()),
            None => in_editor(&offered)?,
        };
        let is_done = if edited.trim() == offered.trim() {
            print("nothing was changed, and nothing is done\n")?;
            true
        } else {
            let place_options = place.options();
            let again = format!(
                "the text is kept: devicestate dead-letters edit {} --from {}{place_options}",
                letter.id,
                quoted(&kept.display().to_string())
            );
            let edit = Edit { original, edited: edited.into_bytes() };
            let replayed = self.replayed(place, &letter, edit).await.map_err(|failed| failed.with(&again))?;
            if !replayed {
                print(format!("nothing is done; {again}\n"))?;
            }
            replayed
        };
        if is_done && self.from.is_none() {
            let _ = fs::remove_file(&kept);
        }
        Ok(())
    }

    /// Replays the dead letter with its corrected body, if that does and is confirmed.
    async fn replayed(&self, place: &Place, letter: &DeadLetter, edit: Edit) -> Result<bool, CommandError> {
        let rejected =
            |reason: &str| CommandError::failed(format!("the corrected telemetry is not replayed: {reason}"));
        let edited = edit.edited.clone();
        serde_json::from_slice::<serde::de::IgnoredAny>(&edited)
            .map_err(|error| rejected(&format!("it is not valid JSON: {error}")))?;
        let candidate = Candidate { letter, edited: Some(&edited) };
        let preview = way::unless_stopped(preview(place, candidate)).await?;
        match &preview.replayed {
            Replayed::FailedAgain(failure) => return Err(rejected(&failure.issue)),
            Replayed::NotNow(reason) => return Err(CommandError::not_started(reason)),
            Replayed::Applied | Replayed::Superseded => {}
        }
        let table = preview.table().map(|table| table.to_string()).unwrap_or_default();
        print(clean(&format!("{}\n{table}", preview.sentence())))?;
        if !self.yes && !way::unless_stopped(confirmed()).await? {
            return Ok(false);
        }
        let audit = place.auditor(Action::Edit, Some(edit))?;
        let mut redrive = Redrive {
            replayer: &place.replayer(place.store(OpenMode::Existing)?),
            filter: &Selection::one(letter.id.clone()).filter(0),
            edited: Some(&edited),
            most_replays: u32::MAX,
            audit: Some(&audit),
            rate_limit: RateLimit::new(None),
            clock: &System,
            tally: Tally::default(),
        };
        let (swept, went) = way::go_as_far(place, None, &mut redrive).await;
        let tally = redrive.tally;
        way::tell_trail(Some(&audit), tally.replayed);
        went?;
        way::whole(swept)?;
        print(replay::text(&tally, true, u32::MAX))?;
        if tally.replayed == 0 && tally.not_now.is_none() {
            return Err(CommandError::failed("the dead letter is not in the queue any more"));
        }
        replay::ended(&tally, true)?;
        Ok(true)
    }
}

/// What the editor begins with: the telemetry as JSON or text; for bytes that are neither, a beginning.
fn offered(place: &Place, letter: &DeadLetter, original: &[u8], device: Option<&str>) -> String {
    let readable = readable(letter, original, &place.telemetry);
    let text = match readable.form {
        Form::Json | Form::AsJson | Form::Text => readable.text,
        Form::Hexadecimal | Form::Empty => {
            serde_json::to_string_pretty(&json!({ "deviceId": device.unwrap_or_default() }))
                .expect("a value is always JSON")
        }
    };
    text + "\n"
}

/// Lets a person edit a text, and gives back what was saved and where it is.
fn in_editor(text: &str) -> Result<(String, PathBuf), CommandError> {
    let file = tempfile::Builder::new().prefix("devicestate-").suffix(".json").tempfile();
    let (mut file, path) = file.map_err(CommandError::not_started)?.keep().map_err(CommandError::not_started)?;
    file.write_all(text.as_bytes()).map_err(CommandError::not_started)?;
    let editor =
        ["VISUAL", "EDITOR"].into_iter().find_map(|name| env::var(name).ok().filter(|editor| !editor.is_empty()));
    let editor = match editor {
        Some(editor) => editor,
        None if io::stdin().is_terminal() => "vi".to_owned(),
        None => return Err(CommandError::not_started("there is no terminal, and no EDITOR: give --from FILE")),
    };
    // By the shell, as other tools do: an editor may have options.
    let status = Command::new("sh").arg("-c").arg(format!("{editor} \"$1\"")).arg("editor").arg(&path).status();
    match status {
        Ok(status) if status.success() => Ok((read(&path)?, path)),
        status => {
            let ended = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            let failed = CommandError::not_started(format!(
                "the editor {editor:?}, which VISUAL or EDITOR can name, failed ({ended}): nothing is done"
            ));
            if read(&path).is_ok_and(|left| left != text) {
                return Err(failed.with(&format!("what it has saved is in {}", path.display())));
            }
            let _ = fs::remove_file(&path);
            Err(failed)
        }
    }
}

fn read(path: &Path) -> Result<String, CommandError> {
    fs::read_to_string(path).map_err(|error| CommandError::not_started(format!("{}: {error}", path.display())))
}

async fn confirmed() -> Result<bool, CommandError> {
    if !io::stdin().is_terminal() {
        return Err(CommandError::failed("there is no terminal on which to ask, and without --yes nothing is done"));
    }
    eprint!("Replay it? [y/N] ");
    // On a thread of its own, so that Ctrl-C is heard meanwhile.
    let answer = tokio::task::spawn_blocking(|| io::stdin().lines().next().transpose()).await;
    let answer = answer.map_err(CommandError::not_started)?.map_err(CommandError::not_started)?.unwrap_or_default();
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
