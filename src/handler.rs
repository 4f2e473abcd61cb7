//! One invocation, from the request's bytes to the answer: the way of a batch through the other modules.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use futures_util::FutureExt as _;
use tokio::time::{Instant, timeout_at};

use crate::{
    batch::{Batch, Column, Event},
    config::FOR_A_DEAD_LETTER,
    dead_letter::{
        self, DeadLetter, ErrorClass, Failure, Fingerprint, Overflow, OverflowError, Pointer, Stage, in_short,
    },
    function_app::{Function, RetryPolicy},
    invocation::{Invocation, RetryContext},
    processor::{Operations, Outcome, Processed, Processor, panic_message},
    record::{BatchRecord, DeadLetterRecord, Record},
    reply::Reply,
    verdict::{Attempts, Verdict},
};

/// Handles the invocations of one function.
pub struct Handler {
    /// The function, as its `function.json` describes it.
    pub function: Function,
    /// The engine.
    pub processor: Arc<Processor>,
    /// Where dead letters go that are too large for the queue; without it they are cut.
    pub overflow: Option<Arc<dyn Overflow>>,
    /// What failed before.
    pub attempts: Attempts,
}

/// How an invocation is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// With 200 and this body: the host writes the outputs and then the checkpoint.
    Final(String),
    /// With 503 and this body: the host sends the batch again. The body, with reason and record, is for people and for
    /// tools; the host does not read it.
    Again(String),
}

/// An invocation on its way out.
struct Attempt<'a> {
    invocation_id: &'a str,
    number: i64,
    /// Whether the host sends the batch again when this attempt fails.
    comes_again: bool,
    started: Instant,
}

impl Handler {
    /// Answers one request.
    ///
    /// `invocation_id` is the host's, the same for each attempt of a batch; empty when it did not tell one.
    pub async fn invoke(&self, invocation_id: &str, body: &[u8]) -> Answer {
        let started = Instant::now();
        let trigger = &self.function.trigger;
        let read = catch_unwind(|| Invocation::read(body, trigger));
        let Invocation { batch, retry } = match read {
            Ok(Ok(invocation)) => invocation,
            Ok(Err(error)) => return self.unreadable(invocation_id, body, started, error.to_string()).await,
            Err(panic) => {
                let issue = format!("reading the request panicked: {}", panic_message(&*panic));
                return self.unreadable(invocation_id, body, started, issue).await;
            }
        };
        let attempt = Attempt {
            invocation_id,
            number: retry.map_or(1, |retry| retry.retry_count.saturating_add(1)),
            comes_again: retry.is_some_and(RetryContext::comes_again),
            started,
        };
        let processed = AssertUnwindSafe(self.processor.process(&batch)).catch_unwind().await;
        let processed = processed.unwrap_or_else(|panic| {
            let issue = format!("the handler panicked while it processed the batch: {}", panic_message(&*panic));
            failed_whole(batch.events.len(), &issue)
        });
        let key = match batch.events.first().and_then(|event| event.place) {
            Some(place) => format!("{:?}@{}", batch.source, place.sequence_number),
            None => invocation_id.to_owned(),
        };
        self.conclude(&batch, processed, &key, &attempt).await
    }

    /// A request that is no envelope: kept whole, as the one event that it is then taken for.
    async fn unreadable(&self, invocation_id: &str, body: &[u8], started: Instant, issue: String) -> Answer {
        let event = Event { body: body.to_vec(), fault: Some(issue.clone()), ..Event::default() };
        let batch = Batch { events: vec![event], ..Batch::default() };
        // Which attempt this is stands in what cannot be read. Only under a policy without end is it certain that
        // another one comes, and only by the host's id would it be known again.
        let is_endless = self.function.retry.as_ref().is_some_and(|retry: &RetryPolicy| retry.max_retry_count() < 0);
        let comes_again = is_endless && !invocation_id.is_empty();
        let number = i64::from(self.attempts.failures(invocation_id)) + 1;
        let attempt = Attempt { invocation_id, number, comes_again, started };
        self.conclude(&batch, failed_whole(1, &issue), invocation_id, &attempt).await
    }

