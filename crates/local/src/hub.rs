//! An event hub in memory: partitions, each an ordered stream with a checkpoint of its one consumer group.
//!
//! Bounded: `send` waits while the partition is full or the hub is throttled.

mod sent;

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use devicestate_engine::clock::{Clock, System};
use tokio::{sync::Notify, time::Instant};

use super::throughput::Throughput;
pub use sent::{Property, Sent};

/// Limit the unread events of a partition, and their bytes.
const MAX_UNREAD_EVENTS: usize = 20_000;
const MAX_UNREAD_BYTES: usize = 64 << 20;

/// An event in a partition.
#[derive(Debug)]
pub struct HubEvent {
    /// The event that the producer sent.
    pub sent: Sent,
    /// Rises by one with each event of the partition.
    pub sequence_number: i64,
    /// The event's position in the bytes of the partition.
    pub offset: i64,
    /// When it arrived, in milliseconds since 1970. Never decreases within a partition.
    pub enqueued_ms: i64,
    /// When an IoT Hub accepted the message, if it came through one, in milliseconds since 1970.
    pub iot_hub_enqueued_ms: Option<i64>,
}

/// The hub.
pub struct Hub {
    partitions: Vec<Partition>,
    /// Selects the partitions of events without a key in turn.
    keyless_events: AtomicUsize,
    options: Options,
    /// The number of events it has accepted.
    incoming: AtomicU64,
    /// Notified when a checkpoint moves.
    checkpoint_moved: Notify,
}

/// The limits of a batch that is read from a partition.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// The minimum number of events, unless `max_wait` passes.
    pub min_events: usize,
    /// The maximum number of events.
    pub max_events: usize,
    /// How long to wait for the minimum number of events, from the first event on.
    pub max_wait: Duration,
}

/// Options of a hub. By default it has no throughput limit, uses the current time and drops events before the checkpoint.
pub struct Options {
    /// The clock of the enqueued times.
    pub clock: Arc<dyn Clock>,
    /// Whether events stay after they are processed, as they do in a real hub during its retention. Then checkpoints can be set
    /// back, and the hub is never full.
    pub retains_events: bool,
    /// The throughput limit, if any.
    pub throughput: Option<Throughput>,
    /// The sequence number of the first event of each partition.
    pub first_sequence_number: i64,
}

impl Default for Options {
    fn default() -> Self {
        Self { clock: Arc::new(System), retains_events: false, throughput: None, first_sequence_number: 0 }
    }
}

#[derive(Default)]
struct Partition {
    stream: Mutex<Stream>,
    /// Notified when there is something new to read.
    filled: Notify,
    /// Notified when reading has made room.
    freed: Notify,
}

#[derive(Default)]
struct Stream {
    /// The retained events: those from the checkpoint on, and with `retains_events` all.
    events: VecDeque<Arc<HubEvent>>,
    /// Where a new owner begins.
    checkpoint: i64,
    unread_bytes: usize,
    next_sequence_number: i64,
    /// The first sequence number that has not been read.
    unread: i64,
    /// Events before this sequence number do not wait for the minimum of a batch.
    flushed: i64,
    next_offset: i64,
    last_enqueued_ms: i64,
    is_closed: bool,
}

impl Stream {
    /// Counts from the last event that was read, because a checkpoint may follow only after many batches.
    fn is_full(&self) -> bool {
        let unread = usize::try_from(self.next_sequence_number - self.unread).unwrap_or_default();
        unread >= MAX_UNREAD_EVENTS || (unread > 0 && self.unread_bytes >= MAX_UNREAD_BYTES)
    }

    fn push(&mut self, sent: Sent, now_ms: i64) {
        self.last_enqueued_ms = self.last_enqueued_ms.max(now_ms);
        self.unread_bytes += sent.bytes();
        let offset = self.next_offset;
        self.next_offset += i64::try_from(sent.body.len()).unwrap_or_default() + 64;
        let sequence_number = self.next_sequence_number;
        self.next_sequence_number += 1;
        let enqueued_ms = self.last_enqueued_ms;
        self.events.push_back(Arc::new(HubEvent {
            sent,
            sequence_number,
            offset,
            enqueued_ms,
            iot_hub_enqueued_ms: None,
        }));
    }

