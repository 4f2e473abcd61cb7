//! The silence watch: its records, its marks, and the events that arrive beside it.

mod store_failures;
mod timed_store;

use std::{
    collections::HashMap,
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use devicestate_engine::{
    clock::Clock,
    device_state::Document,
    observer::Observer,
    processor::{DocumentCache, Processor},
    record::{Record, SilenceWatchRecord},
    settings::Settings,
    silence::{SilenceError, SilenceWatch, silent_after},
    store::{ETag, Page, RequestCharge, Selection, StateStore, StoreError, Stored, Written, WrittenRange},
};
use devicestate_test_doubles::{
    ANY,
    Operation::{Read, Write},
    ScriptedStore, StoreResponse, T0, batch, battery, document, heard, heartbeat, kinds, processor, update, version,
};
use serde_json::json;

use timed_store::TimedStore;

const SILENT_AFTER: i64 = 1_800_000;
const HEARD_EVERY: i64 = 300_000;
const THRESHOLD: i64 = SILENT_AFTER + HEARD_EVERY;
const BUDGET: Duration = Duration::from_secs(20);

fn span(ms: i64) -> Duration {
    Duration::from_millis(ms.unsigned_abs())
}

/// A clock that a test sets, in milliseconds after the base time.
#[derive(Default)]
struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now_ms(&self) -> i64 {
        T0 + self.0.load(SeqCst)
    }
}

/// The records so far, such as `silent a`.
#[derive(Default)]
struct Recorded(Mutex<Vec<String>>);

impl Observer for Recorded {
    fn record(&self, record: &Record) {
        let text = match record {
            Record::DeviceSilent(record) => format!("silent {}", record.device_id),
            Record::DeviceBack(record) => format!("back {}", record.device_id),
            other => panic!("the watch records only devices: {other:?}"),
        };
        self.0.lock().expect("no panic").push(text);
    }
}

/// A store, its processor and a watch of it.
struct Rig {
    store: Arc<TimedStore>,
    processor: Processor,
    clock: Arc<TestClock>,
    recorded: Arc<Recorded>,
    watch: SilenceWatch,
}

impl Rig {
    fn new() -> Self {
        let store = Arc::new(TimedStore::default());
        let (clock, recorded) = (Arc::default(), Arc::default());
        let watch = watch(&store, &clock, &recorded);
        let processor = Processor {
            store: Arc::clone(&store) as _,
            cache: DocumentCache::new(1 << 20),
            ..processor(&store.scripted)
        };
        Self { store, processor, clock, recorded, watch }
    }

    /// Sets the time, in milliseconds after the base time.
    fn at(&self, ms: i64) -> &Self {
        self.clock.0.store(ms, SeqCst);
        self.store.clock.0.store(ms, SeqCst);
        self
    }

    /// Starts the handler anew: only the store remains.
    fn restart(&mut self) {
        self.watch = watch(&self.store, &self.clock, &self.recorded);
    }

    async fn try_run(&self) -> (SilenceWatchRecord, Result<(), SilenceError>) {
        self.watch.run(BUDGET).await
    }

    /// Runs the watch and returns the records of devices, in the order of their texts.
    async fn run(&self) -> Vec<String> {
        let (summary, result) = self.try_run().await;
        result.expect("the store works");
        assert!(summary.is_complete, "{summary:?}");
        self.take_records()
    }

    fn take_records(&self) -> Vec<String> {
        let mut records = std::mem::take(&mut *self.recorded.0.lock().expect("no panic"));
        records.sort();
        records
    }

    async fn mark(&self, id: &str) -> Option<i64> {
        self.store.scripted.document(id).await.expect("a document").silent_since().map(|ms| ms - T0)
    }
}

fn watch(store: &Arc<TimedStore>, clock: &Arc<TestClock>, recorded: &Arc<Recorded>) -> SilenceWatch {
    let spans = (span(SILENT_AFTER), span(HEARD_EVERY));
    SilenceWatch::new(Arc::clone(store) as _, Arc::clone(clock) as _, Arc::clone(recorded) as _, spans, 4)
}

