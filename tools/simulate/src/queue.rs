//! The queue of dead letters and the place for the large ones, in memory.

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

use super::{clock::Surroundings, weather::Weather};

/// The queue.
pub(crate) struct Queue {
    clock: Arc<Surroundings>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    letters: BTreeMap<u64, Letter>,
    put: u64,
    /// What was deleted, and when, for who must put it back.
    deleted: Vec<(Duration, u64, Letter)>,
}

#[derive(Clone)]
struct Letter {
    body: Vec<u8>,
    inserted_ms: i64,
    visible_ms: i64,
    receipt: u64,
    dequeue_count: i64,
}

impl Letter {
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
    pub(crate) fn new(clock: &Arc<Surroundings>) -> Self {
        Self { clock: Arc::clone(clock), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what the host puts.
    pub(crate) fn take(&self, body: Vec<u8>) {
        let mut state = self.state();
        state.put += 1;
        let (id, inserted_ms) = (state.put, self.clock.now_ms());
        state.letters.insert(id, Letter { body, inserted_ms, visible_ms: 0, receipt: 0, dequeue_count: 0 });
    }

    /// The texts that are there.
    pub(crate) fn texts(&self) -> Vec<Vec<u8>> {
        self.state().letters.values().map(|letter| letter.body.clone()).collect()
    }

    /// Puts back what was deleted since then: the documents that it was written to have lost it.
    pub(crate) fn put_back(&self, since: Duration) {
        let mut state = self.state();
        while let Some((_, id, letter)) = state.deleted.pop_if(|(at, ..)| *at >= since) {
            state.letters.insert(id, letter);
        }
    }

    /// Does something with a message that is still the receiver's.
    fn with<T>(&self, received: &Received, act: impl FnOnce(&mut State, u64) -> T) -> Result<T, QueueError> {
        let gone = || QueueError::Gone(Box::<dyn Error + Send + Sync>::from("somebody else has it").into());
        let id = received.message.id.parse().map_err(|_| gone())?;
        let mut state = self.state();
        let is_own = |letter: &Letter| letter.receipt.to_string() == received.receipt;
        if !state.letters.get(&id).is_some_and(is_own) {
            return Err(gone());
        }
        Ok(act(&mut state, id))
    }

    fn until(&self, hidden: Duration) -> i64 {
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
        self.take(body.to_vec());
        Ok(())
    }

    async fn count(&self) -> Result<u64, QueueError> {
        Ok(self.state().letters.len() as u64)
    }

    async fn peek(&self, most: usize) -> Result<Vec<Message>, QueueError> {
        let (now, state) = (self.clock.now_ms(), self.state());
        let visible = state.letters.iter().filter(|(_, letter)| letter.visible_ms <= now);
        Ok(visible.take(most).map(|(id, letter)| letter.received(*id).message).collect())
    }

    async fn receive(&self, most: usize, hidden: Duration) -> Result<Vec<Received>, QueueError> {
        sleep(Duration::from_millis(5)).await;
        let (now, until, mut state) = (self.clock.now_ms(), self.until(hidden), self.state());
        let visible = state.letters.iter_mut().filter(|(_, letter)| letter.visible_ms <= now);
        let received = visible.take(most).map(|(id, letter)| {
            letter.visible_ms = until;
            letter.receipt += 1;
            letter.dequeue_count += 1;
            letter.received(*id)
        });
        Ok(received.collect())
    }

    async fn update(&self, received: &mut Received, body: Option<&[u8]>, hidden: Duration) -> Result<(), QueueError> {
        let until = self.until(hidden);
        let letter = self.with(received, |state, id| {
            let letter = state.letters.get_mut(&id).expect("it is there");
            letter.visible_ms = until;
            letter.receipt += 1;
            if let Some(body) = body {
                letter.body = body.to_vec();
            }
            letter.received(id)
        })?;
        *received = letter;
        Ok(())
    }

    async fn delete(&self, received: &Received) -> Result<(), QueueError> {
        sleep(Duration::from_millis(2)).await;
        let now = self.clock.now();
        self.with(received, |state, id| {
            let letter = state.letters.remove(&id).expect("it is there");
            state.deleted.push((now, id, Letter { visible_ms: 0, ..letter }));
        })
    }
}

/// The place for dead letters that are too large for the queue.
pub(crate) struct Shelf {
    clock: Arc<Surroundings>,
    weather: Arc<Weather>,
    kept: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl Shelf {
    pub(crate) fn new(clock: &Arc<Surroundings>, weather: &Arc<Weather>) -> Self {
        Self { clock: Arc::clone(clock), weather: Arc::clone(weather), kept: Mutex::default() }
    }

    /// What is kept there.
    pub(crate) fn kept(&self, location: &str) -> Option<Vec<u8>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(location).cloned()
    }
}

#[async_trait]
impl Overflow for Shelf {
    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<String, OverflowError> {
        sleep(self.clock.millis(20)).await;
        if !self.weather.overflow_takes() {
            return Err(OverflowError::too_slow(name));
        }
        let location = format!("{name}.json");
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).insert(location.clone(), bytes);
        Ok(location)
    }

    async fn get(&self, location: &str) -> Result<Vec<u8>, OverflowError> {
        self.kept(location).ok_or_else(|| OverflowError::too_slow(location))
    }
}
