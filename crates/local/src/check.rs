//! The check at the end of a run or a drill: every document equals the fold of its events, and every invalid event is a dead
//! letter.

use devicestate_engine::device_state::Document;
use devicestate_sqlite::{Database, DatabaseError};
use serde::Serialize;

pub use crate::fold::Difference;
use crate::fold::Fold;

/// Limits the differences that a report lists.
const MAX_REPORTED_DIFFERENCES: usize = 10;

/// The result of the check.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// Expected documents: one for each device that has sent a valid event, and those that were stored before the run.
    pub documents: usize,
    /// Documents that differ from the fold of their events.
    pub different_documents: usize,
    /// The first of the differences.
    pub differences: Vec<Difference>,
    /// Events that cannot be applied.
    pub invalid_events: usize,
    /// Invalid events without a message in a dead-letter queue.
    pub dead_letters_missing: usize,
}

impl Check {
    /// Compares what is stored with the fold of all events.
    pub(super) fn new(mut fold: Fold, stored: &[Document], dead_letters: &[Vec<u8>]) -> Self {
        let mut differences = fold.differences(stored);
        let different_documents = differences.len();
        differences.truncate(MAX_REPORTED_DIFFERENCES);
        let (documents, invalid_events) = (fold.document_count(), fold.invalid_event_count());
        fold.remove_dead_lettered(dead_letters);
        let dead_letters_missing = fold.invalid_event_count();
        Self { documents, different_documents, differences, invalid_events, dead_letters_missing }
    }

    /// Returns whether every document equals its fold and every invalid event is a dead letter.
    #[must_use]
    pub fn is_passed(&self) -> bool {
        self.different_documents == 0 && self.dead_letters_missing == 0
    }
}

/// Returns the id of the newest message in the dead-letter queue of a state file; 0 if the queue is empty.
pub(super) async fn newest_dead_letter(file: &Database) -> Result<i64, DatabaseError> {
    file.read(|connection| {
        connection.query_row("SELECT COALESCE(MAX(message_id), 0) FROM dead_letters", [], |row| row.get(0))
    })
    .await
}

