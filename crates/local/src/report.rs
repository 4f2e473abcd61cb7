//! What a run came to.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};

pub use super::statistics::GivenUp;
use super::{
    documents::Documents,
    sessions::queue::Counts,
    statistics::{Batches, Statistics},
};
use devicestate_engine::{
    device_state::Document,
    record::DeadLetterQueueRecord,
    store::{Operations, StateStore, documents},
};
use devicestate_sqlite::{Database, OpenMode, SqliteStore};

/// What a run came to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What became of the events.
    pub events: Events,
    /// How many documents the store holds; null when that is not known.
    pub devices: Devices,
    /// Batches that were answered for good.
    pub batches: u64,
    /// Attempts of a batch that failed and were repeated.
    pub failed_attempts: u64,
    /// Handlers that died and were started again.
    pub handler_restarts: u64,
    /// Hosts that gave up and were started again.
    pub host_restarts: u64,
    /// What was asked of the store, failed attempts included.
    pub store_operations: StoreOperations,
    /// From start to end, start of the handler included.
    pub seconds: f64,
    /// Events by seconds.
    pub events_per_second: f64,
    /// How long things took.
    pub latency_ms: Latencies,
    /// Partitions of the hub; null where there is none.
    pub partitions: Option<usize>,
    /// The queue with sessions; null where there is none.
    pub session_queue: Option<SessionQueueReport>,
    /// Instances that shared the one or the other.
    pub instances: usize,
    /// Where the documents are: the setting `StateStore`.
    pub state_store: &'static str,
    /// The state file: dead letters, and with `sqlite` the documents.
    pub state: PathBuf,
    /// Messages that were put into the dead-letter queue. More than dead-lettered events where a batch was repeated.
    pub dead_letter_messages: u64,
    /// The queue of the dead letters at the end, as the app's timer function told of it; null without one.
    pub dead_letter_queue: Option<DeadLetterQueueRecord>,
    /// What went wrong.
    #[serde(flatten)]
    pub failures: Failures,
    /// The documents, when there are few.
    #[serde(skip)]
    pub few: Vec<Document>,
}

/// What went wrong, apart from events that were lost.
#[derive(Debug, Default, Serialize)]
pub struct Failures {
    /// Why the run ended early, if it did.
    #[serde(rename = "failure")]
    pub run: Option<String>,
    /// Why a timer function failed at the end, if one did. The events had been done with.
    #[serde(rename = "watchFailure")]
    pub watch: Option<String>,
}

/// What became of the events. Applied, superseded, dead-lettered, lost and those in the sub-queue add up to received and
/// repeated.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Events {
    /// Taken by the hub or the queue.
    pub received: u64,
    /// Bad ones among them, which `--bad-events` added.
    pub bad_added: u64,
    /// At least one reading was newer.
    pub applied: u64,
    /// No reading was newer.
    pub superseded: u64,
    /// Could not be applied.
    pub dead_lettered: u64,
    /// Passed by the host, since their batch failed for the last time.
    pub lost: u64,
    /// In the dead-letter sub-queue of the queue with sessions, since each of their deliveries failed.
    pub in_sub_queue: u64,
    /// Answered for a second time, since a host died between reply and checkpoint.
    pub repeated: u64,
}

/// What a queue with sessions tells at the end.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionQueueReport {
    /// Sessions that had a message.
    pub sessions: u64,
    /// Deliveries of messages to a handler.
    pub deliveries: u64,
    /// Those of a message that had been delivered before.
    pub redeliveries: u64,
    /// The messages in the dead-letter sub-queue, the first of them first.
    pub dead_letter_sub_queue: Vec<GivenUp>,
}

impl SessionQueueReport {
    pub(super) fn new(counts: Counts, statistics: &Statistics) -> Self {
        let Counts { sessions, deliveries, redeliveries, .. } = counts;
        Self { sessions, deliveries, redeliveries, dead_letter_sub_queue: statistics.all_given_up() }
    }
}

/// How many documents the store holds, as far as the report can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Devices {
    /// So many.
    Counted(usize),
    /// More than so many, which is as far as they were read.
    MoreThan(usize),
    /// Only the handler could see them.
    InTheHandler,
    /// The store cannot be read.
    Unreadable,
}

impl Serialize for Devices {
    /// As a number, or null.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let counted = if let Self::Counted(count) = self { Some(count) } else { None };
        counted.serialize(serializer)
    }
}

impl fmt::Display for Devices {
    /// For people.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Counted(count) => write!(f, "{count}"),
            Self::MoreThan(count) => write!(f, "more than {count}"),
            Self::InTheHandler => f.write_str("in the handler's memory"),
            Self::Unreadable => f.write_str("the store cannot be read"),
        }
    }
}

