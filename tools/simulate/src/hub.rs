//! An event hub: partitions, each an ordered stream with a checkpoint and a lease.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

use devicestate_engine::{batch::Source, clock::Clock as _};
use devicestate_local::hub::{HubEvent, Sent};

use super::{
    clock::SimulatedClock,
    expected::ExpectedEvent,
    metrics::Fault,
    owners::Owners,
    schedule::{RESTART_STEP, Schedule},
    signal::Signal,
};

/// An event hub with its own region and namespace.
pub(crate) struct Hub {
    clock: Arc<SimulatedClock>,
    pub(crate) partitions: Vec<Partition>,
    next: Mutex<usize>,
    /// When the IoT Hub accepted the newest message.
    accepted_ms: Mutex<i64>,
}

/// A partition of an event hub.
pub(crate) struct Partition {
    /// The source in the metadata of its events.
    pub(crate) source: Source,
    /// The source number in the versions of its events.
    pub(crate) number: u64,
    /// The sequence number of its first event.
    first_number: i64,
    /// The constant clock error of its nodes, in milliseconds.
    skew: i64,
    /// The additional clock error of its current node, in milliseconds.
    step: AtomicI64,
    has_steps: bool,
    has_iot_hub: bool,
    clock: Arc<SimulatedClock>,
    stream: Mutex<Stream>,
    /// The number of events, for readers that wait for more.
    pub(crate) event_count: Signal<usize>,
    pub(crate) owners: Owners,
}

#[derive(Default)]
struct Stream {
    events: Vec<Arc<HubEvent>>,
    expected: Vec<Arc<ExpectedEvent>>,
    /// The index of the first event after the hub was created again.
    restart: Option<usize>,
    /// The position of each event among all events of the run.
    orders: Vec<u64>,
    offset: i64,
    /// The index of the first event that is not checkpointed.
    checkpoint: usize,
    /// Whether a former owner has set it back, and no owner has started from there yet.
    is_set_back: bool,
    /// Earlier checkpoints with their times, for [`Hub::rewind`].
    history: Vec<(Duration, usize)>,
    /// The index of the first event that the current owner has not completed; `None` before it reads.
    completed: Option<usize>,
    /// The index of the first event that was never read.
    read: usize,
}

/// Consecutive events of a partition with their expected effects.
pub(crate) struct EventRange {
    /// The index of the first one in the partition.
    pub(crate) first: usize,
    pub(crate) events: Vec<Arc<HubEvent>>,
    pub(crate) expected: Vec<Arc<ExpectedEvent>>,
    /// How many of them had been read before.
    pub(crate) redelivered: usize,
}

impl Hub {
    pub(crate) fn new(clock: &Arc<SimulatedClock>, region: usize, schedule: &Schedule) -> Self {
        let partition = |number: usize| {
            let source = Source {
                fully_qualified_namespace: format!("fleet-{region}.servicebus.windows.net"),
                event_hub_name: "telemetry".into(),
                consumer_group: "$Default".into(),
                partition_id: number.to_string(),
                ..Source::default()
            };
            let skew = if schedule.has_clock_skew { clock.draw(|rng| rng.i64(-500..500)) } else { 0 };
            Partition {
                number: source.number(),
                source,
                first_number: schedule.first_number,
                skew,
                step: AtomicI64::new(0),
                has_steps: schedule.has_clock_steps,
                has_iot_hub: schedule.has_iot_hub,
                clock: Arc::clone(clock),
                stream: Mutex::default(),
                event_count: Signal::new(0),
                owners: Owners::default(),
            }
        };
        let partitions = (0..schedule.partitions).map(partition).collect();
        Self { clock: Arc::clone(clock), partitions, next: Mutex::new(0), accepted_ms: Mutex::new(0) }
    }

    /// Accepts an event from a producer; `order` is its position among all events of the run.
    pub(crate) fn send(&self, sent: Sent, expected: ExpectedEvent, order: u64) {
        let partition = &self.partitions[self.partition_of(sent.partition_key.as_deref())];
        let iot_hub_enqueued_ms = partition.has_iot_hub.then(|| {
            // The clock of the IoT Hub is that of all partitions, and its times differ.
            let mut accepted_ms = self.accepted_ms.lock().unwrap_or_else(PoisonError::into_inner);
            *accepted_ms = self.clock.now_ms().max(*accepted_ms + 1);
            *accepted_ms
        });
        partition.append(sent, iot_hub_enqueued_ms, Arc::new(expected), order);
        if partition.has_iot_hub && self.clock.draw(|rng| rng.u8(..20)) == 0 {
            self.clock.metrics.count_fault(Fault::RepeatedSeries);
            partition.repeat_series();
        }
    }