const NONE: [&str; 0] = [];

#[tokio::test(start_paused = true)]
async fn a_device_that_falls_silent_is_recorded_once_by_any_process() {
    let mut rig = Rig::new();
    rig.store.put("a", 1_000).await;
    rig.store.put("b", 2_000).await;
    assert_eq!(rig.at(1_000 + THRESHOLD - 1).run().await, NONE, "heard too recently");
    assert_eq!(rig.at(1_000 + THRESHOLD).run().await, ["silent a"]);
    assert_eq!((rig.mark("a").await, rig.mark("b").await), (Some(1_000), None));
    assert_eq!(rig.at(2_000 + THRESHOLD).run().await, ["silent b"]);
    for days in 1..4 {
        assert_eq!(rig.at(days * 86_400_000).run().await, NONE, "it is marked");
        rig.restart();
        assert_eq!(rig.run().await, NONE, "the mark outlives the process");
    }
}

#[tokio::test(start_paused = true)]
async fn each_document_is_examined_about_once() {
    let rig = Rig::new();
    for number in 0..250 {
        rig.store.put(&format!("{number:03}"), number * 10_000).await;
    }
    let (mut examined, mut silent, mut minute) = (0, 0, 0);
    while silent < 250 {
        let (summary, result) = rig.at(minute * 60_000).try_run().await;
        result.expect("the store works");
        (examined, silent, minute) = (examined + summary.examined, silent + summary.silent, minute + 1);
    }
    // Once to be marked, and each mark once or twice more: by the search for devices that are back, and once it is old.
    assert!(examined <= 250 * 4, "{examined}");
}

#[tokio::test(start_paused = true)]
async fn devices_that_fell_silent_together_cost_nothing_for_as_long_as_they_are_silent() {
    let rig = Rig::new();
    for number in 0..1_100 {
        rig.store.put(&format!("{number:04}"), number).await;
    }
    let (mut examined, mut last) = (0, 0);
    // Two hours: the marks, too, become older than the threshold.
    for minute in 0..120 {
        let (summary, result) = rig.at(THRESHOLD + 60_000 * (1 + minute)).try_run().await;
        result.expect("the store works");
        (examined, last) = (examined + summary.examined, summary.examined);
    }
    assert_eq!((last, rig.take_records().len()), (0, 100));
    // Once to be marked, and the mark four times by each search.
    assert!(examined <= 1_100 * 9, "{examined}");
    // The others are watched as before.
    rig.processor.process(&batch([battery(THRESHOLD + 7_200_000, "0007", 0.6)])).await;
    assert_eq!(rig.at(THRESHOLD + 7_260_000).run().await, ["back 0007"]);
    assert_eq!(rig.at(3 * THRESHOLD + 7_260_000).run().await, ["silent 0007"]);
}

