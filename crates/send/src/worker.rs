//! Sends the events of some keys over one link, one batch at a time.
//!
//! A key always has the same worker, and a worker has one batch in flight. So a key never has two batches in flight, and its
//! events stay in order, however often a batch is sent.

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
    failure::{Failure, FailureKind},
    link::Link,
};

/// How many events a worker buffers; buffered events of a key are sent together.
pub(crate) const MAX_BUFFERED_EVENTS: usize = 4_096;

/// The first wait between two attempts.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);

/// The longest wait between two attempts.
const MAX_BACKOFF: Duration = Duration::from_secs(10);

/// The limits of a worker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The time limit of a response.
    pub(crate) timeout: Duration,
    /// The maximum number of attempts per batch.
    pub(crate) max_attempts: u32,
    /// The maximum number of events per batch.
    pub(crate) max_batch_events: usize,
}

/// Sends the events of some keys.
pub(crate) struct Worker {
    to: Arc<Destination>,
    limits: Limits,
    counts: Arc<Counts>,
    link: Option<Link>,
}

impl Worker {
    pub(crate) fn new(to: Arc<Destination>, limits: Limits, counts: Arc<Counts>) -> Self {
        Self { to, limits, counts, link: None }
    }

    /// Returns the link; opens it if it is closed.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the link cannot be opened in time.
    pub(crate) async fn open(&mut self) -> Result<&mut Link, Failure> {
        let link = if let Some(link) = self.link.take() {
            link
        } else {
            let timed_out = |_| Failure::timed_out(FailureKind::NotSent, self.limits.timeout);
            timeout(self.limits.timeout, Link::open(&self.to)).await.map_err(timed_out)??
        };
        Ok(self.link.insert(link))
    }

    /// Sends events until the channel is closed.
    ///
    /// # Errors
    ///
    /// The hub did not accept a batch. No later batch was sent.
    pub(crate) async fn run(mut self, mut events: mpsc::Receiver<Sent>) -> Result<(), String> {
        let mut buffered = Vec::new();
        while events.recv_many(&mut buffered, MAX_BUFFERED_EVENTS).await > 0 {
            for (key, events) in group_by_key(buffered.drain(..)) {
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
        let failed = |failure: Failure| {
            format!("the events of key {} were not sent: {failure}", key.map_or("none", String::as_str))
        };
        let max_bytes = self.max_message_bytes().await.map_err(failed)?;
        for batch in Batch::pack(key, events, self.limits.max_batch_events, max_bytes).map_err(failed)? {
            self.deliver(batch).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Returns the largest message that the hub accepts, in bytes.
    async fn max_message_bytes(&mut self) -> Result<u64, Failure> {
        let mut backoff = Backoff::new(self.limits.max_attempts);
        loop {
            match self.open().await {
                Ok(link) => return Ok(link.max_message_bytes()),
                Err(failure) => self.wait(&mut backoff, failure, 0).await?,
            }
        }
    }

    /// Sends a batch, and repeats it unchanged while another attempt can succeed.
    async fn deliver(&mut self, batch: Batch) -> Result<(), Failure> {
        let (events, records, bytes) = (batch.len() as u64, batch.records(), batch.size());
        let message = batch.into_message();
        let mut backoff = Backoff::new(self.limits.max_attempts);
        while let Err(failure) = self.attempt(&message).await {
            if failure.kind != FailureKind::Rejected {
                self.link = None;
            }
            self.wait(&mut backoff, failure, events).await?;
        }
        self.counts.record_accepted(events, records, bytes);
        Ok(())
    }

    /// Waits until the next attempt to send this many events; returns the failure after the last attempt.
    async fn wait(&self, backoff: &mut Backoff, failure: Failure, events: u64) -> Result<(), Failure> {
        let Some(wait) = backoff.next_wait(&failure) else { return Err(failure) };
        self.counts.record_retry(&failure, if failure.kind == FailureKind::Unknown { events } else { 0 });
        sleep(wait).await;
        Ok(())
    }

    async fn attempt(&mut self, batch: &AmqpMessage) -> Result<(), Failure> {
        let (to, time) = (Arc::clone(&self.to), self.limits.timeout);
        let link = self.open().await?;
        let timed_out = |_| Failure::timed_out(FailureKind::Unknown, time);
        timeout(time, link.send(batch, &to)).await.map_err(timed_out)?
    }
}

/// How many attempts are left, and how long to wait before the next one.
struct Backoff {
    attempts_left: u32,
    wait: Duration,
}

impl Backoff {
    fn new(attempts: u32) -> Self {
        Self { attempts_left: attempts, wait: FIRST_BACKOFF }
    }

    /// Returns how long to wait after this failure; `None` if there is no other attempt.
    fn next_wait(&mut self, failure: &Failure) -> Option<Duration> {
        self.attempts_left -= 1;
        if failure.kind == FailureKind::Permanent || self.attempts_left == 0 {
            return None;
        }
        // Jitter: workers that fail at the same time must not retry at the same time.
        let wait = self.wait.mul_f64(0.5 + System.fraction() / 2.0);
        self.wait = (self.wait * 2).min(MAX_BACKOFF);
        Some(wait)
    }
}

/// Groups events by key, in their order; keys are in the order of their first event.
fn group_by_key(events: impl Iterator<Item = Sent>) -> Vec<(Option<String>, Vec<Sent>)> {
    let mut keys: HashMap<Option<String>, usize> = HashMap::new();
    let mut groups: Vec<(Option<String>, Vec<Sent>)> = Vec::new();
    for sent in events {
        let index = *keys.entry(sent.partition_key.clone()).or_insert_with(|| {
            groups.push((sent.partition_key.clone(), Vec::new()));
            groups.len() - 1
        });
        groups[index].1.push(sent);
    }
    groups
}
