//! `dead-letters replay`.

use clap::{Args, value_parser};
use devicestate_dead_letters::{Action, Alike, MOST_REPLAYS, Redrive, Tally};
use devicestate_engine::{
    clock::{Clock as _, System},
    rate_limit::RateLimit,
};
use devicestate_sqlite::OpenMode;
use devicestate_terminal::{CommandError, Format, Table, print, rate};
use serde_json::json;

use super::{list::short_id, place::Place, select::Selection, way};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  devicestate dead-letters replay --since 2h                       what it would come to
  devicestate dead-letters replay --since 2h --rate 100/s --yes

The documents take only what is newer than what they hold: each event is applied under the place
that it had in the hub. A dead letter is deleted once its document is written. What fails again
stays, with the replay counted.")]
pub(super) struct Options {
    #[command(flatten)]
    selection: Selection,
    /// Do it. Without this nothing is changed, and one sees what it would come to.
    #[arg(long)]
    yes: bool,
    /// At most so many a second, such as 100/s.
    #[arg(long, value_name = "N/s", value_parser = rate)]
    rate: Option<u32>,
    /// Set aside what has failed in so many replays: it is tried again only when it is named by its id.
    #[arg(long, value_name = "N", default_value_t = MOST_REPLAYS, value_parser = value_parser!(u32).range(1..))]
    max_replays: u32,
}

impl Options {
    pub(super) async fn run(self, place: &Place, format: Format) -> Result<(), CommandError> {
        let replayer = if self.yes { place.replayer(place.store(OpenMode::Existing)?) } else { place.trial()?.0 };
        let audit = self.yes.then(|| place.auditor(Action::Replay, None)).transpose()?;
        let filter = self.selection.filter(System.now_ms());
        let mut redrive = Redrive {
            replayer: &replayer,
            filter: &filter,
            edited: None,
            most_replays: self.max_replays,
            audit: audit.as_ref(),
            rate_limit: RateLimit::new(self.rate),
            clock: &System,
            tally: Tally::default(),
        };
        let (swept, went) = way::go_as_far(place, self.rate, &mut redrive).await;
        let tally = redrive.tally;
        if swept.seen == 0 && went.is_err() {
            return went;
        }
        let (queue, store) = (place.queue.name(), place.store_name());
        match format {
            Format::Table => {
                print(format!("from {queue} into {}\n\n", store.as_deref().unwrap_or_default()))?;
                print(text(&tally, self.yes, self.max_replays))?;
            }
            Format::Json => {
                let mut value = json!(tally);
                value["DryRun"] = (!self.yes).into();
                value["Stopped"] = swept.stopped.into();
                value["Queue"] = queue.into();
                value["Store"] = store.into();
                print(serde_json::to_string_pretty(&value).map_err(CommandError::failed)? + "\n")?;
            }
        }
        way::tell_trail(audit.as_ref(), tally.replayed);
        went?;
        if swept.stopped {
            eprintln!("Stopped before the end: what is left was not tried.");
        }
        ended(&tally, self.yes)?;
        way::whole(swept)?;
        // A message that is no dead letter may be named, and is not replayed.
        way::all_found(if filter.messages.is_empty() { filter.ids.len() } else { 0 }, tally.replayed)
    }
}

/// How a replay that came to this ends.
pub(super) fn ended(tally: &Tally, done: bool) -> Result<(), CommandError> {
    if let Some(reason) = &tally.not_now {
        return Err(CommandError::not_started(format!("what is left was not replayed, and stays as it was: {reason}")));
    }
    if done && tally.failed_again > 0 {
        return Err(CommandError::failed(format!("{} failed again, and stay in the queue", tally.failed_again)));
    }
    Ok(())
}

/// What a replay came to, or would.
pub(super) fn text(tally: &Tally, done: bool, max_replays: u32) -> String {
    let Tally { replayed, applied, superseded, failed_again, set_aside, foreign, failures, .. } = tally;
    let mut table = Table::new([if done { "REPLAYED" } else { "DRY RUN" }, ""]);
    for (name, count) in [
        ("replayed", replayed),
        ("applied", applied),
        ("superseded: newer readings are stored", superseded),
        ("failed again", failed_again),
    ] {
        table.row([name.to_owned(), count.to_string()]);
    }
    let mut parts = vec![table.to_string()];
    if !failures.is_empty() {
        let mut table = Table::new(["COUNT", "EXAMPLE", "FAILED AGAIN"]);
        for Alike { issue, count, example } in failures.values() {
            table.row([count.to_string(), short_id(example), issue.clone()]);
        }
        parts.push(format!("\n{table}"));
    }
    if *set_aside > 0 {
        parts.push(format!(
            "\n{set_aside} are set aside, since they failed in {max_replays} replays: name them by id, or raise \
             --max-replays.\n"
        ));
    }
    if *foreign > 0 {
        parts.push(format!("\n{foreign} messages are no dead letters, and were left alone.\n"));
    }
    if !done {
        parts.push("\nNothing was changed. With --yes it is done.\n".to_owned());
    }
    parts.concat()
}
