//! The dead-letter queue and the overflow for large dead letters, in memory.

use std::{
    collections::BTreeMap,
    error::Error,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use devicestate_engine::{
    clock::Clock as _,
    dead_letter::{Overflow, OverflowError},
    queue::{DeadLetterQueue, Message, QueueError, Received},
};
use tokio::time::sleep;

use super::{clock::SimulatedClock, faults::FaultInjector};

/// The dead-letter queue.
pub(crate) struct Queue {
    clock: Arc<SimulatedClock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    messages: BTreeMap<u64, QueuedMessage>,
    put: u64,
    /// Deleted messages with their deletion times, for [`Queue::restore_deleted`].
    deleted: Vec<(Duration, u64, QueuedMessage)>,
}

#[derive(Clone)]
struct QueuedMessage {
    body: Vec<u8>,
    inserted_ms: i64,
    visible_ms: i64,
    receipt: u64,
    dequeue_count: i64,
}

impl QueuedMessage {
    fn received(&self, id: u64) -> Received {
        let message = Message {
            id: id.to_string(),
            body: self.body.clone(),
            inserted_ms: self.inserted_ms,
            expires_ms: None,
            dequeue_count: self.dequeue_count,
        };
        Received { message, receipt: self.receipt.to_string(), is_base64: false }
    }
}

impl Queue {
    pub(crate) fn new(clock: &Arc<SimulatedClock>) -> Self {
        Self { clock: Arc::clone(clock), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a message.
    pub(crate) fn add(&self, body: Vec<u8>) {
        let mut state = self.state();
        state.put += 1;
        let (id, inserted_ms) = (state.put, self.clock.now_ms());
        state.messages.insert(id, QueuedMessage { body, inserted_ms, visible_ms: 0, receipt: 0, dequeue_count: 0 });
    }

    /// Returns the bodies of all messages.
    pub(crate) fn bodies(&self) -> Vec<Vec<u8>> {
        self.state().messages.values().map(|queued| queued.body.clone()).collect()
    }

    /// Restores the messages that were deleted since then, because the documents have lost their replayed events.
    pub(crate) fn restore_deleted(&self, since: Duration) {
        let mut state = self.state();
        while let Some((_, id, queued)) = state.deleted.pop_if(|(at, ..)| *at >= since) {
            state.messages.insert(id, queued);
        }
    }

    /// Runs `act` on a message whose receipt is still valid.
    fn change<T>(&self, received: &Received, act: impl FnOnce(&mut State, u64) -> T) -> Result<T, QueueError> {
        let gone = || QueueError::Gone(Box::<dyn Error + Send + Sync>::from("another receiver has the message").into());
        let id = received.message.id.parse().map_err(|_| gone())?;
        let mut state = self.state();
        let is_own = |queued: &QueuedMessage| queued.receipt.to_string() == received.receipt;
        if !state.messages.get(&id).is_some_and(is_own) {
            return Err(gone());
        }
        Ok(act(&mut state, id))
    }

    fn visible_at(&self, hidden: Duration) -> i64 {
        match hidden.as_secs() {
            0 => 0,
            seconds => self.clock.now_ms() + i64::try_from(seconds).unwrap_or(i64::MAX) * 1_000,
        }
    }
}

#[async_trait]
impl DeadLetterQueue for Queue {
    fn name(&self) -> String {
        "deadletterqueue".into()
    }

    async fn put(&self, body: &[u8]) -> Result<(), QueueError> {
        self.add(body.to_vec());
        Ok(())
    }

    async fn count(&self) -> Result<u64, QueueError> {
        Ok(self.state().messages.len() as u64)
    }

    async fn peek(&self, max: usize) -> Result<Vec<Message>, QueueError> {
        let (now, state) = (self.clock.now_ms(), self.state());
        let visible = state.messages.iter().filter(|(_, queued)| queued.visible_ms <= now);
        Ok(visible.take(max).map(|(id, queued)| queued.received(*id).message).collect())
    }

    async fn receive(&self, max: usize, hidden: Duration) -> Result<Vec<Received>, QueueError> {
        sleep(Duration::from_millis(5)).await;
        let (now, until, mut state) = (self.clock.now_ms(), self.visible_at(hidden), self.state());
        let visible = state.messages.iter_mut().filter(|(_, queued)| queued.visible_ms <= now);
        let received = visible.take(max).map(|(id, queued)| {
            queued.visible_ms = until;
            queued.receipt += 1;
            queued.dequeue_count += 1;
            queued.received(*id)
        });
        Ok(received.collect())
    }

    async fn update(&self, received: &mut Received, body: Option<&[u8]>, hidden: Duration) -> Result<(), QueueError> {
        let until = self.visible_at(hidden);
        let queued = self.change(received, |state, id| {
            let queued = state.messages.get_mut(&id).expect("its receipt was checked");
            queued.visible_ms = until;
            queued.receipt += 1;
            if let Some(body) = body {
                queued.body = body.to_vec();
            }
            queued.received(id)
        })?;
        *received = queued;
        Ok(())
    }

    async fn delete(&self, received: &Received) -> Result<(), QueueError> {
        sleep(Duration::from_millis(2)).await;
        let now = self.clock.now();
        self.change(received, |state, id| {
            let queued = state.messages.remove(&id).expect("its receipt was checked");
            state.deleted.push((now, id, QueuedMessage { visible_ms: 0, ..queued }));
        })
    }
}

/// The overflow: dead letters that are too large for the queue.
pub(crate) struct OverflowStore {
    clock: Arc<SimulatedClock>,
    faults: Arc<FaultInjector>,
    blobs: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl OverflowStore {
    pub(crate) fn new(clock: &Arc<SimulatedClock>, faults: &Arc<FaultInjector>) -> Self {
        Self { clock: Arc::clone(clock), faults: Arc::clone(faults), blobs: Mutex::default() }
    }

    /// Returns the content of a blob.
    pub(crate) fn blob(&self, location: &str) -> Option<Vec<u8>> {
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner).get(location).cloned()
    }
}

#[async_trait]
impl Overflow for OverflowStore {
    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<String, OverflowError> {
        sleep(self.clock.random_millis(20)).await;
        if !self.faults.overflow_accepts() {
            return Err(OverflowError::too_slow(name));
        }
        let location = format!("{name}.json");
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner).insert(location.clone(), bytes);
        Ok(location)
    }

    async fn get(&self, location: &str) -> Result<Vec<u8>, OverflowError> {
        self.blob(location).ok_or_else(|| OverflowError::too_slow(location))
    }
}
