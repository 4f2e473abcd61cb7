//! Devices whose documents the store refuses or cannot write, and what they cost the others.

use std::{sync::Arc, time::Duration};

use Operation::{Read, Write};
use devicestate_engine::{
    failure::ErrorClass,
    handler::{Handler, Response},
    processor::Processor,
    store::StoreError,
};
use devicestate_test_doubles::{
    ANY, BUDGET, Envelope, FinalReply, Operation, ScriptedStore, Sent, StoreResponse, batch, battery, document,
    final_reply, kinds, processor, version,
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::retries::{ID, fleet, invoke_final, invoke_retried, rig};

/// The host's delays between attempts: from one second, doubled up to one minute.
fn host_delay(retries: i64) -> Duration {
    Duration::from_secs(1 << retries.min(6)).min(Duration::from_mins(1))
}

/// Delivers a batch as the host does, until it is completed. Returns the number of failed attempts.
async fn deliver(handler: &Handler, envelope: &Envelope) -> (i64, FinalReply) {
    for retries in 0..1_000 {
        match handler.invoke(ID, &envelope.retried(retries).to_bytes()).await {
            Response::Retry(_) => sleep(host_delay(retries)).await,
            response @ Response::Complete(_) => return (retries, final_reply(response)),
        }
    }
    panic!("the batch was not completed in 1,000 attempts");
}

/// Creates batch number n: a sick device and some others.
fn with_sick(number: i64) -> Envelope {
    let names = (0..40).map(|device| format!("drone-{device}")).chain(["sick".to_owned()]);
    Envelope::new((number * 100..).zip(names).map(|(event, device)| Sent::battery(event, &device, 0.5)))
}

#[tokio::test(start_paused = true)]
async fn twenty_batches_with_a_sick_device_cost_less_than_two_budgets_after_the_first() {
    for (operation, answer) in [
        (Write, StoreResponse::transient()),
        (Read, StoreResponse::Stall),
        (Write, StoreResponse::Stall),
        (Read, StoreResponse::refused()),
    ] {
        let (store, handler) = rig();
        store.always(operation, "sick", answer.clone());
        let (failed, reply) = deliver(&handler, &with_sick(0)).await;
        assert_eq!((failed, reply.counts()), (4, [0, 40, 1]), "{answer:?}");
        let started = Instant::now();
        for number in 1..=20 {
            let (failed, reply) = deliver(&handler, &with_sick(number)).await;
            assert_eq!((failed, reply.counts()), (0, [40, 0, 1]), "{answer:?}");
            assert_eq!(reply.dead_letters[0].error_class, ErrorClass::Transient);
        }
        assert!(started.elapsed() < 2 * BUDGET, "{answer:?}: {:?}", started.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_remembered_device_gets_one_try_until_a_write_succeeds() {
    let (store, handler) = rig();
    store.always(Write, "sick", StoreResponse::transient());
    deliver(&handler, &with_sick(0)).await;
    let before = store.requests().len();
    deliver(&handler, &with_sick(1)).await;
    let requests = store.requests().split_off(before);
    let tries = requests.iter().filter(|request| request.id == "sick" && request.operation == Write);
    assert_eq!(tries.count(), 1);
    store.clear_script();
    assert_eq!(deliver(&handler, &with_sick(2)).await.1.counts(), [41, 0, 0]);
    store.always(Write, "sick", StoreResponse::transient());
    assert_eq!(deliver(&handler, &with_sick(3)).await.0, 4, "all its attempts again");
}

#[tokio::test(start_paused = true)]
async fn a_remembered_device_gets_all_its_attempts_again_after_ten_minutes() {
    let (store, handler) = rig();
    store.always(Write, "sick", StoreResponse::transient());
    deliver(&handler, &with_sick(0)).await;
    sleep(Duration::from_mins(10)).await;
    assert_eq!(deliver(&handler, &with_sick(1)).await.0, 4);
}

#[tokio::test(start_paused = true)]
async fn a_remembered_device_is_not_dead_lettered_in_an_outage() {
    let (store, handler) = rig();
    store.always(Write, "sick", StoreResponse::transient());
    deliver(&handler, &with_sick(0)).await;
    for answer in [StoreResponse::transient(), StoreResponse::refused()] {
        store.clear_script();
        store.always(Write, ANY, answer);
        for attempt in 0..30 {
            invoke_retried(&handler, &fleet(&["sick"]).retried(attempt)).await;
        }
    }
    store.clear_script();
    assert_eq!(invoke_final(&handler, &fleet(&["sick"]).retried(30)).await.counts(), [1, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_straggler_gets_as_much_time_as_the_others_took_and_at_least_five_seconds() {
    for (others, total) in [(0, 5), (4, 16)] {
        for answer in [StoreResponse::Stall, StoreResponse::transient()] {
            let store = Arc::new(ScriptedStore::default());
            store.always(Write, "sick", answer.clone());
            for operation in [Read, Write] {
                store.respond(operation, "d", [StoreResponse::Slow(Duration::from_secs(others))]);
            }
            let started = Instant::now();
            let processed = processor(&store).process(&batch([battery(1, "sick", 0.1), battery(2, "d", 0.2)])).await;
            assert_eq!(kinds(&processed), ["unresolved transient", "applied"], "{answer:?}");
            assert_eq!(started.elapsed().as_secs(), total, "{answer:?}");
        }
    }
}

/// With a store in memory, a probe never has to wait, also if it may not.
#[tokio::test(start_paused = true)]
async fn probes_wait_for_the_store_after_stragglers_have_ended() {
    let (store, handler) = rig();
    store.always(Write, "sick", StoreResponse::transient());
    for operation in [Read, Write] {
        store.always(operation, ANY, StoreResponse::Slow(Duration::from_millis(5)));
    }
    let (failed, reply) = deliver(&handler, &with_sick(0)).await;
    assert_eq!((failed, reply.counts()), (4, [0, 40, 1]));
}

#[tokio::test(start_paused = true)]
async fn a_device_that_is_alone_in_its_batch_is_compared_with_other_documents() {
    for answer in [StoreResponse::transient(), StoreResponse::refused()] {
        // Documents that this process has written, and those that it only finds in the store.
        for is_written in [true, false] {
            let (store, handler) = rig();
            if is_written {
                invoke_final(&handler, &fleet(&["a", "b"])).await;
            } else {
                store.put(&document("a", version(1), &json!({"Battery": 0.1}))).await;
            }
            store.always(Write, "sick", answer.clone());
            let (failed, reply) = deliver(&handler, &fleet(&["sick"])).await;
            assert_eq!((failed, reply.counts()), (4, [0, 0, 1]), "{answer:?}");
        }
    }
}

/// The documents cannot be listed during an outage, and can after it.
#[tokio::test(start_paused = true)]
async fn a_device_that_fails_alone_after_an_outage_is_compared_with_other_documents() {
    let (store, handler) = rig();
    store.put(&document("a", version(1), &json!({"Battery": 0.1}))).await;
    store.fail_lists(true);
    store.always(Write, "sick", StoreResponse::transient());
    for attempt in 0..10 {
        invoke_retried(&handler, &fleet(&["sick"]).retried(attempt)).await;
    }
    store.fail_lists(false);
    assert_eq!(deliver(&handler, &fleet(&["sick"])).await.1.counts(), [0, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn without_another_document_a_failing_device_is_held() {
    let (store, handler) = rig();
    store.always(Write, "sick", StoreResponse::transient());
    for attempt in 0..50 {
        invoke_retried(&handler, &fleet(&["sick"]).retried(attempt)).await;
    }
    store.clear_script();
    assert_eq!(invoke_final(&handler, &fleet(&["sick"]).retried(50)).await.counts(), [1, 0, 0]);
}

/// Another process writes the first document that this one can compare with.
#[tokio::test(start_paused = true)]
async fn a_faulty_document_that_was_the_first_is_found_when_there_are_others() {
    let (store, handler) = rig();
    store.always(Write, "sick", StoreResponse::transient());
    for attempt in 0..10 {
        invoke_retried(&handler, &fleet(&["sick"]).retried(attempt)).await;
    }
    store.put(&document("a", version(1), &json!({"Battery": 0.1}))).await;
    assert_eq!(deliver(&handler, &fleet(&["sick"])).await.1.counts(), [0, 0, 1]);
}

/// The documents that this process knew have all failed for longer than an outage of a part of the store can take.
#[tokio::test(start_paused = true)]
async fn a_faulty_document_is_found_after_a_long_outage_of_the_store() {
    let (store, handler) = rig();
    invoke_final(&handler, &fleet(&["a", "b", "sick"])).await;
    let envelope = Envelope::new([Sent::battery(100, "sick", 0.1)]);
    store.always(Write, ANY, StoreResponse::transient());
    let started = Instant::now();
    let mut attempt = 0;
    while started.elapsed() < Duration::from_hours(3) {
        invoke_retried(&handler, &envelope.retried(attempt)).await;
        sleep(host_delay(attempt)).await;
        attempt += 1;
    }
    store.clear_script();
    store.always(Write, "sick", StoreResponse::transient());
    assert_eq!(deliver(&handler, &envelope).await.1.counts(), [0, 0, 1]);
}

/// An hour of which a batch of one device sees one document: the others that are out show that the store is the cause.
#[tokio::test(start_paused = true)]
async fn an_outage_of_each_third_document_is_held_in_batches_of_any_size() {
    for size in [1, 3, 10, 60] {
        let (store, handler) = rig();
        let names: Vec<String> = (0..60).map(|number| format!("drone-{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        invoke_final(&handler, &fleet(&names)).await;
        for name in names.iter().step_by(3) {
            store.always(Write, name, StoreResponse::transient());
        }
        let events = (100..).zip(&names[..size]).map(|(number, device)| Sent::battery(number, device, 0.25));
        let envelope = Envelope::new(events);
        let started = Instant::now();
        let mut attempt = 0;
        while started.elapsed() < Duration::from_hours(1) {
            invoke_retried(&handler, &envelope.retried(attempt)).await;
            sleep(host_delay(attempt)).await;
            attempt += 1;
        }
        store.clear_script();
        assert_eq!(invoke_final(&handler, &envelope.retried(attempt)).await.counts()[2], 0, "dead letters of {size}");
    }
}

/// A handler that starts in an outage of a part of the store writes only documents of the other part, and cannot list any.
#[tokio::test(start_paused = true)]
async fn a_handler_that_starts_in_a_partial_outage_dead_letters_nothing() {
    let (store, handler) = rig();
    let healthy: Vec<String> = (0..100).map(|number| format!("drone-{number}")).collect();
    let healthy: Vec<&str> = healthy.iter().map(String::as_str).collect();
    store.fail_lists(true);
    store.always(Write, "out", StoreResponse::transient());
    invoke_final(&handler, &fleet(&healthy)).await;
    for attempt in 0..20 {
        invoke_retried(&handler, &fleet(&["out", "drone-1"]).retried(attempt)).await;
    }
    store.clear_script();
    assert_eq!(invoke_final(&handler, &fleet(&["out"]).retried(20)).await.counts(), [1, 0, 0]);
}

/// Documents broke one by one, and the handler was started again: it cannot distinguish them from an outage, which ends at some time.
#[tokio::test(start_paused = true)]
async fn many_faulty_documents_are_held_for_two_hours_and_then_dead_lettered() {
    let (store, handler) = rig();
    let sick = ["sick-0", "sick-1", "sick-2", "sick-3", "sick-4"];
    invoke_final(&handler, &fleet(&["a", "b", "c", "d"])).await;
    for name in sick {
        store.always(Write, name, StoreResponse::transient());
    }
    let started = Instant::now();
    let (_, reply) = deliver(&handler, &fleet(&[&sick[..], &["a"]].concat())).await;
    assert_eq!(reply.counts()[2], 5);
    let minutes = started.elapsed().as_secs() / 60;
    assert!((120..130).contains(&minutes), "{minutes} min");
    assert_eq!(deliver(&handler, &fleet(&sick)).await.0, 0, "they are remembered");
}

/// Each of them is a sign of an outage for the others.
#[tokio::test(start_paused = true)]
async fn three_faulty_documents_in_batches_of_their_own_are_dead_lettered() {
    let (store, handler) = rig();
    let sick = ["sick-0", "sick-1", "sick-2"];
    invoke_final(&handler, &fleet(&[&sick[..], &["a", "b", "c"]].concat())).await;
    for name in sick {
        store.always(Write, name, StoreResponse::transient());
    }
    let envelopes: Vec<_> =
        (100..).zip(sick).map(|(number, name)| Envelope::new([Sent::battery(number, name, 0.25)])).collect();
    for attempt in 0..4 {
        for envelope in &envelopes {
            invoke_retried(&handler, &envelope.retried(attempt)).await;
        }
    }
    for envelope in &envelopes {
        assert_eq!(deliver(&handler, envelope).await.1.counts(), [0, 0, 1]);
    }
}

/// Documents that were out indicate no outage once they are accepted again, even if their devices are silent.
#[tokio::test(start_paused = true)]
async fn after_an_outage_a_faulty_document_is_found() {
    let (store, handler) = rig();
    let names: Vec<String> = (0..40).map(|number| format!("drone-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    invoke_final(&handler, &fleet(&names)).await;
    store.always(Write, ANY, StoreResponse::transient());
    for attempt in 0..3 {
        invoke_retried(
            &handler,
            &Envelope::new((100..).zip(&names).map(|(n, d)| Sent::battery(n, d, 0.1))).retried(attempt),
        )
        .await;
    }
    store.clear_script();
    store.always(Write, "drone-7", StoreResponse::transient());
    let (failed, reply) = deliver(&handler, &Envelope::new([Sent::battery(200, "drone-7", 0.2)])).await;
    assert_eq!(reply.counts(), [0, 0, 1]);
    assert!(failed < 10, "{failed} attempts");
}

/// The device sends between its readings events without any: nothing of them has to be written.
#[tokio::test(start_paused = true)]
async fn a_faulty_document_is_remembered_until_it_is_written() {
    let (store, handler) = rig();
    invoke_final(&handler, &fleet(&["sick", "a"])).await;
    store.always(Write, "sick", StoreResponse::transient());
    deliver(&handler, &with_sick(1)).await;
    let heartbeat = Envelope::new([Sent::new(500, r#"{"deviceId":"sick"}"#)]);
    assert_eq!(deliver(&handler, &heartbeat).await.1.counts(), [1, 0, 0]);
    assert_eq!(deliver(&handler, &with_sick(10)).await.0, 0);
}

/// A store rejects everything, also for the only device of a batch.
#[tokio::test(start_paused = true)]
async fn a_bad_request_for_a_device_alone_is_of_the_store_if_it_rejects_others_too() {
    let (store, handler) = rig();
    invoke_final(&handler, &fleet(&["a", "b", "c"])).await;
    store.always(Write, ANY, StoreResponse::Fail(StoreError::BadRequest("400".into())));
    let one = Envelope::new([Sent::battery(100, "a", 0.25)]);
    for attempt in 0..10 {
        invoke_retried(&handler, &one.retried(attempt)).await;
    }
    store.clear_script();
    assert_eq!(invoke_final(&handler, &one.retried(10)).await.counts(), [1, 0, 0]);
}

/// Three sick devices of a small batch are their own cause: others are accepted. Four at once are the store's.
#[tokio::test(start_paused = true)]
async fn more_than_three_devices_that_fail_at_once_are_a_failure_of_the_store() {
    for (sick, accepts) in [(3, true), (4, false)] {
        let store = Arc::new(ScriptedStore::default());
        for number in 0..sick {
            store.always(Write, &format!("drone-{number}"), StoreResponse::transient());
        }
        let events = |devices: i64| batch((0..devices).map(|number| battery(number, &format!("drone-{number}"), 0.5)));
        let engine = processor(&store);
        assert_eq!(engine.process(&events(20)).await.store_accepts_writes, accepts, "{sick} of 20");
        assert!(engine.process(&events(400)).await.store_accepts_writes, "{sick} of 400");
    }
}

#[tokio::test(start_paused = true)]
async fn two_batches_that_take_turns_begin_with_other_devices_each_time() {
    let store = Arc::new(ScriptedStore::default());
    for number in 0..4 {
        store.always(Read, &format!("drone-{number}"), StoreResponse::Stall);
    }
    let random = Arc::new(devicestate_engine::clock::System);
    let engine = Processor { concurrency: 4, random, ..processor(&store) };
    let events = || batch((0..8).map(|number| battery(number, &format!("drone-{number}"), 0.5)));
    let mut attempts = 0;
    while store.document("drone-7").await.is_none() {
        engine.process(&events()).await;
        engine.process(&events()).await;
        attempts += 1;
        assert!(attempts < 200, "no attempt begins with a device that responds");
    }
}
