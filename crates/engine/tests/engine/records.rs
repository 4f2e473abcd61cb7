//! Events that have several records.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use devicestate_engine::{
    batch::Event,
    device_state::{Reading, Version},
    failure::{ErrorClass, Stage},
    handler::{Handler, Response},
    processor::{Outcome, Processor},
    telemetry::{Poison, RecordTime, Records, Telemetry},
};
use devicestate_test_doubles::{
    Envelope, FinalReply,
    Operation::{Read, Write},
    ScriptedStore, Sent, StoreResponse, T0, batch, event, final_reply, handler, issue, kinds, processor_with_telemetry,
    readings, retry_body, version,
};
use serde_json::{Value, json};

use crate::retries::ID;

/// Events that are JSON arrays of records such as `{"id":"a","time":7,"Battery":0.5}`. A time is one of the device, in
/// milliseconds after the base time.
pub(crate) struct Lists;

impl Telemetry for Lists {
    fn decode_into<'e>(&self, event: &'e Event, records: &mut Records<'_, 'e>) -> Result<(), Poison> {
        let list: Vec<serde_json::Map<String, Value>> =
            serde_json::from_slice(&event.body).map_err(|error| Poison::Undecodable(error.to_string()))?;
        for mut record in list {
            let id = record.remove("id").and_then(|id| id.as_str().map(str::to_owned));
            if let Some(reason) = record.remove("fail") {
                records.push(Reading { name: "Half".into(), value: json!(1) });
                records.fail(id, Poison::Invalid(reason.as_str().expect("a text").to_owned()));
                continue;
            }
            let time = match record.remove("time") {
                None => RecordTime::Service,
                Some(Value::String(text)) if text == "unusable" => RecordTime::Unusable,
                Some(Value::String(_)) => RecordTime::Enqueued,
                Some(ms) => RecordTime::Device(T0 + ms.as_i64().expect("milliseconds")),
            };
            for (name, value) in record {
                match name.as_str() {
                    "panic" => panic!("the decoder of lists"),
                    "skip" => records.skip(name),
                    _ => records.push(Reading { name: name.into(), value }),
                }
            }
            match id {
                Some(id) => records.finish(id, time),
                None => records.ignore(),
            }
        }
        Ok(())
    }
}

pub(crate) fn engine(store: &Arc<ScriptedStore>) -> Processor {
    processor_with_telemetry(store, Arc::new(Lists))
}

/// Creates a store and a handler of lists.
fn rig() -> (Arc<ScriptedStore>, Handler) {
    let store = Arc::new(ScriptedStore::default());
    let handler = handler(engine(&store));
    (store, handler)
}

/// Returns the version of a record of event number n.
fn record_version(number: i64, record: u32) -> Version {
    Version { record, ..version(number) }
}

fn list(number: i64, records: &Value) -> Sent {
    Sent::new(number, records.to_string())
}

async fn invoke(handler: &Handler, envelope: &Envelope) -> Response {
    handler.invoke(ID, &envelope.to_bytes()).await
}

async fn invoke_final(handler: &Handler, envelope: &Envelope) -> FinalReply {
    final_reply(invoke(handler, envelope).await)
}

#[tokio::test(start_paused = true)]
async fn two_records_of_one_device_are_one_write_and_the_later_one_wins() {
    let store = Arc::new(ScriptedStore::default());
    let records = json!([{"id": "a", "X": 1, "Y": 1}, {"id": "b", "X": 7}, {"id": "a", "X": 2}]);
    let processed = engine(&store).process(&batch([event(5, &records)])).await;
    assert_eq!(kinds(&processed), ["applied"]);
    assert_eq!((processed.records, processed.devices, processed.operations.writes), (3, 2, 2));
    let document = store.document("a").await.expect("a document");
    assert_eq!(readings(&document), json!({"X": 2, "Y": 1}));
    assert_eq!((document.version("X"), document.version("Y")), (Some(record_version(5, 2)), Some(version(5))));
    let stored = json!(document);
    assert_eq!(stored["Versions"]["X"].as_array().map(Vec::len), Some(4));
    assert_eq!(stored["Versions"]["Heard"], json!(version(5)), "the position of the event");
    assert_eq!(readings(&store.document("b").await.expect("a document")), json!({"X": 7}));
}