/// Operations on the store.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreOperations {
    /// All of them.
    #[serde(flatten)]
    pub total: Operations,
    /// Reads and writes by events.
    pub per_event: f64,
}

/// How long things took, in milliseconds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Latencies {
    /// An invocation, from request to reply.
    pub invocation: Quantiles,
    /// An event, from the hub to the reply; most of it is waiting when the hub is filled faster than it is read.
    pub event: Quantiles,
}

/// Two points of a distribution.
#[derive(Debug, Serialize)]
pub struct Quantiles {
    /// Half are below.
    pub p50: f64,
    /// 99 of 100 are below.
    pub p99: f64,
}

/// So many documents are shown whole.
const FEW: usize = 20;

/// So many are counted where reading costs something.
const MANY: usize = 10_000;

/// Counts the documents, and gives back those that are to be shown.
async fn count(of: &Documents) -> (Devices, Vec<Document>) {
    let (most, store): (_, Arc<dyn StateStore>) = match of {
        Documents::Memory => return (Devices::InTheHandler, Vec::new()),
        Documents::Sqlite(path) => match Database::open(path, OpenMode::ReadOnly) {
            Ok(database) => (usize::MAX, Arc::new(SqliteStore::new(database))),
            Err(_) => return (Devices::Unreadable, Vec::new()),
        },
        Documents::Remote(_, store) => (MANY, Arc::clone(store)),
    };
    match documents(&*store, most.saturating_add(1)).await {
        Err(_) => (Devices::Unreadable, Vec::new()),
        Ok(found) if found.len() > most => (Devices::MoreThan(most), Vec::new()),
        Ok(found) if found.len() > FEW => (Devices::Counted(found.len()), Vec::new()),
        Ok(few) => (Devices::Counted(few.len()), few),
    }
}

/// What a run was made of, and what is known at its end beside what was counted.
pub(super) struct Ended<'a> {
    pub(super) took: Duration,
    pub(super) partitions: Option<usize>,
    pub(super) session_queue: Option<SessionQueueReport>,
    pub(super) instances: usize,
    pub(super) state: PathBuf,
    pub(super) documents: &'a Documents,
    pub(super) dead_letter_messages: u64,
    pub(super) failures: Failures,
}

#[expect(clippy::cast_precision_loss, reason = "no run has 2^52 events")]
pub(super) async fn make(statistics: &Statistics, ended: Ended<'_>) -> Report {
    let Ended { took, partitions, session_queue, instances, state, documents, dead_letter_messages, failures } = ended;
    let Batches { count: batches, sum, repeated, lost, invocation, event, .. } = statistics.batches();
    let (devices, few) = count(documents).await;
    let received = statistics.received.load(Relaxed);
    Report {
        events: Events {
            received,
            bad_added: statistics.bad_added.load(Relaxed),
            applied: sum.applied,
            superseded: sum.superseded,
            dead_lettered: sum.dead_lettered,
            lost,
            in_sub_queue: session_queue.as_ref().map_or(0, |queue| queue.dead_letter_sub_queue.len() as u64),
            repeated,
        },
        devices,
        batches,
        failed_attempts: statistics.failed_attempts.load(Relaxed),
        handler_restarts: statistics.handler_restarts.load(Relaxed),
        host_restarts: statistics.host_restarts.load(Relaxed),
        store_operations: StoreOperations {
            total: sum.attempt.operations,
            per_event: (sum.attempt.operations.reads + sum.attempt.operations.writes) as f64
                / (sum.attempt.events.max(1) as f64),
        },
        seconds: took.as_secs_f64(),
        events_per_second: sum.attempt.events as f64 / took.as_secs_f64(),
        latency_ms: Latencies { invocation: quantiles(&invocation), event: quantiles(&event) },
        partitions,
        session_queue,
        instances,
        state_store: documents.name(),
        state,
        dead_letter_messages,
        dead_letter_queue: statistics.dead_letter_queue(),
        failures,
        few,
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of a run")]
fn quantiles(microseconds: &Histogram<u64>) -> Quantiles {
    let at = |quantile| microseconds.value_at_quantile(quantile) as f64 / 1e3;
    Quantiles { p50: at(0.5), p99: at(0.99) }
}

impl Report {
    /// Whether every event that was received is accounted for, and none was lost.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let Events { received, applied, superseded, dead_lettered, lost, in_sub_queue, repeated, .. } = self.events;
        lost == 0 && applied + superseded + dead_lettered + in_sub_queue == received + repeated
    }
}