/// Returns the texts of the messages that were put into the dead-letter queue of a state file after `message_id`.
pub(super) async fn dead_letters_after(file: &Database, message_id: i64) -> Result<Vec<Vec<u8>>, DatabaseError> {
    file.read(move |connection| {
        let mut select = connection.prepare("SELECT text FROM dead_letters WHERE message_id > ?")?;
        select.query_map([message_id], |row| row.get(0))?.collect()
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use devicestate_engine::{batch::Source, telemetry::drone::Drone};
    use serde_json::{Value, json};

    use super::*;
    use crate::hub::{HubEvent, Sent};

    const NAMESPACE: &str = "test";

    fn fold() -> Fold {
        fold_after(&[])
    }

    /// Two valid events of the device `a` and an invalid one, in partition 0, after a run that left these documents.
    fn fold_after(stored: &[Document]) -> Fold {
        let bodies = [json!({"deviceId":"a","battery":0.5}), json!({"deviceId":"a","battery":0.4}), json!({"n":1})];
        let events = bodies.into_iter().zip(0..).map(|(body, sequence_number)| {
            let sent = Sent { body: body.to_string().into_bytes(), ..Sent::default() };
            let enqueued_ms = 1_000 + sequence_number;
            Arc::new(HubEvent { sent, sequence_number, offset: 0, enqueued_ms, iot_hub_enqueued_ms: None })
        });
        let mut fold = Fold::new(Arc::new(Drone::default()), Duration::from_millis(10), 8);
        fold.add_documents(stored);
        fold.add_events(&source(), 0, &events.collect::<Vec<_>>());
        fold
    }

    fn source() -> Source {
        Source { fully_qualified_namespace: NAMESPACE.to_owned(), ..Source::default() }
    }

    /// The document `a` with this battery, from the event with this sequence number.
    fn document(battery: f64, sequence_number: i64) -> Document {
        let number = Source { partition_id: "0".to_owned(), ..source() }.number();
        let version = json!([1_000 + sequence_number, sequence_number, number]);
        let document = json!({ "id": "a", "Battery": battery, "Versions": { "Battery": version, "Heard": version } });
        serde_json::from_value(document).expect("a document")
    }

    /// The expected document with a change.
    fn changed(change: impl FnOnce(&mut Value)) -> Document {
        let mut document = json!(document(0.4, 1));
        change(&mut document);
        serde_json::from_value(document).expect("a document")
    }

    /// The expected document of which the device was heard at this position, made from the number of its source.
    fn heard(position: impl FnOnce(&Value) -> Value) -> Document {
        changed(|document| {
            let position = position(&document["Versions"]["Battery"][2]);
            let versions = document["Versions"].as_object_mut().expect("versions");
            if position.is_null() {
                drop(versions.remove("Heard"));
            } else {
                drop(versions.insert("Heard".into(), position));
            }
        })
    }

    fn dead_letter(sequence_number: i64) -> Vec<u8> {
        let source = json!({ "FullyQualifiedNamespace": NAMESPACE, "PartitionId": "0" });
        json!({ "Source": source, "EventData": { "SequenceNumber": sequence_number } }).to_string().into_bytes()
    }

    #[test]
    fn the_check_passes_if_the_document_is_the_newest_event_and_the_invalid_event_is_a_dead_letter() {
        let check = Check::new(fold(), &[document(0.4, 1)], &[dead_letter(2)]);
        assert!(check.is_passed(), "{check:?}");
        assert_eq!((check.documents, check.invalid_events), (1, 1));
        let of_earlier_event = heard(|number| json!([1_000, 0, number]));
        assert!(Check::new(fold(), &[of_earlier_event], &[dead_letter(2)]).is_passed());
    }

    #[test]
    fn the_check_fails_if_a_document_has_a_wrong_value_or_version_or_is_missing_or_unexpected() {
        let other = serde_json::from_value(json!({ "id": "b", "Versions": {} })).expect("a document");
        let unknown = changed(|document| {
            document["Altitude"] = json!(1.0);
            document["Versions"]["Altitude"] = json!([1, 1, 1]);
        });
        for (stored, detail) in [
            (vec![document(0.5, 0)], "Battery is 0.5"),
            (vec![document(0.3, 1)], "Battery is 0.3"),
            (vec![document(0.4, 0)], "expected 0.4"),
            (vec![], "the document is missing"),
            (vec![document(0.4, 1), other], "no event of this device was sent"),
            (vec![unknown], "Altitude was not in any event"),
            (vec![heard(|_| json!(null))], "Heard is null"),
            (vec![heard(|number| json!([1_002, 2, number]))], "Heard is [1002,2,"),
            (vec![heard(|number| json!([991, 1, number]))], "Heard is [991,1,"),
        ] {
            let check = Check::new(fold(), &stored, &[dead_letter(2)]);
            assert!(!check.is_passed(), "{stored:?}");
            assert_eq!(check.different_documents, 1, "{stored:?}");
            assert!(check.differences[0].detail.contains(detail), "{detail:?} is not in {check:?}");
        }
    }

    #[test]
    fn the_check_fails_if_the_dead_letter_of_an_invalid_event_is_missing() {
        let check = Check::new(fold(), &[document(0.4, 1)], &[dead_letter(7), b"not a dead letter".to_vec()]);
        assert_eq!((check.is_passed(), check.dead_letters_missing, check.different_documents), (false, 1, 0));
    }

    #[test]
    fn documents_from_before_the_run_are_expected_unless_an_event_is_newer() {
        for (before, after) in [(document(0.9, 0), document(0.4, 1)), (document(0.9, 5), document(0.9, 5))] {
            let check = Check::new(fold_after(&[before]), &[after], &[dead_letter(2)]);
            assert!(check.is_passed(), "{check:?}");
        }
    }
}