#[tokio::test(start_paused = true)]
async fn packed_records_of_a_device_cost_one_read_and_one_write_in_a_batch() {
    let store = Arc::new(ScriptedStore::default());
    let records =
        |number: i64| -> Value { (0..50).map(|record| json!({"id": "a", "X": 50 * number + record})).collect() };
    let processed = engine(&store).process(&batch([1, 2, 3].map(|number| event(number, &records(number))))).await;
    let operations = processed.operations;
    assert_eq!((processed.records, operations.reads, operations.writes), (150, 1, 1));
    assert_eq!(readings(&store.document("a").await.expect("a document")), json!({"X": 199}));
}

#[tokio::test(start_paused = true)]
async fn a_repeated_event_of_several_records_is_superseded_and_writes_nothing() {
    let store = Arc::new(ScriptedStore::default());
    let engine = engine(&store);
    let events = batch([event(5, &json!([{"id": "a", "X": 1}, {"id": "a", "X": 2}, {"id": "b", "X": 3}]))]);
    engine.process(&events).await;
    let processed = engine.process(&events).await;
    assert_eq!((kinds(&processed), processed.operations.writes), (vec!["superseded".to_owned()], 0));
}

#[tokio::test(start_paused = true)]
async fn the_outcome_of_an_event_is_the_best_of_its_records() {
    let store = Arc::new(ScriptedStore::default());
    let engine = engine(&store);
    engine.process(&batch([event(9, &json!([{"id": "new", "X": 9}]))])).await;
    let old = json!({"id": "new", "X": 1});
    let unknown = json!({"id": "u", "skip": 1});
    let events = [
        event(1, &json!([old, {"id": "a", "X": 1}])),
        event(2, &json!([old, {"id": "a"}])),
        event(3, &json!([unknown, old])),
        event(4, &json!([{}, unknown])),
        event(5, &json!([{}, {}])),
        event(6, &json!([])),
        event(7, &json!([unknown, unknown])),
    ];
    let processed = engine.process(&batch(events)).await;
    let expected =
        ["applied", "applied", "superseded", "unrecognized", "ignored", "ignored", "unrecognized"].map(str::to_owned);
    assert_eq!(kinds(&processed), expected);
    // An event without a record counts as one.
    assert_eq!(processed.records, 13);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_not_valid_fails_the_event_and_not_its_other_records() {
    let (store, handler) = rig();
    let records = json!([{"id": "a", "X": 1}, {"id": "b", "fail": "b is too hot"}, {"id": "c", "X": 2},
                         {"id": "", "X": 3}, {"id": "e", "X": 4}]);
    let envelope = Envelope::new([list(1, &json!([{"id": "z", "X": 1}])), list(2, &records)]);
    let reply = invoke_final(&handler, &envelope).await;
    assert_eq!((reply.counts(), reply.record.attempt.records), ([1, 0, 1], 6));
    let letter = &reply.dead_letters[0];
    let expected = "2 of 5 records failed: record 1: b is too hot; record 3: the device id is empty";
    assert_eq!((letter.issue.as_str(), letter.device_id.as_deref()), (expected, Some("b")));
    assert_eq!((letter.stage, letter.error_class), (Stage::Validate, ErrorClass::Poison));
    for (device, value) in [("a", 1), ("c", 2), ("e", 4)] {
        assert_eq!(readings(&store.document(device).await.expect(device)), json!({ "X": value }));
    }
    assert_eq!(store.document("b").await, None);

    // Replaying the dead letter is harmless: the records that were applied are superseded.
    let replayed = engine(&store).process(&batch([event(2, &records)])).await;
    assert_eq!(kinds(&replayed), ["failed poison"]);
    assert_eq!((issue(&replayed, 0), replayed.operations.writes), (expected, 0));
    // So is replaying it after it was repaired, when newer events have arrived.
    engine(&store).process(&batch([event(3, &json!([{"id": "a", "X": 30}, {"id": "b", "X": 30}]))])).await;
    let repaired = json!([{"id": "a", "X": 1}, {"id": "b", "X": 1}, {"id": "c", "X": 2}, {"id": "d", "X": 3}]);
    let replayed = engine(&store).process(&batch([event(2, &repaired)])).await;
    assert_eq!((kinds(&replayed), replayed.operations.writes), (vec!["applied".to_owned()], 1));
    for (device, value) in [("a", 30), ("b", 30), ("c", 2), ("d", 3)] {
        assert_eq!(readings(&store.document(device).await.expect(device)), json!({ "X": value }));
    }
}

#[tokio::test(start_paused = true)]
async fn of_many_records_that_failed_the_issue_describes_the_first() {
    let store = Arc::new(ScriptedStore::default());
    let records: Vec<_> = (0..9).map(|n| json!({"id": "a", "fail": format!("fault {n}")})).collect();
    let processed = engine(&store).process(&batch([event(1, &json!(records))])).await;
    let issue = issue(&processed, 0);
    assert!(issue.starts_with("9 of 9 records failed: record 0: fault 0; record 1: fault 1; "), "{issue}");
    assert!(issue.ends_with("record 4: fault 4; and 4 more"), "{issue}");
}

#[tokio::test(start_paused = true)]
async fn a_decoder_that_panics_discards_all_records_of_its_event_only() {
    let store = Arc::new(ScriptedStore::default());
    let events = [
        event(1, &json!([{"id": "a", "X": 1}])),
        event(2, &json!([{"id": "a", "X": 2}, {"id": "b", "panic": 1}])),
        event(3, &json!([{"id": "b", "X": 3}])),
    ];
    let processed = engine(&store).process(&batch(events)).await;
    assert_eq!(kinds(&processed), ["applied", "failed poison", "applied"]);
    assert_eq!(readings(&store.document("a").await.expect("a document")), json!({"X": 1}));
}

#[tokio::test(start_paused = true)]
async fn events_of_several_records_keep_their_outcomes_among_large_ones() {
    let store = Arc::new(ScriptedStore::default());
    // A large body is decoded last.
    let large = json!([{"id": "a", "X": 1, "Text": "x".repeat(100_000)}, {"fail": "it is large"}]);
    let events = [
        event(1, &large),
        event(2, &json!([{"id": "a", "X": 2}, {"id": "b", "X": 2}])),
        event(3, &json!([{"fail": "it is small"}])),
    ];
    let processed = engine(&store).process(&batch(events)).await;
    assert_eq!(kinds(&processed), ["failed poison", "applied", "failed poison"]);
    assert_eq!(issue(&processed, 0), "1 of 2 records failed: record 1: it is large");
    assert_eq!(issue(&processed, 2), "it is small");
    assert_eq!(store.document("a").await.and_then(|held| held.get("X").cloned()), Some(json!(2)));
}

#[tokio::test(start_paused = true)]
async fn an_event_is_retried_until_each_of_its_devices_is_written_and_counted_once() {
    let (store, handler) = rig();
    let envelope = Envelope::new([list(1, &json!([{"id": "a", "X": 1}, {"id": "b", "X": 1}]))]);
    store.always(Write, "b", StoreResponse::transient());
    let error = retry_body(invoke(&handler, &envelope).await);
    assert!(error.contains("1 of 1 events are unresolved; the first: 1 of 2 records failed: record 1: "), "{error}");
    assert!(store.document("a").await.is_some() && store.document("b").await.is_none());
    store.clear_script();
    let reply = invoke_final(&handler, &envelope.retried(1)).await;
    assert_eq!(reply.counts(), [1, 0, 0], "the record of `a` is superseded now, that of `b` is applied");
}

#[tokio::test(start_paused = true)]
async fn an_event_with_a_failed_and_an_unresolved_record_waits_and_is_dead_lettered_once() {
    let (store, handler) = rig();
    let records = json!([{"id": "p", "fail": "p is poison"}, {"id": "b", "X": 1}, {"id": "a", "X": 1}]);
    let envelope = Envelope::new([list(1, &records)]);
    store.respond(Write, "b", [StoreResponse::transient()]);
    store.always(Read, "b", StoreResponse::Stall);
    retry_body(invoke(&handler, &envelope).await);
    store.clear_script();
    let reply = invoke_final(&handler, &envelope.retried(1)).await;
    assert_eq!(reply.counts(), [0, 0, 1]);
    assert_eq!(reply.dead_letters[0].issue, "1 of 3 records failed: record 0: p is poison");
    assert!(store.document("b").await.is_some());
}

#[tokio::test(start_paused = true)]
async fn each_faulty_device_of_an_event_is_counted_and_remembered() {
    let (store, handler) = rig();
    let records = json!([{"id": "ok", "X": 1}, {"id": "bad-1", "X": 1}, {"id": "bad-2", "X": 1}]);
    let envelope = Envelope::new([list(1, &records)]);
    for device in ["bad-1", "bad-2"] {
        store.always(Write, device, StoreResponse::transient());
    }
    // Another document, whose writes show that the store works.
    let other = |number| list(number, &json!([{"id": "other", "X": number}]));
    let mut attempt = 0;
    let reply = loop {
        let events = [envelope.events[0].clone(), other(2 + attempt)];
        match invoke(&handler, &Envelope::new(events).retried(attempt)).await {
            Response::Retry(_) => attempt += 1,
            complete @ Response::Complete(_) => break final_reply(complete),
        }
    };
    assert_eq!((attempt, reply.counts()), (4, [1, 0, 1]), "after five failed attempts");
    let letter = &reply.dead_letters[0];
    assert_eq!((letter.error_class, letter.device_id.as_deref()), (ErrorClass::Transient, Some("bad-1")));
    let issue = &letter.issue;
    assert!(issue.starts_with("2 of 3 records failed: record 1: ") && issue.contains("record 2: "), "{issue}");
    // Both are faulty now: each gets one try in the next batch, which completes.
    let before = store.requests().len();
    let next = json!([{"id": "bad-2", "X": 2}, {"id": "ok", "X": 2}, {"id": "bad-1", "X": 2}]);
    let reply = invoke_final(&handler, &Envelope::new([list(50, &next)])).await;
    assert_eq!(reply.counts(), [0, 0, 1]);
    for device in ["bad-1", "bad-2"] {
        let requests = &store.requests()[before..];
        let writes = requests.iter().filter(|request| request.operation == Write && request.id == device).count();
        assert_eq!(writes, 1, "{device}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_device_keeps_an_event_waiting_whatever_its_faulty_devices_are() {
    let (store, handler) = rig();
    let records = json!([{"id": "bad", "X": 1}, {"id": "ok", "X": 1}, {"id": "slow", "X": 1}]);
    let envelope = Envelope::new([list(1, &records)]);
    store.always(Write, "bad", StoreResponse::transient());
    store.always(Write, "slow", StoreResponse::throttled(Duration::from_secs(90)));
    for attempt in 0..10 {
        retry_body(invoke(&handler, &envelope.retried(attempt)).await);
    }
    // Without another attempt, the dead letter is of the throttled device.
    let reply = invoke_final(&handler, &envelope.clone().with_retry(Some((1, 1)))).await;
    let letter = &reply.dead_letters[0];
    assert_eq!((letter.error_class, letter.device_id.as_deref()), (ErrorClass::Throttled, Some("slow")));
    assert!(letter.issue.starts_with("2 of 3 records failed: record 0: "), "{}", letter.issue);
}

#[tokio::test(start_paused = true)]
async fn a_systemic_failure_keeps_an_event_of_several_devices_waiting() {
    let (store, handler) = rig();
    let records: Vec<_> = (0..5).map(|n| json!({"id": format!("d-{n}"), "X": 1})).collect();
    let envelope = Envelope::new([list(1, &json!(records))]);
    store.always(Write, "d-3", StoreResponse::systemic());
    for attempt in 0..10 {
        retry_body(invoke(&handler, &envelope.retried(attempt)).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_write_fails_only_the_records_that_the_store_rejects() {
    let store = Arc::new(ScriptedStore::default());
    // The store rejects each document in which X is 2.
    let error_of = |document: &devicestate_engine::device_state::Document| {
        let is_rejected = document.get("X") == Some(&json!(2));
        is_rejected.then(|| devicestate_engine::store::StoreError::Rejected("X is 2".into()))
    };
    store.always(Write, "a", StoreResponse::FailIf(error_of));
    let events = [
        event(1, &json!([{"id": "a", "X": 1}, {"id": "b", "X": 1}])),
        event(2, &json!([{"id": "a", "Y": 2}, {"id": "a", "X": 2}, {"id": "b", "X": 2}])),
    ];
    let processed = engine(&store).process(&batch(events)).await;
    assert_eq!(kinds(&processed), ["applied", "failed poison"]);
    let issue = issue(&processed, 1);
    assert!(issue.starts_with("1 of 3 records failed: record 1: the state document \"a\""), "{issue}");
    assert_eq!(readings(&store.document("a").await.expect("a document")), json!({"X": 1, "Y": 2}));
    assert_eq!(readings(&store.document("b").await.expect("a document")), json!({"X": 2}));
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_request_counts_as_one_record() {
    let (_store, handler) = rig();
    let response = handler.invoke("", &Bytes::from_static(b"nonsense")).await;
    assert_eq!(final_reply(response).record.attempt.records, 1);
}

#[tokio::test(start_paused = true)]
async fn the_device_state_of_a_dead_letter_is_that_of_the_first_record_that_failed() {
    let store = Arc::new(ScriptedStore::default());
    store.always(Write, "b", StoreResponse::rejected());
    let records = json!([{"id": "a", "X": 1}, {"id": "b", "X": 2}, {"fail": "no device"}]);
    let processed = engine(&store).process(&batch([event(1, &records)])).await;
    let Outcome::Failed(failure) = &processed.outcomes[0] else { panic!("{processed:?}") };
    assert_eq!(failure.device_state, Some(json!({"id": "b", "X": 2})));
}