    fn mark_read(&mut self, events: &[Arc<HubEvent>]) {
        for event in events.iter().filter(|event| event.sequence_number >= self.unread) {
            self.unread_bytes -= event.sent.bytes();
        }
        if let Some(last) = events.last() {
            self.unread = self.unread.max(last.sequence_number + 1);
        }
    }

    /// Returns the index of a sequence number in the retained events.
    fn index_of(&self, sequence_number: i64) -> usize {
        let first = self.next_sequence_number - i64::try_from(self.events.len()).unwrap_or_default();
        usize::try_from(sequence_number - first).unwrap_or_default()
    }
}

impl Hub {
    /// Returns an empty hub with this many partitions.
    #[must_use]
    pub fn new(partitions: usize, options: Options) -> Self {
        let first = options.first_sequence_number;
        let stream = || Stream { checkpoint: first, next_sequence_number: first, unread: first, ..Stream::default() };
        let partition = || Partition { stream: Mutex::new(stream()), ..Partition::default() };
        Self {
            partitions: (0..partitions).map(|_| partition()).collect(),
            keyless_events: AtomicUsize::new(0),
            options,
            incoming: AtomicU64::new(0),
            checkpoint_moved: Notify::new(),
        }
    }

    /// Returns the number of partitions.
    #[must_use]
    pub fn partitions(&self) -> usize {
        self.partitions.len()
    }

    /// Returns how many events the hub has accepted.
    #[must_use]
    pub fn incoming(&self) -> u64 {
        self.incoming.load(Relaxed)
    }

    /// Returns how many attempts to send were throttled.
    #[must_use]
    pub fn throttled(&self) -> u64 {
        self.options.throughput.as_ref().map_or(0, Throughput::throttled)
    }

    /// Sends an event. Waits while its partition is full or the hub is throttled; if it is dropped meanwhile, nothing is sent.
    ///
    /// # Panics
    ///
    /// The event names a partition that the hub does not have.
    pub async fn send(&self, sent: Sent) {
        if let Some(throughput) = &self.options.throughput {
            throughput.admit(sent.body.len()).await;
        }
        let number = sent.partition.unwrap_or_else(|| self.partition_of(sent.partition_key.as_deref()));
        let partition = &self.partitions[number];
        loop {
            let freed = partition.freed.notified();
            {
                let mut stream = partition.stream();
                // A hub that retains everything is not bounded, and a part of it may never be read.
                if self.options.retains_events || !stream.is_full() {
                    stream.push(sent, self.options.clock.now_ms());
                    break;
                }
            }
            freed.await;
        }
        self.incoming.fetch_add(1, Relaxed);
        partition.filled.notify_one();
    }

    fn partition_of(&self, key: Option<&str>) -> usize {
        let number = key.map_or_else(
            || self.keyless_events.fetch_add(1, Relaxed) as u64,
            |key| {
                let mut hasher = DefaultHasher::new();
                key.hash(&mut hasher);
                hasher.finish()
            },
        );
        usize::try_from(number % self.partitions.len() as u64).expect("less than the number of partitions")
    }

    /// Marks the end of the input: readers end when they have read everything.
    pub fn close(&self) {
        for partition in &self.partitions {
            partition.stream().is_closed = true;
            partition.filled.notify_one();
        }
    }

    /// Ends the wait for the minimum of a batch for the events that were sent, because the sender pauses.
    pub fn flush(&self) {
        for partition in &self.partitions {
            let mut stream = partition.stream();
            stream.flushed = stream.next_sequence_number;
            drop(stream);
            partition.filled.notify_one();
        }
    }

    /// Returns the sequence number from which a new owner of the partition reads.
    #[must_use]
    pub fn checkpoint(&self, partition: usize) -> i64 {
        self.partitions[partition].stream().checkpoint
    }

