//! The report of a run.

use std::{fmt, path::PathBuf, sync::atomic::Ordering::Relaxed, time::Duration};

use devicestate_engine::{
    device_state::Document,
    record::DeadLetterQueueRecord,
    store::{self, Operations},
};
use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};

pub use super::{
    check::{Check, Difference},
    injected_faults::InjectedFaults,
    options::Simulation,
    statistics::DeadLetteredMessage,
    timeline::{Happening, HappeningKind, Sample, Timeline},
};
use super::{
    documents::Documents,
    sessions::queue::Counts,
    setup::SIMULATED_DRONES,
    statistics::{Batches, Statistics},
    timeline::distribution,
};

/// The report of a run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The source of the events.
    pub input: InputReport,
    /// How the events were decoded: `any JSON`, the path of the telemetry file, or `drone`.
    pub telemetry: String,
    /// Whether a signal stopped the run before the end of the input, or before everything was processed.
    pub interrupted: bool,
    /// The results of the events.
    pub events: Events,
    /// The number of documents in the store; null if it is not known.
    pub devices: DocumentCount,
    /// Batches that were answered successfully.
    pub batches: u64,
    /// Attempts of batches that failed and were repeated.
    pub failed_attempts: u64,
    /// Restarts of handlers.
    pub handler_restarts: u64,
    /// Restarts of hosts whose handler failed too often.
    pub host_restarts: u64,
    /// Operations on the store, those of failed attempts included.
    pub store_operations: StoreOperations,
    /// The duration of the run, the start of the handlers included.
    pub seconds: f64,
    /// Events per second.
    pub events_per_second: f64,
    /// Durations of invocations and events.
    pub latency_ms: Latencies,
    /// Partitions of the hub; null for a queue with sessions.
    pub partitions: Option<usize>,
    /// The queue with sessions; null for a hub.
    pub session_queue: Option<SessionQueueReport>,
    /// Instances of the function app.
    pub instances: usize,
    /// The store of the documents: the setting `StateStore`.
    pub state_store: &'static str,
    /// The state file: dead letters, and with `sqlite` the documents.
    pub state: PathBuf,
    /// Messages that were put into the dead-letter queue. More than dead-lettered events if a batch was repeated.
    pub dead_letter_messages: u64,
    /// The dead-letter queue at the end, by the record of the app's timer function; null without one.
    pub dead_letter_queue: Option<DeadLetterQueueRecord>,
    /// The faults of a demonstration; null for other runs.
    pub faults: Option<InjectedFaults>,
    /// The comparison of the documents with the fold of their events; null if it was not run.
    pub check: Option<Check>,
    /// The failures.
    #[serde(flatten)]
    pub failures: Failures,
    /// The documents, if they are few.
    #[serde(skip)]
    pub shown_documents: Vec<Document>,
    /// What happened, and when.
    #[serde(skip)]
    pub timeline: Timeline,
}

/// The source of the events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "source", rename_all = "camelCase")]
pub enum InputReport {
    /// The sample telemetry of the function app.
    Sample {
        /// Its path in the folder of the function app.
        file: PathBuf,
    },
    /// A file, or standard input for `-`.
    File {
        /// Its path.
        file: PathBuf,
    },
    /// Simulated devices.
    Simulation(Simulation),
    /// Only what is sent by HTTP.
    Http,
}

/// Returns the settings with which commands that read the dead letters of a run decode them as the run did, for a shell: none
/// if the app has them.
#[must_use]
pub fn decoding_settings(telemetry: &str) -> &'static str {
    if telemetry == SIMULATED_DRONES { "Telemetry=drone " } else { "" }
}

/// The failures of a run, apart from lost events.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failures {
    /// Why the run ended early, if it did.
    pub error: Option<String>,
    /// Whether it ended early because of a second signal.
    #[serde(skip)]
    pub is_stopped: bool,
    /// Why a timer function failed at the end, if one did. The events were processed before.
    pub timer_error: Option<String>,
}

