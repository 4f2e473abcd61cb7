//! A Service Bus queue in memory, with sessions: each session is an ordered stream that one receiver at a time has.
//!
//! What its rules rest on is the service's documentation of message sessions. A session's lock is exclusive. A message that
//! is abandoned comes again, first in its session, and its delivery count rises; so it does when the lock expires. It does
//! not when the receiver closes the session with messages in hand, or goes away with its connection. A message that was
//! delivered in vain as often as it may be goes to the dead-letter sub-queue.
//!
//! Bounded: who sends waits while the queue holds as much as it may.

use std::{
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

/// Why the service itself puts a message into the dead-letter sub-queue.
pub const MAX_DELIVERY_COUNT_EXCEEDED: &str = "MaxDeliveryCountExceeded";

/// What a producer sends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent {
    /// Messages of one session are received in order. A queue with sessions takes no message without.
    pub session_id: String,
    /// What the producer calls the message; without it, its sequence number does.
    pub message_id: Option<String>,
    /// The body.
    pub body: Vec<u8>,
    /// The content type.
    pub content_type: Option<&'static str>,
}

/// What the queue holds.
#[derive(Debug)]
pub struct Message {
    /// The session that it belongs to.
    pub session_id: String,
    /// What it is called.
    pub message_id: String,
    /// Rises by one with each message of the queue, whatever its session, from 1.
    pub sequence_number: i64,
    /// When it arrived, in milliseconds since 1970; never goes back within the queue.
    pub enqueued_ms: i64,
    /// The body.
    pub body: Vec<u8>,
    /// The content type.
    pub content_type: Option<&'static str>,
}

/// A message in the hand of a receiver.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The message.
    pub message: Arc<Message>,
    /// Which delivery it is as the service counts them, from 1.
    pub delivery_count: u32,
}

/// A message in the dead-letter sub-queue.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// The message.
    pub message: Arc<Message>,
    /// How often it was delivered in vain.
    pub delivery_count: u32,
    /// Why it is there.
    pub reason: &'static str,
}

/// What becomes of a message that was abandoned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abandoned {
    /// It comes again, first in its session.
    ComesAgain,
    /// It was the last time, and it is in the dead-letter sub-queue.
    DeadLettered,
}

/// The session is somebody else's by now, or free: what the receiver had in hand is not settled by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the lock of the session has expired")]
pub struct LockLost;

/// How a queue is.
pub struct Options {
    /// The time at which messages arrive.
    pub clock: Arc<dyn Clock>,
    /// How often a message is delivered in vain before it goes to the dead-letter sub-queue: 1 to 2,000 in the service.
    pub max_delivery_count: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { clock: Arc::new(System), max_delivery_count: 2_000 }
    }
}

/// Counts of a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that it took.
    pub incoming: u64,
    /// Messages that are there and not in the dead-letter sub-queue, whether in a hand or not.
    pub active: u64,
    /// Messages in the dead-letter sub-queue.
    pub dead_lettered: u64,
    /// Sessions that ever had a message.
    pub sessions: u64,
    /// Deliveries.
    pub deliveries: u64,
    /// Those of them whose message had been delivered before.
    pub redeliveries: u64,
}

/// The queue.
pub struct SessionQueue {
    state: Mutex<State>,
    options: Options,
    /// Told when a session may be there for the taking, or none will ever be again.
    offered: Notify,
    /// Told when a message has left.
    freed: Notify,
}

/// A session in the hands of a receiver. Dropped, it is closed.
pub struct SessionReceiver {
    queue: Arc<SessionQueue>,
    session_id: Arc<str>,
    lock: u64,
    changed: Arc<Notify>,
}

impl SessionQueue {
    /// An empty queue.
    #[must_use]
    pub fn new(options: Options) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), options, offered: Notify::new(), freed: Notify::new() })
    }

    /// Sends a message, and gives back its sequence number. Waits while the queue is full.
    pub async fn send(&self, sent: Sent) -> i64 {
        loop {
            let freed = self.freed.notified();
            {
                let mut state = self.state();
                if !state.is_full() {
                    let sequence_number = state.push(sent, self.options.clock.now_ms());
                    drop(state);
                    self.offered.notify_waiters();
                    return sequence_number;
                }
            }
            freed.await;
        }
    }

    /// Says that nothing is sent any more: receivers end when everything is settled.
    pub fn close(&self) {
        self.state().close();
        self.offered.notify_waiters();
    }

    /// Waits for a session with messages that nobody has, and locks it: the one that has been free for the longest time.
    /// `None` when the queue is closed and everything in it is settled.
    pub async fn accept_next_session(self: &Arc<Self>) -> Option<SessionReceiver> {
        loop {
            let offered = self.offered.notified();
            {
                let mut state = self.state();
                if let Some((session_id, lock, changed)) = state.lock_next() {
                    return Some(SessionReceiver { queue: Arc::clone(self), session_id, lock, changed });
                }
                // Somebody may still give back what is in a hand.
                if state.closed && state.counts.active == 0 {
                    return None;
                }
            }
            offered.await;
        }
    }

    /// Lets the lock of a session expire: its receiver settles nothing any more, and each message in its hand was
    /// delivered in vain. False when nobody has the session.
    pub fn expire_lock(&self, session_id: &str) -> bool {
        self.unlock(session_id, None, true)
    }

    /// The counts.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    /// The messages in the dead-letter sub-queue, in the order in which they came there.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.state().dead_letters.clone()
    }

    /// Gives a session back, if it is locked, and by this lock where one is named. What is in a hand comes again.
    fn unlock(&self, session_id: &str, lock: Option<u64>, in_vain: bool) -> bool {
        let mut state = self.state();
        let is_unlocked = state.unlock(session_id, lock, in_vain, self.options.max_delivery_count);
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
    /// The session.
    #[must_use]
    pub fn session_id(&self) -> &str {
        &self.session_id
    }

    /// Receives the next message that is in no hand; `None` when none comes for so long, or none will come any more.
    /// Who wants order settles it before the next one is received.
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
                if delivery.is_some() || state.closed {
                    return Ok(delivery);
                }
            }
            if timeout_at(until, changed).await.is_err() {
                return Ok(None);
            }
        }
    }

    /// Settles a message: it is done with.
    ///
    /// # Errors
    ///
    /// [`LockLost`]: it is not.
    pub fn complete(&self, delivery: &Delivery) -> Result<(), LockLost> {
        let mut state = self.queue.state();
        let place = state.place(&self.session_id, self.lock, delivery)?;
        state.remove(&self.session_id, place);
        drop(state);
        self.settled();
        Ok(())
    }

    /// Gives a message back as delivered in vain.
    ///
    /// # Errors
    ///
    /// [`LockLost`]: it has come to that already.
    pub fn abandon(&self, delivery: &Delivery) -> Result<Abandoned, LockLost> {
        let mut state = self.queue.state();
        let place = state.place(&self.session_id, self.lock, delivery)?;
        let abandoned = state.in_vain(&self.session_id, place, self.queue.options.max_delivery_count);
        drop(state);
        self.settled();
        Ok(abandoned)
    }

    fn settled(&self) {
        self.queue.freed.notify_waiters();
        // The last message of a closed queue may have gone.
        self.queue.offered.notify_waiters();
    }
}

impl Drop for SessionReceiver {
    fn drop(&mut self) {
        self.queue.unlock(&self.session_id, Some(self.lock), false);
    }
}