    /// Answers by the outcomes. A panic on the way is a failure of the whole batch like any other; what is then said
    /// is said without the overflow.
    async fn conclude(&self, batch: &Batch, processed: Processed, key: &str, attempt: &Attempt<'_>) -> Answer {
        let overflow = self.overflow.as_deref();
        let answer = AssertUnwindSafe(self.answer(batch, &processed, key, attempt, overflow)).catch_unwind().await;
        match answer {
            Ok(answer) => answer,
            Err(panic) => {
                let issue = format!("the handler panicked while it answered the batch: {}", panic_message(&*panic));
                self.answer(batch, &failed_whole(batch.events.len(), &issue), key, attempt, None).await
            }
        }
    }

    async fn answer(
        &self,
        batch: &Batch,
        processed: &Processed,
        key: &str,
        attempt: &Attempt<'_>,
        overflow: Option<&dyn Overflow>,
    ) -> Answer {
        let Processed { outcomes, store_takes_writes, .. } = processed;
        let verdict = self.attempts.decide(key, outcomes, attempt.comes_again, *store_takes_writes);
        if verdict == Verdict::Again {
            return self.again(batch, processed, attempt, &reason(outcomes));
        }
        // Beyond the budget, each dead letter has its 20 ms of functionTimeout.
        let until = attempt.started
            + self.processor.budget
            + FOR_A_DEAD_LETTER * batch.events.len().try_into().unwrap_or(u32::MAX);
        let mut record = self.batch_record(batch, processed, attempt);
        let (mut messages, mut letters) = (Vec::new(), Vec::new());
        for (index, outcome) in outcomes.iter().enumerate() {
            match outcome {
                Outcome::Applied => record.applied += 1,
                Outcome::Superseded => record.superseded += 1,
                Outcome::Failed(failure) | Outcome::Unresolved(failure) => {
                    record.dead_lettered += 1;
                    let letter = self.dead_letter(batch, index, failure, attempt);
                    match message(&letter, overflow, until, attempt.comes_again).await {
                        Ok(message) => messages.push(message),
                        Err(error) => return self.again(batch, processed, attempt, &error.to_string()),
                    }
                    letters.push((index, letter, failure));
                }
            }
        }
        self.attempts.forget(key);
        // Told only now: what is answered with 503 has no dead letters.
        let mut logs: Vec<String> =
            letters.iter().map(|(index, letter, failure)| log(batch, *index, letter, failure)).collect();
        logs.push(Record::Batch(record).to_line());
        Answer::Final(Reply::new(&self.function.dead_letters.name, &messages, &logs).to_json())
    }

    fn again(&self, batch: &Batch, processed: &Processed, attempt: &Attempt, reason: &str) -> Answer {
        let record = self.batch_record(batch, processed, attempt);
        let Operations { reads, writes, conflicts, retries, request_units } = record.operations;
        let is_unresolved = |outcome: &&Outcome| matches!(outcome, Outcome::Unresolved(_));
        tracing::warn!(
            invocation_id = attempt.invocation_id,
            attempt = attempt.number,
            event_hub_name = batch.source.event_hub_name,
            partition_id = batch.source.partition_id,
            first_sequence_number =
                batch.events.first().and_then(|event| event.place).map(|place| place.sequence_number),
            events = batch.events.len(),
            unresolved = processed.outcomes.iter().filter(is_unresolved).count(),
            reads,
            writes,
            conflicts,
            retries,
            request_units,
            reason,
            "the batch is to be sent again"
        );
        let logs = [Record::FailedAttempt(record).to_line()];
        Answer::Again(serde_json::json!({ "error": reason, "Logs": logs }).to_string())
    }

    fn dead_letter(&self, batch: &Batch, index: usize, failure: &Failure, attempt: &Attempt) -> DeadLetter {
        let attempt = dead_letter::Attempt {
            invocation_id: attempt.invocation_id,
            number: attempt.number,
            time_ms: self.processor.clock.now_ms(),
        };
        DeadLetter::new(batch, index, failure, attempt)
    }