/// The results of the events. The sum of applied, superseded, dead-lettered, unrecognized, ignored, lost, in-sub-queue and
/// unfinished events equals the sum of received and repeated ones.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Events {
    /// In the input, with the invalid events that `--invalid-events` adds; null if it is not known.
    pub expected: Option<u64>,
    /// Sent to the hub or the queue.
    pub received: u64,
    /// Invalid events among them, which `--invalid-events` added.
    pub invalid_added: u64,
    /// Events among the received ones that were sent by HTTP (`--listen`).
    pub received_by_http: u64,
    /// At least one reading was newer.
    pub applied: u64,
    /// No reading was newer.
    pub superseded: u64,
    /// Could not be applied.
    pub dead_lettered: u64,
    /// Has fields, but no known reading: nothing of it is stored.
    pub unrecognized: u64,
    /// Is not telemetry: IoT Hub reports a change of a device, or the telemetry file ignores it.
    pub ignored: u64,
    /// Records in the events of completed batches: more than events if an event has several.
    pub records: usize,
    /// Records that are ordered by their enqueued time, because the clock of their device cannot be right.
    pub unusable_device_times: usize,
    /// In batches whose last retry failed, after which the host sets a checkpoint.
    pub lost: u64,
    /// In the dead-letter sub-queue of the queue with sessions: every delivery failed.
    pub in_sub_queue: u64,
    /// Processed again, because a host stopped between reply and checkpoint or a checkpoint was set back.
    pub repeated: u64,
    /// Not processed when the run ended.
    pub unfinished: u64,
}

impl Events {
    /// Returns the number of events with a result.
    fn finished(&self) -> u64 {
        let stored_or_kept = self.applied + self.superseded + self.dead_lettered;
        stored_or_kept + self.unrecognized + self.ignored + self.lost + self.in_sub_queue
    }
}

/// The queue with sessions at the end.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionQueueReport {
    /// Sessions that have had a message.
    pub sessions: u64,
    /// Deliveries of messages.
    pub deliveries: u64,
    /// Deliveries of messages that had been delivered before.
    pub redeliveries: u64,
    /// The messages in the dead-letter sub-queue, oldest first.
    pub dead_letter_sub_queue: Vec<DeadLetteredMessage>,
}

impl SessionQueueReport {
    pub(super) fn new(counts: Counts, statistics: &Statistics) -> Self {
        let Counts { sessions, deliveries, redeliveries, .. } = counts;
        Self { sessions, deliveries, redeliveries, dead_letter_sub_queue: statistics.dead_lettered_messages() }
    }
}

/// The number of documents in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentCount {
    /// Exactly this many.
    Counted(usize),
    /// More than this many, which is how many were read.
    MoreThan(usize),
    /// Not known: the documents are in the handler's memory.
    InHandlerMemory,
    /// Not known: the store cannot be read.
    Unreadable,
}

impl Serialize for DocumentCount {
    /// Writes the exact number, or null.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let counted = if let Self::Counted(count) = self { Some(count) } else { None };
        counted.serialize(serializer)
    }
}

impl fmt::Display for DocumentCount {
    /// Writes the number, or why it is not known.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Counted(count) => write!(f, "{count}"),
            Self::MoreThan(count) => write!(f, "more than {count}"),
            Self::InHandlerMemory => f.write_str("unknown (in the handler's memory)"),
            Self::Unreadable => f.write_str("unknown (the store cannot be read)"),
        }
    }
}

/// Operations on the store.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreOperations {
    /// The totals.
    #[serde(flatten)]
    pub total: Operations,
    /// Reads and writes per event.
    pub per_event: f64,
}

/// Durations in milliseconds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Latencies {
    /// An invocation, from request to reply.
    pub invocation: Quantiles,
    /// An event, from its enqueued time to the reply. Mostly the time in the hub if events are sent faster than they are read.
    pub event: Quantiles,
    /// The invocations by their duration: the end of each range in milliseconds, and how many are in it.
    #[serde(skip)]
    pub invocations: Vec<(f64, u64)>,
    /// The same of the events.
    #[serde(skip)]
    pub events: Vec<(f64, u64)>,
}

/// Two quantiles of a distribution.
#[derive(Debug, Serialize)]
pub struct Quantiles {
    /// The median.
    pub p50: f64,
    /// The 99th percentile.
    pub p99: f64,
}

/// Limits the documents that the report shows.
const MAX_SHOWN_DOCUMENTS: usize = 20;

