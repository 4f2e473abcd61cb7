//! A sample of the documents of the store, with which the store is probed.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, timeout_at};

use super::failing_documents::LONGEST_OUTAGE;
use crate::{
    clock::Random,
    device_state::{device_id, document_id},
    store::{RequestCharge, Selection, StateStore, StoreError},
};

/// The number of documents in the sample: twice the number of probes, so that two probes of a store are not of the same
/// documents.
const MAX_DOCUMENTS: usize = 64;

/// How often a document of a full sample is replaced. On average a document stays for five minutes.
const REPLACEMENT_INTERVAL: Duration = Duration::from_secs(5);

/// The maximum number of documents that a batch adds.
const MAX_ADDED_PER_BATCH: usize = 8;

/// The sample, as ids of documents.
#[derive(Debug, Default)]
pub(super) struct KnownDocuments(Mutex<Sample>);

#[derive(Debug, Default)]
struct Sample {
    ids: Vec<String>,
    /// When the last document was replaced.
    replaced: Option<Instant>,
    list: List,
}

/// The list of documents from the store. A process that starts in an outage of a part of the store would know only documents
/// of the other part without it.
#[derive(Debug, Default)]
enum List {
    #[default]
    NotRead,
    /// All attempts to read it have failed, the first one at this time.
    Failing(Instant),
    /// It was read, or cannot be read: an identity may lack the permission.
    Done,
}

impl KnownDocuments {
    fn lock(&self) -> MutexGuard<'_, Sample> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds some of the documents that a batch has written.
    pub(super) fn add<'d>(&self, ids: impl Iterator<Item = &'d str>, random: &dyn Random) {
        let mut sample = self.lock();
        for id in ids.take(MAX_ADDED_PER_BATCH) {
            let is_full = sample.ids.len() >= MAX_DOCUMENTS;
            let now = Instant::now();
            if is_full && sample.replaced.is_some_and(|replaced| now < replaced + REPLACEMENT_INTERVAL) {
                return;
            }
            if sample.ids.iter().any(|known| known == id) {
                continue;
            }
            if is_full {
                sample.replaced = Some(now);
                let index = random_index(random, MAX_DOCUMENTS);
                id.clone_into(&mut sample.ids[index]);
            } else {
                sample.ids.push(id.to_owned());
            }
        }
    }

    /// Adds documents that the store lists, once in the life of a process, and again as long as the sample has no document that
    /// is not excluded. Returns false as long as the store fails to list them: then a part of it may be out, and the sample may
    /// only have documents of the other part.
    pub(super) async fn complete(
        &self,
        store: &dyn StateStore,
        deadline: Instant,
        is_excluded: impl Fn(&str) -> bool,
    ) -> bool {
        let is_done =
            |sample: &Sample| matches!(sample.list, List::Done) && !sample.ids.iter().all(|id| is_excluded(id));
        if is_done(&self.lock()) {
            return true;
        }
        let listed =
            timeout_at(deadline, store.list(Selection::every(None, MAX_DOCUMENTS), &RequestCharge::default())).await;
        let mut sample = self.lock();
        let now = Instant::now();
        match (listed, &sample.list) {
            (Ok(Ok(page)), _) => sample.add_listed(page.documents.into_iter().map(|document| document.id)),
            (Err(_) | Ok(Err(StoreError::Transient(_) | StoreError::Throttled { .. })), List::NotRead) => {
                sample.list = List::Failing(now);
                return false;
            }
            (Err(_) | Ok(Err(StoreError::Transient(_) | StoreError::Throttled { .. })), List::Failing(since))
                if now < *since + LONGEST_OUTAGE =>
            {
                return false;
            }
            _ => {}
        }
        sample.list = List::Done;
        true
    }

    /// Returns random documents, without those that are excluded.
    pub(super) fn pick(&self, count: usize, is_excluded: impl Fn(&str) -> bool, random: &dyn Random) -> Vec<String> {
        let sample = self.lock();
        let mut ids: Vec<&str> = sample.ids.iter().map(String::as_str).filter(|id| !is_excluded(id)).collect();
        let mut picked = Vec::new();
        while picked.len() < count && !ids.is_empty() {
            picked.push(ids.swap_remove(random_index(random, ids.len())).to_owned());
        }
        picked
    }

    /// Removes a document that does not exist or fails.
    pub(super) fn remove(&self, id: &str) {
        self.lock().ids.retain(|known| known != id);
    }
}

impl Sample {
    /// Adds documents of devices. They replace up to half of a full sample.
    fn add_listed(&mut self, ids: impl Iterator<Item = String>) {
        let mut listed: Vec<String> =
            ids.filter(|id| document_id(&device_id(id)) == *id && !self.ids.contains(id)).collect();
        listed.dedup();
        self.ids.truncate((MAX_DOCUMENTS / 2).max(MAX_DOCUMENTS.saturating_sub(listed.len())));
        self.ids.extend(listed);
        self.ids.truncate(MAX_DOCUMENTS);
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
        known.lock().ids.clone()
    }

    fn full() -> KnownDocuments {
        let known = KnownDocuments::default();
        known.lock().ids.extend((0..MAX_DOCUMENTS).map(|number| number.to_string()));
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

    #[test]
    fn each_picked_document_is_another_one_and_not_excluded() {
        let mut picked = full().pick(MAX_DOCUMENTS, |id| id == "7", &FixedRandom(0.999));
        picked.sort_unstable();
        picked.dedup();
        assert_eq!((picked.len(), picked.iter().any(|id| id == "7")), (MAX_DOCUMENTS - 1, false));
        assert_eq!(full().pick(3, |_| false, &FixedRandom(1.0)).len(), 3, "the highest index is the last one");
    }

    #[test]
    fn listed_documents_of_devices_fill_a_sample_or_replace_half_of_it() {
        let listed = || (0..100).map(|number| format!("listed-{number}"));
        let known = KnownDocuments::default();
        known.lock().add_listed(["a%2Fb".to_owned(), "a~2Fb".to_owned(), "a~2Fb".to_owned()].into_iter());
        assert_eq!(ids(&known), ["a~2Fb"], "another program's document may be refused for its id");
        for (known, old) in [(known, 1), (full(), MAX_DOCUMENTS / 2)] {
            known.lock().add_listed(listed());
            let ids = ids(&known);
            let of_list = ids.iter().filter(|id| id.starts_with("listed-")).count();
            assert_eq!((ids.len(), of_list), (MAX_DOCUMENTS, MAX_DOCUMENTS - old));
        }
    }
}
