//! Creates the dead letters of a batch: for each one a message for the queue and a record for the log.

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

/// The time allowed for one dead letter after the invocation budget: the handler writes it to the overflow, and the host
/// to the queue.
pub const DEAD_LETTER_TIME: Duration = Duration::from_millis(20);

/// The maximum number of dead letters that are written to the overflow, and completely in memory, at the same time.
const MAX_CONCURRENT_OVERFLOW_WRITES: usize = 16;

/// The inputs from which the dead letters of a batch are created.
pub(super) struct DeadLetters<'a> {
    pub(super) batch: &'a Batch,
    pub(super) outcomes: &'a [Outcome],
    /// The batch's key, the same in each attempt.
    pub(super) key: &'a str,
    pub(super) attempt: Attempt<'a>,
    /// Stores dead letters that are too large for the queue; without it they are truncated.
    pub(super) overflow: Option<&'a OverflowCache>,
    /// When writing to the overflow must end.
    pub(super) overflow_deadline: Instant,
    /// Whether the host sends the batch again if a dead letter cannot be stored. Otherwise that one is truncated.
    pub(super) will_retry: bool,
}

/// A dead letter that is ready to be sent: the queue message and the log record.
pub(super) struct Outgoing {
    index: usize,
    message: String,
    record: DeadLetterRecord,
}

/// Returns when writing to the overflow must end, for a batch of `events` events.
///
/// After the budget, each possible dead letter has [`DEAD_LETTER_TIME`]; a fifth of that is reserved for creating messages.
pub(super) fn overflow_deadline(end_of_budget: Instant, events: usize) -> Instant {
    end_of_budget + DEAD_LETTER_TIME * u32::try_from(events).unwrap_or(u32::MAX) / 5 * 4
}

impl DeadLetters<'_> {
    /// Creates one dead letter for each failed or unresolved event, in the batch's order.
    ///
    /// # Errors
    ///
    /// Returns an [`OverflowError`] if one cannot be stored and the batch will be retried.
    pub(super) async fn create(&self) -> Result<Vec<Outgoing>, OverflowError> {
        // After a failure no write is started, but running writes finish: the next attempt need not repeat them.
        let failed = AtomicBool::new(false);
        let outcomes = self.outcomes.iter().enumerate();
        let prepare: Vec<_> = outcomes
            .filter_map(|(index, outcome)| match outcome {
                Outcome::Failed(failure) | Outcome::Unresolved(failure) => Some(self.prepare(index, failure)),
                _ => None,
            })
            .collect();
        let letters: Vec<_> = until_failed(&failed, prepare)
            .buffer_unordered(MAX_CONCURRENT_OVERFLOW_WRITES)
            .inspect_err(|_| failed.store(true, Relaxed))
            .collect()
            .await;
        let mut letters = letters.into_iter().collect::<Result<Vec<_>, _>>()?;
        letters.sort_unstable_by_key(|letter| letter.index);
        Ok(letters)
    }

    /// Creates the dead letter of the event with this index.
    async fn prepare(&self, index: usize, failure: &Failure) -> Result<Outgoing, OverflowError> {
        let letter = DeadLetter::new(self.batch, index, failure, self.attempt);
        let message = self.create_message(index, &letter).await?;
        let string = |column: &MetadataColumn| column.string(index);
        let record = DeadLetterRecord {
            invocation_id: self.attempt.invocation_id.to_owned(),
            source: (&self.batch.source).into(),
            message: self.batch.message.clone(),
            partition_key: string(&self.batch.metadata.partition_keys),
            sequence_number: self.batch.events[index].position.map(|position| position.sequence_number),
            device_id: failure.device_id.as_deref().map(truncated),
            stage: letter.stage,
            error_class: letter.error_class,
            dead_letter_id: letter.id,
            issue: letter.issue,
        };
        Ok(Outgoing { index, message, record })
    }

    /// Creates the message for the queue. A dead letter that does not fit is stored in the overflow.
    async fn create_message(&self, index: usize, letter: &DeadLetter) -> Result<String, OverflowError> {
        if let Some(message) = letter.message() {
            return Ok(message);
        }
        let Some(overflow) = self.overflow else { return Ok(letter.truncated_message()) };
        match overflow.store(self.key, index, letter, self.overflow_deadline).await {
            Ok(pointer) => Ok(letter.message_with_pointer(pointer)),
            Err(error) if self.will_retry => Err(error),
            Err(error) => {
                tracing::error!(deadLetterId = letter.id, %error, "a dead letter was truncated");
                Ok(letter.truncated_message())
            }
        }
    }
}

impl Outgoing {
    /// Records the dead letter; returns the queue message and the record for the reply, which the host logs.
    pub(super) fn emit(self, observer: &dyn Observer) -> (String, Record) {
        let record = Record::DeadLetter(self.record);
        observer.record(&record);
        (self.message, record)
    }
}