/// Counts the documents, and returns them if they are few.
async fn count_documents(documents: &Documents) -> (DocumentCount, Vec<Document>) {
    let store = match documents.open() {
        Ok(Some(store)) => store,
        Ok(None) => return (DocumentCount::InHandlerMemory, Vec::new()),
        Err(_) => return (DocumentCount::Unreadable, Vec::new()),
    };
    let max = documents.max_read();
    match store::documents(&*store, max.saturating_add(1)).await {
        Err(_) => (DocumentCount::Unreadable, Vec::new()),
        Ok(found) if found.len() > max => (DocumentCount::MoreThan(max), Vec::new()),
        Ok(found) if found.len() > MAX_SHOWN_DOCUMENTS => (DocumentCount::Counted(found.len()), Vec::new()),
        Ok(few) => (DocumentCount::Counted(few.len()), few),
    }
}

/// The parts of a report that are not in the [`Statistics`].
pub(super) struct RunResult<'a> {
    pub(super) input: InputReport,
    pub(super) telemetry: String,
    pub(super) took: Duration,
    pub(super) timeline: Timeline,
    pub(super) interrupted: bool,
    pub(super) expected: Option<u64>,
    pub(super) partitions: Option<usize>,
    pub(super) session_queue: Option<SessionQueueReport>,
    pub(super) instances: usize,
    pub(super) state: PathBuf,
    pub(super) documents: &'a Documents,
    pub(super) dead_letter_messages: u64,
    pub(super) failures: Failures,
    pub(super) faults: Option<InjectedFaults>,
    pub(super) check: Option<Check>,
}

/// Builds the report of a run.
#[expect(clippy::cast_precision_loss, reason = "no run has 2^52 events")]
pub(super) async fn build(statistics: &Statistics, result: RunResult<'_>) -> Report {
    let RunResult {
        input, telemetry, took, interrupted, expected, partitions, session_queue, instances, state, ..
    } = result;
    let RunResult { documents, dead_letter_messages, failures, faults, check, timeline, .. } = result;
    let Batches { count: batches, sum, repeated, lost, invocation, event, .. } = statistics.batches();
    let (devices, shown_documents) = count_documents(documents).await;
    let received = statistics.received.load(Relaxed);
    let mut events = Events {
        expected,
        received,
        invalid_added: statistics.invalid_added.load(Relaxed),
        received_by_http: statistics.received_by_http.load(Relaxed),
        applied: sum.applied,
        superseded: sum.superseded,
        dead_lettered: sum.dead_lettered,
        unrecognized: sum.unrecognized,
        ignored: sum.ignored,
        records: sum.attempt.records,
        unusable_device_times: sum.unusable_device_times,
        lost,
        in_sub_queue: session_queue.as_ref().map_or(0, |queue| queue.dead_letter_sub_queue.len() as u64),
        repeated,
        unfinished: 0,
    };
    events.unfinished = (received + repeated).saturating_sub(events.finished());
    Report {
        input,
        telemetry,
        interrupted,
        events,
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
        latency_ms: Latencies {
            invocation: quantiles(&invocation),
            event: quantiles(&event),
            invocations: distribution(&invocation),
            events: distribution(&event),
        },
        partitions,
        session_queue,
        instances,
        state_store: documents.name(),
        state,
        dead_letter_messages,
        dead_letter_queue: statistics.dead_letter_queue(),
        faults,
        check,
        failures,
        shown_documents,
        timeline,
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of a run")]
fn quantiles(microseconds: &Histogram<u64>) -> Quantiles {
    let at = |quantile| microseconds.value_at_quantile(quantile) as f64 / 1e3;
    Quantiles { p50: at(0.5), p99: at(0.99) }
}

impl Report {
    /// Returns whether no event was lost and the results add up to the received events.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.events.lost == 0 && self.events.finished() == self.events.received + self.events.repeated
    }

    /// Returns whether nothing is stored, because every event became a dead letter.
    #[must_use]
    pub fn is_all_dead_lettered(&self) -> bool {
        let Events { applied, superseded, unrecognized, dead_lettered, .. } = self.events;
        dead_lettered > 0 && applied + superseded + unrecognized == 0
    }

    /// Returns whether not a single event had a known reading, although events were unrecognized.
    #[must_use]
    pub fn is_all_unrecognized(&self) -> bool {
        let Events { applied, superseded, unrecognized, .. } = self.events;
        unrecognized > 0 && applied + superseded == 0
    }
}
