//! The content of a queue and its changes, all under one lock.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use tokio::sync::Notify;

use super::{Abandoned, Counts, DeadLetter, Delivery, LockLost, MAX_DELIVERY_COUNT_EXCEEDED, Message, Sent};

/// Limit the messages in the queue, and the bytes of their bodies. The smallest queue of the service holds 1 GB.
const MAX_MESSAGES: usize = 500_000;
pub(super) const MAX_QUEUE_BYTES: usize = 256 << 20;

#[derive(Default)]
pub(super) struct State {
    /// Sorted, so that a simulation always sees the same order.
    sessions: BTreeMap<Arc<str>, Session>,
    /// Free sessions with messages, the longest free first.
    free: VecDeque<Arc<str>>,
    pub(super) dead_letters: Vec<DeadLetter>,
    pub(super) counts: Counts,
    bytes: usize,
    last_enqueued_ms: i64,
    locks: u64,
    pub(super) is_closed: bool,
}

#[derive(Default)]
struct Session {
    /// By sequence number.
    messages: VecDeque<QueuedMessage>,
    /// The number of its lock.
    lock: Option<u64>,
    /// Notified when there is a new message, or its lock or the queue has changed.
    changed: Arc<Notify>,
}

struct QueuedMessage {
    message: Arc<Message>,
    /// Failed deliveries, as the service counts them.
    failed_deliveries: u32,
    was_delivered: bool,
    is_received: bool,
}

impl State {
    /// Marks the end of the input.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        self.sessions.values().for_each(|session| session.changed.notify_waiters());
    }

    pub(super) fn is_full(&self) -> bool {
        self.counts.active >= MAX_MESSAGES as u64 || (self.counts.active > 0 && self.bytes >= MAX_QUEUE_BYTES)
    }

    pub(super) fn push(&mut self, sent: Sent, now_ms: i64, first_sequence_number: i64) -> i64 {
        let Sent { session_id, message_id, body, content_type } = sent;
        let sequence_number = first_sequence_number + i64::try_from(self.counts.incoming).unwrap_or(i64::MAX);
        self.counts.incoming += 1;
        self.counts.active += 1;
        self.bytes += body.len();
        self.last_enqueued_ms = self.last_enqueued_ms.max(now_ms);
        let key: Arc<str> = session_id.as_str().into();
        let message = Arc::new(Message {
            message_id: message_id.unwrap_or_else(|| sequence_number.to_string()),
            session_id,
            sequence_number,
            enqueued_ms: self.last_enqueued_ms,
            body,
            content_type,
        });
        let session = self.sessions.entry(Arc::clone(&key)).or_default();
        if session.lock.is_none() && session.messages.is_empty() {
            self.free.push_back(key);
        }
        session.messages.push_back(QueuedMessage {
            message,
            failed_deliveries: 0,
            was_delivered: false,
            is_received: false,
        });
        session.changed.notify_waiters();
        self.counts.sessions = self.sessions.len() as u64;
        sequence_number
    }

    pub(super) fn lock_next(&mut self) -> Option<(Arc<str>, u64, Arc<Notify>)> {
        let session_id = self.free.pop_front()?;
        self.locks += 1;
        let lock = self.locks;
        let session = self.session(&session_id);
        session.lock = Some(lock);
        let changed = Arc::clone(&session.changed);
        Some((session_id, lock, changed))
    }

    /// Returns the next message of a session that is not received.
    pub(super) fn deliver(&mut self, session_id: &str, lock: u64) -> Result<Option<Delivery>, LockLost> {
        let session = self.locked(session_id, lock)?;
        let Some(queued) = session.messages.iter_mut().find(|queued| !queued.is_received) else { return Ok(None) };
        queued.is_received = true;
        let is_repeated = std::mem::replace(&mut queued.was_delivered, true);
        let delivery = Delivery { message: Arc::clone(&queued.message), delivery_count: queued.failed_deliveries + 1 };
        self.counts.deliveries += 1;
        self.counts.redeliveries += u64::from(is_repeated);
        Ok(Some(delivery))
    }

    /// Returns the index of a received message in its session.
    pub(super) fn index_of(&mut self, session_id: &str, lock: u64, delivery: &Delivery) -> Result<usize, LockLost> {
        let session = self.locked(session_id, lock)?;
        let is_delivered =
            |queued: &QueuedMessage| queued.is_received && Arc::ptr_eq(&queued.message, &delivery.message);
        session.messages.iter().position(is_delivered).ok_or(LockLost)
    }

    /// Counts a failed delivery. After the last one the message is moved to the dead-letter sub-queue.
    pub(super) fn fail_delivery(&mut self, session_id: &str, index: usize, max_deliveries: u32) -> Abandoned {
        let queued = &mut self.session(session_id).messages[index];
        queued.is_received = false;
        queued.failed_deliveries += 1;
        let delivery_count = queued.failed_deliveries;
        if delivery_count < max_deliveries {
            // The session's receiver may be waiting for a message.
            self.session(session_id).changed.notify_waiters();
            return Abandoned::Redelivered;
        }
        let message = self.remove(session_id, index);
        self.dead_letters.push(DeadLetter { message, delivery_count, reason: MAX_DELIVERY_COUNT_EXCEEDED });
        self.counts.dead_lettered += 1;
        Abandoned::DeadLettered
    }

    pub(super) fn remove(&mut self, session_id: &str, index: usize) -> Arc<Message> {
        let queued = self.session(session_id).messages.remove(index).expect("the index is that of a message");
        self.counts.active -= 1;
        self.bytes -= queued.message.body.len();
        queued.message
    }

    pub(super) fn unlock(
        &mut self,
        session_id: &str,
        lock: Option<u64>,
        counts_as_failed: bool,
        max_deliveries: u32,
    ) -> bool {
        let Some((session_id, _)) = self.sessions.get_key_value(session_id) else { return false };
        let session_id = Arc::clone(session_id);
        let session = self.session(&session_id);
        if session.lock.is_none() || lock.is_some_and(|lock| session.lock != Some(lock)) {
            return false;
        }
        session.lock = None;
        // From the last to the first, because a removed message moves those after it.
        for index in (0..session.messages.len()).rev() {
            if !self.session(&session_id).messages[index].is_received {
                continue;
            }
            if counts_as_failed {
                self.fail_delivery(&session_id, index, max_deliveries);
            } else {
                self.session(&session_id).messages[index].is_received = false;
            }
        }
        let session = self.session(&session_id);
        session.changed.notify_waiters();
        if !session.messages.is_empty() {
            self.free.push_back(session_id);
        }
        true
    }

    fn locked(&mut self, session_id: &str, lock: u64) -> Result<&mut Session, LockLost> {
        let session = self.session(session_id);
        if session.lock == Some(lock) { Ok(session) } else { Err(LockLost) }
    }

    fn session(&mut self, session_id: &str) -> &mut Session {
        self.sessions.get_mut(session_id).expect("a session stays after its first message")
    }
}
