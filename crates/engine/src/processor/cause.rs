//! Decides what caused the failures of an attempt: the devices that failed, or the store.
//!
//! What a document is answered may concern this document alone, a part of the store or all of it. So the rule is to look at
//! others, in this order:
//!
//! 1. If more than [`MAX_FAILING_DEVICES`] devices of the batch fail, and more than one in [`MAX_FAILING_SHARE`], the store
//!    is the cause. Devices do not begin to fail at the same time.
//! 2. Otherwise up to [`PROBES`] other documents are written again, unchanged. If the store accepts none, or if more than
//!    [`MAX_FAILED_PROBES`] fail, the store is the cause, perhaps only a part of it.
//! 3. Otherwise each device is the cause of its own failure.
//!
//! A device that is known to be faulty does not count in the first step, and needs only one probe.

use std::collections::HashSet;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    backoff::Backoff,
    device::Writer,
    known_documents::{KnownDocuments, MAX_DOCUMENTS},
};
use crate::store::StoreError;

/// A batch with this many failing devices may still have as many faulty documents.
pub(super) const MAX_FAILING_DEVICES: usize = 3;

/// One failing device in this many is a faulty document. A part of a store that fails is larger: a container has at most
/// some dozens of partitions.
const MAX_FAILING_SHARE: usize = 100;

/// The number of probes. If one document in ten is out, fewer than two of 32 probes fail in one attempt out of six, and in
/// five attempts in a row practically never. It costs about 250 request units, and only for a device that is not known
/// to be faulty.
const PROBES: usize = 32;

/// One probe may fail: its document may be faulty itself.
const MAX_FAILED_PROBES: usize = 1;

/// How often a probe is tried: a conflict or a single failure shows nothing.
const MAX_PROBE_TRIES: u32 = 5;

/// The failures of an attempt.
pub(super) struct Failures<'d> {
    /// The number of devices of the batch.
    pub(super) devices: usize,
    /// The documents whose devices failed, and are not known to be faulty.
    pub(super) failing: HashSet<&'d str>,
    /// The documents whose devices failed, and are known to be faulty.
    pub(super) faulty: HashSet<&'d str>,
    /// The documents for which the store rejected a write as a bad request.
    pub(super) rejected: HashSet<&'d str>,
}

impl Failures<'_> {
    /// Returns true if so many devices fail at once that the store is the cause.
    fn are_many(&self) -> bool {
        let failing = self.failing.len();
        failing > MAX_FAILING_DEVICES && failing * MAX_FAILING_SHARE > self.devices
    }

    /// Returns whether the store works, so that the devices are the cause of their failures.
    ///
    /// Earlier writes of this attempt show nothing: a key may be revoked in between.
    pub(super) async fn are_of_devices(&self, known: &KnownDocuments, writer: &Writer<'_>) -> bool {
        if self.are_many() {
            return false;
        }
        // An identity may lack the permission to list documents.
        if known.must_be_listed()
            && let Ok(Ok(page)) = timeout_at(writer.deadline, writer.store.list(None, MAX_DOCUMENTS)).await
        {
            known.add_listed(page.documents.into_iter().map(|document| document.id));
        }
        let count = if self.failing.is_empty() { 1 } else { PROBES };
        let is_failing = |id: &str| self.failing.contains(id) || self.faulty.contains(id);
        let mut ids = known.pick(count, |id| is_failing(id) || self.rejected.contains(id), writer.random);
        if ids.is_empty() {
            // An update was rejected, and not the document as it is.
            ids = known.pick(count, is_failing, writer.random);
        }
        let results = join_all(ids.iter().map(|id| probe(writer, id))).await;
        for (id, result) in ids.iter().zip(&results) {
            match result {
                Probe::Accepted => known.set_failing(id, false),
                Probe::Failed => known.set_failing(id, true),
                Probe::Missing => known.remove(id),
                Probe::Unknown => {}
            }
        }
        let count = |wanted| results.iter().filter(|result| **result == wanted).count();
        count(Probe::Accepted) > 0 && count(Probe::Failed) <= MAX_FAILED_PROBES
    }
}

/// The result of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    Accepted,
    Failed,
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
        let (failed, delay) = match writer.rewrite_unchanged(id).await {
            Ok(true) => return Probe::Accepted,
            Ok(false) => return Probe::Missing,
            Err(StoreError::Conflict) => (Probe::Unknown, backoff.after_conflict(writer.random)),
            Err(StoreError::Throttled { delay, .. }) => {
                (Probe::Unknown, backoff.after_failure(writer.random).max(delay))
            }
            Err(StoreError::Transient(_)) => (Probe::Failed, backoff.after_failure(writer.random)),
            Err(StoreError::Rejected(_) | StoreError::BadRequest(_)) => return Probe::Unknown,
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
