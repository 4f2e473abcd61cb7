//! What a queue holds, and what becomes of it: all that happens under its one lock.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use tokio::sync::Notify;

use super::{Abandoned, Counts, DeadLetter, Delivery, LockLost, MAX_DELIVERY_COUNT_EXCEEDED, Message, Sent};

/// The most messages, and bytes of bodies, that the queue holds. The smallest queue of the service takes 1 GB.
const MOST_MESSAGES: usize = 500_000;
pub(super) const MOST_BYTES: usize = 256 << 20;

#[derive(Default)]
pub(super) struct State {
    /// By name, so that a simulation meets them in the same order each time.
    sessions: BTreeMap<Arc<str>, Session>,
    /// Sessions with messages that nobody has, each in its turn.
    free: VecDeque<Arc<str>>,
    pub(super) dead_letters: Vec<DeadLetter>,
    pub(super) counts: Counts,
    bytes: usize,
    last_enqueued_ms: i64,
    locks: u64,
    pub(super) closed: bool,
}

#[derive(Default)]
struct Session {
    /// In the order of their sequence numbers.
    messages: VecDeque<Held>,
    /// Whose it is.
    lock: Option<u64>,
    /// Told when there is something new to receive, or to know.
    changed: Arc<Notify>,
}

struct Held {
    message: Arc<Message>,
    /// Deliveries in vain, as the service counts them.
    in_vain: u32,
    was_delivered: bool,
    in_hand: bool,
}

impl State {
    /// Says that nothing is sent any more.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.sessions.values().for_each(|session| session.changed.notify_waiters());
    }

    pub(super) fn is_full(&self) -> bool {
        self.counts.active >= MOST_MESSAGES as u64 || (self.counts.active > 0 && self.bytes >= MOST_BYTES)
    }

    pub(super) fn push(&mut self, sent: Sent, now_ms: i64) -> i64 {
        let Sent { session_id, message_id, body, content_type } = sent;
        self.counts.incoming += 1;
        self.counts.active += 1;
        self.bytes += body.len();
        self.last_enqueued_ms = self.last_enqueued_ms.max(now_ms);
        let sequence_number = i64::try_from(self.counts.incoming).unwrap_or(i64::MAX);
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
        session.messages.push_back(Held { message, in_vain: 0, was_delivered: false, in_hand: false });
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

    /// The next message of a session that is in no hand.
    pub(super) fn deliver(&mut self, session_id: &str, lock: u64) -> Result<Option<Delivery>, LockLost> {
        let session = self.locked(session_id, lock)?;
        let Some(held) = session.messages.iter_mut().find(|held| !held.in_hand) else { return Ok(None) };
        held.in_hand = true;
        let is_repeated = std::mem::replace(&mut held.was_delivered, true);
        let delivery = Delivery { message: Arc::clone(&held.message), delivery_count: held.in_vain + 1 };
        self.counts.deliveries += 1;
        self.counts.redeliveries += u64::from(is_repeated);
        Ok(Some(delivery))
    }

    /// Where a message in a hand is in its session.
    pub(super) fn place(&mut self, session_id: &str, lock: u64, delivery: &Delivery) -> Result<usize, LockLost> {
        let session = self.locked(session_id, lock)?;
        let is_it = |held: &Held| held.in_hand && Arc::ptr_eq(&held.message, &delivery.message);
        session.messages.iter().position(is_it).ok_or(LockLost)
    }

    pub(super) fn in_vain(&mut self, session_id: &str, place: usize, most: u32) -> Abandoned {
        let held = &mut self.session(session_id).messages[place];
        held.in_hand = false;
        held.in_vain += 1;
        let delivery_count = held.in_vain;
        if delivery_count < most {
            // Whoever has the session may wait for its next message.
            self.session(session_id).changed.notify_waiters();
            return Abandoned::ComesAgain;
        }
        let message = self.remove(session_id, place);
        self.dead_letters.push(DeadLetter { message, delivery_count, reason: MAX_DELIVERY_COUNT_EXCEEDED });
        self.counts.dead_lettered += 1;
        Abandoned::DeadLettered
    }

    pub(super) fn remove(&mut self, session_id: &str, place: usize) -> Arc<Message> {
        let held = self.session(session_id).messages.remove(place).expect("it is the place of a message");
        self.counts.active -= 1;
        self.bytes -= held.message.body.len();
        held.message
    }

    pub(super) fn unlock(&mut self, session_id: &str, lock: Option<u64>, in_vain: bool, most: u32) -> bool {
        let Some((session_id, _)) = self.sessions.get_key_value(session_id) else { return false };
        let session_id = Arc::clone(session_id);
        let session = self.session(&session_id);
        if session.lock.is_none() || lock.is_some_and(|lock| session.lock != Some(lock)) {
            return false;
        }
        session.lock = None;
        // From the last on, since those that leave must not move the others.
        for place in (0..session.messages.len()).rev() {
            if !self.session(&session_id).messages[place].in_hand {
                continue;
            }
            if in_vain {
                self.in_vain(&session_id, place, most);
            } else {
                self.session(&session_id).messages[place].in_hand = false;
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
        self.sessions.get_mut(session_id).expect("a session stays once it had a message")
    }
}
