//! A sample of the documents that this process has written, with which a store is probed.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::clock::Random;

/// The number of documents in the sample: twice the number of probes, so that two probes of a store are not of the same
/// documents.
pub(super) const MAX_DOCUMENTS: usize = 64;

/// How often a document of a full sample is replaced. On average a document stays for five minutes: during an outage of a
/// part of the store only documents of the other part are written, and those of this part must not be replaced soon.
const REPLACEMENT_INTERVAL: Duration = Duration::from_secs(5);

/// The maximum number of documents that a batch adds.
const MAX_ADDED_PER_BATCH: usize = 8;

/// The sample, as ids of documents.
#[derive(Debug, Default)]
pub(super) struct KnownDocuments(Mutex<Sample>);

#[derive(Debug, Default)]
struct Sample {
    documents: Vec<KnownDocument>,
    /// When the last document was replaced.
    replaced: Option<Instant>,
    /// Whether the documents that the store lists were added.
    is_listed: bool,
}

#[derive(Debug)]
struct KnownDocument {
    id: String,
    /// Whether the last probe of it failed. Then it is evidence, and not replaced until a probe of it succeeds.
    is_failing: bool,
}

impl KnownDocuments {
    fn lock(&self) -> MutexGuard<'_, Sample> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds some of the documents that a batch has found or written.
    pub(super) fn add<'d>(&self, ids: impl Iterator<Item = &'d str>, random: &dyn Random) {
        let mut sample = self.lock();
        for id in ids.take(MAX_ADDED_PER_BATCH) {
            let is_full = sample.documents.len() >= MAX_DOCUMENTS;
            let now = Instant::now();
            if is_full && sample.replaced.is_some_and(|replaced| now < replaced + REPLACEMENT_INTERVAL) {
                return;
            }
            if sample.documents.iter().any(|document| document.id == id) {
                continue;
            }
            let added = KnownDocument { id: id.to_owned(), is_failing: false };
            if !is_full {
                sample.documents.push(added);
                continue;
            }
            let index = random_index(random, MAX_DOCUMENTS);
            sample.replaced = Some(now);
            if !sample.documents[index].is_failing {
                sample.documents[index] = added;
            }
        }
    }

    /// Returns whether the store should list documents: once in the life of a process, if the sample is not full.
    pub(super) fn must_be_listed(&self) -> bool {
        let sample = self.lock();
        !sample.is_listed && sample.documents.len() < MAX_DOCUMENTS
    }

    /// Adds documents that the store listed.
    pub(super) fn add_listed(&self, ids: impl Iterator<Item = String>) {
        let mut sample = self.lock();
        sample.is_listed = true;
        for id in ids {
            if sample.documents.len() < MAX_DOCUMENTS && sample.documents.iter().all(|document| document.id != id) {
                sample.documents.push(KnownDocument { id, is_failing: false });
            }
        }
    }

    /// Returns random documents, without those that are excluded.
    pub(super) fn pick(&self, count: usize, is_excluded: impl Fn(&str) -> bool, random: &dyn Random) -> Vec<String> {
        let sample = self.lock();
        let ids = sample.documents.iter().map(|document| document.id.as_str());
        let mut ids: Vec<&str> = ids.filter(|id| !is_excluded(id)).collect();
        let mut picked = Vec::new();
        while picked.len() < count && !ids.is_empty() {
            picked.push(ids.swap_remove(random_index(random, ids.len())).to_owned());
        }
        picked
    }

    /// Records whether a probe of a document failed.
    pub(super) fn set_failing(&self, id: &str, is_failing: bool) {
        if let Some(document) = self.lock().documents.iter_mut().find(|document| document.id == id) {
            document.is_failing = is_failing;
        }
    }

    /// Removes a document that does not exist, or whose device is faulty.
    pub(super) fn remove(&self, id: &str) {
        self.lock().documents.retain(|document| document.id != id);
    }
}

/// Returns a random index of a list of this length, which is not empty.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the product is from 0 to the length")]
#[expect(clippy::cast_precision_loss, reason = "a list is far shorter than 2^52")]
pub(super) fn random_index(random: &dyn Random, length: usize) -> usize {
    ((random.fraction() * length as f64) as usize).min(length - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct FixedRandom(f64);

    impl Random for FixedRandom {
        fn fraction(&self) -> f64 {
            self.0
        }
    }

    const RANDOM: FixedRandom = FixedRandom(0.0);

    fn ids(known: &KnownDocuments) -> Vec<String> {
        known.lock().documents.iter().map(|document| document.id.clone()).collect()
    }

    fn full() -> KnownDocuments {
        let known = KnownDocuments::default();
        known.add_listed((0..MAX_DOCUMENTS).map(|number| number.to_string()));
        known
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_sample_replaces_one_document_in_five_seconds() {
        let known = full();
        known.add(["a", "b"].into_iter(), &RANDOM);
        assert_eq!((ids(&known).len(), ids(&known)[0].as_str()), (MAX_DOCUMENTS, "a"));
        tokio::time::advance(REPLACEMENT_INTERVAL).await;
        known.add(["a", "b"].into_iter(), &RANDOM);
        assert_eq!(ids(&known)[0], "b");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_document_is_not_replaced() {
        let known = full();
        known.set_failing("0", true);
        known.add(["a"].into_iter(), &RANDOM);
        assert_eq!(ids(&known)[0], "0");
        known.set_failing("0", false);
        tokio::time::advance(REPLACEMENT_INTERVAL).await;
        known.add(["a"].into_iter(), &RANDOM);
        assert_eq!(ids(&known)[0], "a");
    }

    #[test]
    fn each_picked_document_is_another_one_and_not_excluded() {
        let mut picked = full().pick(MAX_DOCUMENTS, |id| id == "7", &FixedRandom(0.999));
        picked.sort_unstable();
        picked.dedup();
        assert_eq!((picked.len(), picked.iter().any(|id| id == "7")), (MAX_DOCUMENTS - 1, false));
        assert_eq!(full().pick(3, |_| false, &FixedRandom(1.0)).len(), 3, "the highest index is the last one");
    }

    #[test]
    fn the_store_lists_documents_once_and_only_for_a_sample_that_is_not_full() {
        let known = KnownDocuments::default();
        assert!(known.must_be_listed());
        known.add_listed((0..2).chain(0..2).map(|number| number.to_string()));
        assert_eq!((ids(&known).len(), known.must_be_listed()), (2, false));
        known.add_listed((0..100).map(|number| number.to_string()));
        assert_eq!(ids(&known).len(), MAX_DOCUMENTS);
        let full = KnownDocuments::default();
        for number in 0..MAX_DOCUMENTS {
            full.add([number.to_string().as_str()].into_iter(), &RANDOM);
        }
        assert!(!full.must_be_listed());
    }
}
