//! Test doubles for the dependencies of the engine: a scripted store, a stopped clock, fixed randomness; and builders for
//! batches and envelopes.
#![allow(missing_docs, clippy::must_use_candidate, clippy::return_self_not_must_use, reason = "only tests use it")]

mod envelope;
pub mod sessions;
mod store;

use std::{sync::Arc, time::Duration};

use devicestate_engine::{
    batch::{Batch, Event, EventPosition, Source},
    clock::{Clock, Random},
    device_state::{Document, Reading, Update, Version},
    processor::{DocumentCache, IotHubTime, Outcome, Processed, Processor, Shared},
    telemetry::{Telemetry, drone::Drone},
    text::iso8601,
};
use serde_json::{Value, json};

pub use envelope::{Envelope, FinalReply, Sent, final_reply, handler, read_dead_letter, retry_body};
pub use store::{ANY, Operation, READ_UNITS, ScriptedStore, StoreResponse, WRITE_UNITS};

/// The base time of the events, in milliseconds since 1970: event number n was enqueued n milliseconds later.
pub const T0: i64 = 1_732_150_000_000;

/// The time of the handler's clock, in milliseconds since 1970.
pub const NOW: i64 = 1_732_150_060_000;

/// The default budget of an invocation.
pub const BUDGET: Duration = Duration::from_mins(1);

/// A clock that always returns [`NOW`].
pub struct StoppedClock;

impl Clock for StoppedClock {
    fn now_ms(&self) -> i64 {
        NOW
    }
}

/// Randomness that always returns the same number.
pub struct FixedRandom;

impl Random for FixedRandom {
    fn fraction(&self) -> f64 {
        0.5
    }
}

pub fn processor(store: &Arc<ScriptedStore>) -> Processor {
    processor_with_telemetry(store, Arc::new(Drone::default()))
}

pub fn processor_with_telemetry(store: &Arc<ScriptedStore>, telemetry: Arc<dyn Telemetry>) -> Processor {
    Processor {
        telemetry,
        store: Arc::clone(store) as _,
        iot_hub_time: IotHubTime::Enqueued,
        cache: DocumentCache::new(0),
        clock: Arc::new(StoppedClock),
        random: Arc::new(FixedRandom),
        observer: Arc::new(()),
        budget: BUDGET,
        concurrency: 8,
        heard_every: Duration::from_mins(5),
        max_readings: 1000,
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

/// Returns the time of event number n, as it is in a document.
pub fn heard(number: i64) -> String {
    iso8601(T0 + number)
}

/// Returns the version of event number n.
pub fn version(number: i64) -> Version {
    Version { time_ms: T0 + number, sequence_number: number, source: source().number(), record: 0 }
}

pub fn batch(events: impl IntoIterator<Item = Event>) -> Batch {
    Batch { source: source(), events: events.into_iter().collect(), ..Batch::default() }
}

/// Creates event number n, with this JSON as its body.
pub fn event(number: i64, body: &Value) -> Event {
    let position = Some(EventPosition { enqueued_ms: T0 + number, sequence_number: number });
    Event { body: body.to_string().into(), position, ..Event::default() }
}

/// Creates event number n with a battery reading.
pub fn battery(number: i64, device: &str, battery: f64) -> Event {
    event(number, &json!({"deviceId": device, "battery": battery}))
}

/// Creates event number n with an altitude.
pub fn altitude(number: i64, device: &str, altitude: f64) -> Event {
    event(number, &json!({"deviceId": device, "position": {"altitude": altitude}}))
}

/// Creates event number n with only the device id.
pub fn heartbeat(number: i64, device: &str) -> Event {
    event(number, &json!({"deviceId": device}))
}

/// Creates an update of an event of this version with these readings.
pub fn update(version: Version, readings: &Value) -> Update {
    let fields = readings.as_object().expect("an object of readings").clone();
    let readings: Vec<_> = fields.into_iter().map(|(name, value)| Reading { name: name.into(), value }).collect();
    let mut update = Update::default();
    update.fold(version, &readings);
    update.hear(version);
    update
}

/// Creates a document of a device with one event, which had this version and these readings.
pub fn document(id: &str, version: Version, readings: &Value) -> Document {
    let mut document = Document::new(id.to_owned());
    document.merge(&update(version, readings));
    document
}

/// Returns the document's readings, as JSON.
pub fn readings(document: &Document) -> Value {
    document.readings().map(|(name, value)| (name.to_owned(), value.clone())).collect::<serde_json::Map<_, _>>().into()
}

/// Returns the outcomes as texts, such as `failed poison`.
pub fn kinds(processed: &Processed) -> Vec<String> {
    let kind = |outcome: &Outcome| match outcome {
        Outcome::Applied => "applied".to_owned(),
        Outcome::Superseded => "superseded".to_owned(),
        Outcome::Unrecognized => "unrecognized".to_owned(),
        Outcome::Ignored => "ignored".to_owned(),
        Outcome::Failed(failure) => format!("failed {:?}", failure.class).to_lowercase(),
        Outcome::Unresolved(failure) => format!("unresolved {:?}", failure.class).to_lowercase(),
    };
    processed.outcomes.iter().map(kind).collect()
}

/// Returns the issue of an event that failed or is unresolved.
pub fn issue(processed: &Processed, index: usize) -> &str {
    match &processed.outcomes[index] {
        Outcome::Failed(failure) | Outcome::Unresolved(failure) => &failure.issue,
        outcome => panic!("event {index} did not fail: {outcome:?}"),
    }
}
