//! A Service Bus queue with sessions, in memory: each session is an ordered stream with one receiver at a time.
//!
//! Its rules are from the service's documentation of message sessions. A session's lock is exclusive. An abandoned message is
//! delivered again, first in its session, and its delivery count rises. The same happens when the lock expires. The count does
//! not rise when the receiver closes the session or loses its connection. After its last failed delivery a message is moved to the
//! dead-letter sub-queue.
//!
//! Bounded: `send` waits while the queue is full.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use devicestate_engine::clock::{Clock, System};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use state::State;

mod state;
#[cfg(test)]
mod tests;

/// The service's reason for moving a message to the dead-letter sub-queue.
pub const MAX_DELIVERY_COUNT_EXCEEDED: &str = "MaxDeliveryCountExceeded";

/// A message as a producer sends it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent {
    /// Messages of a session are received in order. A queue with sessions accepts no message without a session id.
    pub session_id: String,
    /// The message id; by default its sequence number.
    pub message_id: Option<String>,
    /// The body.
    pub body: Vec<u8>,
    /// The content type.
    pub content_type: Option<Cow<'static, str>>,
}

/// A message in the queue.
#[derive(Debug)]
pub struct Message {
    /// Its session.
    pub session_id: String,
    /// Its message id.
    pub message_id: String,
    /// Rises by one with each message of the queue, whatever its session, from 1.
    pub sequence_number: i64,
    /// When it arrived, in milliseconds since 1970. Never decreases within the queue.
    pub enqueued_ms: i64,
    /// The body.
    pub body: Vec<u8>,
    /// The content type.
    pub content_type: Option<Cow<'static, str>>,
}

/// A message that a receiver has received and not completed.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The message.
    pub message: Arc<Message>,
    /// The service's count of deliveries, from 1.
    pub delivery_count: u32,
}

/// A message in the dead-letter sub-queue.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// The message.
    pub message: Arc<Message>,
    /// The number of failed deliveries.
    pub delivery_count: u32,
    /// Why it is there.
    pub reason: &'static str,
}

/// The result of abandoning a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abandoned {
    /// It will be delivered again, first in its session.
    Redelivered,
    /// It was the last delivery: the message is in the dead-letter sub-queue.
    DeadLettered,
}

/// The receiver no longer holds the session, so it cannot complete or abandon the session's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the lock of the session has expired")]
pub struct LockLost;

/// Options of a queue.
pub struct Options {
    /// The clock of the enqueued times.
    pub clock: Arc<dyn Clock>,
    /// The maximum number of deliveries before a message is moved to the dead-letter sub-queue: 1 to 2,000 in the service.
    pub max_delivery_count: u32,
    /// The sequence number of the first message.
    pub first_sequence_number: i64,
}

impl Default for Options {
    fn default() -> Self {
        Self { clock: Arc::new(System), max_delivery_count: 2_000, first_sequence_number: 1 }
    }
}

/// Counters of a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Accepted messages.
    pub incoming: u64,
    /// Messages in the queue, received ones included, without the dead-letter sub-queue.
    pub active: u64,
    /// Messages in the dead-letter sub-queue.
    pub dead_lettered: u64,
    /// Sessions that have had a message.
    pub sessions: u64,
    /// Deliveries.
    pub deliveries: u64,
    /// Deliveries of messages that had been delivered before.
    pub redeliveries: u64,
}

/// The queue.
pub struct SessionQueue {
    state: Mutex<State>,
    options: Options,
    /// Notified when a session may be free, or the last message of a closed queue may be completed.
    offered: Notify,
    /// Notified when a message has left the queue.
    freed: Notify,
}

/// A receiver of a locked session. Dropping it closes the session.
pub struct SessionReceiver {
    queue: Arc<SessionQueue>,
    session_id: Arc<str>,
    lock: u64,
    changed: Arc<Notify>,
}

