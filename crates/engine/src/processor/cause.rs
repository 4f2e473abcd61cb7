//! Decides what caused the failures of an attempt: the devices that failed, or the store.
//!
//! What a document is answered may concern this document alone, a part of the store or all of it. So other documents are
//! written again, unchanged: up to [`PROBES`] that are not known to fail, and up to as many that failed before. The store is
//! the cause, perhaps only a part of it, if
//!
//! 1. it accepts none of the first, or fewer than half, or
//! 2. more than [`MAX_FAILED_PROBES`] of the first fail, or
//! 3. more than [`MAX_FAILING`] documents fail, of this batch or before, and more than one in [`MAX_FAILING_SHARE`] devices of
//!    the batch. Documents do not break at the same time. Only those count that began to fail within
//!    [`LONGEST_OUTAGE`](super::failing_documents::LONGEST_OUTAGE): so nothing is held for longer by them.
//!
//! Otherwise each device is the cause of its own failure. If all failing documents are known to be faulty, one probe suffices.

use std::{collections::HashSet, iter};

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::{backoff::Backoff, device::Writer, failing_documents::FailingDocuments, known_documents::KnownDocuments};
use crate::store::StoreError;

/// A store that works may still have this many documents that broke within some hours.
pub(super) const MAX_FAILING: usize = 3;

/// One failing device in this many is a faulty document. A part of a store that fails is larger: a container has at most
/// some dozens of partitions.
const MAX_FAILING_SHARE: usize = 100;

/// The number of probes. If one document in ten is out, at least two of 32 probes fail in five attempts out of six. The
/// attempts add up, since documents that failed before are probed, too. It costs about 250 request units, and only for a
/// device that is not known to be faulty.
const PROBES: usize = 32;

/// One probe may fail: its document may be faulty itself.
const MAX_FAILED_PROBES: usize = 1;

/// How often a probe is tried: a conflict or a single failure shows nothing.
const MAX_PROBE_TRIES: u32 = 5;

/// The cause of the failures of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The store works, and the devices failed.
    Devices,
    /// The store, or a part of it, does not work.
    Store,
    /// Unknown: there is no other document to compare with.
    Unknown,
}

/// The failures of an attempt.
pub(super) struct Failures<'d> {
    /// The number of devices of the batch, in its portions so far.
    pub(super) devices: usize,
    /// The documents whose devices failed, and are not known to be faulty.
    pub(super) failing: HashSet<&'d str>,
    /// The documents whose devices failed, and are known to be faulty.
    pub(super) faulty: HashSet<&'d str>,
    /// The documents for which the store rejected a write as a bad request.
    pub(super) rejected: HashSet<&'d str>,
}

/// What is known of the documents of the store, over all batches of the process.
#[derive(Debug, Default)]
pub(super) struct Documents {
    /// The documents that fail.
    pub(super) failing: FailingDocuments,
    /// Documents that do not fail.
    pub(super) known: KnownDocuments,
}

