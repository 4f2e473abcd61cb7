//! Messages of Service Bus sessions: the rules of batches, one message at a time.

use std::time::Duration;

use bytes::Bytes;
use devicestate_engine::{
    batch::{EventPosition, Message},
    failure::{ErrorClass, Stage},
    function_app::{RetryPolicy, Trigger},
    handler::Handler,
    invocation::Invocation,
};
use devicestate_test_doubles::{
    BUDGET,
    Operation::{Read, Write},
    StoreResponse, final_reply, readings, retry_body,
    sessions::{invoke, invoke_final, rig, source, trigger},
};
use devicestate_test_support::session_message::{SECOND_ZERO_MS, SessionMessage};
use serde_json::{Value, json, value::RawValue};
use tokio::time::Instant;

/// Returns the record of a failed delivery.
async fn invoke_failing(handler: &Handler, message: &SessionMessage) -> Value {
    let answer: Value = serde_json::from_str(&retry_body(invoke(handler, message).await)).expect("JSON");
    serde_json::from_str(answer["Logs"][0].as_str().expect("a line")).expect("a record")
}

fn read(request: &Value) -> Invocation {
    Invocation::read(&request.to_string().into(), &trigger()).expect("an envelope")
}

#[test]
fn a_message_is_read_as_the_host_writes_it() {
    let message = SessionMessage { content_type: Some("application/json"), ..SessionMessage::new(7, "d/1", "{}") };
    let invocation = read(&message.delivered(3).request());
    assert_eq!((invocation.attempt_number(), invocation.will_retry()), (3, true));
    let batch = invocation.batch;
    assert_eq!(batch.source, source());
    let message = Message { session_id: "d/1".into(), message_id: "d/1/7".into(), delivery_count: 3 };
    assert_eq!(batch.message, Some(message));
    let [event] = &batch.events[..] else { panic!("one event: {batch:?}") };
    assert_eq!(*event.body, *b"{}");
    assert_eq!(event.content_type.as_deref(), Some("application/json"));
    assert_eq!(event.fault, None);
    // The host omits the fraction of a second.
    assert_eq!(event.position, Some(EventPosition { enqueued_ms: SECOND_ZERO_MS, sequence_number: 7 }));
    assert_eq!(batch.metadata.partition_keys.string(0).as_deref(), Some("d/1"));
    assert_eq!(batch.metadata.properties.cell(0).map(RawValue::get), Some(r#"{"site":"north"}"#));
}

#[test]
fn a_message_may_have_unquoted_values_and_missing_fields() {
    let plain = json!({
        "Data": { "message": "e30=" },
        "Metadata": {
            "MessageId": "m", "SessionId": "s", "DeliveryCount": 2, "SequenceNumber": 9,
            "EnqueuedTimeUtc": "2024-11-21T00:46:40.25Z", "UserProperties": { "a": 1 }, "CorrelationId": null,
        },
    });
    let batch = read(&plain).batch;
    let message = Message { session_id: "s".into(), message_id: "m".into(), delivery_count: 2 };
    assert_eq!(batch.message, Some(message));
    assert_eq!(batch.events[0].position, Some(EventPosition { enqueued_ms: SECOND_ZERO_MS + 250, sequence_number: 9 }));
    assert_eq!(batch.metadata.properties.cell(0).map(RawValue::get), Some(r#"{"a":1}"#));
    assert_eq!(batch.metadata.system_properties.text(), None);

    let of_the_admin_endpoint = read(&json!({ "Data": { "message": "e30=" }, "Metadata": null }));
    assert_eq!((of_the_admin_endpoint.attempt_number(), of_the_admin_endpoint.will_retry()), (1, false));
    assert_eq!(of_the_admin_endpoint.batch.message, Some(Message::default()));
    assert_eq!(of_the_admin_endpoint.batch.events[0].position, None);
}

#[test]
fn a_session_id_may_be_any_text() {
    for session in ["null", "17", "", "{}", "[1]", "a\"b", "\\", "\u{10348}", "\"quoted\"", "two\nlines"] {
        let batch = read(&SessionMessage::new(1, session, "{}").request()).batch;
        assert_eq!(batch.message.map(|message| message.session_id).as_deref(), Some(session));
        assert_eq!(batch.metadata.partition_keys.string(0).as_deref(), Some(session));
    }
}

#[test]
fn under_a_retry_policy_the_attempt_is_that_of_the_delivery() {
    let read = |message: SessionMessage| read(&message.request());
    let message = SessionMessage::new(1, "a", "{}");
    for (delivery, count, attempt) in [(1, 0, 1), (1, 2, 3), (2, 0, 1), (2, 1, 2)] {
        let invocation = read(message.delivered(delivery).retried(count, 2));
        assert_eq!(invocation.attempt_number(), attempt, "delivery {delivery}, retry {count}");
        assert!(invocation.will_retry(), "after the last attempt the message is delivered again");
    }
    // From the admin endpoint there is one delivery only.
    let from_admin = |count| read(message.delivered(0).retried(count, 1)).will_retry();
    assert_eq!([0, 1].map(from_admin), [true, false]);
}

#[tokio::test(start_paused = true)]
async fn under_a_retry_policy_only_the_last_attempt_of_a_delivery_is_delayed() {
    let (store, handler) = rig();
    store.always(Write, "a", StoreResponse::systemic());
    let message = SessionMessage::battery(1, "a", 0.5).delivered(2);
    for (count, attempt, seconds) in [(0, 1, 0), (1, 2, 0), (2, 3, 2)] {
        let started = Instant::now();
        let record = invoke_failing(&handler, &message.retried(count, 2)).await;
        assert_eq!((&record["attempt"], &record["deliveryCount"]), (&json!(attempt), &json!(2)));
        assert_eq!(started.elapsed().as_secs(), seconds, "the policy itself delays a retry");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_message_is_dead_lettered_immediately_under_any_retry_policy() {
    let (_store, mut handler) = rig();
    for max_retry_count in [-1, 5] {
        handler.function.retry =
            Some(RetryPolicy::FixedDelay { max_retry_count, delay_interval: Duration::from_secs(1) });
        // Each delivery has another invocation id: counting would use up all deliveries.
        let response = handler.invoke("6b0a", &Bytes::from_static(b"not json")).await;
        assert_eq!(final_reply(response).counts(), [0, 0, 1]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_completed_message_is_recorded_with_its_session() {
    let (store, handler) = rig();
    let reply = invoke_final(&handler, &SessionMessage::battery(1, "a", 0.5)).await;
    assert_eq!((reply.counts(), reply.messages.len()), ([1, 0, 0], 0));
    let record = &reply.record.attempt;
    assert_eq!((record.number, record.events, record.first_sequence_number), (1, 1, Some(1)));
    let message = Message { session_id: "a".into(), message_id: "a/1".into(), delivery_count: 1 };
    assert_eq!(record.message, Some(message));
    assert_eq!(record.source.session_queue_name, "sessions");
    assert_eq!(record.source.fully_qualified_namespace, "bus.servicebus.windows.net");
    assert_eq!(readings(&store.document("a").await.expect("a document")), json!({ "Battery": 0.5 }));
}

#[tokio::test(start_paused = true)]
async fn messages_of_one_second_are_ordered_by_sequence_number() {
    let (store, handler) = rig();
    for (number, battery, counts) in
        [(5, 0.5, [1, 0, 0]), (6, 0.6, [1, 0, 0]), (5, 0.5, [0, 1, 0]), (4, 0.4, [0, 1, 0])]
    {
        let reply = invoke_final(&handler, &SessionMessage::battery(number, "a", battery).delivered(2)).await;
        assert_eq!(reply.counts(), counts, "message {number}");
    }
    assert_eq!(readings(&store.document("a").await.expect("a document")), json!({ "Battery": 0.6 }));
}

#[tokio::test(start_paused = true)]
async fn poison_is_dead_lettered_immediately_with_its_session_fields() {
    let (_store, handler) = rig();
    let message = SessionMessage { content_type: Some("text/plain"), ..SessionMessage::new(3, "a", "nonsense") };
    let started = Instant::now();
    let reply = invoke_final(&handler, &message.delivered(4)).await;
    assert_eq!(started.elapsed(), Duration::ZERO, "only a message that is retried is delayed");
    assert_eq!(reply.counts(), [0, 0, 1]);
    let [letter] = &reply.dead_letters[..] else { panic!("one dead letter") };
    assert_eq!((letter.stage, letter.error_class, letter.attempt), (Stage::Deserialize, ErrorClass::Poison, 4));
    assert_eq!(letter.source, source());
    let data = &letter.event_data;
    assert_eq!((data.session_id.as_deref(), data.message_id.as_deref()), (Some("a"), Some("a/3")));
    assert_eq!(data.delivery_count, Some(4));
    assert_eq!(data.partition_key.as_ref().map(AsRef::as_ref).map(RawValue::get), Some(r#""a""#));
    assert_eq!(
        data.system_properties.as_ref().map(AsRef::as_ref).map(RawValue::get),
        Some(r#"{"content-type":"text/plain"}"#)
    );
    let [message] = &reply.logged[..] else { panic!("one record") };
    let expected = Message { session_id: "a".into(), message_id: "a/3".into(), delivery_count: 4 };
    assert_eq!(message.message, Some(expected));
}

#[tokio::test(start_paused = true)]
async fn the_dead_letter_id_depends_on_the_queue_and_not_on_the_delivery() {
    let (_store, mut handler) = rig();
    let message = SessionMessage::new(3, "a", "nonsense");
    let id = async |handler: &Handler, delivery| {
        let reply = invoke_final(handler, &message.delivered(delivery)).await;
        reply.dead_letters[0].id.clone()
    };
    let first = id(&handler, 1).await;
    assert_eq!(id(&handler, 2).await, first);
    let Trigger::ServiceBus(trigger) = &mut handler.function.trigger else { panic!("a queue") };
    trigger.source.session_queue_name = "others".into();
    assert_ne!(id(&handler, 1).await, first);
}

#[tokio::test(start_paused = true)]
async fn a_transient_failure_releases_the_message_after_a_growing_delay() {
    let (store, handler) = rig();
    store.always(Write, "a", StoreResponse::systemic());
    let message = SessionMessage::battery(1, "a", 0.5);
    let budget = BUDGET.as_secs();
    for (delivery, seconds) in [(1, 1), (2, 2), (3, 4), (4, 8), (40, budget), (2_000, budget)] {
        let started = Instant::now();
        let record = invoke_failing(&handler, &message.delivered(delivery)).await;
        assert_eq!(started.elapsed().as_secs(), seconds, "delivery {delivery}");
        assert_eq!((&record["attempt"], &record["deliveryCount"]), (&delivery.into(), &delivery.into()));
        assert_eq!((&record["sessionId"], &record["messageId"]), (&"a".into(), &"a/1".into()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_session_does_not_delay_the_others() {
    let (store, handler) = rig();
    store.always(Write, "a", StoreResponse::systemic());
    let started = Instant::now();
    let other = async {
        for number in 2..=50 {
            invoke_final(&handler, &SessionMessage::battery(number, "b", 0.5)).await;
        }
        started.elapsed()
    };
    let failing = SessionMessage::battery(1, "a", 0.5);
    let (_, took) = tokio::join!(invoke_failing(&handler, &failing), other);
    assert_eq!(took, Duration::ZERO);
}

/// Only a failure while the store accepts other writes counts against the device.
#[tokio::test(start_paused = true)]
async fn a_failing_device_is_dead_lettered_in_the_fifth_delivery_but_not_in_an_outage() {
    let (store, handler) = rig();
    store.always(Write, "a", StoreResponse::transient());
    let message = SessionMessage::battery(1, "a", 0.5);
    for delivery in 1..=20 {
        invoke_failing(&handler, &message.delivered(delivery)).await;
    }
    for delivery in 21..=24 {
        let other = SessionMessage::battery(delivery, "b", 0.5);
        let failing = message.delivered(delivery);
        tokio::join!(invoke_failing(&handler, &failing), invoke_final(&handler, &other));
    }
    let (other, failing) = (SessionMessage::battery(25, "b", 0.5), message.delivered(25));
    let (reply, _) = tokio::join!(invoke_final(&handler, &failing), invoke_final(&handler, &other));
    assert_eq!(reply.counts(), [0, 0, 1]);
    assert_eq!(reply.dead_letters[0].stage, Stage::Update);
}

/// An invalid setting may be the cause, and only the device's own session waits for its repair.
#[tokio::test(start_paused = true)]
async fn a_bad_request_is_poison_only_after_the_store_accepts_another_write() {
    let (store, handler) = rig();
    store.always(Write, "a", StoreResponse::bad_request());
    store.always(Read, "a", StoreResponse::Slow(Duration::from_millis(5)));
    let failing = SessionMessage::battery(1, "a", 0.5);
    for delivery in 1..=20 {
        let record = invoke_failing(&handler, &failing.delivered(delivery)).await;
        assert_eq!(record["unresolved"], 1);
    }
    let other = SessionMessage::battery(2, "b", 0.5);
    let (reply, _) = tokio::join!(invoke_final(&handler, &failing), invoke_final(&handler, &other));
    assert_eq!(reply.counts(), [0, 0, 1]);
    assert_eq!(reply.dead_letters[0].error_class, ErrorClass::Poison);
}

#[tokio::test(start_paused = true)]
async fn an_invalid_request_is_dead_lettered_completely() {
    let (_store, handler) = rig();
    let started = Instant::now();
    let request = json!({ "Data": { "other": "e30=" }, "Metadata": {} }).to_string();
    let reply = final_reply(handler.invoke("6b0a", &request.into()).await);
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert_eq!(reply.dead_letters[0].stage, Stage::Envelope);
}

#[tokio::test(start_paused = true)]
async fn a_message_without_a_delivery_count_is_dead_lettered_when_it_fails() {
    let (store, handler) = rig();
    store.always(Write, "a", StoreResponse::systemic());
    let request = json!({ "Data": { "message": "eyJkZXZpY2VJZCI6ImEiLCJiYXR0ZXJ5IjowLjV9" }, "Metadata": {} });
    let reply = final_reply(handler.invoke("6b0a", &request.to_string().into()).await);
    assert_eq!(reply.counts(), [0, 0, 1]);
    assert_eq!(reply.dead_letters[0].event_data.delivery_count, Some(0));
}
