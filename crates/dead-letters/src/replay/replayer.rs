//! Applies single dead letters through the engine, each under its event's own version: newer readings stay.

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use devicestate_engine::{
    batch::{Batch, Event, EventMetadata, EventPosition, MetadataColumn, Source},
    dead_letter::{DeadLetter, FetchError, Overflow, event_body, fetch_complete},
    failure::{ErrorClass, Failure, Stage},
    function_app::Trigger,
    invocation::{EnvelopeError, Invocation, attach_metadata},
    processor::{Outcome, Processor},
    retry_decision::is_device_failure,
    text::{panic_message, truncated},
};
use futures_util::{FutureExt as _, StreamExt as _, future::join_all, stream};
use serde_json::value::RawValue;

use crate::entry::device_id;

/// The sequence number of the next event without a position of its own.
static NEXT_SEQUENCE_NUMBER: AtomicI64 = AtomicI64::new(0);

/// How many dead letters are fetched from the overflow at the same time.
const MAX_CONCURRENT_FETCHES: usize = 16;

/// Replays dead letters.
pub struct Replayer {
    /// The engine, over the real store or over a dry run of it.
    pub processor: Arc<Processor>,
    /// Where large dead letters are stored.
    pub overflow: Option<Arc<dyn Overflow>>,
    /// The triggers of the function app: a complete request that the handler could not read is parsed by the trigger that it
    /// names.
    pub triggers: Vec<Trigger>,
    /// Whether it replays dead letters that the handler decoded as other telemetry.
    pub accepts_other_telemetry: bool,
}

/// The outcome of a replay of a dead letter.
#[derive(Debug, Clone, PartialEq)]
pub enum ReplayOutcome {
    /// At least one of its readings was newer than the document, or it has none.
    Applied,
    /// The document held newer values for all of its readings.
    Superseded,
    /// It is not telemetry: IoT Hub reports a change of a device.
    Ignored,
    /// It has fields, but no known reading, so nothing of it can be stored.
    Unrecognized,
    /// It failed again, and the cause is in the dead letter itself.
    FailedAgain(Failure),
    /// It was not tried: the store or the overflow is not available, for this reason.
    NotTried(String),
}

/// A dead letter to replay.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The dead letter, complete or as a message that points into the overflow.
    pub letter: &'a DeadLetter,
    /// Replaces its body: JSON, in any original format.
    pub edited: Option<&'a [u8]>,
}

