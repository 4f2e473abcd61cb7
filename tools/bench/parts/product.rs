//! Calls of the product. If its API changes, only this module changes.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use devicestate_engine::{
    batch::{Batch, Event},
    clock::{Clock, System},
    dead_letter::{Attempt, DeadLetter},
    device_state::{Document, Update, Version},
    failure::{ErrorClass, Failure, Stage},
    function_app::{Function, FunctionApp},
    handler::{Handler, Response},
    invocation::Invocation,
    processor::{DocumentCache, IotHubTime, Outcome, Processor, Shared},
    record::{AttemptRecord, BatchRecord, Record},
    reply::Reply,
    retry_decision::Attempts,
    settings::Settings,
    store::MemoryStore,
    telemetry::{Decoded, DecodedRecord, Poison, Telemetry, drone::Drone},
};
use devicestate_local::hub::Sent;
use devicestate_read_api::{IndexedFields, ReadApi};
use devicestate_telemetry::{
    AnyTelemetry,
    file::TelemetryFile,
    formats::{AvroFormat, Formats},
    load,
    mapping::Mapping,
};
use tokio::runtime::{Builder, Runtime};

use super::requests::T0_MS;

/// The invocation id of every request.
const INVOCATION_ID: &str = "8ba6a7ab-3f1c-4b2e-9a55-3d1f0c2b7e11";

/// A clock that always returns the same time, so that all records are equal.
struct FixedClock;

impl Clock for FixedClock {
    fn now_ms(&self) -> i64 {
        T0_MS + 60_000
    }
}

/// Returns the shipped function of the event hub.
pub(super) fn function() -> Function {
    shipped("RawTelemetryFunction")
}

/// Returns the shipped function of the queue with sessions.
pub(super) fn session_function() -> Function {
    shipped("SessionTelemetryFunction")
}

fn shipped(name: &str) -> Function {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the package is in tools/bench");
    let mut functions = FunctionApp::load(root, &Settings::default())
        .expect("the function app of this repository")
        .functions
        .into_iter();
    functions.find(|function| function.name == name).expect("a function of this repository")
}

/// Returns the reader of drone telemetry.
pub(super) fn drone() -> Arc<dyn Telemetry> {
    Arc::new(Drone::default())
}

/// Returns the reader of any JSON.
pub(super) fn any_json() -> Arc<dyn Telemetry> {
    load(&Settings::default(), Path::new(env!("CARGO_MANIFEST_DIR"))).expect("any JSON is the default").telemetry
}

/// Returns the reader of JSON by a telemetry file, which makes the same readings of drone telemetry as the reader for it.
pub(super) fn mapped_json() -> Arc<dyn Telemetry> {
    let mut settings = Settings::default();
    settings.set("TelemetryFile", "drone.json");
    load(&settings, &fixture("telemetry")).expect("the telemetry file is valid").telemetry
}

/// Returns a path in the fixtures of the tests.
pub(super) fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(path)
}

/// Returns the same reader as [`mapped_json`], which also reads the time of the device and orders by it.
pub(super) fn mapped_json_with_time() -> Arc<dyn Telemetry> {
    let file = fs::read_to_string(fixture("telemetry/drone.json")).expect("the fixture");
    let file = file.replacen('{', r#"{ "time": { "from": "/time", "newest": "device" }, "#, 1);
    let file = TelemetryFile::parse(file.as_bytes()).expect("the telemetry file is valid");
    Arc::new(AnyTelemetry::new(file.mapping, Formats::default()))
}

/// Returns the reader of any JSON and of the Avro messages of the fixtures.
pub(super) fn avro() -> Arc<dyn Telemetry> {
    let format = AvroFormat { schemas: vec!["telemetry.avsc".to_owned()], ..AvroFormat::default() };
    let formats = Formats::load(Some(&format), None, &fixture("avro")).expect("the schema is valid");
    Arc::new(AnyTelemetry::new(Mapping::any_json(), formats))
}

/// Creates the engine with documents in memory and default settings.
fn processor(telemetry: Arc<dyn Telemetry>) -> Processor {
    Processor {
        telemetry,
        store: Arc::new(MemoryStore::default()),
        iot_hub_time: IotHubTime::Enqueued,
        cache: DocumentCache::new(0),
        clock: Arc::new(FixedClock),
        random: Arc::new(System),
        observer: Arc::new(()),
        budget: Duration::from_mins(1),
        concurrency: 32,
        heard_every: Duration::from_mins(5),
        max_readings: 1000,
        shared: Shared::default(),
    }
}

/// Creates a single-threaded runtime.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().expect("a runtime")
}

/// A handler with its runtime.
pub(super) struct Serving {
    handler: Handler,
    runtime: Runtime,
}

