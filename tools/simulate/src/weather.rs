//! What goes wrong at the moment: the small trouble of every day, by chance, and outages while they last.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use devicestate_engine::store::StoreError;

use super::{
    book::{Count, Fault},
    clock::Surroundings,
};

/// How often things go wrong, in a thousand times.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Trouble {
    /// The store answers 503.
    pub(crate) unavailable: u32,
    /// The store answers 429.
    pub(crate) throttled: u32,
    /// The store answers 403/3.
    pub(crate) moved: u32,
    /// The connection to the store is cut before it has written.
    pub(crate) cut_before: u32,
    /// It is cut, and the store writes all the same: perhaps only later.
    pub(crate) cut_after: u32,
    /// The client repeats a write whose answer it has lost, and is refused for the sake of its own write.
    pub(crate) doubled: u32,
    /// The store never answers.
    pub(crate) stalled: u32,
    /// The store takes its time.
    pub(crate) slow: u32,
    /// The handler's reply does not reach the host.
    pub(crate) reply_lost: u32,
    /// The host's request does not reach the handler, and is waited for until `functionTimeout`.
    pub(crate) request_lost: u32,
    /// The handler is killed while it works on a batch.
    pub(crate) killed: u32,
    /// The queue does not take a dead letter.
    pub(crate) put_failed: u32,
    /// The overflow does not take a dead letter.
    pub(crate) overflow_failed: u32,
}

/// How the store is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outage {
    /// It answers 403: a key was rotated, a role is gone.
    Denied,
    /// It answers 503.
    Unavailable,
    /// It answers 429.
    Throttled,
    /// It does not answer.
    Silent,
}

/// What is wrong with one device's document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Illness {
    /// The store answers 503 for it.
    Failing,
    /// The store does not answer for it.
    Silent,
}

/// What becomes of an operation of the store.
#[derive(Debug)]
pub(crate) enum Turn {
    /// It is done.
    Done,
    /// It is not done, and this is said.
    Fails(StoreError),
    /// It is done after so long, and the client hears only that the connection was cut.
    Cut(Duration),
    /// It is done, and the client hears that somebody else was first.
    Doubled,
    /// Nothing is ever heard of it; perhaps it is done.
    Silent { is_done: bool },
}

/// The weather of a run.
pub(crate) struct Weather {
    clock: Arc<Surroundings>,
    now: Mutex<Now>,
}

#[derive(Default)]
struct Now {
    trouble: Trouble,
    store: Option<Outage>,
    ill: BTreeMap<String, Illness>,
    /// The documents that were ever ill: their events may be dead-lettered.
    ever_ill: Vec<String>,
    is_queue_out: bool,
    is_overflow_out: bool,
}

impl Weather {
    pub(crate) fn new(clock: Arc<Surroundings>, trouble: Trouble) -> Self {
        Self { clock, now: Mutex::new(Now { trouble, ..Now::default() }) }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whatever was wrong is over.
    pub(crate) fn clears(&self) {
        let ever_ill = std::mem::take(&mut self.now().ever_ill);
        *self.now() = Now { ever_ill, ..Now::default() };
    }

    pub(crate) fn trouble(&self) -> Trouble {
        self.now().trouble
    }

    pub(crate) fn store_is_out(&self, how: Option<Outage>) {
        self.now().store = how;
    }

    pub(crate) fn falls_ill(&self, id: &str, how: Illness) {
        let mut now = self.now();
        now.ill.insert(id.to_owned(), how);
        now.ever_ill.push(id.to_owned());
    }

    pub(crate) fn gets_well(&self, id: &str) {
        self.now().ill.remove(id);
    }

    pub(crate) fn was_ever_ill(&self, id: &str) -> bool {
        self.now().ever_ill.iter().any(|ill| ill == id)
    }

    pub(crate) fn queue_is_out(&self, is_out: bool) {
        self.now().is_queue_out = is_out;
    }

    pub(crate) fn overflow_is_out(&self, is_out: bool) {
        self.now().is_overflow_out = is_out;
    }

    /// Whether the queue takes the next message.
    pub(crate) fn queue_takes(&self) -> bool {
        let fails = self.now().is_queue_out || self.clock.happens(self.trouble().put_failed);
        self.counted(Fault::FailedPut, fails)
    }

    /// Whether the overflow takes the next dead letter.
    pub(crate) fn overflow_takes(&self) -> bool {
        let fails = self.now().is_overflow_out || self.clock.happens(self.trouble().overflow_failed);
        self.counted(Fault::FailedOverflow, fails)
    }

    fn counted(&self, fault: Fault, fails: bool) -> bool {
        if fails {
            self.clock.book.fault(fault);
        }
        !fails
    }

    /// What becomes of the next operation on this document.
    pub(crate) fn operation(&self, id: &str, is_write: bool) -> Turn {
        let (turn, fault) = self.turn(id, is_write);
        let book = &self.clock.book;
        book.count(Count::StoreOperations, 1);
        if let Some(fault) = fault {
            book.fault(fault);
        }
        turn
    }

    fn turn(&self, id: &str, is_write: bool) -> (Turn, Option<Fault>) {
        let (trouble, store, ill) = {
            let now = self.now();
            (now.trouble, now.store, now.ill.get(id).copied())
        };
        match (store, ill) {
            (Some(Outage::Denied), _) => return failing(StoreError::Systemic("403: denied".into()), Fault::Denied),
            (Some(Outage::Unavailable), _) => return unavailable(),
            (None, Some(Illness::Failing)) => return (unavailable().0, Some(Fault::IllDevice)),
            (Some(Outage::Throttled), _) => return self.throttled(),
            (Some(Outage::Silent), _) => return (Turn::Silent { is_done: false }, Some(Fault::Stalled)),
            (None, Some(Illness::Silent)) => return (Turn::Silent { is_done: false }, Some(Fault::IllDevice)),
            (None, None) => {}
        }
        let happens = |per_mille| self.clock.happens(per_mille);
        if happens(trouble.unavailable) {
            unavailable()
        } else if happens(trouble.throttled) {
            self.throttled()
        } else if is_write && happens(trouble.moved) {
            failing(StoreError::Transient("403/3: the write region moved".into()), Fault::WriteRegionMoved)
        } else if happens(trouble.cut_before) {
            failing(cut(), Fault::CutBefore)
        } else if is_write && happens(trouble.cut_after) {
            (Turn::Cut(self.clock.millis(2_000)), Some(Fault::CutAfter))
        } else if is_write && happens(trouble.doubled) {
            (Turn::Doubled, Some(Fault::ConflictWithItself))
        } else if happens(trouble.stalled) {
            (Turn::Silent { is_done: is_write && self.clock.draw(fastrand::Rng::bool) }, Some(Fault::Stalled))
        } else {
            (Turn::Done, None)
        }
    }

    fn throttled(&self) -> (Turn, Option<Fault>) {
        let delay = self.clock.millis(1_000);
        failing(StoreError::Throttled { reason: "429: too many requests".into(), delay }, Fault::Throttled)
    }
}

fn failing(error: StoreError, fault: Fault) -> (Turn, Option<Fault>) {
    (Turn::Fails(error), Some(fault))
}

fn unavailable() -> (Turn, Option<Fault>) {
    failing(StoreError::Transient("503: unavailable".into()), Fault::Unavailable)
}

/// What a client hears when a connection was cut.
pub(crate) fn cut() -> StoreError {
    StoreError::Transient("the connection was cut".into())
}
