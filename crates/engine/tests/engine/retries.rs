//! Whether a batch is completed or retried, over many attempts.

use std::sync::Arc;

use Operation::{Read, Write};
use bytes::Bytes;
use devicestate_engine::{
    failure::{ErrorClass, Failure, Stage},
    handler::Handler,
    processor::Outcome,
    record::{FailedAttemptRecord, Record},
    retry_decision::{Attempts, Decision},
    store::Operations,
};
use devicestate_test_doubles::{
    ANY, Envelope, FinalReply, Operation, READ_UNITS, ScriptedStore, Sent, StoreResponse, WRITE_UNITS, final_reply,
    handler, processor, readings, retry_body,
};
use serde_json::{Value, json};

pub(crate) const ID: &str = "2b8c2f6e-0000-4000-8000-000000000001";

pub(crate) fn rig() -> (Arc<ScriptedStore>, Handler) {
    let store = Arc::new(ScriptedStore::default());
    let handler = handler(processor(&store));
    (store, handler)
}

/// Creates a battery reading of each of these devices.
pub(crate) fn fleet(devices: &[&str]) -> Envelope {
    Envelope::new((10..).zip(devices).map(|(number, device)| Sent::battery(number, device, 0.5)))
}

pub(crate) async fn invoke_final(handler: &Handler, envelope: &Envelope) -> FinalReply {
    final_reply(handler.invoke(ID, &envelope.to_bytes()).await)
}

pub(crate) async fn invoke_retried(handler: &Handler, envelope: &Envelope) -> String {
    retry_body(handler.invoke(ID, &envelope.to_bytes()).await)
}

#[tokio::test(start_paused = true)]
async fn a_resolved_batch_is_completed() {
    let (_store, handler) = rig();
    let mut envelope = fleet(&["a", "b", "a"]);
    envelope.events.push(Sent::new(13, "nonsense"));
    let reply = invoke_final(&handler, &envelope).await;
    assert_eq!(reply.counts(), [3, 0, 1]);
    let record = &reply.record.attempt;
    assert_eq!((record.events, record.devices, record.number), (4, 2, 1));
    assert_eq!((record.first_sequence_number, record.last_sequence_number), (Some(10), Some(13)));
    assert_eq!(record.invocation_id, ID);
    let request_units = 2.0 * (READ_UNITS + WRITE_UNITS);
    let expected = Operations { reads: 2, writes: 2, request_units, ..Operations::default() };
    assert_eq!(record.operations, expected);
    let source = &record.source;
    assert_eq!((source.event_hub_name.as_str(), source.partition_id.as_str()), ("telemetry", "3"));
    assert_eq!(record.lag_ms, Some(60_000 - 13));

    let reply = invoke_final(&handler, &envelope.retried(1)).await;
    assert_eq!((reply.counts(), reply.record.attempt.number), ([0, 3, 1], 2));
}

#[tokio::test(start_paused = true)]
async fn an_empty_batch_is_completed() {
    let (_store, handler) = rig();
    let reply = invoke_final(&handler, &Envelope::new([])).await;
    assert_eq!((reply.counts(), reply.record.attempt.lag_ms), ([0, 0, 0], None));
}

