//! What is counted while the system runs, from what the host sees: replies, their records, its own restarts.

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

use super::{hub::HubEvent, sessions::queue::Delivery};

/// Counters of a run.
pub(super) struct Statistics {
    /// Events that the hub took.
    pub(super) received: AtomicU64,
    /// Bad ones among them, added by `--bad-events`.
    pub(super) bad_added: AtomicU64,
    /// Events that are done with.
    pub(super) done: AtomicU64,
    /// Attempts of a batch that failed.
    pub(super) failed_attempts: AtomicU64,
    /// Handlers that were started again.
    pub(super) handler_restarts: AtomicU64,
    /// Hosts that gave up and were started again.
    pub(super) host_restarts: AtomicU64,
    batches: Mutex<Batches>,
    given_up: Mutex<Vec<GivenUp>>,
    /// The queue of the dead letters, as a timer function found it last.
    dead_letter_queue: Mutex<Option<DeadLetterQueueRecord>>,
}

/// A message that was delivered in vain as often as it may be: it is in the dead-letter sub-queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GivenUp {
    /// Its session.
    pub session_id: String,
    /// Its id.
    pub message_id: String,
    /// Its number in the queue.
    pub sequence_number: i64,
    /// How often it was delivered.
    pub delivery_count: u32,
    /// Why the last delivery was in vain.
    pub reason: String,
}

/// What the batches that are done with add up to.
#[derive(Clone)]
pub(super) struct Batches {
    /// How many.
    pub(super) count: u64,
    /// Their records, added up; with the operations of failed attempts.
    pub(super) sum: BatchRecord,
    /// Events that were answered for more than once, because a host died between reply and checkpoint.
    pub(super) repeated: u64,
    /// Events of batches that failed for the last time, and which the host then passed.
    pub(super) lost: u64,
    /// From request to reply, in microseconds.
    pub(super) invocation: Histogram<u64>,
    /// From the hub to the reply, in microseconds.
    pub(super) event: Histogram<u64>,
    /// For each partition, up to where its events have been answered for.
    answered: BTreeMap<usize, i64>,
}

impl Statistics {
    pub(super) fn new() -> Self {
        let histogram = || Histogram::new(3).expect("three digits are a valid precision");
        Self {
            received: AtomicU64::new(0),
            bad_added: AtomicU64::new(0),
            done: AtomicU64::new(0),
            failed_attempts: AtomicU64::new(0),
            handler_restarts: AtomicU64::new(0),
            host_restarts: AtomicU64::new(0),
            batches: Mutex::new(Batches {
                count: 0,
                sum: BatchRecord::default(),
                repeated: 0,
                lost: 0,
                invocation: histogram(),
                event: histogram(),
                answered: BTreeMap::new(),
            }),
            given_up: Mutex::new(Vec::new()),
            dead_letter_queue: Mutex::new(None),
        }
    }

    /// Counts a batch whose outputs are written and which is checkpointed at once.
    pub(super) fn answered(
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
        self.told(logs);
        self.done.fetch_add(new, Relaxed);
    }

    /// Counts a message whose outputs are written and which is completed.
    pub(super) fn completed(&self, delivery: &Delivery, logs: &[String], took: Duration, now_ms: i64) {
        let enqueued_ms = delivery.message.enqueued_ms;
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).add([enqueued_ms].into_iter(), took, now_ms);
        self.told(logs);
        self.done.fetch_add(1, Relaxed);
    }

    /// Counts a message that has gone to the dead-letter sub-queue, and why its last delivery failed.
    pub(super) fn given_up(&self, delivery: &Delivery, reason: String) {
        let message = &delivery.message;
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner).push(GivenUp {
            session_id: message.session_id.clone(),
            message_id: message.message_id.clone(),
            sequence_number: message.sequence_number,
            delivery_count: delivery.delivery_count,
            reason,
        });
        self.done.fetch_add(1, Relaxed);
    }

    /// The messages that have gone to the dead-letter sub-queue.
    pub(super) fn all_given_up(&self) -> Vec<GivenUp> {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts what an attempt cost that the handler itself answered as failed. The real host does not look into such a
    /// body; here it is for the report alone.
    pub(super) fn failed(&self, body: &[u8]) {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "Logs")]
            logs: Vec<String>,
        }

        let logs = serde_json::from_slice(body).map_or_else(|_| Vec::new(), |Answer { logs }| logs);
        self.told(&logs);
    }

    /// Takes in the records of an answer: the one place that all of them come by.
    pub(super) fn told(&self, logs: &[String]) {
        let mut batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = &mut batches.sum;
        for record in logs.iter().filter_map(|line| serde_json::from_str(line).ok()) {
            match record {
                Record::Batch(record) => {
                    sum.attempt.events += record.attempt.events;
                    sum.applied += record.applied;
                    sum.superseded += record.superseded;
                    sum.dead_lettered += record.dead_lettered;
                    sum.attempt.operations += record.attempt.operations;
                }
                Record::FailedAttempt(record) => sum.attempt.operations += record.attempt.operations,
                Record::DeadLetterQueue(record) => {
                    *self.dead_letter_queue.lock().unwrap_or_else(PoisonError::into_inner) = Some(record);
                }
                Record::DeadLetter(_) | Record::Start(_) => {}
            }
        }
    }

    /// The queue of the dead letters, as a timer function found it last.
    pub(super) fn dead_letter_queue(&self) -> Option<DeadLetterQueueRecord> {
        self.dead_letter_queue.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts a batch that the host passes although it failed.
    pub(super) fn lost(&self, partition: usize, events: &[Arc<HubEvent>]) {
        let mut batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        let new = batches.advance(partition, events);
        batches.lost += new;
        drop(batches);
        self.done.fetch_add(new, Relaxed);
    }

    pub(super) fn batches(&self) -> Batches {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Batches {
    /// One more batch of events that were enqueued at these times.
    fn add(&mut self, enqueued_ms: impl Iterator<Item = i64>, took: Duration, now_ms: i64) {
        self.count += 1;
        let _ = self.invocation.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        for enqueued_ms in enqueued_ms {
            let ms = u64::try_from(now_ms - enqueued_ms).unwrap_or_default();
            let _ = self.event.record(ms * 1_000);
        }
    }

    /// How many of these events are answered for the first time.
    fn advance(&mut self, partition: usize, events: &[Arc<HubEvent>]) -> u64 {
        let answered = self.answered.entry(partition).or_default();
        let new = events.iter().filter(|event| event.sequence_number >= *answered).count() as u64;
        if let Some(last) = events.last() {
            *answered = (*answered).max(last.sequence_number + 1);
        }
        self.repeated += events.len() as u64 - new;
        new
    }
}
