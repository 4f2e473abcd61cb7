//! Computes what a replay of one dead letter would change.

use devicestate_dead_letters::{Candidate, ReplayOutcome};
use devicestate_engine::{device_state::Document, store::RequestCharge};
use devicestate_sqlite::OpenMode;
use devicestate_terminal::{CommandError, Table};
use serde::Serialize;
use serde_json::Value;

use super::context::Context;
use crate::cli::devices::cell_text;

/// The effect of a replay.
pub(super) struct Preview {
    pub(super) outcome: ReplayOutcome,
    pub(super) changes: Vec<Change>,
}

/// A reading that would change in a document.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Change {
    device: String,
    reading: String,
    /// Null if the document has no such reading.
    stored: Value,
    after_replay: Value,
}

/// Replays a dead letter over the stored documents without writing any.
pub(super) async fn preview(context: &Context, candidate: Candidate<'_>) -> Result<Preview, CommandError> {
    let (replayer, dry_run) = context.dry_run_replayer()?;
    let outcome = replayer.replay(&[candidate]).await.remove(0);
    let store = context.store(OpenMode::ReadOnly)?;
    let mut changes = Vec::new();
    for (id, after) in dry_run.written_documents() {
        let before = store.read(&id, &RequestCharge::default()).await.map_err(CommandError::not_started)?;
        changes.extend(changed_readings(before.map(|stored| stored.document).as_ref(), &after));
    }
    Ok(Preview { outcome, changes })
}

/// Returns the readings whose version differs.
fn changed_readings(before: Option<&Document>, after: &Document) -> Vec<Change> {
    let version = |name| before.and_then(|document| document.version(name));
    let changed = after.readings().filter(|(name, _)| version(name) != after.version(name));
    let change = changed.map(|(name, value)| Change {
        device: after.id.clone(),
        reading: name.to_owned(),
        stored: before.and_then(|document| document.get(name)).cloned().unwrap_or_default(),
        after_replay: value.clone(),
    });
    change.collect()
}

impl Preview {
    /// Returns the outcome as it is in JSON.
    pub(super) fn outcome_name(&self) -> &'static str {
        match &self.outcome {
            ReplayOutcome::Applied => "applied",
            ReplayOutcome::Superseded => "superseded",
            ReplayOutcome::Ignored => "ignored",
            ReplayOutcome::Unrecognized => "unrecognized",
            ReplayOutcome::FailedAgain(_) => "failedAgain",
            ReplayOutcome::NotTried(_) => "notTried",
        }
    }

    /// Returns the outcome in a sentence.
    pub(super) fn sentence(&self) -> String {
        match &self.outcome {
            ReplayOutcome::Applied if self.changes.is_empty() => {
                "It would be applied: it has no readings, and only creates the document of its device if that does not exist."
                    .into()
            }
            ReplayOutcome::Applied => "It would be applied:".into(),
            ReplayOutcome::Superseded => "It would change nothing: the document has the same or newer readings.".into(),
            ReplayOutcome::Ignored => "It would be deleted: it is not telemetry, such as a change of a device that IoT Hub reports.".into(),
            ReplayOutcome::Unrecognized => {
                "It would stay in the queue: it has no known field, so nothing of it can be stored.".into()
            }
            ReplayOutcome::FailedAgain(failure) => {
                format!("It would fail again ({}): {}", failure.stage, failure.issue)
            }
            ReplayOutcome::NotTried(reason) => format!("It was not replayed: {reason}"),
        }
    }

    /// Returns the changes as a table, if there are any.
    pub(super) fn table(&self) -> Option<Table> {
        let mut table = Table::new(["DEVICE", "READING", "STORED NOW", "AFTER REPLAY"]);
        for Change { device, reading, stored, after_replay } in &self.changes {
            let stored = if stored.is_null() { String::new() } else { cell_text(stored) };
            table.row([device.clone(), reading.clone(), stored, cell_text(after_replay)]);
        }
        (!self.changes.is_empty()).then_some(table)
    }
}
