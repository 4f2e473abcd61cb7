//! An event hub in memory: partitions, each an ordered stream with a checkpoint of its one consumer group.
//!
//! Bounded: who sends waits while a partition holds as much as it may.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::surroundings::{Clock as _, System};

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
    /// The events behind the checkpoint.
    events: VecDeque<Arc<HubEvent>>,
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

    fn push(&mut self, sent: Sent) {
        self.last_enqueued_ms = self.last_enqueued_ms.max(System.now_ms());
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

    /// The sequence number of the first event behind the checkpoint.
    fn checkpoint(&self) -> i64 {
        self.next_sequence_number - i64::try_from(self.events.len()).unwrap_or_default()
    }
}

impl Hub {
    /// A hub with this many partitions.
    #[must_use]
    pub fn new(partitions: usize) -> Self {
        Self { partitions: (0..partitions).map(|_| Partition::default()).collect(), next: AtomicUsize::new(0) }
    }

    /// How many partitions there are.
    #[must_use]
    pub fn partitions(&self) -> usize {
        self.partitions.len()
    }

    /// Sends an event. Waits while its partition is full.
    pub async fn send(&self, sent: Sent) {
        let partition = &self.partitions[self.partition_of(sent.partition_key.as_deref())];
        loop {
            let freed = partition.freed.notified();
            {
                let mut stream = partition.stream();
                if !stream.is_full() {
                    stream.push(sent);
                    break;
                }
            }
            freed.await;
        }
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
        self.partitions[partition].stream().checkpoint()
    }

    /// Moves the checkpoint: everything in front of this sequence number is done with. It never moves back.
    pub fn set_checkpoint(&self, partition: usize, sequence_number: i64) {
        let partition = &self.partitions[partition];
        let mut stream = partition.stream();
        while stream.checkpoint() < sequence_number && stream.events.pop_front().is_some() {}
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
                let skip = usize::try_from(from - stream.checkpoint()).unwrap_or_default();
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
