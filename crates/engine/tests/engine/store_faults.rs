//! The outcomes of a batch if the store fails or another writer interferes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use Operation::{Read, Write};
use devicestate_engine::{
    clock::Random,
    device_state::Document,
    processor::{Outcome, Processor},
    store::StoreError,
};
use devicestate_test_doubles::{
    ANY, BUDGET, Operation, ScriptedStore, StoreResponse, altitude, batch, battery, document, heartbeat, issue, kinds,
    processor, readings, update, version,
};
use serde_json::json;
use tokio::time::Instant;

fn store() -> Arc<ScriptedStore> {
    Arc::new(ScriptedStore::default())
}

/// Creates a batch with a battery reading of each of these drones.
fn fleet(drones: i64) -> devicestate_engine::batch::Batch {
    batch((0..drones).map(|n| battery(n, &format!("drone-{n}"), 0.5)))
}

#[tokio::test(start_paused = true)]
async fn concurrent_writers_keep_the_readings_of_both() {
    let theirs = update(version(50), &json!({"Altitude": 50.0, "FlightMode": 2}));
    // Without a document (the create conflicts, 409) and with one (the replace conflicts, 412).
    for has_document in [false, true] {
        let store = store();
        if has_document {
            store.put(&document("d", version(1), &json!({"Battery": 0.1, "GyrometerOK": true}))).await;
        }
        store.respond(Write, "d", [StoreResponse::OtherWriterFirst(theirs.clone())]);
        let events = [battery(40, "d", 0.4), altitude(41, "d", 41.0), altitude(42, "d", 42.0)];
        let processed = processor(&store).process(&batch(events)).await;
        assert_eq!(
            (processed.operations.conflicts, processed.operations.writes, processed.operations.reads),
            (1, 2, 2)
        );
        assert_eq!(processed.operations.retries, 0, "a conflict is not a failure");
        assert_eq!(processed.outcomes[0], Outcome::Applied);
        let document = store.document("d").await.expect("a document");
        assert_eq!(document.get("Battery"), Some(&json!(0.4)));
        assert_eq!(document.get("Altitude"), Some(&json!(50.0)), "the other writer's is newer");
        assert_eq!(document.get("FlightMode"), Some(&json!(2)));
        assert_eq!(document.get("GyrometerOK").is_some(), has_document);
    }
}

#[tokio::test(start_paused = true)]
async fn a_document_is_written_despite_repeated_conflicts() {
    let store = store();
    let others = (0..12).map(|n| StoreResponse::OtherWriterFirst(update(version(100 + n), &json!({"Altitude": 1.0}))));
    store.respond(Write, "d", others);
    let processed = processor(&store).process(&batch([battery(1, "d", 0.1)])).await;
    assert_eq!((kinds(&processed), processed.operations.conflicts), (vec!["applied".to_owned()], 12));
    let document = store.document("d").await.expect("a document");
    assert_eq!((document.version("Battery"), document.version("Altitude")), (Some(version(1)), Some(version(111))));
}

#[tokio::test(start_paused = true)]
async fn endless_conflicts_leave_the_device_unresolved_within_the_budget() {
    let store = store();
    store.put(&document("d", version(0), &json!({"Battery": 0.9}))).await;
    store.always(Write, "d", StoreResponse::Fail(StoreError::Conflict));
    let started = Instant::now();
    let processed = processor(&store).process(&batch([battery(1, "d", 0.1)])).await;
    assert_eq!(kinds(&processed), ["unresolved transient"]);
    assert!(started.elapsed() <= BUDGET, "{:?}", started.elapsed());
    assert!(processed.operations.conflicts < 1_000, "{:?}", processed.operations);
}

