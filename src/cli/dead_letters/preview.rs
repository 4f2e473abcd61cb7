//! What a replay would make of one dead letter.

use devicestate_dead_letters::{Candidate, Replayed};
use devicestate_engine::{device_state::Document, store::RequestCharge};
use devicestate_sqlite::OpenMode;
use devicestate_terminal::{CommandError, Table};
use serde::Serialize;
use serde_json::Value;

use super::place::Place;
use crate::cli::state::text;

/// What a replay would come to.
pub(super) struct Preview {
    pub(super) replayed: Replayed,
    pub(super) changes: Vec<Change>,
}

/// What it would change in a document.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Change {
    device: String,
    reading: String,
    /// Null where there is none.
    stored: Value,
    after_a_replay: Value,
}

/// Tries a replay over the documents as they are, and changes nothing.
pub(super) async fn preview(place: &Place, candidate: Candidate<'_>) -> Result<Preview, CommandError> {
    let (replayer, trial) = place.trial()?;
    let outcome = replayer.replay(&[candidate]).await.remove(0);
    let store = place.store(OpenMode::ReadOnly)?;
    let mut changes = Vec::new();
    for (id, after) in trial.outcome() {
        let before = store.read(&id, &RequestCharge::default()).await.map_err(CommandError::not_started)?;
        changes.extend(difference(before.map(|stored| stored.document).as_ref(), &after));
    }
    Ok(Preview { replayed: outcome, changes })
}

/// The readings that differ, or only have another version.
fn difference(before: Option<&Document>, after: &Document) -> Vec<Change> {
    let version = |name| before.and_then(|document| document.version(name));
    let changed = after.readings().filter(|(name, _)| version(name) != after.version(name));
    let change = changed.map(|(name, value)| Change {
        device: after.id.clone(),
        reading: name.to_owned(),
        stored: before.and_then(|document| document.get(name)).cloned().unwrap_or_default(),
        after_a_replay: value.clone(),
    });
    change.collect()
}

impl Preview {
    /// What it would come to, in a sentence.
    pub(super) fn sentence(&self) -> String {
        match &self.replayed {
            Replayed::Applied if self.changes.is_empty() => {
                "It would be applied: it has no readings, and makes sure that its device has a document.".into()
            }
            Replayed::Applied => "It would be applied:".into(),
            Replayed::Superseded => "It would change nothing: its readings are stored already, or newer ones.".into(),
            Replayed::FailedAgain(failure) => format!("It would fail again ({}): {}", failure.stage, failure.issue),
            Replayed::NotNow(reason) => format!("It could not be tried: {reason}"),
        }
    }

    /// The changes, if there are any.
    pub(super) fn table(&self) -> Option<Table> {
        let mut table = Table::new(["DEVICE", "READING", "STORED NOW", "AFTER A REPLAY"]);
        for Change { device, reading, stored, after_a_replay } in &self.changes {
            let stored = if stored.is_null() { String::new() } else { text(stored) };
            table.row([device.clone(), reading.clone(), stored, text(after_a_replay)]);
        }
        (!self.changes.is_empty()).then_some(table)
    }
}
