//! `dead-letters discard`.

use clap::Args;
use devicestate_dead_letters::{Action, Discard};
use devicestate_engine::clock::{Clock as _, System};
use devicestate_terminal::{CommandError, Format, print};
use serde_json::json;

use super::{
    place::Place,
    select::Selection,
    way::{self, counted},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  devicestate dead-letters discard 0af1c2d4                        how many it would be
  devicestate dead-letters discard --device drone-7 --seq ..4711 --yes

A message that is no dead letter is deleted only by --message MESSAGE_ID, which `list` shows. What
lies in a blob or a file stays there: another message may point at it.")]
pub(super) struct Options {
    #[command(flatten)]
    selection: Selection,
    /// Mean all dead letters, where nothing else says which.
    #[arg(long)]
    all: bool,
    /// Do it. Without this nothing is deleted, and one sees how many it would be.
    #[arg(long)]
    yes: bool,
}

impl Options {
    pub(super) async fn run(self, place: &Place, format: Format) -> Result<(), CommandError> {
        let filter = self.selection.filter(System.now_ms());
        if filter.is_everything() && !self.all {
            return Err(CommandError::not_started("say which: by id, by a filter such as --device, or --all"));
        }
        let audit = self.yes.then(|| place.auditor(Action::Discard, None)).transpose()?;
        let mut discard = Discard { filter: &filter, audit: audit.as_ref(), meant: 0 };
        let (swept, went) = way::go_as_far(place, None, &mut discard).await;
        if swept.seen == 0 && went.is_err() {
            return went;
        }
        let (meant, done) = (discard.meant, self.yes);
        match format {
            Format::Json => {
                print(json!({ "Discarded": swept.deleted, "Meant": meant, "DryRun": !done }).to_string() + "\n")?;
            }
            Format::Table if done => print(format!("{} discarded\n", counted(swept.deleted, "message")))?,
            Format::Table => {
                print(format!("{} would be discarded; with --yes it is done\n", counted(meant, "message")))?;
            }
        }
        way::tell_trail(audit.as_ref(), swept.deleted);
        went?;
        way::whole(swept)?;
        way::all_found(filter.ids.len() + filter.messages.len(), meant)
    }
}
