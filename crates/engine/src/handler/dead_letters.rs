//! The dead letters of a batch on their way out: a message for the queue each, and a line for the log.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::time::Instant;

use crate::{
    batch::{Batch, MetadataColumn},
    dead_letter::{Attempt, DeadLetter, OverflowCache, OverflowError},
    failure::Failure,
    observer::Observer,
    processor::Outcome,
    record::{DeadLetterRecord, Record},
    text::truncated,
    until_failed::until_failed,
};

/// What writing a dead letter may take beyond the budget; the host writes it into the queue meanwhile.
pub const DEAD_LETTER_TIME: Duration = Duration::from_millis(20);

/// So many are put into the overflow at the same time, and are in memory as a whole.
const AT_A_TIME: usize = 16;

/// What the dead letters of a batch are made of.
pub(super) struct DeadLetters<'a> {
    pub(super) batch: &'a Batch,
    pub(super) outcomes: &'a [Outcome],
    /// What each attempt of the batch has in common.
    pub(super) key: &'a str,
    pub(super) attempt: Attempt<'a>,
    /// Where those go that are too large for the queue; without it they are cut.
    pub(super) overflow: Option<&'a OverflowCache>,
    /// How long the overflow is waited for.
    pub(super) until: Instant,
    /// Whether the host sends the batch again if one cannot be kept; otherwise that one is cut.
    pub(super) will_retry: bool,
}

/// A dead letter without its body: what the queue and the log get of it.
pub(super) struct Outgoing {
    index: usize,
    message: String,
    record: DeadLetterRecord,
}

/// Until when the overflow is waited for in a batch of so many events: beyond the budget, each possible dead letter has
/// its share of functionTimeout, of which a fifth is left for making messages.
pub(super) fn deadline(end_of_budget: Instant, events: usize) -> Instant {
    end_of_budget + DEAD_LETTER_TIME * u32::try_from(events).unwrap_or(u32::MAX) / 5 * 4
}

impl DeadLetters<'_> {
    /// One for each event that failed or stays unresolved, in the batch's order.
    ///
    /// # Errors
    ///
    /// [`OverflowError`], when one cannot be kept, and only while another attempt is to come.
    pub(super) async fn made(&self) -> Result<Vec<Outgoing>, OverflowError> {
        // What is under way at a failure is finished, and need not be put there again.
        let failed = AtomicBool::new(false);
        let outcomes = self.outcomes.iter().enumerate();
        let outgoing: Vec<_> = outcomes
            .filter_map(|(index, outcome)| match outcome {
                Outcome::Failed(failure) | Outcome::Unresolved(failure) => Some(self.outgoing(index, failure)),
                Outcome::Applied | Outcome::Superseded => None,
            })
            .collect();
        let letters: Vec<_> = until_failed(&failed, outgoing)
            .buffer_unordered(AT_A_TIME)
            .inspect_err(|_| failed.store(true, Relaxed))
            .collect()
            .await;
        let mut letters = letters.into_iter().collect::<Result<Vec<_>, _>>()?;
        letters.sort_unstable_by_key(|letter| letter.index);
        Ok(letters)
    }

    /// The dead letter of the event with this index.
    async fn outgoing(&self, index: usize, failure: &Failure) -> Result<Outgoing, OverflowError> {
        let letter = DeadLetter::new(self.batch, index, failure, self.attempt);
        let message = self.message(index, &letter).await?;
        let string = |column: &MetadataColumn| column.string(index);
        let record = DeadLetterRecord {
            invocation_id: self.attempt.invocation_id.to_owned(),
            source: (&self.batch.source).into(),
            message: self.batch.message.clone(),
            partition_key: string(&self.batch.details.partition_keys),
            sequence_number: self.batch.events[index].position.map(|position| position.sequence_number),
            device_id: failure.device_id.as_deref().map(truncated),
            stage: letter.stage,
            error_class: letter.error_class,
            dead_letter_id: letter.id,
            issue: letter.issue,
        };
        Ok(Outgoing { index, message, record })
    }

    /// The message for the queue. What does not fit goes to the overflow.
    async fn message(&self, index: usize, letter: &DeadLetter) -> Result<String, OverflowError> {
        if let Some(message) = letter.message() {
            return Ok(message);
        }
        let Some(overflow) = self.overflow else { return Ok(letter.cut()) };
        match overflow.keep(self.key, index, letter, self.until).await {
            Ok(pointer) => Ok(letter.pointing_at(pointer)),
            Err(error) if self.will_retry => Err(error),
            Err(error) => {
                tracing::error!(dead_letter_id = letter.id, %error, "a dead letter had to be cut");
                Ok(letter.cut())
            }
        }
    }
}

impl Outgoing {
    /// Tells of it in the handler's log; gives back the message and the record for the host's log.
    pub(super) fn told(self, observer: &dyn Observer) -> (String, Record) {
        let Self { message, record, .. } = self;
        tracing::warn!(
            dead_letter_id = record.dead_letter_id,
            invocation_id = record.invocation_id,
            event_hub_name = record.source.event_hub_name,
            partition_id = record.source.partition_id,
            session_id = record.message.as_ref().map(|message| &*message.session_id),
            message_id = record.message.as_ref().map(|message| &*message.message_id),
            delivery_count = record.message.as_ref().map(|message| message.delivery_count),
            partition_key = record.partition_key,
            sequence_number = record.sequence_number,
            device_id = record.device_id,
            stage = %record.stage,
            error_class = %record.error_class,
            issue = record.issue,
            "dead letter"
        );
        let record = Record::DeadLetter(record);
        observer.record(&record);
        (message, record)
    }
}
