//! One invocation, from the request's bytes to the answer: the way of a batch through the other modules.

mod dead_letters;
mod drill;
mod hold;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::time::{Instant, sleep_until};

use crate::{
    batch::{Batch, Event, EventPosition},
    dead_letter::{self, OverflowCache},
    failure::{ErrorClass, Failure, Stage},
    function_app::{Function, RetryPolicy},
    invocation::Invocation,
    processor::{Outcome, Processed, Processor},
    record::{AttemptRecord, BatchRecord, FailedAttemptRecord, Record},
    reply::Reply,
    retry_decision::{Attempts, Decision},
    text::{panic_message, truncated},
};
use dead_letters::DeadLetters;

pub use dead_letters::DEAD_LETTER_TIME;
pub use drill::Drill;

/// Handles the invocations of one function.
pub struct Handler {
    /// The function, as its `function.json` describes it.
    pub function: Function,
    /// The engine.
    pub processor: Arc<Processor>,
    /// Where dead letters go that are too large for the queue; without it they are cut.
    pub overflow: Option<OverflowCache>,
    /// What failed before.
    pub attempts: Attempts,
    /// Whose batches are failed once on purpose.
    pub drill: Option<Drill>,
}

/// How an invocation is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// With 200 and this body: the host writes the outputs and then the checkpoint.
    Complete(String),
    /// With 503 and this body: the host sends the batch again. The body, with reason and record, is for people and for
    /// tools; the host does not read it.
    Retry(String),
}

/// An invocation on its way out.
struct Attempt<'a> {
    invocation_id: &'a str,
    number: i64,
    /// Whether the host sends the batch again when this attempt fails.
    will_retry: bool,
    started: Instant,
}

impl Handler {
    /// Answers one request.
    ///
    /// `invocation_id` is the host's, the same for each attempt of a batch; empty when it did not tell one.
    pub async fn invoke(&self, invocation_id: &str, request: &Bytes) -> Response {
        let started = Instant::now();
        let trigger = &self.function.trigger;
        let read = catch_unwind(|| Invocation::read(request, trigger));
        let invocation = match read {
            Ok(Ok(invocation)) => invocation,
            Ok(Err(error)) => return self.unreadable(invocation_id, request, started, error.to_string()).await,
            Err(panic) => {
                let issue = format!("reading the request panicked: {}", panic_message(&*panic));
                return self.unreadable(invocation_id, request, started, issue).await;
            }
        };
        let attempt =
            Attempt { invocation_id, number: invocation.attempt(), will_retry: invocation.will_retry(), started };
        let batch = invocation.batch;
        let answer = self.attempt(&batch, &attempt).await;
        if let (Response::Retry(_), Some(message)) = (&answer, &batch.message) {
            let until = started + hold::until_given_back(message.delivery_count).min(self.processor.budget);
            sleep_until(until).await;
        }
        answer
    }

    /// One attempt of a batch.
    async fn attempt(&self, batch: &Batch, attempt: &Attempt<'_>) -> Response {
        if self.drill.as_ref().is_some_and(|drill| drill.fails(batch, attempt)) {
            let untouched =
                failed_whole(batch.events.len(), "failed on purpose, since RetryDrillDevice names a device in it");
            return self.again(batch, &untouched, attempt, &reason(&untouched.outcomes));
        }
        let processed = AssertUnwindSafe(self.processor.process(batch)).catch_unwind().await;
        let processed = processed.unwrap_or_else(|panic| {
            let issue = format!("the handler panicked while it processed the batch: {}", panic_message(&*panic));
            failed_whole(batch.events.len(), &issue)
        });
        self.conclude(batch, processed, &batch.key(), attempt).await
    }

    /// A request that is no envelope: kept whole, as the one event that it is then taken for.
    async fn unreadable(&self, invocation_id: &str, request: &Bytes, started: Instant, issue: String) -> Response {
        let event = Event { body: request.clone(), fault: Some(issue.clone()), ..Event::default() };
        let batch = Batch { events: vec![event], ..Batch::default() };
        // Which attempt this is stands in what cannot be read. Only under a policy without end is it certain that
        // another one comes, and only by the host's id would it be known again.
        let is_endless = self.function.retry.as_ref().is_some_and(|retry: &RetryPolicy| retry.max_retry_count() < 0);
        let will_retry = is_endless && !invocation_id.is_empty();
        let number = i64::from(self.attempts.failures(invocation_id)) + 1;
        let attempt = Attempt { invocation_id, number, will_retry, started };
        self.conclude(&batch, failed_whole(1, &issue), invocation_id, &attempt).await
    }

