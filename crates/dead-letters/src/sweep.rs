//! The way through a queue: every message is received once, judged, and deleted, changed or given back.
//!
//! A Storage queue shows only its first 32 messages to a peek. So whoever wants to see them all has to receive them:
//! they are hidden from others meanwhile, and given back at the end, however it ends. Should this process be killed,
//! they come back by themselves when their time is up.

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use async_trait::async_trait;
use devicestate_engine::{
    queue::{DeadLetterQueue, MAX_RECEIVE_COUNT, QueueError, Received},
    until_failed::until_failed,
};
use futures_util::{StreamExt as _, stream};
use tokio::sync::watch;

use super::{Entry, TriageError};

/// How many requests are under way at the same time.
const REQUESTS: usize = 8;

/// How many of them receive. They bring many messages each, and Azurite sorts all that it has for each of them.
const RECEIVING: usize = 2;

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is given back at the end.
    Keep,
    /// It is deleted.
    Delete,
    /// It has this text from now on, and is given back at the end.
    Change(Vec<u8>),
}

/// Who judges messages.
#[async_trait]
pub trait Judge: Send {
    /// Says what becomes of each of these messages, in their order. It is done after this returns: so whatever is to be
    /// kept has to be kept by then.
    ///
    /// # Errors
    ///
    /// [`TriageError`], when there is no sense in going on. Then these messages are given back as they were.
    async fn judge(&mut self, entries: &[Entry]) -> Result<Judged, TriageError>;
}

/// What was judged.
#[derive(Debug, Default)]
pub struct Judged {
    /// One for each message.
    pub fates: Vec<Fate>,
    /// Whether that is enough, and no more messages are to be received.
    pub is_enough: bool,
}

/// How to go through a queue.
pub struct Sweep<'a> {
    /// The queue.
    pub queue: &'a dyn DeadLetterQueue,
    /// How long messages are hidden from others, unless they are given back before.
    pub hidden: Duration,
    /// How many messages are judged together.
    pub together: usize,
    /// True ends the way: what is in hand is finished, and everything is given back.
    pub stop: watch::Receiver<bool>,
    /// Hears how many messages were judged so far.
    pub progress: &'a (dyn Fn(u64) + Sync),
}

/// What a way through a queue came to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// Messages that were received.
    pub seen: u64,
    /// Messages of them that were deleted.
    pub deleted: u64,
    /// Messages that somebody else took or deleted meanwhile.
    pub gone: u64,
    /// Messages that could not be given back. They come back by themselves when their time is up.
    pub hidden: u64,
    /// Whether it was stopped before every message was received.
    pub stopped: bool,
    /// Whether the judge had enough before every message was received.
    pub enough: bool,
}

