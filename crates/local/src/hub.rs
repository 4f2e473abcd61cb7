//! An event hub in memory: partitions, each an ordered stream with a checkpoint of its one consumer group.
//!
//! Bounded: who sends waits while a partition holds as much as it may, or takes no more in this second.

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

/// The most events, and bytes of bodies, that a partition holds unread.
const MOST_EVENTS: usize = 20_000;
const MOST_BYTES: usize = 64 << 20;

/// What a producer sends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent {
    /// The body.
    pub body: Vec<u8>,
    /// Events of one key lie in one partition, in order; events without go round.
    pub partition_key: Option<String>,
    /// The content type.
    pub content_type: Option<&'static str>,
}

/// What a partition holds.
#[derive(Debug)]
pub struct HubEvent {
    /// What the producer sent.
    pub sent: Sent,
    /// Rises by one with each event of the partition, from 0.
    pub sequence_number: i64,
    /// The place in the partition's bytes.
    pub offset: i64,
    /// When it arrived, in milliseconds since 1970; never goes back within the partition.
    pub enqueued_ms: i64,
}

/// The hub.
pub struct Hub {
    partitions: Vec<Partition>,
    next: AtomicUsize,
    options: Options,
    /// Events that it took.
    incoming: AtomicU64,
    /// Told when a checkpoint moves.
    passed: Notify,
}

/// How a hub differs from one that takes all, of now, and forgets what is passed.
pub struct Options {
    /// The time at which events arrive.
    pub clock: Arc<dyn Clock>,
    /// Whether events stay behind the checkpoint, as they do for the retention of a real one, so that it can be moved back.
    pub keeps: bool,
    /// How much it takes a second; without it, all.
    pub throughput: Option<Throughput>,
}

impl Default for Options {
    fn default() -> Self {
        Self { clock: Arc::new(System), keeps: false, throughput: None }
    }
}

#[derive(Default)]
struct Partition {
    stream: Mutex<Stream>,
    /// Told when there is something new to read.
    filled: Notify,
    /// Told when reading made room.
    freed: Notify,
}

#[derive(Default)]
struct Stream {
    /// The events that are kept: those behind the checkpoint, and maybe some in front of it.
    events: VecDeque<Arc<HubEvent>>,
    /// Everything in front of this sequence number is done with.
    checkpoint: i64,
    unread_bytes: usize,
    next_sequence_number: i64,
    /// The first sequence number that nobody has read yet.
    unread: i64,
    next_offset: i64,
    last_enqueued_ms: i64,
    closed: bool,
}

impl Stream {
    /// Counted from what has been read, since a checkpoint may come only after many batches.
    fn is_full(&self) -> bool {
        let unread = usize::try_from(self.next_sequence_number - self.unread).unwrap_or_default();
        unread >= MOST_EVENTS || (unread > 0 && self.unread_bytes >= MOST_BYTES)
    }

    fn push(&mut self, sent: Sent, now_ms: i64) {
        self.last_enqueued_ms = self.last_enqueued_ms.max(now_ms);
        self.unread_bytes += sent.body.len();
        let offset = self.next_offset;
        self.next_offset += i64::try_from(sent.body.len()).unwrap_or_default() + 64;
        let sequence_number = self.next_sequence_number;
        self.next_sequence_number += 1;
        let enqueued_ms = self.last_enqueued_ms;
        self.events.push_back(Arc::new(HubEvent { sent, sequence_number, offset, enqueued_ms }));
    }

    fn mark_read(&mut self, events: &[Arc<HubEvent>]) {
        for event in events.iter().filter(|event| event.sequence_number >= self.unread) {
            self.unread_bytes -= event.sent.body.len();
        }
        if let Some(last) = events.last() {
            self.unread = self.unread.max(last.sequence_number + 1);
        }
    }

    /// The place of a sequence number among the events that are kept.
    fn place_of(&self, sequence_number: i64) -> usize {
        let first = self.next_sequence_number - i64::try_from(self.events.len()).unwrap_or_default();
        usize::try_from(sequence_number - first).unwrap_or_default()
    }
}

impl Hub {
    /// A hub with this many partitions.
    #[must_use]
    pub fn new(partitions: usize, options: Options) -> Self {
        Self {
            partitions: (0..partitions).map(|_| Partition::default()).collect(),
            next: AtomicUsize::new(0),
            options,
            incoming: AtomicU64::new(0),
            passed: Notify::new(),
        }
    }

    /// How many partitions there are.
    #[must_use]
    pub fn partitions(&self) -> usize {
        self.partitions.len()
    }