    /// The batch's record, with its outcomes still to be counted.
    fn batch_record(&self, batch: &Batch, processed: &Processed, attempt: &Attempt) -> BatchRecord {
        let last = batch.events.iter().rev().find_map(|event| event.place);
        BatchRecord {
            source: (&batch.source).into(),
            attempt: attempt.number,
            events: batch.events.len() as u64,
            devices: processed.devices,
            operations: processed.operations,
            decode_ms: processed.decode_time.as_secs_f64() * 1e3,
            store_ms: processed.store_time.as_secs_f64() * 1e3,
            lag_ms: last.map(|place| self.processor.clock.now_ms() - place.enqueued_ms),
            times_go_back: processed.times_go_back,
            ..BatchRecord::default()
        }
    }
}

/// The queue message of a dead letter. What does not fit goes to the overflow; an error only while there is another
/// attempt to come.
async fn message(
    letter: &DeadLetter,
    overflow: Option<&dyn Overflow>,
    until: Instant,
    comes_again: bool,
) -> Result<String, OverflowError> {
    if let Some(message) = letter.message() {
        return Ok(message);
    }
    let Some(overflow) = overflow else { return Ok(letter.cut()) };
    let whole = letter.to_json().into_bytes();
    let fingerprint = Fingerprint::of(&whole);
    // The same event in another attempt is another text, and the message of the first must go on pointing at its own.
    let name = format!("{}-{}", letter.id, &fingerprint.sha256[..8]);
    let put = timeout_at(until, overflow.put(&name, whole)).await;
    match put.unwrap_or_else(|_| Err(OverflowError::too_slow(&name))) {
        Ok(location) => Ok(letter.pointing_at(Pointer { location, fingerprint })),
        Err(error) if comes_again => Err(error),
        Err(error) => {
            tracing::error!(dead_letter_id = letter.id, %error, "a dead letter had to be cut");
            Ok(letter.cut())
        }
    }
}

/// What failed outside any single event: all of it is unresolved, and nobody but the batch itself is to blame.
fn failed_whole(events: usize, issue: &str) -> Processed {
    let failure = Failure {
        stage: Stage::Envelope,
        class: ErrorClass::Poison,
        issue: issue.to_owned(),
        device_id: None,
        device_state: None,
    };
    Processed { outcomes: vec![Outcome::Unresolved(failure); events], ..Processed::default() }
}

/// The first of the reasons for which a batch has to come again, and how many events there are.
fn reason(outcomes: &[Outcome]) -> String {
    let unresolved = outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Unresolved(failure) => Some(failure.issue.as_str()),
        _ => None,
    });
    let mut unresolved = unresolved.peekable();
    let first = unresolved.peek().copied().unwrap_or_default().to_owned();
    format!("{} of {} events are unresolved; the first: {first}", unresolved.count(), outcomes.len())
}

/// Tells of a dead letter in the handler's log, and gives back the line for the host's.
fn log(batch: &Batch, index: usize, letter: &DeadLetter, failure: &Failure) -> String {
    let string = |column: &Column| column.string(index);
    let record = DeadLetterRecord {
        dead_letter_id: letter.id.clone(),
        source: (&batch.source).into(),
        partition_key: string(&batch.details.partition_keys),
        sequence_number: batch.events[index].place.map(|place| place.sequence_number),
        device_id: failure.device_id.as_deref().map(in_short),
        stage: letter.stage,
        error_class: letter.error_class,
        issue: letter.issue.clone(),
    };
    tracing::warn!(
        dead_letter_id = record.dead_letter_id,
        invocation_id = letter.invocation_id,
        event_hub_name = record.source.event_hub_name,
        partition_id = record.source.partition_id,
        partition_key = record.partition_key,
        sequence_number = record.sequence_number,
        device_id = record.device_id,
        stage = %record.stage,
        error_class = %record.error_class,
        issue = record.issue,
        "dead letter"
    );
    Record::DeadLetter(record).to_line()
}