impl Sweep<'_> {
    /// Goes through the queue until it shows no message that is new here. Tells what it came to, and how it ended: with
    /// an error where the judge or the queue has one. Also then everything is given back, as far as the queue takes it.
    pub async fn run<J: Judge>(&self, judge: &mut J) -> (Swept, Result<(), TriageError>) {
        let mut swept = Swept::default();
        let mut held = HashMap::new();
        let ended = self.go(judge, &mut held, &mut swept).await;
        swept.hidden = self.give_back(held, &mut swept.gone).await;
        (swept, ended)
    }

    async fn go<J: Judge>(
        &self,
        judge: &mut J,
        held: &mut HashMap<String, Received>,
        swept: &mut Swept,
    ) -> Result<(), TriageError> {
        // Messages whose time was up before this ended, seen again since the last new one. The queue may well show those
        // first; but when one of them comes a second time, it has nothing else to show in that time.
        let mut again = HashSet::new();
        loop {
            if *self.stop.borrow() {
                swept.stopped = true;
                return Ok(());
            }
            let (received, failed) = self.receive().await;
            let (is_all, mut is_second_time) = (received.is_empty(), false);
            let mut entries = Vec::new();
            for received in received {
                let (id, message) = (received.message.id.clone(), received.message.clone());
                // Held at once: whoever stops leaves them to be given back.
                match held.insert(id.clone(), without_body(received)) {
                    Some(_) => is_second_time |= !again.insert(id),
                    None => entries.push(Entry::read(message)),
                }
            }
            failed?;
            if is_all || entries.is_empty() && is_second_time {
                return Ok(());
            }
            if entries.is_empty() {
                continue;
            }
            again.clear();
            swept.seen += entries.len() as u64;
            let Judged { fates, is_enough } = judge.judge(&entries).await?;
            self.carry_out(&entries, fates, held, swept).await?;
            (self.progress)(swept.seen);
            if is_enough {
                swept.enough = true;
                return Ok(());
            }
        }
    }

    /// Some messages; none when the queue shows none. When one request fails, what the others have got is in hand even so.
    async fn receive(&self) -> (Vec<Received>, Result<(), QueueError>) {
        let together = self.together.max(1);
        let parts = (0..together.div_ceil(MAX_RECEIVE_COUNT))
            .map(|part| (together - part * MAX_RECEIVE_COUNT).min(MAX_RECEIVE_COUNT));
        let requests = parts.map(|most| self.queue.receive(most, self.hidden));
        let answers: Vec<_> = stream::iter(requests.collect::<Vec<_>>()).buffered(RECEIVING).collect().await;
        let (mut received, mut failed) = (Vec::new(), Ok(()));
        for answer in answers {
            match answer {
                Ok(messages) => received.extend(messages),
                Err(error) => failed = Err(error),
            }
        }
        (received, failed)
    }

    async fn carry_out(
        &self,
        entries: &[Entry],
        fates: Vec<Fate>,
        held: &mut HashMap<String, Received>,
        swept: &mut Swept,
    ) -> Result<(), QueueError> {
        let taken = entries.iter().zip(fates).filter(|(_, fate)| *fate != Fate::Keep);
        // Copies: what is not surely done stays in hand, to be given back.
        let taken = taken.filter_map(|(entry, fate)| Some((held.get(&entry.message.id)?.clone(), fate)));
        let doing = taken.map(|(mut received, fate)| async move {
            let done = match &fate {
                Fate::Keep => Ok(()),
                Fate::Delete => self.queue.delete(&received).await,
                Fate::Change(body) => self.queue.update(&mut received, Some(body), self.hidden).await,
            };
            (received, fate, done)
        });
        let failed = AtomicBool::new(false);
        let mut failure = None;
        let mut doing = until_failed(&failed, doing.collect::<Vec<_>>()).buffer_unordered(REQUESTS);
        while let Some((received, fate, done)) = doing.next().await {
            let id = received.message.id.clone();
            match done {
                Ok(()) if fate == Fate::Delete => {
                    held.remove(&id);
                    swept.deleted += 1;
                }
                Ok(()) => drop(held.insert(id, without_body(received))),
                Err(error) if error.is_gone() => {
                    held.remove(&id);
                    swept.gone += 1;
                }
                // It stays in hand, and goes back as it was.
                Err(error) if error.is_message_specific() => {}
                Err(error) => {
                    failed.store(true, Relaxed);
                    failure.get_or_insert(error);
                }
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Gives messages back to everybody; tells how many could not be.
    async fn give_back(&self, held: HashMap<String, Received>, gone: &mut u64) -> u64 {
        let mut left = held.len() as u64;
        let give = held
            .into_values()
            .map(|mut received| async move { self.queue.update(&mut received, None, Duration::ZERO).await });
        // A queue that is out of order is so for each of the others, too, and each would be waited for.
        let failed = AtomicBool::new(false);
        let mut given = until_failed(&failed, give.collect::<Vec<_>>()).buffer_unordered(REQUESTS);
        while let Some(given) = given.next().await {
            match given {
                Ok(()) => left -= 1,
                Err(error) if error.is_gone() => (left, *gone) = (left - 1, *gone + 1),
                Err(_) => failed.store(true, Relaxed),
            }
        }
        left
    }
}

/// What is needed to give a message back: with thousands in hand, bodies are too much.
fn without_body(mut received: Received) -> Received {
    received.message.body = Vec::new();
    received
}
