//! The outcome of an event that has several records.

use super::Outcome;
use crate::failure::Failure;

/// The number of records that the issue of an event describes.
const MAX_DESCRIBED: usize = 5;

/// Returns the outcome of each of `count` events from those of their records. `events` has the event of each record.
pub(super) fn event_outcomes(records: Vec<Outcome>, events: &[usize], count: usize) -> Vec<Outcome> {
    if records.len() == count && events.is_sorted() {
        return records;
    }
    let mut outcomes = vec![Outcome::Ignored; count];
    let mut records = records.into_iter();
    for group in events.chunk_by(|one, other| one == other) {
        outcomes[group[0]] = event_outcome(records.by_ref().take(group.len()).collect());
    }
    outcomes
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

/// Returns one failure for all records that failed or are unresolved; `None` if there are none. Its class and its device are
/// those of the first unresolved record, or else of the first that failed.
fn combined_failure(records: &[Outcome]) -> Option<Failure> {
    let failures = records.iter().enumerate().filter_map(|(record, outcome)| match outcome {
        Outcome::Unresolved(failure) => Some((record, failure, true)),
        Outcome::Failed(failure) => Some((record, failure, false)),
        _ => None,
    });
    let failures: Vec<_> = failures.collect();
    let (_, first, _) = failures.iter().find(|(_, _, is_unresolved)| *is_unresolved).or_else(|| failures.first())?;
    let described = failures.iter().take(MAX_DESCRIBED);
    let mut issues: Vec<_> =
        described.map(|(record, failure, _)| format!("record {record}: {}", failure.issue)).collect();
    if failures.len() > MAX_DESCRIBED {
        issues.push(format!("and {} more", failures.len() - MAX_DESCRIBED));
    }
    let issue = format!("{} of {} records failed: {}", failures.len(), records.len(), issues.join("; "));
    Some(Failure { issue, ..(*first).clone() })
}
