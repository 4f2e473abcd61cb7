//! Dead letters through the engine once more, each under its event's own version: what is newer stays.

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

use super::entry::device_id;

/// Rises with each event without a place of its own.
static ORDER: AtomicI64 = AtomicI64::new(0);

/// How many dead letters are fetched from the overflow at the same time.
const FETCHES: usize = 16;

/// What replays dead letters.
pub struct Replayer {
    /// The engine, over the real store or over a trial of it.
    pub processor: Arc<Processor>,
    /// Where the large ones lie.
    pub overflow: Option<Arc<dyn Overflow>>,
    /// How a whole request is read that the handler could not read: by the one of these whose name it has.
    pub triggers: Vec<Trigger>,
}

/// What became of a dead letter in a replay.
#[derive(Debug, Clone, PartialEq)]
pub enum Replayed {
    /// At least one of its readings was newer than the document, or it has none.
    Applied,
    /// The document already held newer ones for all of its readings.
    Superseded,
    /// It failed again, by its own fault.
    FailedAgain(Failure),
    /// It could not be tried now: the store or the overflow is to blame, and says this.
    NotNow(String),
}

/// A dead letter as it is to be replayed.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The dead letter, whole or as a message that points at it.
    pub letter: &'a DeadLetter,
    /// A body in place of its own: JSON, whatever it was before.
    pub edited: Option<&'a [u8]>,
}

impl Replayer {
    /// Replays some dead letters, and tells of each what became of it, in their order.
    ///
    /// Those of one source go through the engine as a batch. Each takes no longer than the processor's budget.
    pub async fn replay(&self, candidates: &[Candidate<'_>]) -> Vec<Replayed> {
        let overflow = self.overflow.as_deref();
        let fetches: Vec<_> = candidates.iter().map(|candidate| fetch_complete(candidate.letter, overflow)).collect();
        let wholes: Vec<_> = stream::iter(fetches).buffered(FETCHES).collect().await;
        let mut batches: Vec<Rebuilt> = Vec::new();
        let mut replayed = vec![None; candidates.len()];
        for (number, (candidate, fetch_complete)) in candidates.iter().zip(wholes).enumerate() {
            let fetch_complete = fetch_complete.map_err(|error| not_whole(error, candidate.letter));
            let events = fetch_complete.and_then(|fetch_complete| self.events(&fetch_complete, candidate.edited));
            match events {
                Ok(batch) => join(&mut batches, number, batch),
                Err(failed) => replayed[number] = Some(failed),
            }
        }
        let processing: Vec<_> = batches.into_iter().map(|rebuilt| self.processed(rebuilt)).collect();
        for (owner, outcome) in join_all(processing).await.into_iter().flatten() {
            replayed[owner] = Some(match replayed[owner].take() {
                Some(so_far) => worse(so_far, outcome),
                None => outcome,
            });
        }
        // Only a whole request may be without events, and then there is nothing in it that could be applied.
        replayed.into_iter().map(|replayed| replayed.unwrap_or(Replayed::Superseded).truncated()).collect()
    }

    /// The events of a dead letter: its one, or those of a whole request.
    fn events(&self, letter: &DeadLetter, edited: Option<&[u8]>) -> Result<Batch, Replayed> {
        let failed = |issue: &str| Replayed::FailedAgain(unreplayable(letter, issue));
        let body = match edited {
            Some(body) => body.to_vec(),
            None if letter.event_data.properties_cut => {
                return Err(failed(
                    "its properties were not kept, since there was no place for them, and with them what they say of \
                     format and device: edit it",
                ));
            }
            None => event_body(letter).map_err(|issue| failed(&issue))?,
        };
        let time = letter.time.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond);
        let time = time.map_err(|_| failed("its Time cannot be read, so its event has no version"))?;
        let request = self.request(letter, &body)?;
        let is_request = request.is_some();
        let mut batch = request.unwrap_or_else(|| rebuilt(letter, body, edited.is_some()));
        for event in &mut batch.events {
            if event.position.is_some() {
                continue;
            }
            if letter.stage == Stage::Envelope && !is_request {
                return Err(failed(
                    "where the event stood in its partition is not known, so nobody can tell whether newer readings \
                     are stored already: send it anew, if it still counts",
                ));
            }
            if event.fault.is_some() {
                continue;
            }
            // As in the handler, the time of arrival counts, which was no later than this; never that of the replay,
            // which would put it over everything that came since. Of two at one time, the one behind in the queue wins.
            event.position = Some(EventPosition { enqueued_ms: time, sequence_number: ORDER.fetch_add(1, Relaxed) });
        }
        Ok(batch)
    }

    /// The batch in a whole request that could not be read when it came; `None` where the body is none.
    fn request(&self, letter: &DeadLetter, body: &[u8]) -> Result<Option<Batch>, Replayed> {
        if letter.stage != Stage::Envelope || letter.source != Source::default() || !is_request(body) {
            return Ok(None);
        }
        // Not its own fault: whoever runs this has not said where the function app is.
        let body = Bytes::copy_from_slice(body);
        let read =
            self.triggers.iter().map(|trigger| Invocation::read(&body, trigger)).reduce(better).ok_or_else(|| {
                let id = &letter.id;
                Replayed::NotNow(format!(
                    "{id} is a whole request, and no function.json tells how to read it: give --app-root"
                ))
            })?;
        match read {
            Ok(invocation) => Ok(Some(invocation.batch)),
            Err(error) => Err(Replayed::FailedAgain(unreplayable(letter, &format!("it is a whole request: {error}")))),
        }
    }

