//! The document store: a service with ETags, and the clients that handlers use.
//!
//! A write that was sent is applied even if its client gives up or is killed.

mod client;
mod numbers;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use devicestate_engine::{
    device_state::{Document, Version},
    store::{ETag, StoreError, Stored},
};

use super::{
    checks::order::{is_by_number, of_version},
    clock::SimulatedClock,
    metrics::{Count, Fault},
};

pub(crate) use client::Client;

/// The service.
pub(crate) struct Service {
    clock: Arc<SimulatedClock>,
    heard_every: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    documents: BTreeMap<String, Arc<Stored>>,
    /// The number of ETags created; none is used twice.
    tags: u64,
    /// All completed writes, in order.
    completed_writes: Vec<CompletedWrite>,
    /// The number of writes started.
    begun: u64,
    /// The number of clients created.
    clients: u64,
    /// Incremented by each failover: writes in flight are lost.
    epoch: u64,
    /// The time of each write and the document that it replaced, for a failover that undoes it.
    history: Vec<(Duration, String, Option<Arc<Stored>>)>,
}

/// A completed write.
#[derive(Debug)]
pub(crate) struct CompletedWrite {
    /// The number of the client that sent it.
    pub(crate) client: u64,
    /// Its number among the started writes.
    pub(crate) begun: u64,
    pub(crate) id: String,
    /// The versions that the document did not have before.
    pub(crate) versions: Vec<Version>,
}

/// The service's progress at one time, with which later writes are detected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Snapshot {
    completed_writes: usize,
    begun: u64,
    epoch: u64,
}

/// A write in flight.
struct Write {
    client: u64,
    begun: u64,
    epoch: u64,
    document: Document,
    /// The ETag that the document must still have; with `None`, the document must not exist.
    if_match: Option<ETag>,
}