impl Replayer {
    /// Replays dead letters, and returns an outcome for each, in their order.
    ///
    /// Dead letters of one source form one batch. Each batch takes at most the processor's budget.
    pub async fn replay(&self, candidates: &[Candidate<'_>]) -> Vec<ReplayOutcome> {
        let overflow = self.overflow.as_deref();
        let fetches: Vec<_> = candidates.iter().map(|candidate| fetch_complete(candidate.letter, overflow)).collect();
        let complete: Vec<_> = stream::iter(fetches).buffered(MAX_CONCURRENT_FETCHES).collect().await;
        let mut batches: Vec<Rebuilt> = Vec::new();
        let mut outcomes = vec![None; candidates.len()];
        for (number, (candidate, letter)) in candidates.iter().zip(complete).enumerate() {
            let letter = letter.map_err(|error| fetch_failed(error, candidate.letter));
            match letter.and_then(|letter| self.rebuild(&letter, candidate.edited)) {
                Ok(batch) => add_to_batches(&mut batches, number, batch),
                Err(failed) => outcomes[number] = Some(failed),
            }
        }
        let processing: Vec<_> = batches.into_iter().map(|rebuilt| self.process(rebuilt)).collect();
        for (owner, outcome) in join_all(processing).await.into_iter().flatten() {
            outcomes[owner] = Some(match outcomes[owner].take() {
                Some(other) => worse_outcome(other, outcome),
                None => outcome,
            });
        }
        // Only a complete request can be without events, and then there is nothing to apply.
        outcomes.into_iter().map(|outcome| outcome.unwrap_or(ReplayOutcome::Superseded).truncated()).collect()
    }

    /// Returns the events of a dead letter: one, or those of a complete request.
    fn rebuild(&self, letter: &DeadLetter, edited: Option<&[u8]>) -> Result<Batch, ReplayOutcome> {
        let ours = self.processor.telemetry.setting();
        if let Some(theirs) =
            letter.telemetry.as_deref().filter(|theirs| *theirs != ours && !self.accepts_other_telemetry)
        {
            let id = &letter.id;
            return Err(ReplayOutcome::NotTried(format!(
                "the handler decoded the dead letter {id} with the setting `Telemetry={theirs}`, but this command has `{ours}`: set \
                 `Telemetry={theirs}`, or use --other-telemetry"
            )));
        }
        let failed = |issue: &str| ReplayOutcome::FailedAgain(unreplayable(letter, issue));
        let body = match edited {
            Some(body) => body.to_vec(),
            None if letter.event_data.properties_cut => {
                return Err(failed(
                    "its properties, which may contain the content type and the device id, were left out because they did not fit: \
                     correct it with `dead-letters edit`",
                ));
            }
            None => event_body(letter).map_err(|issue| failed(&issue))?,
        };
        let time = letter.time.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond);
        let time = time.map_err(|_| failed("its Time is not a valid time, so its event has no version"))?;
        let request = self.parse_request(letter, &body)?;
        let is_request = request.is_some();
        let mut batch = request.unwrap_or_else(|| single_event_batch(letter, body, edited.is_some()));
        for event in &mut batch.events {
            if event.position.is_some() {
                continue;
            }
            if letter.stage == Stage::Envelope && !is_request {
                return Err(failed(
                    "the position of the event in its partition is not known, so newer readings may be stored already: \
                     send the event again if its readings are still current",
                ));
            }
            if event.fault.is_some() {
                continue;
            }
            // As in the handler, the time of arrival counts, which was not later than the time of the failure. The time of
            // the replay would overwrite everything that arrived since. At equal times, the later one in the queue wins.
            event.time_ms = Some(time);
            event.position =
                Some(EventPosition { enqueued_ms: time, sequence_number: NEXT_SEQUENCE_NUMBER.fetch_add(1, Relaxed) });
        }
        Ok(batch)
    }

    /// Returns the batch of a complete request that the handler could not read; `None` if the body is not a request.
    fn parse_request(&self, letter: &DeadLetter, body: &[u8]) -> Result<Option<Batch>, ReplayOutcome> {
        if letter.stage != Stage::Envelope || letter.source != Source::default() || !is_request(body) {
            return Ok(None);
        }
        // Without triggers, the cause is the command line, not the dead letter.
        let body = Bytes::copy_from_slice(body);
        let parsed = self
            .triggers
            .iter()
            .map(|trigger| Invocation::read(&body, trigger))
            .reduce(parsed_by_its_trigger)
            .ok_or_else(|| {
                let id = &letter.id;
                ReplayOutcome::NotTried(format!(
                    "{id} is a complete request, and no function.json with its trigger was found: use --app-root"
                ))
            })?;
        match parsed {
            Ok(invocation) => Ok(Some(invocation.batch)),
            Err(error) => Err(ReplayOutcome::FailedAgain(unreplayable(
                letter,
                &format!("it is a complete request that cannot be read: {error}"),
            ))),
        }
    }

