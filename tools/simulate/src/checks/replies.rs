//! One invocation: the reply accounts for each event of the batch, and comes in time.

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

use super::letter::Letter;
use crate::{
    World,
    book::Count,
    fleet::Meaning,
    hub::{Part, Partition, UnderWay},
    store::{Moment, plain},
};

/// What there was before an invocation.
pub(crate) struct Invocation<'a> {
    world: &'a World,
    partition: &'a Partition,
    under_way: UnderWay<'a>,
    part: &'a Part,
    client: u64,
    began: Instant,
    moment: Moment,
    /// The documents of the batch's devices.
    before: BTreeMap<&'a str, Option<Arc<Stored>>>,
}

impl<'a> Invocation<'a> {
    pub(crate) fn begin(world: &'a World, partition: &'a Partition, part: &'a Part, client: u64) -> Self {
        let ids = part.meanings.iter().filter_map(Meaning::understood).map(|(id, _)| id);
        let before = ids.map(|id| (id, world.store.document(id))).collect();
        let moment = world.store.moment();
        let under_way = partition.attempt();
        world.clock.book.count(Count::Overlaps, u64::from(under_way.overlaps()));
        Self { world, partition, under_way, part, client, began: Instant::now(), moment, before }
    }

    /// The budget, and 20 ms for each event.
    pub(crate) fn check_time(&self) {
        let events = u32::try_from(self.part.events.len()).unwrap_or(u32::MAX);
        let (took, most) = (self.began.elapsed(), self.world.plan.budget + Duration::from_millis(20) * events);
        if took > most {
            self.violation(&format!("the answer took {took:?}, and {most:?} is the most"));
        }
    }

    /// Holds a final reply against the batch.
    pub(crate) fn check_reply(&self, accepted: &Accepted) {
        let mut records = Vec::new();
        for line in &accepted.logs {
            match serde_json::from_str(line) {
                Ok(Record::Batch(record)) => records.push(record),
                Ok(Record::DeadLetter(_)) => {}
                other => self.violation(&format!("a line of the log is none for a final reply: {other:?}")),
            }
        }
        let [record] = records.as_slice() else {
            return self.violation(&format!("there are {} records of the batch", records.len()));
        };
        let BatchRecord { attempt: AttemptRecord { events, .. }, applied, superseded, dead_lettered } = record;
        let sent = self.part.events.len() as u64;
        if *events != sent || applied + superseded + dead_lettered != sent {
            self.violation(&format!("{applied} + {superseded} + {dead_lettered} of {events} do not add up to {sent}"));
        }
        if *dead_lettered != accepted.messages.len() as u64 {
            self.violation(&format!("{dead_lettered} dead letters are told, and {} sent", accepted.messages.len()));
        }
        self.world.clock.book.count(Count::FinalReplies, 1);
        let dead = self.check_dead_letters(&accepted.messages);
        self.check_counts(record, &dead);
    }

    /// Each is of an event of the batch, which has no other, with its bytes. Gives back the places of those events.
    fn check_dead_letters(&self, messages: &[Vec<u8>]) -> BTreeSet<usize> {
        let mut dead = BTreeSet::new();
        for message in messages {
            let letter = match Letter::read(self.world, message) {
                Ok(letter) => letter,
                Err(error) => {
                    self.violation(&format!("a dead letter cannot be read: {error}"));
                    continue;
                }
            };
            let source = &self.partition.source;
            if (&letter.namespace, &letter.partition) != (&source.fully_qualified_namespace, &source.partition_id) {
                self.violation(&format!("a dead letter is from elsewhere: {letter:?}"));
            }
            let index = usize::try_from(letter.sequence_number).ok().and_then(|n| n.checked_sub(self.part.first));
            let Some(index) = index.filter(|index| *index < self.part.events.len()) else {
                self.violation(&format!("a dead letter is of no event of the batch: {letter:?}"));
                continue;
            };
            if !dead.insert(index) {
                self.violation(&format!("event {} has two dead letters", letter.sequence_number));
            }
            if letter.body != self.part.events[index].sent.body {
                self.violation(&format!("the dead letter of event {} has other bytes", letter.sequence_number));
            }
        }
        for (index, meaning) in self.part.meanings.iter().enumerate() {
            match meaning {
                Meaning::Poison if !dead.contains(&index) => {
                    self.violation(&format!("event {} is poison, and no dead letter says so", self.part.first + index));
                }
                Meaning::Good { id, .. } if dead.contains(&index) => self.check_innocence(id, self.part.first + index),
                _ => {}
            }
        }
        dead
    }

    /// Under the policy that ships, a good event is dead-lettered only for a device that fails while others do not.
    fn check_innocence(&self, id: &str, sequence_number: usize) {
        if self.world.plan.policy.is_endless() && !self.world.weather.was_ever_ill(id) {
            self.violation(&format!("event {sequence_number} of {id} is dead-lettered, which was never its own fault"));
        }
    }

    /// Where nobody else has written these documents meanwhile, it is known what counts as applied: what is newer than
    /// they were, and at the most also what somebody else had written just before. Of two who write the same event at one
    /// time, neither can tell whose write it was that he finds, and either may count it.
    fn check_counts(&self, record: &BatchRecord, dead: &BTreeSet<usize>) {
        let Self { world, part, partition, before, .. } = self;
        let is_of_batch = |(_, sequence_number, source): (i64, i64, u64)| {
            let index = usize::try_from(sequence_number).ok().and_then(|number| number.checked_sub(part.first));
            source == partition.number && index.is_some_and(|index| index < part.events.len())
        };
        let is_own = |id: &str| before.contains_key(id);
        let is_alone = self.under_way.is_alone();
        if !is_alone
            || !world.store.is_undisturbed(self.moment, self.client, is_own, |version| is_of_batch(plain(version)))
        {
            return;
        }
        let (mut newer, mut written) = (0, 0);
        for (index, (event, meaning)) in part.events.iter().zip(&part.meanings).enumerate() {
            let Some((id, readings)) = meaning.understood().filter(|_| !dead.contains(&index)) else { continue };
            let version = (event.enqueued_ms, event.sequence_number, partition.number);
            let held = |name: &str| before.get(id)?.as_ref()?.document.version(name).map(plain);
            // By itself, or by what overtook it within the batch.
            let is_written = |held: (i64, i64, u64)| held >= version && is_of_batch(held);
            if readings.is_empty() || readings.iter().any(|(name, _)| held(name) < Some(version)) {
                newer += 1;
            } else if readings.iter().any(|(name, _)| held(name).is_some_and(is_written)) {
                written += 1;
            }
        }
        if !(newer..=newer + written).contains(&record.applied) {
            let BatchRecord { applied, superseded, .. } = record;
            self.violation(&format!(
                "{newer} events are newer than the documents, {written} just written; \
                 {applied} are told as applied and {superseded} as superseded"
            ));
        }
        world.clock.book.count(Count::ExactCounts, u64::from(written == 0));
    }

    fn violation(&self, what: &str) {
        let (source, part) = (&self.partition.source, self.part);
        let (namespace, partition) = (&source.fully_qualified_namespace, &source.partition_id);
        let events = format!("{} events from {}", part.events.len(), part.first);
        self.world.clock.violation(&format!("{namespace} partition {partition}, {events}: {what}"));
    }
}