#[tokio::test(start_paused = true)]
async fn each_dead_letter_has_a_log_record() {
    let (_store, handler) = rig();
    let nameless = Sent { partition_key: "null".into(), ..Sent::new(8, "") };
    let invalid = Sent::new(7, r#"{"deviceId":"d","flightMode":99}"#);
    let reply = invoke_final(&handler, &Envelope::new([invalid, nameless])).await;
    let [invalid, nameless] = reply.logged.as_slice() else { panic!("two of them: {:?}", reply.logged) };
    assert_eq!((invalid.sequence_number, invalid.partition_key.as_deref()), (Some(7), Some("key-7")));
    assert_eq!((nameless.sequence_number, nameless.partition_key.as_deref()), (Some(8), None));
    for (logged, letter) in reply.logged.iter().zip(&reply.dead_letters) {
        assert_eq!((&logged.dead_letter_id, &logged.issue), (&letter.id, &letter.issue));
        assert_eq!((logged.stage, logged.error_class), (letter.stage, letter.error_class));
        assert_eq!(logged.source.event_hub_name, "telemetry");
    }
    assert_eq!((invalid.stage, nameless.stage), (Stage::Validate, Stage::Deserialize));
}

#[tokio::test(start_paused = true)]
async fn an_unresolved_event_that_will_be_retried_is_not_dead_lettered() {
    let (store, handler) = rig();
    store.always(Write, "b", StoreResponse::transient());
    let mut envelope = fleet(&["a", "b"]);
    envelope.events.push(Sent::new(12, "nonsense"));
    for retry in [(0, -1), (1, 4), (3, 4)] {
        let reason = invoke_retried(&handler, &envelope.clone().with_retry(Some(retry))).await;
        assert!(reason.contains("1 of 3 events are unresolved") && reason.contains("the store is busy"), "{reason}");
        let record = failed_attempt(&reason);
        assert_eq!((record.unresolved, record.attempt.number), (1, retry.0 + 1));
        assert!(record.reason.contains("the store is busy"), "{record:?}");
        assert!(record.attempt.operations.retries > 0, "{record:?}");
        let is_of_the_first = record.attempt.lag_ms.is_some_and(|lag| lag >= 60_000 - 10);
        assert!(is_of_the_first, "the lag is that of the first event: {record:?}");
    }
    store.clear_script();
    let reply = invoke_final(&handler, &envelope.with_retry(Some((4, 4)))).await;
    assert_eq!(reply.counts(), [1, 1, 1], "the poison is written with the final reply");
}

/// Returns the record of a failed attempt.
fn failed_attempt(answer: &str) -> FailedAttemptRecord {
    let answer: Value = serde_json::from_str(answer).expect("JSON");
    match serde_json::from_str(answer["Logs"][0].as_str().expect("a line")).expect("a record") {
        Record::FailedAttempt(record) => record,
        other => panic!("no failed attempt: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn unresolved_events_are_dead_lettered_in_the_last_attempt() {
    for (answer, class) in
        [(StoreResponse::transient(), ErrorClass::Transient), (StoreResponse::systemic(), ErrorClass::Systemic)]
    {
        // The last retry, and no retry policy.
        for retry in [Some((4, 4)), Some((0, 0)), None] {
            let (store, handler) = rig();
            store.always(Write, "b", answer.clone());
            let reply = invoke_final(&handler, &fleet(&["a", "b"]).with_retry(retry)).await;
            assert_eq!(reply.counts(), [1, 0, 1], "{retry:?}");
            let letter = &reply.dead_letters[0];
            assert_eq!((letter.stage, letter.error_class), (Stage::Update, class), "{retry:?}");
            assert_eq!(letter.device_state, Some(json!({"id": "b", "Battery": 0.5})));
            assert_eq!(letter.attempt, retry.map_or(1, |(count, _)| count + 1));
            assert_eq!(reply.logged[0].device_id.as_deref(), Some("b"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_device_is_never_dead_lettered() {
    let (store, handler) = rig();
    let envelope = fleet(&["a", "b"]);
    store.always(Write, "a", StoreResponse::throttled(std::time::Duration::from_hours(1)));
    for attempt in 0..30 {
        // The writes of all other devices succeed.
        let others = Envelope::new([Sent::battery(100 + attempt, "c", 0.5)]);
        assert_eq!(invoke_final(&handler, &others).await.counts(), [1, 0, 0]);
        let reason = invoke_retried(&handler, &envelope.retried(attempt)).await;
        assert!(reason.contains("too many requests"), "{reason}");
    }
    store.clear_script();
    let reply = invoke_final(&handler, &envelope.retried(30)).await;
    assert_eq!(reply.counts(), [1, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn an_outage_never_makes_dead_letters() {
    let outages: [(Operation, StoreResponse); 4] = [
        (Read, StoreResponse::transient()),
        (Write, StoreResponse::transient()),
        (Read, StoreResponse::systemic()),
        (Write, StoreResponse::Stall),
    ];
    for (operation, answer) in outages {
        let (store, handler) = rig();
        let envelope = fleet(&["a", "b", "c"]);
        store.always(operation, ANY, answer);
        for attempt in 0..1_000 {
            invoke_retried(&handler, &envelope.retried(attempt)).await;
        }
        store.clear_script();
        assert_eq!(invoke_final(&handler, &envelope.retried(1_000)).await.counts(), [3, 0, 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_only_store_never_makes_dead_letters() {
    let (store, handler) = rig();
    invoke_final(&handler, &fleet(&["a", "b"])).await;
    store.always(Write, ANY, StoreResponse::transient());
    // Two devices have nothing to write, so a probe is sent, and the store rejects it.
    let envelope = fleet(&["a", "b", "stuck"]);
    for attempt in 0..50 {
        invoke_retried(&handler, &envelope.retried(attempt)).await;
    }
    store.clear_script();
    assert_eq!(invoke_final(&handler, &envelope.retried(50)).await.counts(), [1, 2, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_fails_alone_is_dead_lettered_in_the_fifth_attempt() {
    for operation in [Read, Write] {
        let (store, handler) = rig();
        store.always(operation, "stuck", StoreResponse::transient());
        let envelope = fleet(&["a", "stuck", "b", "stuck"]);
        for attempt in 0..4 {
            // From the second attempt on, the other devices have nothing to write.
            invoke_retried(&handler, &envelope.retried(attempt)).await;
        }
        let reply = invoke_final(&handler, &envelope.retried(4)).await;
        assert_eq!(reply.counts(), [0, 2, 2], "{operation:?}");
        for letter in &reply.dead_letters {
            assert_eq!((letter.stage, letter.error_class, letter.attempt), (Stage::Update, ErrorClass::Transient, 5));
        }
        assert_eq!(readings(&store.document("a").await.expect("a document")), json!({"Battery": 0.5}));
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_during_an_outage_do_not_count_against_a_device() {
    let (store, handler) = rig();
    let envelope = fleet(&["a", "stuck"]);
    store.always(Write, ANY, StoreResponse::transient());
    for attempt in 0..20 {
        invoke_retried(&handler, &envelope.retried(attempt)).await;
    }
    store.clear_script();
    store.always(Write, "stuck", StoreResponse::transient());
    for attempt in 20..24 {
        invoke_retried(&handler, &envelope.retried(attempt)).await;
    }
    assert_eq!(invoke_final(&handler, &envelope.retried(24)).await.counts(), [0, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn repeated_panics_end_in_dead_letters() {
    let (store, handler) = rig();
    store.always(Read, "b", StoreResponse::Panic);
    let envelope = fleet(&["a", "b", "c"]);
    for attempt in 0..4 {
        let reason = invoke_retried(&handler, &envelope.retried(attempt)).await;
        assert!(reason.contains("the store panics on b"), "{reason}");
    }
    let reply = invoke_final(&handler, &envelope.retried(4)).await;
    assert_eq!(reply.counts(), [0, 0, 3]);
    for letter in &reply.dead_letters {
        assert_eq!(letter.stage, Stage::Envelope);
        assert!(letter.issue.contains("the store panics on b"), "{}", letter.issue);
        assert_eq!(letter.device_state, None);
    }
    // The process continues.
    store.clear_script();
    assert_eq!(invoke_final(&handler, &Envelope::new([Sent::battery(50, "b", 0.9)])).await.counts(), [1, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_single_panic_makes_no_dead_letters() {
    let (store, handler) = rig();
    store.respond(Write, "b", [StoreResponse::Panic]);
    let envelope = fleet(&["a", "b", "c"]);
    invoke_retried(&handler, &envelope).await;
    let [applied, superseded, dead_lettered] = invoke_final(&handler, &envelope.retried(1)).await.counts();
    assert_eq!((applied + superseded, dead_lettered), (3, 0));
    for device in ["a", "b", "c"] {
        assert!(store.document(device).await.is_some(), "{device}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_invalid_request_is_dead_lettered_completely_after_some_attempts() {
    let (_store, mut handler) = rig();
    let requests = [b"".as_slice(), b"\xff\xfe", b"{\"Data\":{\"messages\":\"[\"", b"{\"Data\":{\"other\":\"[]\"}}"];
    let requests = requests.map(Bytes::from_static);
    for (number, request) in requests.into_iter().enumerate() {
        let id = format!("invocation-{number}");
        for _attempt in 0..4 {
            retry_body(handler.invoke(&id, &request).await);
        }
        let reply = final_reply(handler.invoke(&id, &request).await);
        assert_eq!(reply.counts(), [0, 0, 1]);
        let letter = &reply.dead_letters[0];
        assert_eq!((letter.stage, letter.invocation_id.as_str()), (Stage::Envelope, id.as_str()));
        let body = base64::Engine::decode(
            &base64::engine::general_purpose::STANDARD,
            letter.event_data.body.as_deref().expect("a body"),
        );
        assert_eq!(body.as_deref(), Ok(&request[..]));
    }
    // Immediately, if no policy guarantees another attempt.
    handler.function.retry = None;
    assert_eq!(final_reply(handler.invoke(ID, &Bytes::from_static(b"nonsense")).await).counts(), [0, 0, 1]);
}

/// Returns the outcome of an event whose device was not written.
fn unresolved(class: ErrorClass) -> Outcome {
    let (issue, device_id) = ("it was not written".to_owned(), Some("stuck".to_owned()));
    Outcome::Unresolved(Failure {
        stage: Stage::Update,
        class,
        issue,
        device_id,
        device_state: None,
        other_devices: Vec::new(),
    })
}

#[test]
fn an_exhausted_device_is_retried_after_a_failure_of_the_store() {
    let attempts = Attempts::new(2);
    let decide = |outcome, takes_writes| attempts.decide("batch", &[Outcome::Applied, outcome], true, takes_writes);
    assert_eq!(decide(unresolved(ErrorClass::Transient), true), Decision::Retry);
    for class in [ErrorClass::Throttled, ErrorClass::Systemic] {
        assert_eq!(decide(unresolved(class), true), Decision::Retry, "{class}");
    }
    // The limit is reached, but the store accepts no writes now, which may be the cause.
    attempts.forget("batch");
    assert_eq!(decide(unresolved(ErrorClass::Transient), true), Decision::Retry);
    assert_eq!(decide(unresolved(ErrorClass::Transient), false), Decision::Retry);
    assert_eq!(decide(unresolved(ErrorClass::Throttled), true), Decision::Retry);
    assert_eq!(decide(unresolved(ErrorClass::Transient), true), Decision::Complete);
}

#[test]
fn a_systemic_failure_never_counts_against_a_device() {
    let attempts = Attempts::new(5);
    for _attempt in 0..100 {
        let outcomes = [Outcome::Applied, unresolved(ErrorClass::Systemic)];
        assert_eq!(attempts.decide("batch", &outcomes, true, true), Decision::Retry);
    }
}

#[test]
fn a_completed_batch_resets_its_counts() {
    let attempts = Attempts::new(3);
    let decide = |outcome| {
        let retry_decision = attempts.decide("batch", &[Outcome::Applied, outcome], true, true);
        if retry_decision == Decision::Complete {
            attempts.forget("batch");
        }
        retry_decision
    };
    let transient = || decide(unresolved(ErrorClass::Transient));
    assert_eq!([transient(), transient()], [Decision::Retry; 2]);
    assert_eq!(decide(Outcome::Superseded), Decision::Complete, "everything is resolved");
    assert_eq!([transient(), transient(), transient()], [Decision::Retry, Decision::Retry, Decision::Complete]);
    assert_eq!([transient(), transient(), transient()], [Decision::Retry, Decision::Retry, Decision::Complete]);
    assert_eq!([transient(), transient()], [Decision::Retry; 2]);
    let last = attempts.decide("batch", &[unresolved(ErrorClass::Transient)], false, true);
    assert_eq!(last, Decision::Complete, "no further attempt");
    attempts.forget("batch");
    assert_eq!([transient(), transient()], [Decision::Retry; 2]);
}

#[test]
fn a_batch_stays_exhausted_if_its_dead_letters_could_not_be_stored() {
    let attempts = Attempts::new(2);
    let decide = || attempts.decide("batch", &[Outcome::Applied, unresolved(ErrorClass::Transient)], true, true);
    assert_eq!([decide(), decide(), decide()], [Decision::Retry, Decision::Complete, Decision::Complete]);
}
