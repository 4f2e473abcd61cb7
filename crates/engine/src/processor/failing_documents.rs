//! The documents that the store fails to read or write, over all batches of the process: since when, and which of them were
//! found to be faulty.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// The longest outage of a part of the store. A document that fails for longer does not indicate one.
pub(super) const LONGEST_OUTAGE: Duration = Duration::from_hours(2);

/// How long a document counts as faulty after its last failure: long enough that a device that keeps sending is tried once
/// per batch, and short enough that a repaired document gets all its tries again.
const FAULTY_TIME: Duration = Duration::from_mins(10);

/// How long a failure is remembered if the document is not used again.
const MEMORY_TIME: Duration = Duration::from_hours(24);

/// The maximum number of documents. If there are more, those that failed first are forgotten.
const MAX_DOCUMENTS: usize = 4_096;

/// The failing documents, by id, in an order that is the same in each run of a simulation.
///
/// They are in memory. After a restart of the handler, faulty documents are found once more. If they are so many that they
/// look like an outage, their batches are held for [`LONGEST_OUTAGE`] first.
#[derive(Debug, Default)]
pub(super) struct FailingDocuments(Mutex<BTreeMap<String, Failing>>);

#[derive(Debug, Clone, Copy)]
struct Failing {
    /// When the document began to fail.
    since: Instant,
    /// When it failed last.
    last: Instant,
    is_faulty: bool,
}

impl Failing {
    fn is_faulty(&self, now: Instant) -> bool {
        self.is_faulty && now < self.last + FAULTY_TIME
    }
}

impl FailingDocuments {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Failing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that a document has failed.
    pub(super) fn add(&self, id: &str) {
        let now = Instant::now();
        let mut documents = self.lock();
        if let Some(document) = documents.get_mut(id).filter(|document| now < document.last + MEMORY_TIME) {
            *document = Failing { is_faulty: document.is_faulty(now), last: now, ..*document };
            return;
        }
        if documents.len() >= MAX_DOCUMENTS {
            documents.retain(|_, document| now < document.last + MEMORY_TIME);
        }
        if documents.len() >= MAX_DOCUMENTS {
            let oldest = documents.iter().min_by_key(|(_, document)| document.last).map(|(id, _)| id.clone());
            oldest.map(|oldest| documents.remove(&oldest));
        }
        documents.insert(id.to_owned(), Failing { since: now, last: now, is_faulty: false });
    }

    /// Records that a document has failed and is faulty.
    pub(super) fn set_faulty(&self, id: &str) {
        self.add(id);
        if let Some(document) = self.lock().get_mut(id) {
            document.is_faulty = true;
        }
    }

    /// Forgets a document that was written or does not exist.
    pub(super) fn remove(&self, id: &str) {
        self.remove_all([id].into_iter());
    }

    /// Forgets documents that were written.
    pub(super) fn remove_all<'d>(&self, ids: impl Iterator<Item = &'d str>) {
        let mut documents = self.lock();
        if !documents.is_empty() {
            for id in ids {
                documents.remove(id);
            }
        }
    }

    /// Forgets the documents that may have failed in an outage, which has ended, except some.
    pub(super) fn end_outage(&self, is_excepted: impl Fn(&str) -> bool) {
        let now = Instant::now();
        self.lock().retain(|id, document| {
            document.is_faulty(now) || now >= document.since + LONGEST_OUTAGE || is_excepted(id)
        });
    }

    /// Returns those of these documents that are faulty.
    pub(super) fn faulty_among<'d>(&self, ids: impl Iterator<Item = &'d str>) -> HashSet<String> {
        let documents = self.lock();
        if documents.is_empty() {
            return HashSet::new();
        }
        let now = Instant::now();
        ids.filter(|id| documents.get(*id).is_some_and(|document| document.is_faulty(now))).map(str::to_owned).collect()
    }

    /// Returns true if the document began to fail so lately that it may be a sign of an outage.
    pub(super) fn is_recent(&self, id: &str) -> bool {
        let now = Instant::now();
        self.lock().get(id).is_none_or(|document| now < document.since + LONGEST_OUTAGE)
    }

    /// Returns the documents that may be signs of an outage, each with whether it is faulty.
    pub(super) fn recent(&self) -> Vec<(String, bool)> {
        let now = Instant::now();
        let documents = self.lock();
        let recent = documents.iter().filter(|(_, document)| now < document.since + LONGEST_OUTAGE);
        recent.map(|(id, document)| (id.clone(), document.is_faulty(now))).collect()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_document_is_faulty_for_ten_minutes_after_its_last_failure() {
        let documents = FailingDocuments::default();
        let is_faulty = || !documents.faulty_among(["d"].into_iter()).is_empty();
        documents.add("d");
        assert!(!is_faulty());
        documents.set_faulty("d");
        for _ in 0..2 {
            advance(Duration::from_mins(9)).await;
            assert!(is_faulty());
            documents.add("d");
        }
        advance(FAULTY_TIME).await;
        assert!(!is_faulty());
        documents.add("d");
        assert!(!is_faulty(), "it is found to be faulty once more");
        documents.set_faulty("d");
        documents.remove("d");
        assert!(!is_faulty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_document_is_a_sign_of_an_outage_for_two_hours_from_its_first_failure() {
        let documents = FailingDocuments::default();
        documents.set_faulty("d");
        for _ in 0..23 {
            advance(Duration::from_mins(5)).await;
            documents.add("d");
        }
        assert_eq!((documents.recent(), documents.is_recent("d")), (vec![("d".to_owned(), true)], true));
        advance(Duration::from_mins(5)).await;
        assert_eq!((documents.recent(), documents.is_recent("d")), (vec![], false));
        assert!(documents.is_recent("e"), "one that fails for the first time");
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_an_outage_leaves_the_faulty_documents() {
        let documents = FailingDocuments::default();
        documents.set_faulty("faulty");
        documents.add("healthy");
        documents.add("failing");
        documents.end_outage(|id| id == "failing");
        let mut recent = documents.recent();
        recent.sort();
        assert_eq!(recent, [("failing".to_owned(), false), ("faulty".to_owned(), true)]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_remembered_documents_is_limited() {
        let documents = FailingDocuments::default();
        for number in 0..=MAX_DOCUMENTS {
            documents.set_faulty(&number.to_string());
            advance(Duration::from_millis(1)).await;
        }
        let faulty = documents.faulty_among(["0", "1", "4096"].into_iter());
        assert_eq!(faulty, HashSet::from(["1", "4096"].map(str::to_owned)));
    }
}
