//! Handles one invocation: reads the request, processes its batch, decides on a retry and creates the response.

mod dead_letters;
mod redelivery_delay;
mod retry_drill;

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
    function_app::{Function, RetryPolicy, Trigger},
    invocation::Invocation,
    processor::{Outcome, Processed, Processor},
    record::{AttemptRecord, BatchRecord, FailedAttemptRecord, Record},
    reply::Reply,
    retry_decision::{Attempts, Decision},
    text::{panic_message, truncated},
};
use dead_letters::DeadLetters;

pub use dead_letters::DEAD_LETTER_TIME;
pub use retry_drill::RetryDrill;

/// Handles the invocations of one function.
pub struct Handler {
    /// The function, as its `function.json` describes it.
    pub function: Function,
    /// Processes the batches.
    pub processor: Arc<Processor>,
    /// Stores dead letters that are too large for the queue; without it they are truncated.
    pub overflow: Option<OverflowCache>,
    /// The failed attempts of the batches that are not completed yet.
    pub attempts: Attempts,
    /// The device whose batches fail once on purpose.
    pub retry_drill: Option<RetryDrill>,
}

/// The response to an invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// Status 200 with this body: the host writes the outputs and then the checkpoint.
    Complete(String),
    /// Status 503 with this body: the host sends the batch again. The body has the reason and the record, for operators
    /// and tools; the host does not read it.
    Retry(String),
}

/// One attempt of a batch.
struct Attempt<'a> {
    invocation_id: &'a str,
    number: i64,
    /// Whether the host sends the batch again when this attempt fails.
    will_retry: bool,
    started: Instant,
}

impl Handler {
    /// Handles one request and returns the response. This is the entry point of the engine.
    ///
    /// `invocation_id` is the host's id, the same for each attempt of a batch; empty if the request had none. `request` is
    /// the request's body. A panic of the decoder, the store or the overflow fails the attempt and is not propagated. The call
    /// returns within the processor's budget plus [`DEAD_LETTER_TIME`] for each event, apart from the time for decoding.
    ///
    /// ```
    /// use std::{sync::Arc, time::Duration};
    ///
    /// use bytes::Bytes;
    /// use devicestate_engine::{
    ///     clock::System,
    ///     function_app::{Cardinality, DataType, EventHubTrigger, Function, QueueOutput, Trigger},
    ///     handler::{Handler, Response},
    ///     processor::{DocumentCache, IotHubTime, Processor, Shared},
    ///     retry_decision::Attempts,
    ///     store::{MemoryStore, RequestCharge, StateStore},
    ///     telemetry::drone::Drone,
    /// };
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let store = Arc::new(MemoryStore::default());
    /// let handler = Handler {
    ///     function: Function {
    ///         name: "RawTelemetryFunction".into(),
    ///         trigger: Trigger::EventHub(EventHubTrigger {
    ///             name: "messages".into(),
    ///             event_hub_name: "telemetry".into(),
    ///             consumer_group: "$Default".into(),
    ///             connection: "EventHubConnection".into(),
    ///             cardinality: Cardinality::Many,
    ///             data_type: DataType::Binary,
    ///         }),
    ///         dead_letters: QueueOutput::shipped(),
    ///         retry: None,
    ///     },
    ///     processor: Arc::new(Processor {
    ///         telemetry: Arc::new(Drone::default()),
    ///         store: store.clone(),
    ///         iot_hub_time: IotHubTime::Enqueued,
    ///         cache: DocumentCache::new(0),
    ///         clock: Arc::new(System),
    ///         random: Arc::new(System),
    ///         observer: Arc::new(()),
    ///         budget: Duration::from_secs(30),
    ///         concurrency: 32,
    ///         heard_every: Duration::from_mins(5),
    ///         max_readings: 1000,
    ///         shared: Shared::default(),
    ///     }),
    ///     overflow: None,
    ///     attempts: Attempts::new(5),
    ///     retry_drill: None,
    /// };
    /// // The body of the event is {"deviceId":"d","battery":0.5}.
    /// let request = br#"{"Data":{"messages":["eyJkZXZpY2VJZCI6ImQiLCJiYXR0ZXJ5IjowLjV9"]}}"#;
    /// let response = handler.invoke("4711", &Bytes::from_static(request)).await;
    /// assert!(matches!(response, Response::Complete(_)));
    /// let stored = store.read("d", &RequestCharge::default()).await.unwrap().unwrap();
    /// assert_eq!(stored.document.get("Battery"), Some(&0.5.into()));
    /// # }
    /// ```
    pub async fn invoke(&self, invocation_id: &str, request: &Bytes) -> Response {
        let started = Instant::now();
        let trigger = &self.function.trigger;
        let read = catch_unwind(|| Invocation::read(request, trigger));
        let invocation = match read {
            Ok(Ok(invocation)) => invocation,
            Ok(Err(error)) => return self.reject_request(invocation_id, request, started, error.to_string()).await,
            Err(panic) => {
                let issue = format!("reading the request panicked: {}", panic_message(&*panic));
                return self.reject_request(invocation_id, request, started, issue).await;
            }
        };
        let attempt = Attempt {
            invocation_id,
            number: invocation.attempt_number(),
            will_retry: invocation.will_retry(),
            started,
        };
        let policy_will_retry = invocation.policy_will_retry();
        let batch = invocation.batch;
        let response = self.attempt(&batch, &attempt).await;
        if let (Response::Retry(_), Some(message), false) = (&response, &batch.message, policy_will_retry) {
            let release_at =
                started + redelivery_delay::redelivery_delay(message.delivery_count).min(self.processor.budget);
            sleep_until(release_at).await;
        }
        response
    }

