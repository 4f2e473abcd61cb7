//! The store of documents: a service with ETags, and the clients that handlers have of it.
//!
//! A write that is on its way to the service is out of its client's hands: whoever asked for it may give up or die, and
//! it is done all the same.

mod client;

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
    book::{Count, Fault},
    clock::Surroundings,
};

pub(crate) use client::Client;

/// The service.
pub(crate) struct Service {
    clock: Arc<Surroundings>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    documents: BTreeMap<String, Arc<Stored>>,
    /// How many tags were given: none is ever given twice.
    tags: u64,
    /// Every write that was done, in order.
    landings: Vec<Landing>,
    /// How many writes were begun.
    begun: u64,
    /// How many clients there were.
    clients: u64,
    /// Rises with each failover: what was on its way is lost.
    life: u64,
    /// What each write replaced, with its time, for the failover that takes it back.
    past: Vec<(Duration, String, Option<Arc<Stored>>)>,
}

/// A write that was done.
#[derive(Debug)]
pub(crate) struct Landing {
    /// Which client asked for it.
    pub(crate) client: u64,
    /// Its number among the writes that were begun.
    pub(crate) begun: u64,
    pub(crate) id: String,
    /// The versions that were not in the document before.
    pub(crate) versions: Vec<Version>,
}

/// A moment of the service, to tell later what has happened since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    landings: usize,
    begun: u64,
    life: u64,
}

/// A write on its way.
struct Write {
    client: u64,
    begun: u64,
    life: u64,
    document: Document,
    /// The tag that the document must still have; without one there must be no document.
    if_match: Option<ETag>,
}

impl Service {
    pub(crate) fn new(clock: Arc<Surroundings>) -> Self {
        Self { clock, state: Mutex::default() }
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

    pub(crate) fn moment(&self) -> Moment {
        let state = self.state();
        Moment { landings: state.landings.len(), begun: state.begun, life: state.life }
    }

    /// Whether since then nobody has written these documents but this client, with operations that it began since then
    /// and only with such versions.
    pub(crate) fn is_undisturbed(
        &self,
        since: Moment,
        client: u64,
        is_own: impl Fn(&str) -> bool,
        is_known: impl Fn(Version) -> bool,
    ) -> bool {
        let state = self.state();
        let landings = state.landings[since.landings..].iter().filter(|landing| is_own(&landing.id));
        let mut landings = landings.map(|landing| {
            landing.client == client && landing.begun > since.begun && landing.versions.iter().copied().all(&is_known)
        });
        state.life == since.life && landings.all(|is_ours| is_ours)
    }

    /// A failover to a replica that has not got the writes of the last `lag`.
    pub(crate) fn fails_over(&self, lag: Duration) {
        let mut state = self.state();
        let from = self.clock.now().saturating_sub(lag);
        while let Some((_, id, before)) = state.past.pop_if(|(at, ..)| *at >= from) {
            self.clock.book.count(Count::LostWrites, 1);
            match before {
                Some(stored) => drop(state.documents.insert(id, stored)),
                None => drop(state.documents.remove(&id)),
            }
        }
        state.life += 1;
        self.clock.book.fault(Fault::StoreFailover);
    }

    /// Takes a write in hand.
    fn begin(&self, client: u64, document: Document, if_match: Option<ETag>) -> Write {
        let mut state = self.state();
        state.begun += 1;
        Write { client, begun: state.begun, life: state.life, document, if_match }
    }

    /// Does a write, or refuses it.
    fn land(&self, write: Write) -> Result<ETag, StoreError> {
        let Write { client, begun, life, document, if_match } = write;
        let mut state = self.state();
        if life != state.life {
            return Err(super::weather::cut());
        }
        if let Some((error, fault)) = refusal(&document) {
            self.clock.book.fault(fault);
            return Err(error);
        }
        let before = state.documents.get(&document.id).cloned();
        if before.as_ref().map(|stored| &stored.etag) != if_match.as_ref() {
            self.clock.book.fault(Fault::Conflict);
            return Err(StoreError::Conflict);
        }
        let versions = match raised(before.as_ref().map(|stored| &stored.document), &document) {
            Ok(versions) => versions,
            Err(violation) => {
                self.clock.violation(&violation);
                Vec::new()
            }
        };
        state.tags += 1;
        let (id, etag) = (document.id.clone(), ETag(state.tags.to_string()));
        state.landings.push(Landing { client, begun, id: id.clone(), versions });
        state.past.push((self.clock.now(), id.clone(), before));
        state.documents.insert(id, Arc::new(Stored { document, etag: etag.clone() }));
        Ok(etag)
    }
}

/// A document that the service will not have, whatever else it takes.
fn refusal(document: &Document) -> Option<(StoreError, Fault)> {
    let altitude = document.get("Altitude").and_then(serde_json::Value::as_f64)?;
    if altitude.to_bits() == TOO_LARGE.to_bits() {
        return Some((StoreError::Rejected("413: the document is too large".into()), Fault::TooLarge));
    }
    (altitude.to_bits() == BAD_REQUEST.to_bits())
        .then(|| (StoreError::BadRequest("400: the request is bad".into()), Fault::BadRequest))
}

/// Altitudes that stand for documents which are too large, or which the service calls bad requests.
pub(crate) const TOO_LARGE: f64 = 413.5;
pub(crate) const BAD_REQUEST: f64 = 400.5;

/// A version as three numbers, which are compared one after the other, whatever the product makes of it.
pub(crate) fn plain(Version { enqueued_ms, sequence_number, source }: Version) -> (i64, i64, u64) {
    (enqueued_ms, sequence_number, source)
}

/// The versions that a write brings; an error when it takes one back.
fn raised(before: Option<&Document>, after: &Document) -> Result<Vec<Version>, String> {
    if let Some(before) = before {
        for (name, _) in before.readings() {
            let (from, to) = (before.version(name).map(plain), after.version(name).map(plain));
            if to < from {
                return Err(format!("{name} of {:?} goes back from version {from:?} to {to:?}", after.id));
            }
        }
    }
    let is_new =
        |name: &str| before.is_none_or(|before| before.version(name).map(plain) < after.version(name).map(plain));
    let names = after.readings().map(|(name, _)| name).filter(|name| is_new(name));
    Ok(names.filter_map(|name| after.version(name)).collect())
}