impl Failures<'_> {
    /// Returns true if so many documents fail that the store is the cause.
    fn are_many(&self, failing: usize) -> bool {
        failing > MAX_FAILING && failing * MAX_FAILING_SHARE > self.devices
    }

    fn is_of_batch(&self, id: &str) -> bool {
        self.failing.contains(id) || self.faulty.contains(id)
    }

    /// Finds the cause. Also returns whether the store accepted a probe.
    ///
    /// Earlier writes of this attempt show nothing: a key may be revoked in between.
    pub(super) async fn cause(&self, documents: &Documents, writer: &Writer<'_>) -> (Cause, bool) {
        let Documents { failing, known } = documents;
        for id in self.failing.iter().chain(&self.faulty) {
            failing.add(id);
            known.remove(id);
        }
        if self.are_many(self.failing.iter().filter(|id| failing.is_recent(id)).count()) {
            return (Cause::Store, false);
        }
        // Leave time for the probes.
        let list_deadline = Instant::now() + writer.deadline.saturating_duration_since(Instant::now()) / 3;
        let recent = failing.recent();
        let is_failing = |id: &str| self.is_of_batch(id) || recent.iter().any(|(failing, _)| failing == id);
        let is_complete = known.complete(writer.store, list_deadline, is_failing).await;
        let is_outage = self.are_many(recent.len());
        let count = match &self.failing {
            failing if failing.is_empty() => 1,
            // Has it ended?
            _ if is_outage => PROBES / 4,
            _ => PROBES,
        };
        let mut ids = known.pick(count, |id| is_failing(id) || self.rejected.contains(id), writer.random);
        let is_own = ids.is_empty();
        if is_own {
            // An update may have been rejected, and not the document as it is.
            ids = known.pick(count, is_failing, writer.random);
        }
        let count_before = match count {
            _ if is_outage => PROBES / 4,
            1 if !is_own => 0,
            count => count,
        };
        let failed_before = recent.iter().filter(|(id, _)| !self.is_of_batch(id)).take(count_before);
        let failed_before: Vec<_> = failed_before.collect();
        let all = ids.iter().chain(failed_before.iter().map(|(id, _)| id));
        let results = join_all(all.map(|id| probe(writer, id))).await;
        let (results, results_before) = results.split_at(ids.len());
        record_probes(documents, &ids, results, is_own);
        let recovered = self.record_recovered(documents, &failed_before, results_before, &ids, writer);
        let count =
            |results: &[Probe], wanted: &[Probe]| results.iter().filter(|result| wanted.contains(result)).count();
        let (accepted, missing) = (count(results, &[Probe::Accepted]), count(results, &[Probe::Missing]));
        let others = if is_own { results_before } else { results };
        let failed = count(others, &[Probe::Failed, Probe::BadRequest]);
        let has_failing = !self.failing.is_empty() || !self.faulty.is_empty();
        let is_store = !is_complete
            || (failed > MAX_FAILED_PROBES && !is_own)
            || accepted * 2 < ids.len() - missing
            || (has_failing && self.are_many(failing.recent().len()));
        let cause = match accepted {
            0 if failed == 0 => Cause::Unknown,
            0 => Cause::Store,
            _ if is_store => Cause::Store,
            _ => Cause::Devices,
        };
        (cause, accepted + recovered > 0)
    }

    /// Records the probes of documents that had failed before, and returns how many the store accepted. If all of them are
    /// accepted, an outage has ended, and the documents that were not probed do not count any more.
    fn record_recovered(
        &self,
        Documents { failing, known }: &Documents,
        failed_before: &[&(String, bool)],
        results: &[Probe],
        probed: &[String],
        writer: &Writer<'_>,
    ) -> usize {
        let (mut recovered, mut are_all_recovered) = (0, true);
        for ((id, is_faulty), result) in iter::zip(failed_before.iter().copied(), results) {
            match result {
                Probe::Accepted => {
                    failing.remove(id);
                    known.add(iter::once(id.as_str()), writer.random);
                    recovered += 1;
                }
                Probe::Missing => failing.remove(id),
                _ => are_all_recovered &= *is_faulty,
            }
        }
        if recovered > 0 && are_all_recovered {
            failing.end_outage(|id| self.is_of_batch(id) || probed.iter().any(|probed| probed == id));
        }
        recovered
    }
}

/// Records the probes of documents that were not known to fail. The batch's own documents, whose updates were rejected, do not
/// count as failing.
fn record_probes(Documents { failing, known }: &Documents, ids: &[String], results: &[Probe], is_own: bool) {
    for (id, result) in iter::zip(ids, results) {
        match result {
            Probe::Failed | Probe::BadRequest if !is_own => {
                failing.add(id);
                known.remove(id);
            }
            Probe::Missing => known.remove(id),
            _ => {}
        }
    }
}

/// The result of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    Accepted,
    Failed,
    /// The store does not accept the document as it is.
    BadRequest,
    /// The document was deleted.
    Missing,
    /// The load, other writers or the document itself are the cause.
    Unknown,
}

/// Writes a document again, unchanged. The write is conditional, and changes nothing but the document's tag.
async fn probe(writer: &Writer<'_>, id: &str) -> Probe {
    let mut backoff = Backoff::default();
    let mut result = Probe::Unknown;
    for _ in 0..MAX_PROBE_TRIES {
        if Instant::now() >= writer.deadline {
            break;
        }
        let (failed, delay) = match writer.rewrite_unchanged(id).await {
            Ok(true) => return Probe::Accepted,
            Ok(false) => return Probe::Missing,
            Err(StoreError::Conflict) => (Probe::Unknown, backoff.after_conflict(writer.random)),
            Err(StoreError::Throttled { delay, .. }) => {
                (Probe::Unknown, backoff.after_failure(writer.random).max(delay))
            }
            Err(StoreError::Transient(_)) => (Probe::Failed, backoff.after_failure(writer.random)),
            Err(StoreError::Rejected(_)) => return Probe::Unknown,
            Err(StoreError::BadRequest(_)) => return Probe::BadRequest,
            Err(StoreError::Refused(_) | StoreError::Systemic(_)) => return Probe::Failed,
        };
        result = failed;
        if Instant::now() + delay >= writer.deadline {
            break;
        }
        sleep(delay).await;
    }
    result
}
