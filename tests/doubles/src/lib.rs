//! What stands in for the surroundings of the engine in tests: a store that does as it is told, a clock that stands still,
//! chance that always falls the same way; and builders for batches and envelopes.
#![allow(missing_docs, clippy::must_use_candidate, clippy::return_self_not_must_use, reason = "only tests use it")]

mod envelope;
pub mod sessions;
mod store;

use std::{sync::Arc, time::Duration};

use devicestate_engine::{
    batch::{Batch, Event, EventPosition, Source},
    clock::{Clock, Random},
    device_state::{Document, Reading, Update, Version},
    processor::{DocumentCache, Outcome, Processed, Processor, Shared},
    telemetry::{Telemetry, drone::Drone},
};
use serde_json::{Value, json};

pub use envelope::{Envelope, FinalReply, Sent, again, final_reply, handler, read_letter};
pub use store::{ANY, Operation, READ_UNITS, ScriptedStore, StoreResponse, WRITE_UNITS};

/// The time of the events: event number n was enqueued n milliseconds later.
pub const T0: i64 = 1_732_150_000_000;

/// The time that the handler's clock shows.
pub const NOW: i64 = 1_732_150_060_000;

/// The default budget of an invocation.
pub const BUDGET: Duration = Duration::from_mins(1);

/// A clock that stands still.
pub struct StoppedClock;

impl Clock for StoppedClock {
    fn now_ms(&self) -> i64 {
        NOW
    }
}

/// Chance that always falls the same way.
pub struct NoChance;

impl Random for NoChance {
    fn fraction(&self) -> f64 {
        0.5
    }
}

pub fn processor(store: &Arc<ScriptedStore>) -> Processor {
    processor_of(store, Arc::new(Drone::default()))
}

pub fn processor_of(store: &Arc<ScriptedStore>, telemetry: Arc<dyn Telemetry>) -> Processor {
    Processor {
        telemetry,
        store: Arc::clone(store) as _,
        cache: DocumentCache::new(0),
        clock: Arc::new(StoppedClock),
        random: Arc::new(NoChance),
        observer: Arc::new(()),
        budget: BUDGET,
        concurrency: 8,
        shared: Shared::default(),
    }
}

pub fn source() -> Source {
    Source {
        fully_qualified_namespace: "ns.servicebus.windows.net".into(),
        event_hub_name: "telemetry".into(),
        consumer_group: "$Default".into(),
        partition_id: "3".into(),
        ..Source::default()
    }
}

/// The version of event number n.
pub fn version(number: i64) -> Version {
    Version { enqueued_ms: T0 + number, sequence_number: number, source: source().number() }
}

pub fn batch(events: impl IntoIterator<Item = Event>) -> Batch {
    Batch { source: source(), events: events.into_iter().collect(), ..Batch::default() }
}

/// Event number n, with this JSON as its body.
pub fn event(number: i64, body: &Value) -> Event {
    let position = Some(EventPosition { enqueued_ms: T0 + number, sequence_number: number });
    Event { body: body.to_string().into(), position, ..Event::default() }
}

/// Event number n: a battery reading.
pub fn battery(number: i64, device: &str, battery: f64) -> Event {
    event(number, &json!({"deviceId": device, "battery": battery}))
}

/// Event number n: an altitude.
pub fn altitude(number: i64, device: &str, altitude: f64) -> Event {
    event(number, &json!({"deviceId": device, "position": {"altitude": altitude}}))
}

/// Event number n, with nothing but the device's id.
pub fn heartbeat(number: i64, device: &str) -> Event {
    event(number, &json!({"deviceId": device}))
}

/// An update by these readings, all of this version.
pub fn update(version: Version, readings: &Value) -> Update {
    let fields = readings.as_object().expect("an object of readings").clone();
    let readings: Vec<_> = fields.into_iter().map(|(name, value)| Reading { name: name.into(), value }).collect();
    let mut update = Update::default();
    update.fold(version, &readings);
    update
}

/// A document with these readings, all of this version.
pub fn document(id: &str, version: Version, readings: &Value) -> Document {
    let mut document = Document::new(id.to_owned());
    document.merge(&update(version, readings));
    document
}

/// The document's readings, as JSON.
pub fn readings(document: &Document) -> Value {
    document.readings().map(|(name, value)| (name.to_owned(), value.clone())).collect::<serde_json::Map<_, _>>().into()
}

/// The outcomes in words.
pub fn kinds(processed: &Processed) -> Vec<String> {
    let kind = |outcome: &Outcome| match outcome {
        Outcome::Applied => "applied".to_owned(),
        Outcome::Superseded => "superseded".to_owned(),
        Outcome::Failed(failure) => format!("failed {:?}", failure.class).to_lowercase(),
        Outcome::Unresolved(failure) => format!("unresolved {:?}", failure.class).to_lowercase(),
    };
    processed.outcomes.iter().map(kind).collect()
}

/// What is said of an event that failed or is unresolved.
pub fn issue(processed: &Processed, index: usize) -> &str {
    match &processed.outcomes[index] {
        Outcome::Failed(failure) | Outcome::Unresolved(failure) => &failure.issue,
        outcome => panic!("event {index} did not fail: {outcome:?}"),
    }
}