impl Serving {
    pub(super) fn new(function: Function, telemetry: Arc<dyn Telemetry>) -> Self {
        let handler = Handler {
            function,
            processor: Arc::new(processor(telemetry)),
            overflow: None,
            attempts: Attempts::new(5),
            retry_drill: None,
        };
        Self { handler, runtime: runtime() }
    }

    /// Invokes the handler with a request, as `serve` does.
    pub(super) fn invoke(&self, request: &Bytes) -> String {
        match self.runtime.block_on(self.handler.invoke(INVOCATION_ID, request)) {
            Response::Complete(reply) => reply,
            Response::Retry(body) => panic!("the batch must not be retried: {body}"),
        }
    }
}

/// An engine with its runtime.
pub(super) struct Processing {
    processor: Processor,
    runtime: Runtime,
}

impl Processing {
    pub(super) fn new(telemetry: Arc<dyn Telemetry>) -> Self {
        Self { processor: processor(telemetry), runtime: runtime() }
    }

    /// Processes a batch, all of whose events must be applied.
    pub(super) fn process(&self, batch: &Batch) {
        let processed = self.runtime.block_on(self.processor.process(batch));
        assert!(processed.outcomes.iter().all(|outcome| *outcome == Outcome::Applied), "every event is applied");
    }
}

/// The read API with its runtime.
pub(super) struct Reading {
    api: ReadApi,
    runtime: Runtime,
}

impl Reading {
    /// Returns the read API over the documents of an engine.
    pub(super) fn new(engine: &Processing) -> Self {
        let store = Arc::clone(&engine.processor.store);
        let api = ReadApi { store, indexed: IndexedFields::Every, clock: Arc::new(FixedClock) };
        Self { api, runtime: runtime() }
    }

    /// Answers a request, which must succeed.
    pub(super) fn get(&self, path: &str, query: &str) -> String {
        let request = devicestate_read_api::Request { method: "GET", path, query, if_none_match: None };
        let response = self.runtime.block_on(self.api.answer(&request));
        assert_eq!(response.status, 200, "{}", response.body);
        response.body
    }
}

/// Reads a request to the function.
pub(super) fn read(request: &Bytes, function: &Function) -> Invocation {
    Invocation::read(request, &function.trigger).expect("a request of the host")
}

/// Returns an event as it is read from its request.
pub(super) fn event(sent: Sent) -> Event {
    Event { body: sent.body.into(), content_type: sent.content_type.map(Into::into), ..Event::default() }
}

/// Decodes an event of one record.
pub(super) fn decode(telemetry: &dyn Telemetry, event: &Event) -> Decoded {
    telemetry.decode(event).expect("valid telemetry")
}

/// Decodes an event of several records.
pub(super) fn decode_records(telemetry: &dyn Telemetry, event: &Event) -> Vec<DecodedRecord> {
    telemetry.decode_records(event).expect("valid telemetry")
}

/// Decodes an event that is invalid.
pub(super) fn refuse(event: &Event) -> Poison {
    drone().decode(event).expect_err("invalid telemetry")
}

/// Folds one device's events into an update and merges it into the device's document. `position` is the sequence number of
/// the first event.
pub(super) fn fold_and_merge(document: &mut Document, position: i64, events: &[Decoded]) {
    let mut update = Update::default();
    for (position, event) in (position..).zip(events) {
        update.fold(
            Version { time_ms: T0_MS + position, sequence_number: position, source: 4_712, record: 0 },
            &event.readings,
        );
    }
    assert!(document.merge(&update), "later events change the document");
}

/// Returns the queue message for a failed event of a batch.
pub(super) fn dead_letter(batch: &Batch, index: usize) -> String {
    let failure = Failure {
        stage: Stage::Deserialize,
        class: ErrorClass::Poison,
        issue: "flightMode: \"hovering\" is not a flight mode".into(),
        device_id: None,
        device_state: None,
        other_devices: Vec::new(),
    };
    let attempt = Attempt { invocation_id: INVOCATION_ID, number: 1, time_ms: T0_MS, telemetry: "drone" };
    DeadLetter::new(batch, index, &failure, attempt).message().expect("a message that fits into the queue")
}

/// Returns the reply, with its record, to a batch whose events were all applied.
pub(super) fn reply(batch: &Batch) -> String {
    let record = Record::Batch(BatchRecord {
        attempt: AttemptRecord {
            invocation_id: INVOCATION_ID.to_owned(),
            source: (&batch.source).into(),
            first_sequence_number: Some(0),
            last_sequence_number: Some(99),
            number: 1,
            events: batch.events.len() as u64,
            devices: 100,
            decode_ms: 0.125,
            store_ms: 0.25,
            lag_ms: Some(750),
            ..AttemptRecord::default()
        },
        applied: batch.events.len() as u64,
        ..BatchRecord::default()
    });
    Reply::new("deadLetterMessages", &[], &[record]).to_json()
}
