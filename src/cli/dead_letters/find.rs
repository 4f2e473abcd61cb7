//! Finds the dead letter of a command.

use devicestate_dead_letters::{Entry, Finder};
use devicestate_terminal::CommandError;

use super::{context::Context, progress, select::Selection};

/// Finds the dead letter with this id, or with an id that starts with these digits.
pub(super) async fn find(context: &Context, id: &str) -> Result<Entry, CommandError> {
    let mut finder = Finder::new(Selection::one(id.to_owned()).filter(0));
    let summary = progress::scan(context, None, &mut finder).await?;
    let mut found = finder.into_found();
    if found.len() > 1 {
        let ids: Vec<_> = found.iter().filter_map(|entry| Some(entry.dead_letter()?.id.clone())).collect();
        return Err(CommandError::not_started(format!(
            "several ids start with {id}: {}; use more digits",
            ids.join(", ")
        )));
    }
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