    /// Returns the outcome of each event. An event that makes the engine panic does not affect the others.
    async fn process(&self, rebuilt: Rebuilt) -> Vec<(usize, ReplayOutcome)> {
        let processed = AssertUnwindSafe(self.processor.process(&rebuilt.batch)).catch_unwind().await;
        let issue = match processed {
            Ok(processed) => {
                let is_single = rebuilt.owners.len() < 2;
                // A device alone fails again if the store accepts anything.
                let store_works = processed.store_accepts_writes || is_single && processed.has_accepted_write;
                let replayed: Vec<_> = processed
                    .outcomes
                    .iter()
                    .cloned()
                    .map(|outcome| ReplayOutcome::new(outcome, store_works))
                    .collect();
                let untried = replayed.iter().position(|outcome| matches!(outcome, ReplayOutcome::NotTried(_)));
                let replayed = match untried {
                    Some(index) if !is_single => self.ask_store(&rebuilt, index, processed.outcomes).await,
                    _ => replayed,
                };
                return rebuilt.owners.into_iter().zip(replayed).collect();
            }
            Err(panic) => format!("the engine panicked: {}", panic_message(&*panic)),
        };
        if rebuilt.batch.events.len() < 2 {
            let failure = poison(Stage::Envelope, None, issue);
            return rebuilt
                .owners
                .into_iter()
                .map(|owner| (owner, ReplayOutcome::FailedAgain(failure.clone())))
                .collect();
        }
        let mut replayed = Vec::new();
        for single in rebuilt.split() {
            replayed.extend(Box::pin(self.process(single)).await);
        }
        replayed
    }

    /// Returns the outcomes of a batch with an event, at this index, that the store did not take. Many failing devices in one batch
    /// look like an outage of the store, so this event is processed alone: if the store then accepts anything, all that failed
    /// fail again.
    async fn ask_store(&self, rebuilt: &Rebuilt, index: usize, mut outcomes: Vec<Outcome>) -> Vec<ReplayOutcome> {
        let Batch { source, events, .. } = &rebuilt.batch;
        let alone = Batch { source: source.clone(), events: vec![events[index].clone()], ..Batch::default() };
        let processed = AssertUnwindSafe(self.processor.process(&alone)).catch_unwind().await;
        let store_works = processed.as_ref().is_ok_and(|processed| processed.has_accepted_write);
        if let Ok(outcome) = processed.map(|mut processed| processed.outcomes.remove(0))
            && store_works
        {
            outcomes[index] = outcome;
        }
        outcomes.into_iter().map(|outcome| ReplayOutcome::new(outcome, store_works)).collect()
    }
}

impl ReplayOutcome {
    fn new(outcome: Outcome, store_works: bool) -> Self {
        match outcome {
            Outcome::Applied => Self::Applied,
            Outcome::Superseded => Self::Superseded,
            Outcome::Ignored => Self::Ignored,
            Outcome::Unrecognized => Self::Unrecognized,
            Outcome::Failed(failure) => Self::FailedAgain(failure),
            // With a store that works, a refusal concerns this document, too.
            Outcome::Unresolved(failure)
                if is_device_failure(&failure, store_works)
                    || (store_works && failure.class == ErrorClass::Systemic) =>
            {
                Self::FailedAgain(failure)
            }
            Outcome::Unresolved(failure) => Self::NotTried(failure.issue),
        }
    }

    /// Truncates the texts: some errors repeat what the device sent.
    fn truncated(self) -> Self {
        match self {
            Self::FailedAgain(failure) => Self::FailedAgain(Failure { issue: truncated(&failure.issue), ..failure }),
            Self::NotTried(reason) => Self::NotTried(truncated(&reason)),
            other => other,
        }
    }
}

/// Returns the result of the trigger that the request names.
fn parsed_by_its_trigger(
    one: Result<Invocation, EnvelopeError>,
    other: Result<Invocation, EnvelopeError>,
) -> Result<Invocation, EnvelopeError> {
    if matches!(one, Err(EnvelopeError::MissingBinding { .. })) { other } else { one }
}

/// Returns the worse of two outcomes: that is the outcome of a dead letter of several events.
fn worse_outcome(one: ReplayOutcome, other: ReplayOutcome) -> ReplayOutcome {
    let rank = |outcome: &ReplayOutcome| match outcome {
        ReplayOutcome::NotTried(_) => 0,
        ReplayOutcome::FailedAgain(_) => 1,
        ReplayOutcome::Unrecognized => 2,
        ReplayOutcome::Applied => 3,
        ReplayOutcome::Superseded => 4,
        ReplayOutcome::Ignored => 5,
    };
    if rank(&one) <= rank(&other) { one } else { other }
}