    /// Sets the checkpoint: every event before this sequence number is processed. As in Azure, it is written without a condition:
    /// an owner that has lost its lease sets the new owner's checkpoint back.
    pub fn set_checkpoint(&self, partition: usize, sequence_number: i64) {
        let mut stream = self.partitions[partition].stream();
        stream.checkpoint = sequence_number.min(stream.next_sequence_number);
        if !self.options.retains_events {
            let processed = stream.index_of(stream.checkpoint);
            stream.events.drain(..processed);
        }
        drop(stream);
        self.checkpoint_moved.notify_waiters();
    }

    /// Sets each checkpoint back to the first retained event that was enqueued at this time or later. Returns how many events
    /// will be read again. No reader may be active.
    pub fn rewind(&self, to_ms: i64) -> u64 {
        let mut events_read_again = 0;
        for partition in &self.partitions {
            let mut stream = partition.stream();
            let first = stream.events.iter().find(|event| event.enqueued_ms >= to_ms);
            let first = first.map_or(stream.checkpoint, |event| event.sequence_number.min(stream.checkpoint));
            events_read_again += u64::try_from(stream.checkpoint - first).unwrap_or_default();
            stream.checkpoint = first;
        }
        events_read_again
    }

    /// Flushes, and waits until at most this many events are after their partition's checkpoint.
    pub async fn wait_until_unread_at_most(&self, most: u64) {
        self.flush();
        loop {
            let moved = self.checkpoint_moved.notified();
            if self.unread() <= most {
                return;
            }
            moved.await;
        }
    }

    /// Returns how many events are after their partition's checkpoint.
    #[must_use]
    pub fn unread(&self) -> u64 {
        let unread =
            |stream: &Stream| u64::try_from(stream.next_sequence_number - stream.checkpoint).unwrap_or_default();
        self.partitions.iter().map(|partition| unread(&partition.stream())).sum()
    }

    /// Returns how many events of a partition are not processed, if those before this sequence number are, and when the oldest of
    /// them arrived.
    #[must_use]
    pub fn waiting(&self, partition: usize, processed_until: i64) -> (u64, Option<i64>) {
        let stream = self.partitions[partition].stream();
        let from = processed_until.max(stream.checkpoint);
        let waiting = u64::try_from(stream.next_sequence_number - from).unwrap_or_default();
        let oldest = stream.events.get(stream.index_of(from));
        (waiting, oldest.map(|event| event.enqueued_ms))
    }

    /// Returns the time of the clock that sets the enqueued times, in milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.options.clock.now_ms()
    }

    /// Returns the retained events of a partition.
    #[must_use]
    pub fn retained_events(&self, partition: usize) -> Vec<Arc<HubEvent>> {
        self.partitions[partition].stream().events.iter().cloned().collect()
    }

    /// Reads the next events from a sequence number on, within these limits; a closed or flushed hub ignores the minimum. Returns
    /// `None` if the hub is closed and everything has been read. A partition must have one reader at a time.
    pub async fn receive(
        &self,
        partition: usize,
        from: i64,
        BatchLimits { min_events, max_events, max_wait }: BatchLimits,
    ) -> Option<Vec<Arc<HubEvent>>> {
        let partition = &self.partitions[partition];
        let mut deadline = None;
        loop {
            let filled = partition.filled.notified();
            let (events, is_closed, is_flushed) = {
                let mut stream = partition.stream();
                let skip = stream.index_of(from);
                let events: Vec<_> = stream.events.iter().skip(skip).take(max_events).cloned().collect();
                stream.mark_read(&events);
                (events, stream.is_closed, from < stream.flushed)
            };
            // All of them: an event of one sender may take less room than the batch has made.
            partition.freed.notify_waiters();
            if events.is_empty() && is_closed {
                return None;
            }
            if events.is_empty() {
                filled.await;
                continue;
            }
            let until = *deadline.get_or_insert_with(|| Instant::now() + max_wait);
            if events.len() >= min_events || is_closed || is_flushed || Instant::now() >= until {
                return Some(events);
            }
            let _ = tokio::time::timeout_at(until, filled).await;
        }
    }
}

impl Partition {
    fn stream(&self) -> MutexGuard<'_, Stream> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
