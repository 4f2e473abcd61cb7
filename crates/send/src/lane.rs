//! A lane: the events of some keys, one batch after the other over one link.
//!
//! A key has one lane for ever, and a lane has one batch on its way. So a key never has two, and its events stay in order,
//! however often a batch has to be sent.

use std::{collections::HashMap, sync::Arc, time::Duration};

use azure_core_amqp::AmqpMessage;
use devicestate_engine::clock::{Random as _, System};
use devicestate_local::hub::Sent;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use crate::{
    batch::Batch,
    counts::Counts,
    destination::Destination,
    failure::{Failure, Meaning},
    link::Link,
};

/// How many events wait in a lane: what waits together is sent together.
pub(crate) const WAITING: usize = 4_096;

/// The first and the longest wait between two attempts.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How patient a lane is, and how much it takes at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How long an answer may take.
    pub(crate) timeout: Duration,
    /// How often a batch is tried.
    pub(crate) attempts: u32,
    /// The most events of a batch.
    pub(crate) events: usize,
}

/// A lane.
pub(crate) struct Lane {
    to: Arc<Destination>,
    limits: Limits,
    counts: Arc<Counts>,
    link: Option<Link>,
}

impl Lane {
    pub(crate) fn new(to: Arc<Destination>, limits: Limits, counts: Arc<Counts>) -> Self {
        Self { to, limits, counts, link: None }
    }

    /// Opens the link if there is none.
    pub(crate) async fn open(&mut self) -> Result<&mut Link, Failure> {
        let link = if let Some(link) = self.link.take() {
            link
        } else {
            let silence = |_| Failure::silence(Meaning::NotSent, self.limits.timeout);
            timeout(self.limits.timeout, Link::open(&self.to)).await.map_err(silence)??
        };
        Ok(self.link.insert(link))
    }

    /// Sends what comes until no more comes.
    ///
    /// # Errors
    ///
    /// A batch that the hub does not take. Nothing behind it was sent.
    pub(crate) async fn run(mut self, mut events: mpsc::Receiver<Sent>) -> Result<(), String> {
        let mut waiting = Vec::new();
        while events.recv_many(&mut waiting, WAITING).await > 0 {
            for (key, events) in by_key(waiting.drain(..)) {
                self.send(key.as_ref(), events).await?;
            }
        }
        if let Some(link) = self.link.take() {
            let _ = timeout(self.limits.timeout, link.close()).await;
        }
        Ok(())
    }

    /// Sends the events of a key.
    async fn send(&mut self, key: Option<&String>, events: Vec<Sent>) -> Result<(), String> {
        let failed = |failure: Failure| format!("the events of key {}: {failure}", key.map_or("none", String::as_str));
        let largest = self.largest().await.map_err(failed)?;
        for batch in Batch::pack(key, events, self.limits.events, largest).map_err(failed)? {
            self.deliver(batch).await.map_err(failed)?;
        }
        Ok(())
    }

    /// The largest message that the hub takes.
    async fn largest(&mut self) -> Result<u64, Failure> {
        let mut patience = Patience::new(self.limits.attempts);
        loop {
            match self.open().await {
                Ok(link) => return Ok(link.largest()),
                Err(failure) => self.wait(&mut patience, failure, 0).await?,
            }
        }
    }

    /// Sends a batch, and again as it is where that may help.
    async fn deliver(&mut self, batch: Batch) -> Result<(), Failure> {
        let (events, bytes) = (batch.len() as u64, batch.size());
        let message = batch.into_message();
        let mut patience = Patience::new(self.limits.attempts);
        while let Err(failure) = self.attempt(&message).await {
            if failure.meaning != Meaning::Refused {
                self.link = None;
            }
            self.wait(&mut patience, failure, events).await?;
        }
        self.counts.sent(events, bytes);
        Ok(())
    }

    /// Waits until the next attempt for so many events; gives the failure back where there is none.
    async fn wait(&self, patience: &mut Patience, failure: Failure, events: u64) -> Result<(), Failure> {
        let Some(wait) = patience.after(&failure) else { return Err(failure) };
        self.counts.retry(&failure, if failure.meaning == Meaning::Unknown { events } else { 0 });
        sleep(wait).await;
        Ok(())
    }

    async fn attempt(&mut self, batch: &AmqpMessage) -> Result<(), Failure> {
        let (to, time) = (Arc::clone(&self.to), self.limits.timeout);
        let link = self.open().await?;
        let silence = |_| Failure::silence(Meaning::Unknown, time);
        timeout(time, link.send(batch, &to)).await.map_err(silence)?
    }
}

/// How often something may fail yet, and how long to wait before it is tried again.
struct Patience {
    left: u32,
    wait: Duration,
}

impl Patience {
    fn new(attempts: u32) -> Self {
        Self { left: attempts, wait: FIRST_WAIT }
    }

    /// How long to wait after this failure; `None` where there is no other attempt.
    fn after(&mut self, failure: &Failure) -> Option<Duration> {
        self.left -= 1;
        if failure.meaning == Meaning::Never || self.left == 0 {
            return None;
        }
        // Not all lanes at the same time, where all of them failed at the same time.
        let wait = self.wait.mul_f64(0.5 + System.fraction() / 2.0);
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        Some(wait)
    }
}

/// The events of each key, in their order; keys in the order of their first event.
fn by_key(events: impl Iterator<Item = Sent>) -> Vec<(Option<String>, Vec<Sent>)> {
    let mut keys: HashMap<Option<String>, usize> = HashMap::new();
    let mut sorted: Vec<(Option<String>, Vec<Sent>)> = Vec::new();
    for sent in events {
        let place = *keys.entry(sent.partition_key.clone()).or_insert_with(|| {
            sorted.push((sent.partition_key.clone(), Vec::new()));
            sorted.len() - 1
        });
        sorted[place].1.push(sent);
    }
    sorted
}