    /// Answers by the outcomes. A panic on the way is a failure of the whole batch like any other; what is then said
    /// is said without the overflow.
    async fn conclude(&self, batch: &Batch, processed: Processed, key: &str, attempt: &Attempt<'_>) -> Response {
        let overflow = self.overflow.as_ref();
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
        overflow: Option<&OverflowCache>,
    ) -> Response {
        let Processed { outcomes, store_takes_writes, .. } = processed;
        let retry_decision = self.attempts.decide(key, outcomes, attempt.will_retry, *store_takes_writes);
        if retry_decision == Decision::Retry {
            return self.again(batch, processed, attempt, &reason(outcomes));
        }
        let dead_letters = DeadLetters {
            batch,
            outcomes,
            key,
            attempt: dead_letter::Attempt {
                invocation_id: attempt.invocation_id,
                number: attempt.number,
                time_ms: self.processor.clock.now_ms(),
            },
            overflow,
            until: dead_letters::deadline(attempt.started + self.processor.budget, batch.events.len()),
            will_retry: attempt.will_retry,
        };
        let letters = match dead_letters.made().await {
            Ok(letters) => letters,
            Err(error) => return self.again(batch, processed, attempt, &error.to_string()),
        };
        self.attempts.forget(key);
        if let Some(overflow) = &self.overflow {
            overflow.forget(key);
        }
        // Told only now: what is answered with 503 has no dead letters.
        let (messages, mut logs): (Vec<_>, Vec<_>) =
            letters.into_iter().map(|letter| letter.told(&*self.processor.observer)).unzip();
        let count = |is: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| is(outcome)).count() as u64;
        let record = Record::Batch(BatchRecord {
            attempt: self.attempt_record(batch, processed, attempt, last_place(batch)),
            applied: count(|outcome| matches!(outcome, Outcome::Applied)),
            superseded: count(|outcome| matches!(outcome, Outcome::Superseded)),
            dead_lettered: messages.len() as u64,
        });
        self.processor.observer.record(&record);
        logs.push(record);
        Response::Complete(Reply::new(&self.function.dead_letters.name, &messages, &logs).to_json())
    }

    fn again(&self, batch: &Batch, processed: &Processed, attempt: &Attempt, reason: &str) -> Response {
        let is_unresolved = |outcome: &&Outcome| matches!(outcome, Outcome::Unresolved(_));
        let record = Record::FailedAttempt(FailedAttemptRecord {
            attempt: self.attempt_record(batch, processed, attempt, first_place(batch)),
            unresolved: processed.outcomes.iter().filter(is_unresolved).count() as u64,
            reason: truncated(reason),
        });
        self.processor.observer.record(&record);
        Response::Retry(serde_json::json!({ "error": reason, "Logs": [record.to_line()] }).to_string())
    }

    /// What there is to tell of an attempt. The partition is as far behind as the event at this place.
    fn attempt_record(
        &self,
        batch: &Batch,
        processed: &Processed,
        attempt: &Attempt,
        behind: Option<EventPosition>,
    ) -> AttemptRecord {
        AttemptRecord {
            invocation_id: attempt.invocation_id.to_owned(),
            source: (&batch.source).into(),
            message: batch.message.clone(),
            first_sequence_number: first_place(batch).map(|position| position.sequence_number),
            last_sequence_number: last_place(batch).map(|position| position.sequence_number),
            number: attempt.number,
            events: batch.events.len() as u64,
            devices: processed.devices,
            operations: processed.operations,
            decode_ms: processed.decode_time.as_secs_f64() * 1e3,
            store_ms: processed.store_time.as_secs_f64() * 1e3,
            lag_ms: behind.map(|position| self.processor.clock.now_ms() - position.enqueued_ms),
            enqueued_times_decrease: processed.enqueued_times_decrease,
        }
    }
}

fn first_place(batch: &Batch) -> Option<EventPosition> {
    batch.events.iter().find_map(|event| event.position)
}

fn last_place(batch: &Batch) -> Option<EventPosition> {
    batch.events.iter().rev().find_map(|event| event.position)
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