    fn partition_of(&self, key: Option<&str>) -> usize {
        let round_robin = || {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            *next += 1;
            *next
        };
        let hash = |key: &str| key.bytes().fold(7_usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
        key.map_or_else(round_robin, hash) % self.partitions.len()
    }

    /// Starts the sequence numbers again. The events so far remain, as if they had been read before.
    pub(crate) fn create_again(&self) {
        for partition in &self.partitions {
            let mut stream = partition.stream();
            stream.restart = Some(stream.events.len());
        }
    }

    /// Rewinds the checkpoints to what they were before `to`.
    pub(crate) fn rewind(&self, to: Duration) {
        for partition in &self.partitions {
            let mut stream = partition.stream();
            let before = stream.history.iter().rev().find(|(at, _)| *at < to);
            stream.checkpoint = before.map_or(0, |(_, checkpoint)| *checkpoint);
        }
    }
}

impl Partition {
    fn stream(&self) -> MutexGuard<'_, Stream> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends an event.
    fn append(&self, sent: Sent, iot_hub_enqueued_ms: Option<i64>, expected: Arc<ExpectedEvent>, order: u64) {
        if self.has_steps && self.clock.draw(|rng| rng.u8(..20)) == 0 {
            // Another node of the broker takes over the partition.
            self.step.store(self.clock.draw(|rng| rng.i64(-20_000..=0)), Relaxed);
        }
        let mut stream = self.stream();
        let sequence_number = self.sequence_number(stream.restart, stream.events.len());
        let offset = stream.offset;
        stream.offset += i64::try_from(sent.body.len()).unwrap_or(i64::MAX) + 64;
        let enqueued_ms = self.clock.now_ms() + self.skew + self.step.load(Relaxed);
        if stream.events.last().is_some_and(|last| last.enqueued_ms > enqueued_ms) {
            self.clock.metrics.count_fault(Fault::ClockStep);
        }
        stream.events.push(Arc::new(HubEvent { sent, sequence_number, offset, enqueued_ms, iot_hub_enqueued_ms }));
        stream.expected.push(expected);
        stream.orders.push(order);
        self.event_count.change(|events| *events = stream.events.len());
    }

    /// Appends some of the last events once more, as an IoT Hub does: they are new events of the same messages. The very last
    /// one is not among them, so that they are older than what the documents hold.
    fn repeat_series(&self) {
        let (events, expected, orders) = {
            let stream = self.stream();
            let to = stream.events.len().saturating_sub(self.clock.draw(|rng| rng.usize(1..4)));
            let part = to.saturating_sub(self.clock.draw(|rng| rng.usize(1..8)))..to;
            (stream.events[part.clone()].to_vec(), stream.expected[part.clone()].to_vec(), stream.orders[part].to_vec())
        };
        for ((event, expected), order) in events.iter().zip(expected).zip(orders) {
            self.append(event.sent.clone(), event.iot_hub_enqueued_ms, expected, order);
        }
    }

    /// Returns the sequence number of the event at an index, if the numbers start again at the index `restart`.
    fn sequence_number(&self, restart: Option<usize>, index: usize) -> i64 {
        let (first, index) = match restart.and_then(|restart| index.checked_sub(restart)) {
            Some(index) => (self.first_number - RESTART_STEP, index),
            None => (self.first_number, index),
        };
        first + i64::try_from(index).unwrap_or(i64::MAX)
    }

    /// Returns the index of a sequence number in the partition.
    pub(crate) fn index_of(&self, sequence_number: i64) -> Option<usize> {
        let index = sequence_number.checked_sub(self.first_number)?;
        let index = match self.stream().restart {
            Some(restart) if index < 0 => index + RESTART_STEP + i64::try_from(restart).ok()?,
            _ => index,
        };
        usize::try_from(index).ok()
    }

    /// Returns whether an event was sent after the hub was created again, in which its number is below those before.
    pub(crate) fn is_after_restart(&self, event: &HubEvent) -> bool {
        event.sequence_number < self.first_number
    }

    /// Revokes the current lease and returns the next owner's.
    pub(crate) fn new_lease(&self) -> u64 {
        self.stream().completed = None;
        self.owners.new_lease()
    }

    /// Stops all owners: none of them writes a checkpoint any more.
    pub(crate) fn stop_owners(&self) {
        self.stream().completed = None;
        self.owners.stop();
    }

    /// Returns the checkpoint, from which the owner with this lease starts to read.
    pub(crate) fn start_reading(&self, lease: u64) -> usize {
        let mut stream = self.stream();
        if self.owners.is_current(lease) {
            stream.completed = Some(stream.checkpoint);
            if std::mem::take(&mut stream.is_set_back) {
                self.clock.metrics.count_fault(Fault::ReadFromSetBack);
            }
        }
        stream.checkpoint
    }

    /// Records that an owner has completed the events before an index.
    pub(crate) fn complete(&self, lease: u64, to: usize) {
        if self.owners.is_current(lease) {
            self.stream().completed = Some(to);
        }
    }

    /// Writes a checkpoint. As on the platform it has no condition: a former owner sets that of the current one back.
    pub(crate) fn set_checkpoint(&self, to: usize, now: Duration) {
        let mut stream = self.stream();
        stream.is_set_back = to < stream.checkpoint;
        if stream.is_set_back {
            self.clock.metrics.count_fault(Fault::CheckpointSetBack);
        }
        stream.checkpoint = to;
        stream.history.push((now, to));
    }

    /// Returns up to `max` events from `from` on.
    pub(crate) fn read(&self, from: usize, max: usize) -> EventRange {
        let mut stream = self.stream();
        // No batch has events of both hubs.
        let end = stream.restart.filter(|restart| from < *restart).unwrap_or(stream.events.len());
        let to = end.min(from + max);
        let redelivered = stream.read.clamp(from, to) - from;
        stream.read = stream.read.max(to);
        EventRange {
            first: from,
            events: stream.events[from..to].to_vec(),
            expected: stream.expected[from..to].to_vec(),
            redelivered,
        }
    }

    /// Returns whether the current owner has completed all events. The checkpoint may be an earlier one of a former owner.
    pub(crate) fn is_done(&self) -> bool {
        let stream = self.stream();
        stream.events.is_empty() || stream.completed == Some(stream.events.len())
    }

    /// Visits each event with its expected effect and its order.
    pub(crate) fn for_each_event(&self, mut visit: impl FnMut(&HubEvent, &ExpectedEvent, u64)) {
        let stream = self.stream();
        for ((event, expected), order) in stream.events.iter().zip(&stream.expected).zip(&stream.orders) {
            visit(event, expected, *order);
        }
    }
}