impl Service {
    pub(crate) fn new(clock: Arc<SimulatedClock>, heard_every: Duration) -> Self {
        Self { clock, heard_every, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn document(&self, id: &str) -> Option<Arc<Stored>> {
        self.state().documents.get(id).cloned()
    }

    pub(crate) fn documents(&self) -> Vec<Arc<Stored>> {
        self.state().documents.values().cloned().collect()
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let state = self.state();
        Snapshot { completed_writes: state.completed_writes.len(), begun: state.begun, epoch: state.epoch }
    }

    /// Returns whether, since the snapshot, only this client has written these documents, with writes that it started since
    /// and only known versions.
    pub(crate) fn is_undisturbed(
        &self,
        since: Snapshot,
        client: u64,
        is_own: impl Fn(&str) -> bool,
        is_known: impl Fn(Version) -> bool,
    ) -> bool {
        let state = self.state();
        let completed_writes =
            state.completed_writes[since.completed_writes..].iter().filter(|write| is_own(&write.id));
        let mut completed_writes = completed_writes.map(|write| {
            write.client == client && write.begun > since.begun && write.versions.iter().copied().all(&is_known)
        });
        state.epoch == since.epoch && completed_writes.all(|is_expected| is_expected)
    }

    /// Fails over to a replica that lacks the writes of the last `lag`.
    pub(crate) fn fail_over(&self, lag: Duration) {
        let mut state = self.state();
        let from = self.clock.now().saturating_sub(lag);
        while let Some((_, id, before)) = state.history.pop_if(|(at, ..)| *at >= from) {
            self.clock.metrics.count(Count::LostWrites, 1);
            match before {
                Some(stored) => drop(state.documents.insert(id, stored)),
                None => drop(state.documents.remove(&id)),
            }
        }
        state.epoch += 1;
        self.clock.metrics.count_fault(Fault::StoreFailover);
    }

    /// Starts a write.
    fn begin(&self, client: u64, document: Document, if_match: Option<ETag>) -> Write {
        let mut state = self.state();
        state.begun += 1;
        Write { client, begun: state.begun, epoch: state.epoch, document, if_match }
    }

    /// Applies a write, or rejects it.
    fn apply(&self, write: Write) -> Result<ETag, StoreError> {
        let Write { client, begun, epoch, document, if_match } = write;
        let mut state = self.state();
        if epoch != state.epoch {
            return Err(super::faults::connection_lost());
        }
        if let Some((error, fault)) = rejection(&document) {
            self.clock.metrics.count_fault(fault);
            return Err(error);
        }
        let before = state.documents.get(&document.id).cloned();
        if before.as_ref().map(|stored| &stored.etag) != if_match.as_ref() {
            self.clock.metrics.count_fault(Fault::Conflict);
            return Err(StoreError::Conflict);
        }
        let versions = match raised_versions(before.as_ref().map(|stored| &stored.document), &document) {
            Ok(versions) => versions,
            Err(violation) => {
                self.clock.record_violation(&violation);
                Vec::new()
            }
        };
        if let Some(before) = before.as_ref().filter(|_| versions.is_empty())
            && let Err(violation) = self.check_write_of_heard(&before.document, &document)
        {
            self.clock.record_violation(&violation);
        }
        let document = numbers::rounded(document);
        state.tags += 1;
        let (id, etag) = (document.id.clone(), ETag(state.tags.to_string()));
        state.completed_writes.push(CompletedWrite { client, begun, id: id.clone(), versions });
        state.history.push((self.clock.now(), id.clone(), before));
        state.documents.insert(id, Arc::new(Stored { document, etag: etag.clone() }));
        Ok(etag)
    }

    /// Checks a write that raises no reading: it may record that the device was heard again only after `HeardEvery`.
    fn check_write_of_heard(&self, before: &Document, after: &Document) -> Result<(), String> {
        let (Some(from), Some(to)) = (before.heard(), after.heard()) else { return Ok(()) };
        let passed = Duration::from_millis((to.time_ms - from.time_ms).unsigned_abs());
        if from == to || passed >= self.heard_every {
            return Ok(());
        }
        Err(format!("a write of {:?} only records that it was heard again after {passed:?}", after.id))
    }
}

/// Returns whether a write decreases a version.
fn is_decrease(from: Option<Version>, to: Option<Version>) -> bool {
    let (from, to) = (from.map(of_version), to.map(of_version));
    match (from, to) {
        (Some(from), Some(to)) if is_by_number(from, to) => to.0 < from.0 || (to.2, to.3) < (from.2, from.3),
        _ => to < from,
    }
}

/// Returns the error for a document that the service always rejects; `None` for any other.
fn rejection(document: &Document) -> Option<(StoreError, Fault)> {
    let altitude = document.get("Altitude").and_then(serde_json::Value::as_f64)?;
    if altitude.to_bits() == TOO_LARGE.to_bits() {
        return Some((StoreError::Rejected("413: the document is too large".into()), Fault::TooLarge));
    }
    (altitude.to_bits() == BAD_REQUEST.to_bits())
        .then(|| (StoreError::BadRequest("400: the request is bad".into()), Fault::BadRequest))
}

/// Altitudes that mark documents which the service rejects as too large, or as a bad request.
pub(crate) const TOO_LARGE: f64 = 413.5;
pub(crate) const BAD_REQUEST: f64 = 400.5;

/// Returns the versions that a write raises.
///
/// # Errors
///
/// The write decreases a version.
fn raised_versions(before: Option<&Document>, after: &Document) -> Result<Vec<Version>, String> {
    if let Some(before) = before {
        let versions = |name: &str| (before.version(name), after.version(name));
        let readings = before.readings().map(|(name, _)| (name, versions(name)));
        for (name, (from, to)) in readings.chain([("Heard", (before.heard(), after.heard()))]) {
            if is_decrease(from, to) {
                return Err(format!("the version of {name} of {:?} decreases from {from:?} to {to:?}", after.id));
            }
        }
    }
    let is_new = |name: &str| before.is_none_or(|before| before.version(name) != after.version(name));
    let names = after.readings().map(|(name, _)| name).filter(|name| is_new(name));
    Ok(names.filter_map(|name| after.version(name)).collect())
}
