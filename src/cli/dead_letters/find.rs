//! The one dead letter that a command is about.

use devicestate_dead_letters::{Entry, Find};
use devicestate_terminal::CommandError;

use super::{place::Place, select::Selection, way};

/// The one dead letter that is meant by this id, or by its beginning.
pub(super) async fn find(place: &Place, id: &str) -> Result<Entry, CommandError> {
    let mut find = Find::new(Selection::one(id.to_owned()).filter(0));
    let swept = way::go(place, None, &mut find).await?;
    let mut found = find.into_found();
    if found.len() > 1 {
        let ids: Vec<_> = found.iter().filter_map(|entry| Some(entry.letter()?.id.clone())).collect();
        return Err(CommandError::not_started(format!("{id} is the beginning of several ids: {}", ids.join(", "))));
    }
    if let Some(entry) = found.pop() {
        Ok(entry)
    } else {
        way::whole(swept)?;
        Err(CommandError::failed(format!("there is no dead letter {id} in the queue {}", place.queue.name())))
    }
}
