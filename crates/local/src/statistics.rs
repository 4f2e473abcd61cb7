//! Counters of a run, from what the host observes: replies, their records, and restarts.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use devicestate_engine::record::{BatchRecord, DeadLetterQueueRecord, Record};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::{
    hub::HubEvent,
    sessions::queue::Delivery,
    timeline::{HappeningKind, Happenings},
};

/// Counters of a run.
pub(super) struct Statistics {
    /// Events that were sent to the hub or the queue.
    pub(super) received: AtomicU64,
    /// Invalid events among them, added by `--invalid-events`.
    pub(super) invalid_added: AtomicU64,
    /// Events among them that were sent by HTTP.
    pub(super) received_by_http: AtomicU64,
    /// Events that are processed.
    pub(super) processed: AtomicU64,
    /// Failed attempts of batches.
    pub(super) failed_attempts: AtomicU64,
    /// Restarts of handlers.
    pub(super) handler_restarts: AtomicU64,
    /// Restarts of hosts whose handler failed too often.
    pub(super) host_restarts: AtomicU64,
    /// What happened, and when.
    pub(super) happenings: Happenings,
    batches: Mutex<Batches>,
    dead_lettered_messages: Mutex<Vec<DeadLetteredMessage>>,
    /// The dead-letter queue, by the last record of a timer function.
    dead_letter_queue: Mutex<Option<DeadLetterQueueRecord>>,
}

/// A message in the dead-letter sub-queue of a queue with sessions: its last delivery failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetteredMessage {
    /// Its session.
    pub session_id: String,
    /// Its message id.
    pub message_id: String,
    /// Its sequence number.
    pub sequence_number: i64,
    /// The number of its deliveries.
    pub delivery_count: u32,
    /// Why the last delivery failed.
    pub reason: String,
}

/// Totals of the processed batches.
#[derive(Clone)]
pub(super) struct Batches {
    /// Processed batches.
    pub(super) count: u64,
    /// The sum of their records, with the store operations of failed attempts.
    pub(super) sum: BatchRecord,
    /// Events that were processed again: a host stopped between reply and checkpoint, or a checkpoint was set back.
    pub(super) repeated: u64,
    /// Events of batches whose last retry failed, after which the host sets a checkpoint.
    pub(super) lost: u64,
    /// From request to reply, in microseconds.
    pub(super) invocation: Histogram<u64>,
    /// From enqueued time to reply, in microseconds.
    pub(super) event: Histogram<u64>,
    /// The first sequence number of each partition that has not been processed.
    pub(super) next_unprocessed: BTreeMap<usize, i64>,
}

impl Statistics {
    pub(super) fn new() -> Self {
        let histogram = || Histogram::new(3).expect("three digits are a valid precision");
        Self {
            received: AtomicU64::new(0),
            invalid_added: AtomicU64::new(0),
            received_by_http: AtomicU64::new(0),
            processed: AtomicU64::new(0),
            failed_attempts: AtomicU64::new(0),
            handler_restarts: AtomicU64::new(0),
            host_restarts: AtomicU64::new(0),
            happenings: Happenings::new(),
            batches: Mutex::new(Batches {
                count: 0,
                sum: BatchRecord::default(),
                repeated: 0,
                lost: 0,
                invocation: histogram(),
                event: histogram(),
                next_unprocessed: BTreeMap::new(),
            }),
            dead_lettered_messages: Mutex::new(Vec::new()),
            dead_letter_queue: Mutex::new(None),
        }
    }

    /// Counts a batch whose outputs are written.
    pub(super) fn record_batch(
        &self,
        partition: usize,
        events: &[Arc<HubEvent>],
        logs: &[String],
        took: Duration,
        now_ms: i64,
    ) {
        let mut batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        batches.add(events.iter().map(|event| event.enqueued_ms), took, now_ms);
        let new = batches.advance(partition, events);
        drop(batches);
        self.record_logs(logs);
        self.processed.fetch_add(new, Relaxed);
    }

