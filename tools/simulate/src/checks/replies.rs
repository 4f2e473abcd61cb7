//! Checks one invocation: the reply accounts for each event of the batch, and arrives in time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use devicestate_engine::{
    record::{AttemptRecord, BatchRecord, Record},
    store::Stored,
};
use devicestate_local::reply::Accepted;
use tokio::time::Instant;

use super::{
    dead_letter::DeadLetter,
    order::{EventOrder, is_newer, of_record, of_version},
};
use crate::{
    World,
    expected::{ExpectedEvent, ExpectedRecord},
    handler::{DEAD_LETTER_AFTER_ATTEMPTS, Instance},
    hub::{EventRange, Partition},
    metrics::{Count, Fault},
    owners::ActiveAttempt,
    store::Snapshot,
};

/// An invocation, with the state from before it.
pub(crate) struct Invocation<'a> {
    world: &'a World,
    partition: &'a Partition,
    attempt: ActiveAttempt<'a>,
    /// The number of the attempt, from 1.
    number: u32,
    range: &'a EventRange,
    instance: &'a Instance,
    began: Instant,
    snapshot: Snapshot,
    /// The documents of the batch's devices.
    before: BTreeMap<&'a str, Option<Arc<Stored>>>,
}

impl<'a> Invocation<'a> {
    pub(crate) fn begin(
        world: &'a World,
        partition: &'a Partition,
        range: &'a EventRange,
        instance: &'a Instance,
        number: u32,
    ) -> Self {
        let ids = || range.expected.iter().flat_map(|expected| expected.ids());
        let before = ids().map(|id| (id, world.store.document(id))).collect();
        if number >= DEAD_LETTER_AFTER_ATTEMPTS {
            instance.add_long_tried(ids());
        }
        let snapshot = world.store.snapshot();
        let attempt = partition.owners.start_attempt(range.first..range.first + range.events.len());
        let metrics = &world.clock.metrics;
        metrics.count(Count::Overlaps, u64::from(attempt.overlaps()));
        metrics.count(Count::Fault(Fault::CutOtherwise), u64::from(attempt.is_cut_otherwise()));
        Self { world, partition, attempt, number, range, instance, began: Instant::now(), snapshot, before }
    }

    /// Checks that the reply took at most the budget plus 20 ms per event.
    pub(crate) fn check_time(&self) {
        let events = u32::try_from(self.range.events.len()).unwrap_or(u32::MAX);
        let (took, max) = (self.began.elapsed(), self.world.schedule.budget + Duration::from_millis(20) * events);
        if took > max {
            self.record_violation(&format!("the reply took {took:?}; the limit is {max:?}"));
        }
    }

    /// Compares a final reply with the batch.
    pub(crate) fn check_reply(&self, accepted: &Accepted) {
        let mut batch_records = Vec::new();
        for line in &accepted.logs {
            match serde_json::from_str(line) {
                Ok(Record::Batch(record)) => batch_records.push(record),
                Ok(Record::DeadLetter(_)) => {}
                other => self.record_violation(&format!("a log line is not one of a final reply: {other:?}")),
            }
        }
        let [record] = batch_records.as_slice() else {
            return self
                .record_violation(&format!("the reply has {} batch records instead of one", batch_records.len()));
        };
        let BatchRecord { attempt, applied, superseded, dead_lettered, unrecognized, ignored, unusable_device_times } =
            record;
        let AttemptRecord { events, records, .. } = attempt;
        let sent = self.range.events.len() as u64;
        if *events != sent || applied + superseded + dead_lettered + unrecognized + ignored != sent {
            self.record_violation(&format!(
                "{applied} + {superseded} + {dead_lettered} + {unrecognized} + {ignored} of {events} do not add up to {sent}"
            ));
        }
        let count =
            |is: fn(&ExpectedEvent) -> bool| self.range.expected.iter().filter(|expected| is(expected)).count() as u64;
        let not_stored = (count(ExpectedEvent::is_unrecognized), count(ExpectedEvent::is_ignored));
        if (*unrecognized, *ignored) != not_stored {
            self.record_violation(&format!(
                "{unrecognized} events are counted as unrecognized and {ignored} as ignored, expected are {not_stored:?}"
            ));
        }
        let of_records = (
            self.range.expected.iter().map(|expected| expected.0.len()).sum::<usize>(),
            self.range.expected.iter().map(|expected| expected.unusable_times()).sum::<usize>(),
        );
        if (*records, *unusable_device_times) != of_records {
            self.record_violation(&format!(
                "{records} records and {unusable_device_times} unusable times are counted, expected are {of_records:?}"
            ));
        }
        if *dead_lettered != accepted.messages.len() as u64 {
            self.record_violation(&format!(
                "{dead_lettered} dead letters are counted, but {} were sent",
                accepted.messages.len()
            ));
        }
        self.world.clock.metrics.count(Count::FinalReplies, 1);
        let dead = self.check_dead_letters(&accepted.messages);
        self.check_counts(record, &dead);
    }

