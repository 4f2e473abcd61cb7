//! The cost of decoding: events that are expensive to decode delay neither the others of their batch nor other batches.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use devicestate_engine::{
    batch::Event,
    device_state::Reading,
    failure::Stage,
    handler::Response,
    processor::{Outcome, Processed, Processor},
    telemetry::{Poison, RecordTime, Records, Telemetry, drone::Drone},
};
use devicestate_test_doubles::{
    Envelope, Operation::Write, ScriptedStore, Sent, StoreResponse, batch, battery, event, final_reply, handler, kinds,
    processor, processor_with_telemetry,
};
use futures_util::future::poll_immediate;
use serde_json::{Value, json};
use tracing::{
    Level, Metadata, Subscriber,
    span::{Attributes, Id, Record},
    subscriber,
};

/// A body of unknown members with an error at its end, which is JSON or protobuf by its first byte.
fn hostile(members: usize) -> Bytes {
    let members: Vec<_> = (0..members).map(|number| format!(r#""{number:05}":1,"#)).collect();
    format!("\n{{{}\"deviceId\":\"d\",\"battery\":\"x\"}}", members.concat()).into()
}

#[tokio::test]
async fn hostile_bodies_do_not_keep_a_valid_event_of_their_batch_from_being_written() {
    let store = Arc::new(ScriptedStore::default());
    let hostile = hostile(10_000);
    let events = (0..60).map(|number| Event { body: hostile.clone(), ..event(number, &json!({})) });
    let processed = processor(&store).process(&batch(events.chain([battery(60, "innocent", 1.0)]))).await;
    let mut expected = vec!["failed poison"; 60];
    expected.push("applied");
    assert_eq!(kinds(&processed), expected);
    assert!(store.document("innocent").await.is_some());
}

#[test]
fn a_field_is_named_however_large_its_body_is() {
    let event = Event { body: hostile(100_000), ..Event::default() };
    let Err(Poison::Undecodable(issue)) = Drone::default().decode(&event) else { panic!("not undecodable") };
    assert!(issue.contains(r#"battery: invalid type: string "x", expected a number"#), "{issue}");
    let escapes = format!(r#"{{"deviceId":"d","flightMode":"{}"}}"#, r"\u0001".repeat(50_000));
    let Err(Poison::Undecodable(issue)) = Drone::default().decode(&Event { body: escapes.into(), ..Event::default() })
    else {
        panic!("not undecodable")
    };
    assert!(
        issue.starts_with("the body is not valid JSON telemetry: flightMode: unknown") && issue.len() < 1_000,
        "{issue}"
    );
}

/// Decodes drone telemetry, but takes some time for each large body. It counts what it decodes.
struct Slow {
    decoded: AtomicUsize,
    per_body: Duration,
}

const LARGE: usize = 300_000;

impl Telemetry for Slow {
    fn decode_into<'e>(&self, event: &'e Event, records: &mut Records<'_, 'e>) -> Result<(), Poison> {
        if event.body.len() > LARGE {
            self.decoded.fetch_add(1, Relaxed);
            #[expect(clippy::disallowed_methods, reason = "decoding is not asynchronous: its cost is real time")]
            thread::sleep(self.per_body);
        }
        Drone::default().decode_into(event, records)
    }
}

fn large(number: i64) -> Sent {
    Sent::new(number, json!({"deviceId": format!("d{number}"), "battery": 1, "note": "x".repeat(LARGE)}).to_string())
}

#[tokio::test]
async fn a_batch_that_cannot_be_decoded_in_time_writes_its_ordinary_events_and_converges() {
    let store = Arc::new(ScriptedStore::default());
    let telemetry = Arc::new(Slow { decoded: AtomicUsize::new(0), per_body: Duration::from_millis(10) });
    let budget = Duration::from_millis(400);
    let handler = handler(Processor { budget, ..processor_with_telemetry(&store, telemetry.clone()) });
    let envelope = Envelope::new((0..30).map(large).chain([Sent::battery(30, "innocent", 1.0)]));
    for attempt in 0..4 {
        let response = handler.invoke("slow", &envelope.retried(attempt).to_bytes()).await;
        let Response::Retry(body) = response else { panic!("attempt {attempt} is complete") };
        assert!(body.contains("was not decoded"), "{body}");
        assert!(store.document("innocent").await.is_some(), "it does not wait for large bodies");
    }
    let reply = final_reply(handler.invoke("slow", &envelope.retried(4).to_bytes()).await);
    let [applied, superseded, dead_lettered] = reply.counts();
    assert!(dead_lettered > 0 && superseded > 0, "{applied} applied, {superseded} superseded, {dead_lettered} dead");
    assert!(reply.dead_letters.iter().all(|letter| letter.stage == Stage::Deserialize));
    assert!(telemetry.decoded.load(Relaxed) < 5 * 30, "decoding stops at its deadline");
}

#[tokio::test]
async fn the_store_has_time_even_if_a_single_body_takes_the_entire_budget() {
    let store = Arc::new(ScriptedStore::default());
    let telemetry = Arc::new(Slow { decoded: AtomicUsize::new(0), per_body: Duration::from_millis(300) });
    let processor = Processor { budget: Duration::from_millis(200), ..processor_with_telemetry(&store, telemetry) };
    let large = event(1, &json!({"deviceId": "d", "battery": 1, "note": "x".repeat(LARGE)}));
    assert_eq!(kinds(&processor.process(&batch([large, battery(2, "e", 0.5)])).await), ["applied"; 2]);
}

#[tokio::test(start_paused = true)]
async fn decoding_a_large_batch_yields_to_other_batches() {
    let store = Arc::new(ScriptedStore::default());
    let processor = processor(&store);
    let body: Bytes = json!({"deviceId": "d", "battery": 1, "note": "x".repeat(1 << 20)}).to_string().into();
    let large = batch((0..10).map(|number| Event { body: body.clone(), ..event(number, &json!({})) }));
    let mut process = Box::pin(processor.process(&large));
    let mut polls = 1;
    let processed = loop {
        match poll_immediate(&mut process).await {
            Some(processed) => break processed,
            None => polls += 1,
        }
    };
    assert_eq!(polls, 11, "once after each body");
    // The last event in the batch's order wins.
    assert!(processed.outcomes.iter().all(|outcome| *outcome == Outcome::Applied), "{processed:?}");
    let small = batch([battery(20, "d", 0.5)]);
    assert!(poll_immediate(Box::pin(processor.process(&small))).await.is_some());
}

/// Decodes each large body to 100 MiB, and records what exists of the documents then.
struct Unpacking {
    store: Arc<ScriptedStore>,
    written: Mutex<Vec<usize>>,
}

impl Telemetry for Unpacking {
    fn decode_into<'e>(&self, event: &'e Event, records: &mut Records<'_, 'e>) -> Result<(), Poison> {
        if event.body.len() <= LARGE {
            return Drone::default().decode_into(event, records);
        }
        self.written.lock().expect("no panic").push(self.store.count(Write));
        let values = vec![Value::Null; (100 << 20) / size_of::<Value>()];
        records.push(Reading { name: "Values".into(), value: values.into() });
        records.finish("large", RecordTime::Service);
        Ok(())
    }
}

impl Unpacking {
    fn event(number: i64) -> Event {
        Event { body: vec![b' '; LARGE + 1].into(), ..event(number, &json!({})) }
    }

    /// Processes four large events and a small one. Three large ones, and the small one, are a portion.
    async fn process(script: impl FnOnce(&ScriptedStore)) -> (Processed, Arc<Self>) {
        let store = Arc::new(ScriptedStore::default());
        script(&store);
        let telemetry = Arc::new(Self { store: store.clone(), written: Mutex::default() });
        let events = (0..4).map(Self::event).chain([battery(4, "innocent", 1.0)]);
        let processed = processor_with_telemetry(&store, telemetry.clone()).process(&batch(events)).await;
        assert!(store.document("innocent").await.is_some());
        (processed, telemetry)
    }

    fn written(&self) -> Vec<usize> {
        self.written.lock().expect("no panic").clone()
    }
}

#[tokio::test]
async fn a_batch_that_does_not_fit_in_memory_is_written_in_portions() {
    let (processed, telemetry) = Unpacking::process(|_| ()).await;
    assert_eq!(kinds(&processed), ["applied"; 5]);
    assert_eq!((processed.records, processed.devices, processed.operations.writes), (5, 3, 3));
    assert_eq!(telemetry.written(), [0, 0, 0, 2]);
}

/// Counts the warnings in the log of a test.
struct Warnings(Arc<AtomicUsize>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN
    }

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Relaxed);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test(start_paused = true)]
async fn only_a_portion_with_unrecognized_events_warns_of_them() {
    let warnings = Arc::new(AtomicUsize::new(0));
    let _default = subscriber::set_default(Warnings(Arc::clone(&warnings)));
    let store = Arc::new(ScriptedStore::default());
    // Warnings are at least a minute apart.
    store.respond(Write, "large", [StoreResponse::Slow(Duration::from_mins(2))]);
    let telemetry = Arc::new(Unpacking { store: store.clone(), written: Mutex::default() });
    let processor =
        Processor { budget: Duration::from_mins(10), ..processor_with_telemetry(&store, telemetry.clone()) };
    let unrecognized = event(4, &json!({"deviceId": "pump", "rpm": 1}));
    let processed = processor.process(&batch((0..4).map(Unpacking::event).chain([unrecognized]))).await;
    assert_eq!(kinds(&processed), ["applied", "applied", "applied", "applied", "unrecognized"]);
    assert_eq!((telemetry.written(), warnings.load(Relaxed)), (vec![0, 0, 0, 1], 1));
}

#[tokio::test]
async fn failures_of_a_portion_keep_no_copies_of_readings() {
    let (processed, _) = Unpacking::process(|store| store.always(Write, "large", StoreResponse::rejected())).await;
    assert_eq!(kinds(&processed)[..4], ["failed poison"; 4]);
    let has_copy = |outcome: &Outcome| matches!(outcome, Outcome::Failed(failure) if failure.device_state.is_some());
    let copies: Vec<_> = processed.outcomes.iter().map(has_copy).collect();
    assert_eq!(copies, [false, false, false, true, false], "only the last portion is small");
}

#[tokio::test]
async fn if_the_store_fails_for_a_portion_the_others_wait_for_it() {
    let (processed, telemetry) =
        Unpacking::process(|store| store.always(Write, "large", StoreResponse::systemic())).await;
    assert_eq!(kinds(&processed)[..4], ["unresolved systemic"; 4]);
    assert_eq!((telemetry.written().len(), processed.records, processed.store_accepts_writes), (3, 5, false));
}

#[tokio::test(start_paused = true)]
async fn large_events_are_decoded_last_and_applied_in_the_order_of_the_batch() {
    let store = Arc::new(ScriptedStore::default());
    let large =
        |number, battery: f64| event(number, &json!({"deviceId": "d", "battery": battery, "note": "x".repeat(LARGE)}));
    let events = [battery(1, "d", 0.1), large(2, 0.2), battery(3, "d", 0.3), battery(4, "e", 0.4), large(5, 0.5)];
    let processed = processor(&store).process(&batch(events)).await;
    assert_eq!(kinds(&processed), ["applied"; 5]);
    assert_eq!(store.document("d").await.expect("a document").get("Battery"), Some(&0.5.into()));
}

/// Records the first bytes of the bodies in the order in which they are decoded.
#[derive(Default)]
struct Order(Mutex<Vec<[u8; 4]>>);

impl Telemetry for Order {
    fn decode_into<'e>(&self, event: &'e Event, records: &mut Records<'_, 'e>) -> Result<(), Poison> {
        self.0.lock().expect("no panic").push(*event.body.first_chunk().expect("four bytes"));
        records.finish("d", RecordTime::Service);
        Ok(())
    }
}

#[tokio::test]
async fn compressed_bodies_count_with_what_they_may_unpack_to() {
    let packed = [*b"\x1f\x8b\x08\0", *b"\x78\x9c\0\0", *b"\x28\xb5\x2f\xfd", *b"Obj\x01"];
    let plain = [*b"json", *b"\x78\x9d\0\0"];
    let body = |start: &[u8; 4]| Bytes::from([&start[..], &[0; 5_000]].concat());
    let events = packed.iter().chain(&plain).map(|start| Event { body: body(start), ..event(1, &json!({})) });
    let telemetry = Arc::new(Order::default());
    let store = Arc::new(ScriptedStore::default());
    processor_with_telemetry(&store, Arc::clone(&telemetry) as _).process(&batch(events)).await;
    assert_eq!(*telemetry.0.lock().expect("no panic"), [&plain[..], &packed].concat());
}
