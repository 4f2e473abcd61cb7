//! The outcome of an event that has several records.

use std::collections::BTreeSet;

use super::Outcome;
use crate::failure::{ErrorClass, Failure};

/// The number of records that the issue of an event describes.
const MAX_DESCRIBED: usize = 5;

/// Adds the outcomes of events, from those of their records, to the outcomes of all `count` events. `events` has the event of each
/// record.
pub(super) fn add_event_outcomes(all: &mut Vec<Outcome>, records: Vec<Outcome>, events: &[usize], count: usize) {
    if events.iter().copied().eq(0..count) {
        *all = records;
        return;
    }
    all.resize(count, Outcome::Ignored);
    let mut records = records.into_iter();
    for group in events.chunk_by(|one, other| one == other) {
        all[group[0]] = event_outcome(records.by_ref().take(group.len()).collect());
    }
}

/// Returns the outcome of one event. An event of which a record failed is dead-lettered as a whole, although its other records
/// are applied: a replay of them changes nothing. While a record is unresolved, the event is.
fn event_outcome(mut records: Vec<Outcome>) -> Outcome {
    if records.len() == 1 {
        return records.remove(0);
    }
    if let Some(failed) = combined_failure(&records) {
        let is_unresolved = |outcome: &Outcome| matches!(outcome, Outcome::Unresolved(_));
        return if records.iter().any(is_unresolved) { Outcome::Unresolved(failed) } else { Outcome::Failed(failed) };
    }
    [Outcome::Applied, Outcome::Superseded, Outcome::Unrecognized]
        .into_iter()
        .find(|outcome| records.contains(outcome))
        .unwrap_or(Outcome::Ignored)
}

/// Returns one failure for all records that failed or are unresolved; `None` if no record did. Apart from the issue it is that of
/// [the deciding record](decides).
fn combined_failure(records: &[Outcome]) -> Option<Failure> {
    let failures: Vec<_> = records.iter().enumerate().filter_map(|(index, outcome)| failure(index, outcome)).collect();
    let deciding = failures.iter().min_by_key(|record| decides(record))?;
    let unresolved = failures.iter().filter(|record| record.is_unresolved).flat_map(|record| record.failure.devices());
    let unresolved: BTreeSet<_> = unresolved.filter(|id| Some(*id) != deciding.failure.device_id.as_deref()).collect();
    let described = failures.iter().take(MAX_DESCRIBED);
    let mut issues: Vec<_> =
        described.map(|record| format!("record {}: {}", record.index, record.failure.issue)).collect();
    if failures.len() > MAX_DESCRIBED {
        issues.push(format!("and {} more", failures.len() - MAX_DESCRIBED));
    }
    let issue = format!("{} of {} records failed: {}", failures.len(), records.len(), issues.join("; "));
    let other_devices = unresolved.into_iter().map(str::to_owned).collect();
    Some(Failure { issue, other_devices, ..deciding.failure.clone() })
}

/// A record that failed or is unresolved.
struct FailedRecord<'o> {
    /// The index within the event, as in the versions of the readings.
    index: usize,
    failure: &'o Failure,
    is_unresolved: bool,
}

fn failure(index: usize, outcome: &Outcome) -> Option<FailedRecord<'_>> {
    match outcome {
        Outcome::Failed(failure) => Some(FailedRecord { index, failure, is_unresolved: false }),
        Outcome::Unresolved(failure) => Some(FailedRecord { index, failure, is_unresolved: true }),
        _ => None,
    }
}

/// Returns a key that is lowest for the record that decides about the event. A failure of the store decides before one of a
/// device, so that a retry is not ruled out by the devices, and unresolved before failed. Among equal ones the first record decides.
fn decides(FailedRecord { failure, is_unresolved, .. }: &FailedRecord) -> u8 {
    match failure.class {
        _ if !is_unresolved => 2,
        ErrorClass::Throttled | ErrorClass::Systemic => 0,
        ErrorClass::Poison | ErrorClass::Transient => 1,
    }
}