impl SessionQueue {
    /// Returns an empty queue.
    #[must_use]
    pub fn new(options: Options) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), options, offered: Notify::new(), freed: Notify::new() })
    }

    /// Sends a message and returns its sequence number. Waits while the queue is full.
    pub async fn send(&self, sent: Sent) -> i64 {
        loop {
            let freed = self.freed.notified();
            {
                let mut state = self.state();
                if !state.is_full() {
                    let Options { clock, first_sequence_number, .. } = &self.options;
                    let sequence_number = state.push(sent, clock.now_ms(), *first_sequence_number);
                    drop(state);
                    self.offered.notify_waiters();
                    return sequence_number;
                }
            }
            freed.await;
        }
    }

    /// Marks the end of the input: receivers end when every message is completed or dead-lettered.
    pub fn close(&self) {
        self.state().close();
        self.offered.notify_waiters();
    }

    /// Waits for a free session with messages and locks it: the one that has been free for the longest time. `None` if the queue
    /// is closed and empty.
    pub async fn accept_next_session(self: &Arc<Self>) -> Option<SessionReceiver> {
        loop {
            let offered = self.offered.notified();
            {
                let mut state = self.state();
                if let Some((session_id, lock, changed)) = state.lock_next() {
                    return Some(SessionReceiver { queue: Arc::clone(self), session_id, lock, changed });
                }
                // A receiver may still release its messages.
                if state.is_closed && state.counts.active == 0 {
                    return None;
                }
            }
            offered.await;
        }
    }

    /// Expires the lock of a session: its receiver can no longer complete messages, and the delivery of each received message has
    /// failed. Returns false if the session is not locked.
    pub fn expire_lock(&self, session_id: &str) -> bool {
        self.unlock(session_id, None, true)
    }

    /// Returns the counters.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    /// Returns the messages in the dead-letter sub-queue, oldest first.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.state().dead_letters.clone()
    }

    /// Releases a session if it is locked, and by this lock if one is given. Its received messages will be delivered again; with
    /// `counts_as_failed` their delivery count rises.
    fn unlock(&self, session_id: &str, lock: Option<u64>, counts_as_failed: bool) -> bool {
        let mut state = self.state();
        let is_unlocked = state.unlock(session_id, lock, counts_as_failed, self.options.max_delivery_count);
        drop(state);
        if is_unlocked {
            self.freed.notify_waiters();
            self.offered.notify_waiters();
        }
        is_unlocked
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionReceiver {
    /// Returns the session id.
    #[must_use]
    pub fn session_id(&self) -> &str {
        &self.session_id
    }

    /// Receives the next message of the session; `None` if none arrives within `idle`, or the queue is closed. To keep the order,
    /// complete or abandon a message before receiving the next one.
    ///
    /// # Errors
    ///
    /// [`LockLost`].
    pub async fn receive(&self, idle: Duration) -> Result<Option<Delivery>, LockLost> {
        let until = Instant::now() + idle;
        loop {
            let changed = self.changed.notified();
            {
                let mut state = self.queue.state();
                let delivery = state.deliver(&self.session_id, self.lock)?;
                if delivery.is_some() || state.is_closed {
                    return Ok(delivery);
                }
            }
            if timeout_at(until, changed).await.is_err() {
                return Ok(None);
            }
        }
    }

    /// Completes a message: it is removed from the queue.
    ///
    /// # Errors
    ///
    /// [`LockLost`]
    pub fn complete(&self, delivery: &Delivery) -> Result<(), LockLost> {
        let mut state = self.queue.state();
        let index = state.index_of(&self.session_id, self.lock, delivery)?;
        state.remove(&self.session_id, index);
        drop(state);
        self.notify();
        Ok(())
    }

    /// Abandons a message: its delivery has failed.
    ///
    /// # Errors
    ///
    /// [`LockLost`]
    pub fn abandon(&self, delivery: &Delivery) -> Result<Abandoned, LockLost> {
        let mut state = self.queue.state();
        let index = state.index_of(&self.session_id, self.lock, delivery)?;
        let abandoned = state.fail_delivery(&self.session_id, index, self.queue.options.max_delivery_count);
        drop(state);
        self.notify();
        Ok(abandoned)
    }

    fn notify(&self) {
        self.queue.freed.notify_waiters();
        // It may have been the last message of a closed queue.
        self.queue.offered.notify_waiters();
    }
}

impl Drop for SessionReceiver {
    fn drop(&mut self) {
        self.queue.unlock(&self.session_id, Some(self.lock), false);
    }
}