    /// Processes one attempt of a batch.
    async fn attempt(&self, batch: &Batch, attempt: &Attempt<'_>) -> Response {
        if self.retry_drill.as_ref().is_some_and(|retry_drill| retry_drill.should_fail(batch, attempt)) {
            let unprocessed = all_unresolved(
                batch.events.len(),
                "failed on purpose: the setting `RetryDrillDevice` names a device in the batch",
            );
            return self.fail_attempt(batch, &unprocessed, attempt, &reason(&unprocessed.outcomes));
        }
        let processed = AssertUnwindSafe(self.processor.process(batch)).catch_unwind().await;
        let processed = processed.unwrap_or_else(|panic| {
            let issue = format!("the handler panicked while processing the batch: {}", panic_message(&*panic));
            all_unresolved(batch.events.len(), &issue)
        });
        self.conclude(batch, processed, &batch.key(attempt.invocation_id), attempt).await
    }

    /// Responds to a request that is not an envelope. The entire request is treated as one event, so that it becomes one
    /// dead letter.
    async fn reject_request(&self, invocation_id: &str, request: &Bytes, started: Instant, issue: String) -> Response {
        let event = Event { body: request.clone(), fault: Some(issue.clone()), ..Event::default() };
        let batch = Batch { events: vec![event], ..Batch::default() };
        // The number of the attempt is in the request, which cannot be read. Only an endless retry policy guarantees another attempt,
        // and only the host's invocation id identifies it. Each delivery of a message has another id, and whether the host
        // honours a policy for it is not documented: without a count the message would be delivered until the maximum.
        let is_endless = self.function.retry.as_ref().is_some_and(|retry: &RetryPolicy| retry.max_retry_count() < 0);
        let is_batch = matches!(self.function.trigger, Trigger::EventHub(_));
        let will_retry = is_batch && is_endless && !invocation_id.is_empty();
        let number = i64::from(self.attempts.failures(invocation_id)) + 1;
        let attempt = Attempt { invocation_id, number, will_retry, started };
        self.conclude(&batch, all_unresolved(1, &issue), invocation_id, &attempt).await
    }

    /// Creates the response from the outcomes. A panic counts as a failure of the entire batch, and the second try does not
    /// use the overflow, which may have caused the panic.
    async fn conclude(&self, batch: &Batch, processed: Processed, key: &str, attempt: &Attempt<'_>) -> Response {
        let overflow = self.overflow.as_ref();
        let response = AssertUnwindSafe(self.respond(batch, &processed, key, attempt, overflow)).catch_unwind().await;
        match response {
            Ok(response) => response,
            Err(panic) => {
                let issue = format!("the handler panicked while creating the response: {}", panic_message(&*panic));
                self.respond(batch, &all_unresolved(batch.events.len(), &issue), key, attempt, None).await
            }
        }
    }

