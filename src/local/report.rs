//! What a run came to.

use std::{fmt, path::PathBuf, sync::atomic::Ordering::Relaxed, time::Duration};

use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};

use super::statistics::{Batches, Statistics};
use crate::{
    assembly::open_store, config::StoreConfig, device_state::Document, processor::Operations,
    record::DeadLetterQueueRecord, sqlite::Opening, store::documents,
};

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
    /// Partitions of the hub.
    pub partitions: usize,
    /// Instances that shared them.
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

/// What became of the events. Applied, superseded, dead-lettered and lost add up to received and repeated.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Events {
    /// Taken by the hub.
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
    /// Answered for a second time, since a host died between reply and checkpoint.
    pub repeated: u64,
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
async fn count(store: &StoreConfig) -> (Devices, Vec<Document>) {
    let most = match store {
        StoreConfig::Memory => return (Devices::InTheHandler, Vec::new()),
        StoreConfig::Sqlite(_) => usize::MAX,
        StoreConfig::Cosmos(_) => MANY,
    };
    let Ok(store) = open_store(store, Opening::ReadOnly) else { return (Devices::Unreadable, Vec::new()) };
    match documents(&*store, most.saturating_add(1)).await {
        Err(_) => (Devices::Unreadable, Vec::new()),
        Ok(found) if found.len() > most => (Devices::MoreThan(most), Vec::new()),
        Ok(found) if found.len() > FEW => (Devices::Counted(found.len()), Vec::new()),
        Ok(few) => (Devices::Counted(few.len()), few),
    }
}

#[expect(clippy::cast_precision_loss, reason = "no run has 2^52 events")]
pub(super) async fn make(
    statistics: &Statistics,
    took: Duration,
    (partitions, instances): (usize, usize),
    state: PathBuf,
    store: &StoreConfig,
    dead_letter_messages: u64,
    failures: Failures,
) -> Report {
    let Batches { count: batches, sum, repeated, lost, invocation, event, .. } = statistics.batches();
    let (devices, few) = count(store).await;
    let received = statistics.received.load(Relaxed);
    Report {
        events: Events {
            received,
            bad_added: statistics.bad_added.load(Relaxed),
            applied: sum.applied,
            superseded: sum.superseded,
            dead_lettered: sum.dead_lettered,
            lost,
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
        instances,
        state_store: store.name(),
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
        let Events { received, applied, superseded, dead_lettered, lost, repeated, .. } = self.events;
        lost == 0 && applied + superseded + dead_lettered == received + repeated
    }
}