    /// Counts a completed message.
    pub(super) fn record_message(&self, delivery: &Delivery, logs: &[String], took: Duration, now_ms: i64) {
        let enqueued_ms = delivery.message.enqueued_ms;
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).add([enqueued_ms].into_iter(), took, now_ms);
        self.record_logs(logs);
        self.processed.fetch_add(1, Relaxed);
    }

    /// Counts a message whose outputs are written and that is delivered again, because its host stopped.
    pub(super) fn record_repeated_message(&self, logs: &[String]) {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).repeated += 1;
        self.record_logs(logs);
    }

    /// Counts a message that was moved to the dead-letter sub-queue. `reason` is why its last delivery failed.
    pub(super) fn record_dead_lettered_message(&self, delivery: &Delivery, reason: String) {
        let message = &delivery.message;
        self.dead_lettered_messages.lock().unwrap_or_else(PoisonError::into_inner).push(DeadLetteredMessage {
            session_id: message.session_id.clone(),
            message_id: message.message_id.clone(),
            sequence_number: message.sequence_number,
            delivery_count: delivery.delivery_count,
            reason,
        });
        self.processed.fetch_add(1, Relaxed);
    }

    /// Returns the messages in the dead-letter sub-queue.
    pub(super) fn dead_lettered_messages(&self) -> Vec<DeadLetteredMessage> {
        self.dead_lettered_messages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts the store operations of an attempt that failed by the handler's reply. The real host ignores such a body; here it
    /// is read for the report.
    pub(super) fn record_failed_attempt(&self, body: &[u8]) {
        #[derive(Deserialize)]
        struct Reply {
            #[serde(rename = "Logs")]
            logs: Vec<String>,
        }

        let logs = serde_json::from_slice(body).map_or_else(|_| Vec::new(), |Reply { logs }| logs);
        self.record_logs(&logs);
    }

    /// Adds the records of a reply's log lines to the totals.
    pub(super) fn record_logs(&self, logs: &[String]) {
        let mut batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = &mut batches.sum;
        for record in logs.iter().filter_map(|line| serde_json::from_str(line).ok()) {
            match record {
                Record::Batch(record) => {
                    sum.attempt.events += record.attempt.events;
                    sum.applied += record.applied;
                    sum.superseded += record.superseded;
                    sum.dead_lettered += record.dead_lettered;
                    if record.dead_lettered > 0 {
                        self.happenings.record(HappeningKind::DeadLettered, "", record.dead_lettered);
                    }
                    sum.unrecognized += record.unrecognized;
                    sum.ignored += record.ignored;
                    sum.attempt.records += record.attempt.records;
                    sum.unusable_device_times += record.unusable_device_times;
                    sum.attempt.operations += record.attempt.operations;
                }
                Record::FailedAttempt(record) => sum.attempt.operations += record.attempt.operations,
                Record::DeadLetterQueue(record) => {
                    *self.dead_letter_queue.lock().unwrap_or_else(PoisonError::into_inner) = Some(record);
                }
                Record::DeadLetter(record) => self.happenings.record_issue(&record.issue),
                Record::Start(_) | Record::DeviceSilent(_) | Record::DeviceBack(_) | Record::SilenceWatch(_) => {}
            }
        }
    }

    /// Returns the dead-letter queue by the last record of a timer function.
    pub(super) fn dead_letter_queue(&self) -> Option<DeadLetterQueueRecord> {
        self.dead_letter_queue.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts a batch whose last retry failed.
    pub(super) fn record_lost(&self, partition: usize, events: &[Arc<HubEvent>]) {
        let mut batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        let new = batches.advance(partition, events);
        batches.lost += new;
        drop(batches);
        self.happenings.record(HappeningKind::BatchLost, &format!("partition {partition}"), new);
        self.processed.fetch_add(new, Relaxed);
    }

    /// Returns how many events became dead letters.
    pub(super) fn dead_lettered(&self) -> u64 {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).sum.dead_lettered
    }

    pub(super) fn batches(&self) -> Batches {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Batches {
    /// Adds a batch of events with these enqueued times.
    fn add(&mut self, enqueued_ms: impl Iterator<Item = i64>, took: Duration, now_ms: i64) {
        self.count += 1;
        let _ = self.invocation.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        for enqueued_ms in enqueued_ms {
            let ms = u64::try_from(now_ms - enqueued_ms).unwrap_or_default();
            let _ = self.event.record(ms * 1_000);
        }
    }

    /// Marks these events as processed and returns how many of them are processed for the first time.
    fn advance(&mut self, partition: usize, events: &[Arc<HubEvent>]) -> u64 {
        let next_unprocessed = self.next_unprocessed.entry(partition).or_default();
        let new = events.iter().filter(|event| event.sequence_number >= *next_unprocessed).count() as u64;
        if let Some(last) = events.last() {
            *next_unprocessed = (*next_unprocessed).max(last.sequence_number + 1);
        }
        self.repeated += events.len() as u64 - new;
        new
    }
}