    /// What becomes of each event of these dead letters. One that makes the engine panic harms no other.
    async fn processed(&self, rebuilt: Rebuilt) -> Vec<(usize, Replayed)> {
        let processed = AssertUnwindSafe(self.processor.process(&rebuilt.batch)).catch_unwind().await;
        let issue = match processed {
            Ok(processed) => {
                let outcomes = processed.outcomes.into_iter();
                let replayed = outcomes.map(|outcome| Replayed::of(outcome, processed.store_accepts_writes));
                return rebuilt.owners.into_iter().zip(replayed).collect();
            }
            Err(panic) => format!("the engine panicked: {}", panic_message(&*panic)),
        };
        if rebuilt.batch.events.len() < 2 {
            let failure = poison(Stage::Envelope, None, issue);
            return rebuilt.owners.into_iter().map(|owner| (owner, Replayed::FailedAgain(failure.clone()))).collect();
        }
        let mut replayed = Vec::new();
        for single in rebuilt.singles() {
            replayed.extend(Box::pin(self.processed(single)).await);
        }
        replayed
    }
}

impl Replayed {
    fn of(outcome: Outcome, store_accepts_writes: bool) -> Self {
        match outcome {
            Outcome::Applied => Self::Applied,
            Outcome::Superseded => Self::Superseded,
            Outcome::Failed(failure) => Self::FailedAgain(failure),
            Outcome::Unresolved(failure) if is_device_failure(&failure, store_accepts_writes) => {
                Self::FailedAgain(failure)
            }
            Outcome::Unresolved(failure) => Self::NotNow(failure.issue),
        }
    }

    /// Some errors repeat what was sent, and people and audit trail are told of each.
    fn truncated(self) -> Self {
        match self {
            Self::FailedAgain(failure) => Self::FailedAgain(Failure { issue: truncated(&failure.issue), ..failure }),
            Self::NotNow(reason) => Self::NotNow(truncated(&reason)),
            Self::Applied | Self::Superseded => self,
        }
    }
}

/// Of two readings of one request the one by the trigger that it is of.
fn better(
    one: Result<Invocation, EnvelopeError>,
    other: Result<Invocation, EnvelopeError>,
) -> Result<Invocation, EnvelopeError> {
    if matches!(one, Err(EnvelopeError::MissingBinding { .. })) { other } else { one }
}

/// What a dead letter of several events comes to.
fn worse(one: Replayed, other: Replayed) -> Replayed {
    let rank = |replayed: &Replayed| match replayed {
        Replayed::NotNow(_) => 0,
        Replayed::FailedAgain(_) => 1,
        Replayed::Applied => 2,
        Replayed::Superseded => 3,
    };
    if rank(&one) <= rank(&other) { one } else { other }
}

/// Dead letters of one source on their way through the engine.
struct Rebuilt {
    batch: Batch,
    /// To which dead letter each event belongs.
    owners: Vec<usize>,
}

impl Rebuilt {
    /// Each event as a batch of its own.
    fn singles(self) -> impl Iterator<Item = Self> {
        let source = self.batch.source;
        self.batch.events.into_iter().zip(self.owners).map(move |(event, owner)| Self {
            batch: Batch { source: source.clone(), events: vec![event], ..Batch::default() },
            owners: vec![owner],
        })
    }
}

/// Puts the events of a dead letter to those of the same source.
fn join(batches: &mut Vec<Rebuilt>, owner: usize, Batch { source, mut events, metadata, message }: Batch) {
    let owners = events.iter().map(|_| owner);
    match batches.iter_mut().find(|rebuilt| rebuilt.batch.source == source) {
        Some(rebuilt) => {
            rebuilt.owners.extend(owners);
            rebuilt.batch.events.append(&mut events);
        }
        None => batches.push(Rebuilt { owners: owners.collect(), batch: Batch { source, events, metadata, message } }),
    }
}

/// Whether a body looks like a request of the host.
fn is_request(body: &[u8]) -> bool {
    serde_json::from_slice::<BTreeMap<String, &RawValue>>(body).is_ok_and(|request| request.contains_key("Data"))
}

/// The event of a dead letter with this body, and with what the host said of it.
#[must_use]
pub fn event(letter: &DeadLetter, body: Vec<u8>) -> Event {
    rebuilt(letter, body, false).events.remove(0)
}

/// A batch of the one event of a dead letter, with what the host said of it.
fn rebuilt(letter: &DeadLetter, body: Vec<u8>, is_edited: bool) -> Batch {
    let data = &letter.event_data;
    let column = |cell: &Option<Box<RawValue>>| match cell {
        Some(cell) => MetadataColumn::new(format!("[{cell}]"), 1),
        None => MetadataColumn::default(),
    };
    let metadata = EventMetadata {
        sequence_numbers: column(&data.sequence_number),
        enqueued_times: column(&data.enqueued_time_utc),
        system_properties: column(&data.system_properties),
        ..EventMetadata::default()
    };
    let mut batch =
        attach_metadata(letter.source.clone(), vec![Event { body: body.into(), ..Event::default() }], metadata);
    if is_edited {
        batch.events[0].content_type = Some("application/json".to_owned());
    }
    batch
}

/// What a replay comes to that cannot have its dead letter whole.
fn not_whole(error: FetchError, letter: &DeadLetter) -> Replayed {
    match error {
        FetchError::Lost(issue) => Replayed::FailedAgain(unreplayable(letter, &issue)),
        FetchError::Unavailable(reason) => Replayed::NotNow(reason),
    }
}

fn unreplayable(letter: &DeadLetter, issue: &str) -> Failure {
    // It got no further than before.
    poison(letter.last_stage(), device_id(letter), format!("it cannot be replayed: {issue}"))
}

fn poison(stage: Stage, device_id: Option<String>, issue: String) -> Failure {
    Failure { stage, class: ErrorClass::Poison, issue, device_id, device_state: None }
}
