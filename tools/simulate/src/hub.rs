//! An event hub: partitions, each a stream that is in order, with a checkpoint and a lease.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use devicestate_engine::{batch::Source, clock::Clock as _};
use devicestate_local::hub::{HubEvent, Sent};

use super::{clock::Surroundings, fleet::Meaning, signal::Signal};

/// A hub, whose namespace is in a region of its own.
pub(crate) struct Hub {
    clock: Arc<Surroundings>,
    pub(crate) partitions: Vec<Partition>,
    next: Mutex<usize>,
}

/// A partition.
pub(crate) struct Partition {
    /// What the events say where they come from.
    pub(crate) source: Source,
    /// The last part of the versions of its events.
    pub(crate) number: u64,
    /// How far the clock of its node is off, in milliseconds.
    skew: i64,
    stream: Mutex<Stream>,
    /// How many events there are, for who waits for more.
    pub(crate) filled: Signal<usize>,
    /// Rises each time the partition gets another owner.
    pub(crate) lease: Signal<u64>,
    /// How many attempts are under way, of any owner, and how many were ever begun.
    attempts: Mutex<(u64, u64)>,
}

/// An attempt that is under way, until this is dropped.
pub(crate) struct UnderWay<'a> {
    partition: &'a Partition,
    /// Its number, where no other was under way when it began.
    alone: Option<u64>,
}

impl UnderWay<'_> {
    /// Whether another attempt of the partition was under way when it began.
    pub(crate) fn overlaps(&self) -> bool {
        self.alone.is_none()
    }

    /// Whether no other attempt of the partition was under way at any time since it began.
    pub(crate) fn is_alone(&self) -> bool {
        self.alone == Some(self.partition.attempts().1)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.partition.attempts().0 -= 1;
    }
}

#[derive(Default)]
struct Stream {
    events: Vec<Arc<HubEvent>>,
    meanings: Vec<Meaning>,
    /// When each was sent, as a count of all events of the run.
    orders: Vec<u64>,
    offset: i64,
    /// Everything in front of this sequence number is done with.
    checkpoint: usize,
    /// Where it stood when, for who rewinds it.
    past: Vec<(Duration, usize)>,
    /// The furthest that was ever read: what comes behind it is new.
    read: usize,
}

/// Some events of a partition that follow each other, with what they mean.
pub(crate) struct Part {
    pub(crate) first: usize,
    pub(crate) events: Vec<Arc<HubEvent>>,
    pub(crate) meanings: Vec<Meaning>,
    /// How many of them were read before.
    pub(crate) again: usize,
}

impl Hub {
    pub(crate) fn new(clock: &Arc<Surroundings>, region: usize, partitions: usize, is_skewed: bool) -> Self {
        let partition = |number: usize| {
            let source = Source {
                fully_qualified_namespace: format!("fleet-{region}.servicebus.windows.net"),
                event_hub_name: "telemetry".into(),
                consumer_group: "$Default".into(),
                partition_id: number.to_string(),
                ..Source::default()
            };
            let skew = if is_skewed { clock.draw(|rng| rng.i64(-500..500)) } else { 0 };
            Partition {
                number: source.number(),
                source,
                skew,
                stream: Mutex::default(),
                filled: Signal::new(0),
                lease: Signal::new(0),
                attempts: Mutex::default(),
            }
        };
        let partitions = (0..partitions).map(partition).collect();
        Self { clock: Arc::clone(clock), partitions, next: Mutex::new(0) }
    }

    /// Takes an event of a producer; `order` counts all events of the run.
    pub(crate) fn send(&self, sent: Sent, meaning: Meaning, order: u64) {
        let partition = &self.partitions[self.partition_of(sent.partition_key.as_deref())];
        let mut stream = partition.stream();
        let (sequence_number, offset) = (i64::try_from(stream.events.len()).unwrap_or(i64::MAX), stream.offset);
        stream.offset += i64::try_from(sent.body.len()).unwrap_or(i64::MAX) + 64;
        let enqueued_ms = self.clock.now_ms() + partition.skew;
        stream.events.push(Arc::new(HubEvent { sent, sequence_number, offset, enqueued_ms }));
        stream.meanings.push(meaning);
        stream.orders.push(order);
        partition.filled.change(|events| *events = stream.events.len());
    }

    fn partition_of(&self, key: Option<&str>) -> usize {
        let round = || {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            *next += 1;
            *next
        };
        let hash = |key: &str| key.bytes().fold(7_usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
        key.map_or_else(round, hash) % self.partitions.len()
    }

    /// Takes the checkpoints back to where they stood then.
    pub(crate) fn rewind(&self, to: Duration) {
        for partition in &self.partitions {
            let mut stream = partition.stream();
            let before = stream.past.iter().rev().find(|(at, _)| *at < to);
            stream.checkpoint = before.map_or(0, |(_, checkpoint)| *checkpoint);
        }
    }
}

impl Partition {
    fn stream(&self) -> MutexGuard<'_, Stream> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attempts(&self) -> MutexGuard<'_, (u64, u64)> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn attempt(&self) -> UnderWay<'_> {
        let mut attempts = self.attempts();
        let (under_way, begun) = *attempts;
        *attempts = (under_way + 1, begun + 1);
        UnderWay { partition: self, alone: (under_way == 0).then_some(begun + 1) }
    }

    /// Gives the partition to another owner; tells what that one shows for it.
    pub(crate) fn new_lease(&self) -> u64 {
        self.lease.change(|lease| *lease += 1)
    }

    pub(crate) fn is_leased(&self, lease: u64) -> bool {
        self.lease.get() == lease
    }

    pub(crate) fn checkpoint(&self) -> usize {
        self.stream().checkpoint
    }

    /// Writes a checkpoint, if the lease is still the writer's.
    pub(crate) fn set_checkpoint(&self, lease: u64, to: usize, now: Duration) {
        if self.is_leased(lease) {
            let mut stream = self.stream();
            stream.checkpoint = to;
            stream.past.push((now, to));
        }
    }

    /// The next events, up to so many.
    pub(crate) fn read(&self, from: usize, most: usize) -> Part {
        let mut stream = self.stream();
        let to = stream.events.len().min(from + most);
        let again = stream.read.clamp(from, to) - from;
        stream.read = stream.read.max(to);
        Part {
            first: from,
            events: stream.events[from..to].to_vec(),
            meanings: stream.meanings[from..to].to_vec(),
            again,
        }
    }

    /// Whether everything that was sent is done with.
    pub(crate) fn is_done(&self) -> bool {
        let stream = self.stream();
        stream.checkpoint == stream.events.len()
    }

    /// Each event with what it means and when it was sent.
    pub(crate) fn each(&self, mut see: impl FnMut(&HubEvent, &Meaning, u64)) {
        let stream = self.stream();
        for ((event, meaning), order) in stream.events.iter().zip(&stream.meanings).zip(&stream.orders) {
            see(event, meaning, *order);
        }
    }
}