    async fn respond(
        &self,
        batch: &Batch,
        processed: &Processed,
        key: &str,
        attempt: &Attempt<'_>,
        overflow: Option<&OverflowCache>,
    ) -> Response {
        let Processed { outcomes, store_accepts_writes, .. } = processed;
        let retry_decision = self.attempts.decide(key, outcomes, attempt.will_retry, *store_accepts_writes);
        if retry_decision == Decision::Retry {
            return self.fail_attempt(batch, processed, attempt, &reason(outcomes));
        }
        if attempt.will_retry {
            // All unresolved devices have used up their attempts.
            for device_id in unresolved(outcomes).flat_map(Failure::devices) {
                self.processor.shared.remember_faulty_device(device_id);
            }
        }
        let dead_letters = DeadLetters {
            batch,
            outcomes,
            key,
            attempt: dead_letter::Attempt {
                invocation_id: attempt.invocation_id,
                number: attempt.number,
                time_ms: self.processor.clock.now_ms(),
                telemetry: self.processor.telemetry.setting(),
            },
            overflow,
            overflow_deadline: dead_letters::overflow_deadline(
                attempt.started + self.processor.budget,
                batch.events.len(),
            ),
            will_retry: attempt.will_retry,
        };
        let letters = match dead_letters.create().await {
            Ok(letters) => letters,
            Err(error) => return self.fail_attempt(batch, processed, attempt, &error.to_string()),
        };
        self.attempts.forget(key);
        if let Some(overflow) = &self.overflow {
            overflow.forget(key);
        }
        // Dead letters are recorded only now: an attempt that fails has none.
        let (messages, mut logs): (Vec<_>, Vec<_>) =
            letters.into_iter().map(|letter| letter.emit(&*self.processor.observer)).unzip();
        let count = |is: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| is(outcome)).count() as u64;
        let record = Record::Batch(BatchRecord {
            attempt: self.attempt_record(batch, processed, attempt, last_position(batch)),
            applied: count(|outcome| matches!(outcome, Outcome::Applied)),
            superseded: count(|outcome| matches!(outcome, Outcome::Superseded)),
            unrecognized: count(|outcome| matches!(outcome, Outcome::Unrecognized)),
            ignored: count(|outcome| matches!(outcome, Outcome::Ignored)),
            dead_lettered: messages.len() as u64,
            unusable_device_times: processed.unusable_times,
        });
        self.processor.observer.record(&record);
        logs.push(record);
        Response::Complete(Reply::new(&self.function.dead_letters.name, &messages, &logs).to_json())
    }

    fn fail_attempt(&self, batch: &Batch, processed: &Processed, attempt: &Attempt, reason: &str) -> Response {
        let reason = truncated(reason);
        let is_unresolved = |outcome: &&Outcome| matches!(outcome, Outcome::Unresolved(_));
        let record = Record::FailedAttempt(FailedAttemptRecord {
            attempt: self.attempt_record(batch, processed, attempt, first_position(batch)),
            unresolved: processed.outcomes.iter().filter(is_unresolved).count() as u64,
            reason: reason.clone(),
        });
        self.processor.observer.record(&record);
        Response::Retry(serde_json::json!({ "error": reason, "Logs": [record.to_line()] }).to_string())
    }

    /// Returns the record of an attempt. The lag is measured from the event at `lag_position`.
    fn attempt_record(
        &self,
        batch: &Batch,
        processed: &Processed,
        attempt: &Attempt,
        lag_position: Option<EventPosition>,
    ) -> AttemptRecord {
        AttemptRecord {
            invocation_id: attempt.invocation_id.to_owned(),
            source: (&batch.source).into(),
            message: batch.message.clone(),
            first_sequence_number: first_position(batch).map(|position| position.sequence_number),
            last_sequence_number: last_position(batch).map(|position| position.sequence_number),
            number: attempt.number,
            events: batch.events.len() as u64,
            records: processed.records,
            devices: processed.devices,
            operations: processed.operations,
            decode_ms: processed.decode_time.as_secs_f64() * 1e3,
            store_ms: processed.store_time.as_secs_f64() * 1e3,
            lag_ms: lag_position.map(|position| self.processor.clock.now_ms() - position.enqueued_ms),
        }
    }
}

fn first_position(batch: &Batch) -> Option<EventPosition> {
    batch.events.iter().find_map(|event| event.position)
}

fn last_position(batch: &Batch) -> Option<EventPosition> {
    batch.events.iter().rev().find_map(|event| event.position)
}

/// Returns the result of a batch that failed outside any single event: each of its `events` events is unresolved.
fn all_unresolved(events: usize, issue: &str) -> Processed {
    let failure = Failure {
        stage: Stage::Envelope,
        class: ErrorClass::Poison,
        issue: issue.to_owned(),
        device_id: None,
        device_state: None,
        other_devices: Vec::new(),
    };
    Processed { outcomes: vec![Outcome::Unresolved(failure); events], records: events, ..Processed::default() }
}

fn unresolved(outcomes: &[Outcome]) -> impl Iterator<Item = &Failure> {
    outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Unresolved(failure) => Some(failure),
        _ => None,
    })
}

/// Describes why a batch has to be retried: the number of unresolved events and the first issue.
fn reason(outcomes: &[Outcome]) -> String {
    // That a device got no time says less than why another one failed.
    let is_cause = |failure: &&Failure| failure.class != ErrorClass::Throttled;
    let first = unresolved(outcomes).find(is_cause).or(unresolved(outcomes).next());
    let first = first.map_or("", |failure| &failure.issue);
    format!("{} of {} events are unresolved; the first: {first}", unresolved(outcomes).count(), outcomes.len())
}
