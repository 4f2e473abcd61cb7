//! A scan of a queue: every message is received once, passed to a visitor, and deleted, updated or released.
//!
//! A peek of a Storage queue returns only its first 32 messages. To see all messages, the scan receives them. They are
//! hidden from other consumers meanwhile, and are made visible again at the end, on errors and interrupts too. If the
//! process is killed, they become visible again when their visibility timeout ends.

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

use super::{Entry, ScanError};

/// How many updates and deletes run at the same time.
const MAX_CONCURRENT_REQUESTS: usize = 8;

/// How many receives run at the same time. Each returns many messages, and Azurite sorts all its messages for each.
const MAX_CONCURRENT_RECEIVES: usize = 2;

/// What the scan does with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageAction {
    /// Leaves it unchanged, and makes it visible again at the end.
    Keep,
    /// Deletes it.
    Delete,
    /// Replaces its text, and makes it visible again at the end.
    Update(Vec<u8>),
}

/// Decides what a scan does with messages.
#[async_trait]
pub trait MessageVisitor: Send {
    /// Returns an action for each message, in their order. The scan applies the actions after this returns, so anything
    /// that must be stored before a deletion has to be stored by then.
    ///
    /// # Errors
    ///
    /// Returns a [`ScanError`] if the scan cannot continue. Then these messages are made visible again, unchanged.
    async fn visit(&mut self, entries: &[Entry]) -> Result<VisitResult, ScanError>;
}

/// The decision of a visitor.
#[derive(Debug, Default)]
pub struct VisitResult {
    /// One action for each message.
    pub actions: Vec<MessageAction>,
    /// Whether the visitor needs no more messages.
    pub is_complete: bool,
}

/// A scan of a queue.
pub struct QueueScan<'a> {
    /// The queue.
    pub queue: &'a dyn DeadLetterQueue,
    /// How long received messages are hidden from other consumers, unless they are released before.
    pub visibility_timeout: Duration,
    /// How many messages are passed to the visitor at a time.
    pub chunk_size: usize,
    /// `true` ends the scan: the current messages are finished, and everything is made visible again.
    pub stop: watch::Receiver<bool>,
    /// Receives the number of messages visited so far.
    pub progress: &'a (dyn Fn(u64) + Sync),
}

/// The result of a scan.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct ScanSummary {
    /// Messages that were received.
    pub received: u64,
    /// Messages that were deleted.
    pub deleted: u64,
    /// Messages that another consumer received or deleted meanwhile.
    pub lost: u64,
    /// Messages that could not be made visible again. They become visible when their visibility timeout ends.
    pub still_hidden: u64,
    /// Whether the scan was stopped before every message was received.
    pub is_stopped: bool,
    /// Whether the visitor was complete before every message was received.
    pub is_complete: bool,
}