#[tokio::test(start_paused = true)]
async fn an_event_right_after_the_mark_is_applied_and_ends_the_silence() {
    for event in [battery(THRESHOLD + 9, "a", 0.7), heartbeat(THRESHOLD + 9, "a")] {
        let rig = Rig::new();
        // The processor has the document in its cache, with the tag that the mark replaces.
        rig.at(0).processor.process(&batch([battery(0, "a", 0.5)])).await;
        assert_eq!(rig.at(THRESHOLD).run().await, ["silent a"]);
        assert_eq!(kinds(&rig.processor.process(&batch([event])).await), ["applied"]);
        assert_eq!(rig.mark("a").await, Some(0), "only the watch removes the mark");
        assert_eq!(rig.run().await, ["back a"]);
        assert_eq!((rig.mark("a").await, rig.run().await.len()), (None, 0));
        // The removal of the mark does not keep the processor from the next event, and the next silence is another one.
        let next = rig.at(2 * THRESHOLD).processor.process(&batch([battery(2 * THRESHOLD, "a", 0.9)])).await;
        assert_eq!(kinds(&next), ["applied"]);
        let document = rig.store.scripted.document("a").await.expect("a document");
        assert_eq!(document.get("Battery"), Some(&json!(0.9)));
        assert_eq!(rig.at(3 * THRESHOLD).run().await, ["silent a"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_that_sends_all_the_time_is_found_back_by_any_clock_of_the_store() {
    let rig = Rig::new();
    rig.store.put("a", 0).await;
    assert_eq!(rig.at(THRESHOLD).run().await, ["silent a"]);
    // It was written just now, by a clock of the store that is ahead.
    let mut event = update(version(THRESHOLD + 5), &json!({"Battery": 0.7}));
    event.hear(version(THRESHOLD + 5));
    rig.store.scripted.write_bypassing_script("a", &event).await;
    rig.store.written.lock().expect("no panic").insert("a".to_owned(), T0 + THRESHOLD + 30_000);
    assert_eq!(rig.run().await, ["back a"]);
}

#[tokio::test(start_paused = true)]
async fn an_event_between_reading_and_marking_is_kept_and_the_record_is_taken_back() {
    let rig = Rig::new();
    rig.store.put("a", 0).await;
    let event = update(version(THRESHOLD), &json!({"Battery": 0.9}));
    rig.store.scripted.respond(Write, "a", [StoreResponse::OtherWriterFirst(event)]);
    assert_eq!(rig.at(THRESHOLD).run().await, ["back a", "silent a"]);
    let document = rig.store.scripted.document("a").await.expect("a document");
    assert_eq!((document.get("Battery"), document.silent_since()), (Some(&json!(0.9)), None));
}

#[tokio::test(start_paused = true)]
async fn an_event_between_reading_and_unmarking_leaves_the_mark_to_the_next_run() {
    let rig = Rig::new();
    rig.store.put("a", 0).await;
    rig.at(THRESHOLD).run().await;
    rig.processor.process(&batch([battery(THRESHOLD, "a", 0.6)])).await;
    let event = update(version(THRESHOLD + 1), &json!({"Battery": 0.9}));
    rig.store.scripted.respond(Write, "a", [StoreResponse::OtherWriterFirst(event)]);
    for _ in 0..2 {
        assert_eq!(rig.run().await, ["back a"], "at least once");
    }
    assert_eq!((rig.mark("a").await, rig.run().await.len()), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn two_watches_at_once_agree() {
    let rig = Rig::new();
    for id in ["a", "b", "c"] {
        rig.store.put(id, 0).await;
    }
    let other = watch(&rig.store, &rig.clock, &rig.recorded);
    rig.at(THRESHOLD);
    for _ in 0..2 {
        let ((_, one), (_, two)) = tokio::join!(rig.watch.run(BUDGET), other.run(BUDGET));
        one.and(two).expect("the store works");
    }
    let mut records = rig.take_records();
    records.dedup();
    assert_eq!(records, ["silent a", "silent b", "silent c"]);
    assert_eq!(rig.mark("a").await, Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_steps_back_loses_and_repeats_nothing() {
    let rig = Rig::new();
    rig.store.put("a", 0).await;
    rig.store.put("b", 600_000).await;
    assert_eq!(rig.at(THRESHOLD).run().await, ["silent a"]);
    assert_eq!(rig.at(THRESHOLD - 3_600_000).run().await, NONE);
    // Written later, by a clock of the store that is slow.
    rig.store.put("late", -50_000).await;
    assert_eq!(rig.at(THRESHOLD).run().await, ["silent late"]);
    assert_eq!(rig.at(THRESHOLD + 600_000).run().await, ["silent b"]);
}

#[tokio::test(start_paused = true)]
async fn a_late_event_delays_the_record_but_is_no_sign_of_life() {
    let rig = Rig::new();
    // Enqueued an hour before it was stored.
    rig.store.put_document(&document("a", version(-3_600_000), &json!({"Battery": 0.5})), 0).await;
    assert_eq!(rig.at(0).run().await, NONE, "its document was just written");
    assert_eq!(rig.at(THRESHOLD).run().await, ["silent a"]);
    // An older event of another reading changes the document, and the device is as silent as before.
    rig.processor.process(&batch([battery(-3_599_999, "b", 0.5)])).await;
    rig.store.scripted.write_bypassing_script("a", &update(version(-3_600_001), &json!({"Altitude": 1.0}))).await;
    rig.store.note("a");
    assert_eq!(rig.run().await, NONE);
    assert_eq!(rig.mark("a").await, Some(-3_600_000));
}

#[tokio::test(start_paused = true)]
async fn a_document_without_heard_is_as_old_as_its_newest_reading_and_others_are_never_marked() {
    let rig = Rig::new();
    let earlier = json!({"id": "a", "x": 1, "y": 2, "Versions": {"x": version(-9_000), "y": version(-5_000)}});
    let foreign = json!({"id": "b", "x": 1});
    for document in [earlier, foreign] {
        rig.store.put_document(&serde_json::from_value(document).expect("a document"), 0).await;
    }
    assert_eq!(rig.at(THRESHOLD).run().await, ["silent a"]);
    assert_eq!((rig.mark("a").await, rig.mark("b").await), (Some(-5_000), None));
    rig.processor.process(&batch([heartbeat(THRESHOLD, "a")])).await;
    assert_eq!(rig.run().await, ["back a"]);
}

#[tokio::test(start_paused = true)]
async fn a_document_whose_time_of_writing_is_unknown_is_examined_first() {
    let rig = Rig::new();
    // A store that did not record the time at that time.
    rig.store.put_document(&document("a", version(0), &json!({"Battery": 0.5})), -T0).await;
    assert_eq!(rig.at(THRESHOLD).run().await, ["silent a"]);
}

#[tokio::test(start_paused = true)]
async fn an_event_beside_the_watch_is_never_lost() {
    // The event is stored before the watch, after it, or between its reading and its writing.
    for delay in [0, 5, 15, 25] {
        let rig = Rig::new();
        rig.at(0).processor.process(&batch([battery(0, "a", 0.5)])).await;
        rig.at(THRESHOLD);
        for operation in [Read, Write] {
            rig.store.scripted.always(operation, ANY, StoreResponse::Slow(Duration::from_millis(10)));
        }
        let event = batch([battery(THRESHOLD, "a", 0.9)]);
        let late = async {
            tokio::time::sleep(Duration::from_millis(delay)).await;
            rig.processor.process(&event).await
        };
        let ((_, result), processed) = tokio::join!(rig.watch.run(BUDGET), late);
        result.expect("the store works");
        assert_eq!(kinds(&processed), ["applied"], "{delay}");
        rig.run().await;
        let document = rig.store.scripted.document("a").await.expect("a document");
        assert_eq!((document.get("Battery"), document.silent_since()), (Some(&json!(0.9)), None), "{delay}");
        assert_eq!(json!(document)["Heard"], json!(heard(THRESHOLD)));
    }
}

#[test]
fn the_setting_is_at_least_twice_what_documents_are_exact_to() {
    let read = |value: &str, heard_every| {
        let mut settings = Settings::default();
        settings.set("SilentAfter", value);
        silent_after(&settings, heard_every)
    };
    let minutes = Duration::from_mins;
    assert_eq!(silent_after(&Settings::default(), minutes(5)), Ok(None));
    assert_eq!(read("", minutes(5)), Ok(None), "as the template sets it");
    assert_eq!(read("00:10:00", minutes(5)), Ok(Some(minutes(10))));
    assert_eq!(read("00:00:00.001", Duration::ZERO), Ok(Some(Duration::from_millis(1))));
    for (value, heard_every) in
        [("00:09:59", minutes(5)), ("00:00:00", Duration::ZERO), ("15m", minutes(5)), ("-00:15:00", minutes(5))]
    {
        let error = read(value, heard_every).expect_err(value).to_string();
        for word in ["`SilentAfter`", "twice `HeardEvery`", value] {
            assert!(error.contains(word), "{word}: {error}");
        }
    }
}