/// Events of dead letters of one source.
struct Rebuilt {
    batch: Batch,
    /// The index of the dead letter that each event belongs to.
    owners: Vec<usize>,
}

impl Rebuilt {
    /// Splits it into batches of one event.
    fn split(self) -> impl Iterator<Item = Self> {
        let source = self.batch.source;
        self.batch.events.into_iter().zip(self.owners).map(move |(event, owner)| Self {
            batch: Batch { source: source.clone(), events: vec![event], ..Batch::default() },
            owners: vec![owner],
        })
    }
}

/// Adds the events of a dead letter to the batch of the same source.
fn add_to_batches(batches: &mut Vec<Rebuilt>, owner: usize, Batch { source, mut events, metadata, message }: Batch) {
    let owners = events.iter().map(|_| owner);
    match batches.iter_mut().find(|rebuilt| rebuilt.batch.source == source) {
        Some(rebuilt) => {
            rebuilt.owners.extend(owners);
            rebuilt.batch.events.append(&mut events);
        }
        None => batches.push(Rebuilt { owners: owners.collect(), batch: Batch { source, events, metadata, message } }),
    }
}

/// Returns true if a body has the form of a request of the Functions host.
fn is_request(body: &[u8]) -> bool {
    serde_json::from_slice::<BTreeMap<String, &RawValue>>(body).is_ok_and(|request| request.contains_key("Data"))
}

/// Returns the event of a dead letter, with this body and the metadata of the host.
#[must_use]
pub fn rebuild_event(letter: &DeadLetter, body: Vec<u8>) -> Event {
    single_event_batch(letter, body, false).events.remove(0)
}

/// Returns the event of a dead letter with a corrected body, which is JSON.
#[must_use]
pub fn rebuild_edited(letter: &DeadLetter, body: Vec<u8>) -> Event {
    single_event_batch(letter, body, true).events.remove(0)
}

/// Returns a batch of the one event of a dead letter, with the metadata of the host.
fn single_event_batch(letter: &DeadLetter, body: Vec<u8>, is_edited: bool) -> Batch {
    let data = &letter.event_data;
    let column = |cell: &Option<Box<RawValue>>| match cell {
        Some(cell) => MetadataColumn::new(format!("[{cell}]"), 1),
        None => MetadataColumn::default(),
    };
    let metadata = EventMetadata {
        sequence_numbers: column(&data.sequence_number),
        enqueued_times: column(&data.enqueued_time_utc),
        partition_keys: column(&data.partition_key),
        properties: column(&data.properties),
        system_properties: column(&data.system_properties),
        ..EventMetadata::default()
    };
    let mut batch =
        attach_metadata(letter.source.clone(), vec![Event { body: body.into(), ..Event::default() }], metadata);
    // A corrected text is in UTF-8. Its content type stays if it names JSON, because the telemetry may depend on it.
    let names_json = |content_type: &str| content_type.contains("json") && !content_type.contains("charset");
    if is_edited && !batch.events[0].content_type.as_deref().is_some_and(names_json) {
        batch.events[0].content_type = Some("application/json".into());
    }
    batch
}

/// Returns the outcome of a dead letter that could not be fetched from the overflow.
fn fetch_failed(error: FetchError, letter: &DeadLetter) -> ReplayOutcome {
    match error {
        FetchError::Lost(issue) => ReplayOutcome::FailedAgain(unreplayable(letter, &issue)),
        FetchError::Unavailable(reason) => ReplayOutcome::NotTried(reason),
    }
}

fn unreplayable(letter: &DeadLetter, issue: &str) -> Failure {
    // The stage is that of the last failure: the event reached no later one.
    poison(letter.last_stage(), device_id(letter), format!("it cannot be replayed: {issue}"))
}

fn poison(stage: Stage, device_id: Option<String>, issue: String) -> Failure {
    Failure { stage, class: ErrorClass::Poison, issue, device_id, device_state: None, other_devices: Vec::new() }
}
