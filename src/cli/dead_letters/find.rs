//! Finds the dead letters that a command names by their ids.

use devicestate_dead_letters::{Entry, Filter, Finder};
use devicestate_terminal::CommandError;

use super::{context::Context, progress, select::Selection};

/// Finds the dead letter with this id, or with an id that starts with these digits.
pub(super) async fn find(context: &Context, id: &str) -> Result<Entry, CommandError> {
    find_with(context, id, Finder::new(Selection::one(id.to_owned()).filter(0))).await
}

/// Does the same as [`find`], and reads all messages: it fails if another message has the same id and another content.
pub(super) async fn find_only(context: &Context, id: &str) -> Result<Entry, CommandError> {
    find_with(context, id, Finder::new(Selection::one(id.to_owned()).filter(0)).reading_all()).await
}

async fn find_with(context: &Context, id: &str, mut finder: Finder) -> Result<Entry, CommandError> {
    let summary = progress::scan(context, None, &mut finder).await?;
    let mut found = finder.into_found();
    check_unambiguous(id, &found)?;
    if let Some(entry) = found.pop() {
        Ok(entry)
    } else {
        progress::check_not_stopped(summary)?;
        Err(CommandError::failed(format!(
            "there is no dead letter {id} in the queue {}: list the ids with `devicestate dead-letters list`",
            context.queue.name()
        )))
    }
}

/// Checks that each id of the filter names one dead letter, before a command changes any.
pub(super) async fn check_ids(context: &Context, filter: &Filter) -> Result<(), CommandError> {
    if filter.ids.is_empty() {
        return Ok(());
    }
    let mut finder = Finder::new(filter.clone()).reading_all();
    let summary = progress::scan(context, None, &mut finder).await?;
    progress::check_not_stopped(summary)?;
    let found = finder.into_found();
    filter.ids.iter().try_for_each(|id| check_unambiguous(id, &found))
}

/// Returns an error that lists the dead letters whose id starts with these digits, if there are several.
fn check_unambiguous(id: &str, found: &[Entry]) -> Result<(), CommandError> {
    let id_of = |entry: &Entry| entry.dead_letter().map(|letter| letter.id.clone()).filter(|full| full.starts_with(id));
    let mut ids: Vec<_> = found.iter().filter_map(id_of).collect();
    let count = ids.len();
    ids.dedup();
    match (count, &ids[..]) {
        (0 | 1, _) => Ok(()),
        (_, [full]) => {
            let messages: Vec<_> =
                found.iter().filter(|entry| id_of(entry).is_some()).map(|entry| &*entry.message.id).collect();
            Err(CommandError::not_started(format!(
                "{count} dead letters with different contents have the id {full}: the messages {}. Compare them with \
                 `export --message MESSAGE_ID`, and delete the wrong ones with `discard --message MESSAGE_ID`",
                messages.join(", ")
            )))
        }
        _ => {
            Err(CommandError::not_started(format!("several ids start with {id}: {}; use more digits", ids.join(", "))))
        }
    }
}