impl QueueScan<'_> {
    /// Scans the queue until it returns no new message. Returns what was done, and the error that ended the scan early, if
    /// any. On an error too, all messages are made visible again as far as the queue permits.
    pub async fn run<V: MessageVisitor>(&self, visitor: &mut V) -> (ScanSummary, Result<(), ScanError>) {
        let mut summary = ScanSummary::default();
        let mut held = HashMap::new();
        let result = self.scan(visitor, &mut held, &mut summary).await;
        summary.still_hidden = self.release(held, &mut summary.lost).await;
        (summary, result)
    }

    async fn scan<V: MessageVisitor>(
        &self,
        visitor: &mut V,
        held: &mut HashMap<String, Received>,
        summary: &mut ScanSummary,
    ) -> Result<(), ScanError> {
        // The queue may return messages whose timeout ended before it returns others. When it returns one of them a second
        // time and has not returned a new message since, it has no others.
        let mut seen_again = HashSet::new();
        loop {
            if *self.stop.borrow() {
                summary.is_stopped = true;
                return Ok(());
            }
            let (received, result) = self.receive().await;
            let (is_empty, mut is_second_time) = (received.is_empty(), false);
            let mut entries = Vec::new();
            for received in received {
                let (id, message) = (received.message.id.clone(), received.message.clone());
                // Added before anything can fail, so that the message is released in any case.
                match held.insert(id.clone(), without_body(received)) {
                    Some(_) => is_second_time |= !seen_again.insert(id),
                    None => entries.push(Entry::parse(message)),
                }
            }
            result?;
            if is_empty || entries.is_empty() && is_second_time {
                return Ok(());
            }
            if entries.is_empty() {
                continue;
            }
            seen_again.clear();
            summary.received += entries.len() as u64;
            let VisitResult { actions, is_complete } = visitor.visit(&entries).await?;
            self.apply_actions(&entries, actions, held, summary).await?;
            (self.progress)(summary.received);
            if is_complete {
                summary.is_complete = true;
                return Ok(());
            }
        }
    }

    /// Receives one chunk; empty if the queue has no visible message. If one request fails, the messages of the others are
    /// returned too.
    async fn receive(&self) -> (Vec<Received>, Result<(), QueueError>) {
        let chunk_size = self.chunk_size.max(1);
        let counts = (0..chunk_size.div_ceil(MAX_RECEIVE_COUNT))
            .map(|part| (chunk_size - part * MAX_RECEIVE_COUNT).min(MAX_RECEIVE_COUNT));
        let requests: Vec<_> = counts.map(|count| self.queue.receive(count, self.visibility_timeout)).collect();
        let responses: Vec<_> = stream::iter(requests).buffered(MAX_CONCURRENT_RECEIVES).collect().await;
        let (mut received, mut result) = (Vec::new(), Ok(()));
        for response in responses {
            match response {
                Ok(messages) => received.extend(messages),
                Err(error) => result = Err(error),
            }
        }
        (received, result)
    }

    async fn apply_actions(
        &self,
        entries: &[Entry],
        actions: Vec<MessageAction>,
        held: &mut HashMap<String, Received>,
        summary: &mut ScanSummary,
    ) -> Result<(), QueueError> {
        let changes = entries.iter().zip(actions).filter(|(_, action)| *action != MessageAction::Keep);
        // Copies: a message whose change is not confirmed stays held, so that it is released.
        let changes = changes.filter_map(|(entry, action)| Some((held.get(&entry.message.id)?.clone(), action)));
        let requests = changes.map(|(mut received, action)| async move {
            let result = match &action {
                MessageAction::Keep => Ok(()),
                MessageAction::Delete => self.queue.delete(&received).await,
                MessageAction::Update(body) => {
                    self.queue.update(&mut received, Some(body), self.visibility_timeout).await
                }
            };
            (received, action, result)
        });
        let has_failed = AtomicBool::new(false);
        let mut failure = None;
        let requests: Vec<_> = requests.collect();
        let mut results = until_failed(&has_failed, requests).buffer_unordered(MAX_CONCURRENT_REQUESTS);
        while let Some((received, action, result)) = results.next().await {
            let id = received.message.id.clone();
            match result {
                Ok(()) if action == MessageAction::Delete => {
                    held.remove(&id);
                    summary.deleted += 1;
                }
                Ok(()) => drop(held.insert(id, without_body(received))),
                Err(error) if error.is_gone() => {
                    held.remove(&id);
                    summary.lost += 1;
                }
                // It stays held, and is released unchanged.
                Err(error) if error.is_message_specific() => {}
                Err(error) => {
                    has_failed.store(true, Relaxed);
                    failure.get_or_insert(error);
                }
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Makes messages visible again, and returns how many could not be.
    async fn release(&self, held: HashMap<String, Received>, lost: &mut u64) -> u64 {
        let mut left = held.len() as u64;
        let requests = held
            .into_values()
            .map(|mut received| async move { self.queue.update(&mut received, None, Duration::ZERO).await });
        // If the queue is down, each of the other requests would wait for its timeout too.
        let has_failed = AtomicBool::new(false);
        let requests: Vec<_> = requests.collect();
        let mut results = until_failed(&has_failed, requests).buffer_unordered(MAX_CONCURRENT_REQUESTS);
        while let Some(result) = results.next().await {
            match result {
                Ok(()) => left -= 1,
                Err(error) if error.is_gone() => (left, *lost) = (left - 1, *lost + 1),
                Err(_) => has_failed.store(true, Relaxed),
            }
        }
        left
    }
}

/// Drops the body, which is not needed to release a message: the bodies of thousands of held messages need too much memory.
fn without_body(mut received: Received) -> Received {
    received.message.body = Vec::new();
    received
}