    /// Checks that each dead letter belongs to a different event of the batch and has its bytes. Returns the indexes of those
    /// events.
    fn check_dead_letters(&self, messages: &[Vec<u8>]) -> BTreeSet<usize> {
        let mut dead = BTreeSet::new();
        for message in messages {
            let dead_letter = match DeadLetter::read(self.world, message) {
                Ok(dead_letter) => dead_letter,
                Err(error) => {
                    self.record_violation(&format!("a dead letter cannot be read: {error}"));
                    continue;
                }
            };
            let source = &self.partition.source;
            if (&dead_letter.namespace, &dead_letter.partition)
                != (&source.fully_qualified_namespace, &source.partition_id)
            {
                self.record_violation(&format!("a dead letter is from another partition: {dead_letter:?}"));
            }
            let index = self.partition.index_of(dead_letter.sequence_number);
            let index = index.and_then(|index| index.checked_sub(self.range.first));
            let Some(index) = index.filter(|index| *index < self.range.events.len()) else {
                self.record_violation(&format!("a dead letter belongs to no event of the batch: {dead_letter:?}"));
                continue;
            };
            if !dead.insert(index) {
                self.record_violation(&format!("event {} has two dead letters", dead_letter.sequence_number));
            }
            if dead_letter.body != self.range.events[index].sent.body {
                self.record_violation(&format!(
                    "the dead letter of event {} has other bytes",
                    dead_letter.sequence_number
                ));
            }
        }
        for (index, expected) in self.range.expected.iter().enumerate() {
            let number = self.range.first + index;
            match dead.contains(&index) {
                false if expected.has_poison() => {
                    self.record_violation(&format!("event {number} is poison, but has no dead letter"));
                }
                true if expected.is_valid() => self.check_dead_letter_cause(expected, number),
                true if expected.is_unrecognized() || expected.is_ignored() => {
                    self.record_violation(&format!("event {number} is not telemetry, but has a dead letter"));
                }
                _ => {}
            }
        }
        dead
    }

    /// Checks that, under the shipped policy, a valid event is dead-lettered only because of a fault of one of its documents,
    /// and not before the attempts of its batch, or of an earlier one of that device, were used up.
    fn check_dead_letter_cause(&self, expected: &ExpectedEvent, index: usize) {
        let Self { world, number, .. } = self;
        if !world.schedule.policy.is_endless() {
            return;
        }
        let faulty: Vec<_> = expected.ids().filter(|id| world.faults.has_had_document_fault(id)).collect();
        let violation = |what: &str| {
            let ids: Vec<_> = expected.ids().collect();
            self.record_violation(&format!("event {index} of {ids:?} is dead-lettered {what}"));
        };
        if faulty.is_empty() {
            violation("although its documents never had a fault");
        } else if !faulty.iter().any(|id| self.instance.is_long_tried(id)) {
            violation(&format!("in attempt {number}, although no batch of the device had the last one"));
        }
    }

    /// Checks the record's counts if no other client wrote these documents during the invocation. Then the applied events are
    /// those newer than the documents were, plus at most those that another client wrote just before. If two clients write
    /// the same event at the same time, either may count it.
    fn check_counts(&self, record: &BatchRecord, dead: &BTreeSet<usize>) {
        let Self { world, range, partition, before, .. } = self;
        let is_of_batch = |(_, source, sequence_number, _): EventOrder| {
            let index = partition.index_of(sequence_number).and_then(|index| index.checked_sub(range.first));
            source | 1 == partition.number | 1 && index.is_some_and(|index| index < range.events.len())
        };
        let is_own = |id: &str| before.contains_key(id);
        let is_alone = self.attempt.is_alone();
        if !is_alone
            || !world
                .store
                .is_undisturbed(self.snapshot, self.instance.client, is_own, |version| is_of_batch(of_version(version)))
        {
            return;
        }
        let (mut newer, mut written) = (0, 0);
        for (index, (event, expected)) in range.events.iter().zip(&range.expected).enumerate() {
            if dead.contains(&index) {
                continue;
            }
            let (mut is_event_newer, mut is_event_written) = (false, false);
            for (index, ExpectedRecord { id, time, readings }) in expected.decoded() {
                let record = of_record(partition.number, event, index, *time);
                let held = |name: &str| before.get(&**id)?.as_ref()?.document.version(name).map(of_version);
                let is_news = |name: &str| held(name).is_none_or(|held| is_newer(record, held));
                // The record itself, or a newer one of the batch.
                let is_written = |held: EventOrder| !is_newer(record, held) && is_of_batch(held);
                is_event_newer |= readings.is_empty() || readings.iter().any(|(name, _)| is_news(name));
                is_event_written |= readings.iter().any(|(name, _)| held(name).is_some_and(is_written));
            }
            newer += u64::from(is_event_newer);
            written += u64::from(is_event_written && !is_event_newer);
        }
        if !(newer..=newer + written).contains(&record.applied) {
            let BatchRecord { applied, superseded, .. } = record;
            self.record_violation(&format!(
                "{newer} events are newer than the documents, {written} were just written; \
                 {applied} are counted as applied and {superseded} as superseded"
            ));
        }
        world.clock.metrics.count(Count::ExactCounts, u64::from(written == 0));
    }

    fn record_violation(&self, what: &str) {
        let (source, range) = (&self.partition.source, self.range);
        let (namespace, partition) = (&source.fully_qualified_namespace, &source.partition_id);
        let events = format!("{} events from {}", range.events.len(), range.first);
        self.world.clock.record_violation(&format!("{namespace} partition {partition}, {events}: {what}"));
    }
}