#[tokio::test(start_paused = true)]
async fn a_write_with_a_lost_response_is_done_once_and_counts_as_applied() {
    for has_document in [false, true] {
        let store = store();
        if has_document {
            store.put(&document("d", version(3), &json!({"Battery": 0.3}))).await;
        }
        store.respond(Write, "d", [StoreResponse::lost()]);
        let events = [battery(2, "d", 0.2), battery(4, "d", 0.4), altitude(5, "d", 5.0), heartbeat(6, "d")];
        let processed = processor(&store).process(&batch(events)).await;
        let first = if has_document { "superseded" } else { "applied" };
        assert_eq!(
            kinds(&processed),
            [first, "applied", "applied", "applied"],
            "compared with the document before the batch"
        );
        assert_eq!((processed.operations.writes, processed.operations.retries), (1, 1));
        let document = store.document("d").await.expect("a document");
        assert_eq!(readings(&document), json!({"Battery": 0.4, "Altitude": 5.0}));
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_write_is_not_mistaken_for_a_lost_response() {
    let store = store();
    store.put(&document("d", version(9), &json!({"Battery": 0.9}))).await;
    store.respond(Write, "d", [StoreResponse::transient()]);
    // The altitude is newer than the document. While its write fails, another writer writes a still newer one.
    let events = batch([altitude(5, "d", 5.0), battery(4, "d", 0.4)]);
    let engine = processor(&store);
    let other = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        store.write_bypassing_script("d", &update(version(8), &json!({"Altitude": 8.0}))).await;
    };
    let (processed, ()) = tokio::join!(engine.process(&events), other);
    assert_eq!(kinds(&processed), ["superseded", "superseded"]);
    assert_eq!(readings(&store.document("d").await.expect("a document")), json!({"Battery": 0.9, "Altitude": 8.0}));
}

#[tokio::test(start_paused = true)]
async fn transient_failures_are_retried_after_growing_delays() {
    let store = store();
    store.respond(Read, "d", [StoreResponse::transient(), StoreResponse::transient()]);
    store.respond(Write, "d", [StoreResponse::transient(), StoreResponse::transient(), StoreResponse::transient()]);
    let started = Instant::now();
    let processed = processor(&store).process(&batch([battery(1, "d", 0.1)])).await;
    assert_eq!((kinds(&processed), processed.operations.retries), (vec!["applied".to_owned()], 5));
    assert_eq!((processed.operations.reads, processed.operations.writes), (6, 4));
    assert!(started.elapsed() < BUDGET / 10, "{:?}", started.elapsed());
    let reads: Vec<_> =
        store.requests().into_iter().filter(|request| request.operation == Read).map(|request| request.at).collect();
    let delays: Vec<_> = reads.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(delays[0] >= Duration::from_millis(10), "{delays:?}");
    assert!(delays.windows(2).all(|pair| pair[1] > pair[0]), "{delays:?}");
}

#[tokio::test(start_paused = true)]
async fn the_delay_that_the_store_requests_is_respected() {
    let store = store();
    store.respond(Read, "d", [StoreResponse::throttled(Duration::from_secs(3))]);
    store.respond(Write, "d", [StoreResponse::throttled(Duration::from_secs(7))]);
    let started = Instant::now();
    let processed = processor(&store).process(&batch([battery(1, "d", 0.1), battery(2, "e", 0.2)])).await;
    assert_eq!(kinds(&processed), ["applied", "applied"]);
    assert!((10..12).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    let other_done =
        store.requests().into_iter().filter(|request| request.id == "e").map(|request| request.at - started).max();
    assert!(other_done < Some(Duration::from_secs(1)), "the others do not wait: {other_done:?}");
    let at: Vec<_> =
        store.requests().into_iter().filter(|request| request.id == "d").map(|request| request.at).collect();
    assert!(at[1] - at[0] >= Duration::from_secs(3) && at[3] - at[2] >= Duration::from_secs(7), "{at:?}");
}

#[tokio::test(start_paused = true)]
async fn a_delay_beyond_the_budget_ends_the_attempt() {
    let store = store();
    store.always(Write, "d", StoreResponse::throttled(BUDGET * 2));
    let started = Instant::now();
    let processed = processor(&store).process(&batch([battery(1, "d", 0.1)])).await;
    assert_eq!(kinds(&processed), ["unresolved throttled"]);
    assert!(issue(&processed, 0).contains("too many requests"), "{}", issue(&processed, 0));
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_device_that_always_fails_is_the_only_unresolved_one() {
    for answer in [StoreResponse::Stall, StoreResponse::transient()] {
        for operation in [Read, Write] {
            let store = store();
            store.always(operation, "drone-1", answer.clone());
            let started = Instant::now();
            let processed = processor(&store).process(&fleet(4)).await;
            assert_eq!(kinds(&processed), ["applied", "unresolved transient", "applied", "applied"], "{answer:?}");
            assert!(started.elapsed() <= BUDGET, "{:?}", started.elapsed());
            assert!(processed.store_accepts_writes);
            assert_eq!(store.document("drone-1").await, None);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stalled_store_ends_the_attempt_within_the_budget() {
    for operation in [Read, Write] {
        let store = store();
        store.always(operation, ANY, StoreResponse::Stall);
        let started = Instant::now();
        let processed = Processor { concurrency: 2, ..processor(&store) }.process(&fleet(20)).await;
        assert!(kinds(&processed).iter().all(|kind| kind.starts_with("unresolved")), "{operation:?}");
        let of_their_own = kinds(&processed).iter().filter(|kind| kind.ends_with("transient")).count();
        assert_eq!(of_their_own, 2, "{operation:?}: the devices after the first two were not started");
        let of_the_last = issue(&processed, 19);
        assert!(of_the_last.ends_with("too slow for the entire batch within `InvocationBudget`"), "{of_the_last}");
        assert!(!processed.store_accepts_writes);
        assert!(started.elapsed() <= BUDGET, "{:?}", started.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_systemic_failure_stops_the_batch_immediately() {
    for operation in [Read, Write] {
        let store = store();
        store.always(Read, ANY, StoreResponse::Slow(Duration::from_millis(5)));
        store.always(Write, ANY, StoreResponse::systemic());
        if operation == Read {
            store.clear_script();
            store.always(Read, ANY, StoreResponse::systemic());
        }
        let started = Instant::now();
        let processed = Processor { concurrency: 4, ..processor(&store) }.process(&fleet(20)).await;
        assert_eq!(kinds(&processed), vec!["unresolved systemic"; 20], "{operation:?}");
        assert!(issue(&processed, 19).contains("the key is wrong"), "{}", issue(&processed, 19));
        assert!(store.count(Read) <= 4 && store.count(Write) <= 4, "{:?}", store.requests());
        assert_eq!(processed.operations.retries, 0);
        assert!(started.elapsed() < Duration::from_secs(1));
        assert!(!processed.store_accepts_writes);
    }
}

#[tokio::test(start_paused = true)]
async fn outcomes_before_a_systemic_failure_remain() {
    let store = store();
    // The attempt begins with drone 2.
    store.always(Write, "drone-0", StoreResponse::systemic());
    let processed = Processor { concurrency: 1, ..processor(&store) }.process(&fleet(4)).await;
    assert_eq!(kinds(&processed), ["unresolved systemic", "unresolved systemic", "applied", "applied"]);
    assert!(!store.requests().iter().any(|request| request.id == "drone-1"), "no request follows the failure");
}

fn too_high(document: &Document) -> Option<StoreError> {
    let too_high = document.get("Altitude") == Some(&json!(9_999.0));
    too_high.then(|| StoreError::Rejected("413: the document is too large".into()))
}

#[tokio::test(start_paused = true)]
async fn a_rejected_write_is_bisected_to_the_poison_events() {
    for error_of in
        [too_high, |document: &Document| too_high(document).map(|error| StoreError::BadRequest(error.to_string()))]
    {
        let store = store();
        store.always(Write, "d", StoreResponse::FailIf(error_of));
        let events = [battery(1, "d", 0.1), altitude(2, "d", 9_999.0), battery(3, "d", 0.3), altitude(4, "e", 9_999.0)];
        let processed = processor(&store).process(&batch(events)).await;
        assert_eq!(kinds(&processed), ["applied", "failed poison", "applied", "applied"]);
        assert!(issue(&processed, 1).contains("413"), "{}", issue(&processed, 1));
        assert_eq!(readings(&store.document("d").await.expect("a document")), json!({"Battery": 0.3}));
        assert_eq!(store.document("d").await.expect("a document").version("Battery"), Some(version(3)));
        let Outcome::Failed(failure) = &processed.outcomes[1] else { panic!("it failed") };
        assert_eq!(failure.device_id.as_deref(), Some("d"));
        assert_eq!(failure.device_state, Some(json!({"id": "d", "Altitude": 9_999.0})), "only its own readings");
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_that_started_in_time_fails_at_the_deadline() {
    let store = store();
    let failures = std::iter::repeat_n(StoreResponse::transient(), 16);
    store.respond(Write, "d", failures.chain([StoreResponse::Stall]));
    let started = Instant::now();
    let processed = processor(&store).process(&batch([battery(1, "d", 0.1)])).await;
    let last =
        store.requests().into_iter().filter(|request| request.id == "d").map(|request| request.at - started).max();
    assert!(last > Some(BUDGET / 2), "the stalled retry started late: {last:?}");
    assert_eq!(kinds(&processed), ["unresolved transient"]);
    assert!(
        issue(&processed, 0).contains("`InvocationBudget`; before that: the store is busy"),
        "{}",
        issue(&processed, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_bad_request_for_one_of_several_devices_is_poison() {
    let store = store();
    store.always(Write, "drone-1", StoreResponse::bad_request());
    let processed = processor(&store).process(&fleet(3)).await;
    assert_eq!(kinds(&processed), ["applied", "failed poison", "applied"]);
    assert!(issue(&processed, 1).contains("the request is bad"));
}

#[tokio::test(start_paused = true)]
async fn a_bad_request_for_the_only_device_of_a_batch_is_poison() {
    let store = store();
    store.always(Write, ANY, StoreResponse::bad_request());
    assert_eq!(kinds(&processor(&store).process(&fleet(1)).await), ["failed poison"]);
}

#[tokio::test(start_paused = true)]
async fn bad_requests_for_all_of_several_devices_are_systemic() {
    let store = store();
    store.always(Write, ANY, StoreResponse::bad_request());
    let mut events: Vec<_> = fleet(3).events;
    // The two events of a device also fail one by one; an undecodable event is poison in any case.
    events.push(altitude(3, "drone-0", 1.0));
    events.push(heartbeat(4, ""));
    let processed = processor(&store).process(&batch(events)).await;
    assert_eq!(kinds(&processed)[..4], ["unresolved systemic"; 4]);
    assert_eq!(kinds(&processed)[4], "failed poison");
}

#[tokio::test(start_paused = true)]
async fn a_rejected_read_is_poison_only_for_its_device() {
    let store = store();
    store.always(Read, "drone-0", StoreResponse::rejected());
    let processed = processor(&store).process(&fleet(2)).await;
    assert_eq!(kinds(&processed), ["failed poison", "applied"]);
}

#[tokio::test(start_paused = true)]
async fn the_probe_writes_a_document_unchanged() {
    // The probe has its own time, even if a stalled device uses all the time of the devices.
    for answer in [StoreResponse::transient(), StoreResponse::Stall] {
        let store = store();
        let engine = processor(&store);
        engine.process(&fleet(3)).await;
        let before = [store.document("drone-1").await, store.document("drone-2").await];
        let repeated = || batch(fleet(3).events.into_iter().chain([battery(9, "stuck", 0.9)]));
        store.always(Write, "stuck", answer.clone());
        let processed = engine.process(&repeated()).await;
        let expected = ["superseded", "superseded", "superseded", "unresolved transient"];
        assert_eq!(kinds(&processed), expected, "{answer:?}");
        assert!(processed.store_accepts_writes, "{answer:?}: the probe wrote an existing document");
        assert_eq!([store.document("drone-1").await, store.document("drone-2").await], before, "{answer:?}");

        store.always(Write, ANY, StoreResponse::transient());
        let processed = engine.process(&repeated()).await;
        assert_eq!(kinds(&processed), expected, "{answer:?}");
        assert!(!processed.store_accepts_writes, "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn stalled_devices_delay_the_others_for_only_one_attempt() {
    let store = store();
    for device in ["drone-0", "drone-1"] {
        store.always(Read, device, StoreResponse::Stall);
    }
    let random = Arc::new(RisingRandom::default());
    let engine = Processor { concurrency: 2, random, ..processor(&store) };
    let first = engine.process(&fleet(4)).await;
    let expected = ["unresolved transient", "unresolved transient", "unresolved throttled", "unresolved throttled"];
    assert_eq!(kinds(&first), expected, "the others were never started");
    assert_eq!(store.count(Read), 2);
    let second = engine.process(&fleet(4)).await;
    assert_eq!(kinds(&second), ["unresolved transient", "unresolved transient", "applied", "applied"]);
    assert!(second.store_accepts_writes, "the store accepts writes");
}

/// Random numbers that rise by a half: the first attempt begins with the first device, the next one with that in the middle.
#[derive(Default)]
struct RisingRandom(AtomicUsize);

impl Random for RisingRandom {
    fn fraction(&self) -> f64 {
        if self.0.fetch_add(1, Relaxed) == 0 { 0.0 } else { 0.5 }
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_that_started_late_is_throttled_not_failed() {
    let store = store();
    // The attempt begins with drone 1.
    store.respond(Read, "drone-1", [StoreResponse::Slow(BUDGET * 8 / 10)]);
    store.always(Write, "drone-0", StoreResponse::transient());
    let processed = Processor { concurrency: 1, ..processor(&store) }.process(&fleet(2)).await;
    assert_eq!(kinds(&processed), ["unresolved throttled", "applied"]);
    assert!(issue(&processed, 0).contains("the store is busy"), "{}", issue(&processed, 0));
}

#[tokio::test(start_paused = true)]
async fn a_throttled_device_stays_throttled_at_the_deadline() {
    let store = store();
    let throttled = std::iter::repeat_n(StoreResponse::throttled(Duration::from_secs(6)), 8);
    store.respond(Write, "d", throttled.chain([StoreResponse::Stall]));
    let processed = processor(&store).process(&batch([battery(1, "d", 0.1), battery(2, "e", 0.1)])).await;
    assert_eq!(kinds(&processed), ["unresolved throttled", "applied"]);
    assert_eq!(issue(&processed, 0).matches("before that").count(), 1, "{}", issue(&processed, 0));
}