    /// How many events it has taken.
    #[must_use]
    pub fn incoming(&self) -> u64 {
        self.incoming.load(Relaxed)
    }

    /// How many it has refused for the moment, since it was to take more than it does in a second.
    #[must_use]
    pub fn throttled(&self) -> u64 {
        self.options.throughput.as_ref().map_or(0, Throughput::refused)
    }

    /// Sends an event. Waits while its partition is full, or the hub takes no more in this second.
    pub async fn send(&self, sent: Sent) {
        if let Some(throughput) = &self.options.throughput {
            throughput.admit(sent.body.len()).await;
        }
        let partition = &self.partitions[self.partition_of(sent.partition_key.as_deref())];
        loop {
            let freed = partition.freed.notified();
            {
                let mut stream = partition.stream();
                // What keeps everything is as large as it gets, and some of it nobody may ever read.
                if self.options.keeps || !stream.is_full() {
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
            || self.next.fetch_add(1, Relaxed) as u64,
            |key| {
                let mut hasher = DefaultHasher::new();
                key.hash(&mut hasher);
                hasher.finish()
            },
        );
        usize::try_from(number % self.partitions.len() as u64).expect("less than the number of partitions")
    }

    /// Says that nothing is sent any more: readers end when they have read everything.
    pub fn close(&self) {
        for partition in &self.partitions {
            partition.stream().closed = true;
            partition.filled.notify_one();
        }
    }

    /// The sequence number from which a new owner of the partition reads.
    #[must_use]
    pub fn checkpoint(&self, partition: usize) -> i64 {
        self.partitions[partition].stream().checkpoint
    }

    /// Moves the checkpoint: everything in front of this sequence number is done with. It never moves back.
    pub fn set_checkpoint(&self, partition: usize, sequence_number: i64) {
        let mut stream = self.partitions[partition].stream();
        stream.checkpoint = stream.checkpoint.max(sequence_number.min(stream.next_sequence_number));
        if !self.options.keeps {
            let done = stream.place_of(stream.checkpoint);
            stream.events.drain(..done);
        }
        drop(stream);
        self.passed.notify_waiters();
    }

    /// Moves each checkpoint back to the first event that was enqueued at this time or later, as far as it is kept, and
    /// gives back how many events are to be read once more. Nobody may be reading.
    pub fn rewind(&self, to_ms: i64) -> u64 {
        let mut again = 0;
        for partition in &self.partitions {
            let mut stream = partition.stream();
            let first = stream.events.iter().find(|event| event.enqueued_ms >= to_ms);
            let first = first.map_or(stream.checkpoint, |event| event.sequence_number.min(stream.checkpoint));
            again += u64::try_from(stream.checkpoint - first).unwrap_or_default();
            stream.checkpoint = first;
        }
        again
    }

    /// Waits until no more than so many events are in front of a checkpoint.
    pub async fn drained_to(&self, most: u64) {
        loop {
            let passed = self.passed.notified();
            if self.unread() <= most {
                return;
            }
            passed.await;
        }
    }

    /// How many events are in front of a checkpoint.
    #[must_use]
    pub fn unread(&self) -> u64 {
        let unread =
            |stream: &Stream| u64::try_from(stream.next_sequence_number - stream.checkpoint).unwrap_or_default();
        self.partitions.iter().map(|partition| unread(&partition.stream())).sum()
    }

    /// The events that a partition keeps.
    #[must_use]
    pub fn kept(&self, partition: usize) -> Vec<Arc<HubEvent>> {
        self.partitions[partition].stream().events.iter().cloned().collect()
    }

    /// Reads the next events from a sequence number on: up to `most`, and at least `fewest` unless `longest` passes or
    /// no more come. `None` when the hub is closed and everything has been read. One reader a partition at a time.
    pub async fn receive(
        &self,
        partition: usize,
        from: i64,
        (fewest, most, longest): (usize, usize, Duration),
    ) -> Option<Vec<Arc<HubEvent>>> {
        let partition = &self.partitions[partition];
        let mut patience = None;
        loop {
            let filled = partition.filled.notified();
            let (events, closed) = {
                let mut stream = partition.stream();
                let skip = stream.place_of(from);
                let events: Vec<_> = stream.events.iter().skip(skip).take(most).cloned().collect();
                stream.mark_read(&events);
                (events, stream.closed)
            };
            partition.freed.notify_one();
            if events.is_empty() && closed {
                return None;
            }
            if events.is_empty() {
                filled.await;
                continue;
            }
            let until = *patience.get_or_insert_with(|| Instant::now() + longest);
            if events.len() >= fewest || closed || Instant::now() >= until {
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
