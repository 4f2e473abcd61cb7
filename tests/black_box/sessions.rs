//! The function for Service Bus sessions: one message per invocation. It runs next to the function for the event hub.

use devicestate_test_support::{
    App, Batch, Event, Framing, Handler, Reply, Response, SESSIONS, read_record, recording,
    session_message::SessionMessage,
};
use serde_json::{Value, json};

const NAMESPACE: &str = "bus.servicebus.windows.net";

fn app() -> App {
    App::shipped().with("ServiceBusConnection__fullyQualifiedNamespace", NAMESPACE).with("SessionQueueName", "sessions")
}

/// Delivers a message in an invocation of its own.
fn deliver(handler: &Handler, message: &SessionMessage) -> Response {
    let invocation_id = uuid::Uuid::new_v4().to_string();
    handler.call(SESSIONS, &invocation_id, &message.to_bytes(), Framing::Chunked(16_384))
}

fn complete(handler: &Handler, message: &SessionMessage) -> Reply {
    Reply::from_response(&deliver(handler, message))
}

#[test]
fn session_messages_and_hub_events_update_the_same_documents() {
    let app = app();
    let handler = app.start();
    complete(&handler, &SessionMessage::battery(1, "drone-7", 0.5)).assert_all_applied(1);
    complete(&handler, &SessionMessage::battery(2, "drone-7", 0.25)).assert_all_applied(1);
    handler.invoke(&Batch::of([Event::json(1, &json!({"deviceId": "drone-8", "battery": 1.0}))]).envelope());
    assert_eq!(handler.readings("drone-7")["Battery"], 0.25);
    assert_eq!(handler.readings("drone-8")["Battery"], 1.0);
    let reply = complete(&handler, &SessionMessage::battery(1, "drone-7", 0.5).delivered(2));
    assert_eq!(reply.counts(), [1, 0, 1, 0]);
    assert_eq!(handler.readings("drone-7")["Battery"], 0.25);
    let record = &reply.batch;
    let values = ["fullyQualifiedNamespace", "sessionQueueName", "sessionId", "messageId"].map(|name| &record[name]);
    assert_eq!(values, [NAMESPACE, "sessions", "drone-7", "drone-7/1"]);
    assert_eq!((&record["attempt"], &record["deliveryCount"]), (&json!(2), &json!(2)));
}

#[test]
fn a_poison_message_is_dead_lettered_with_its_session_message_and_delivery() {
    let app = app();
    let handler = app.start();
    let reply = complete(&handler, &SessionMessage::new(3, "drone-7", "nonsense").delivered(2));
    let letter = reply.dead_letter();
    let data = &letter["EventData"];
    assert_eq!([&data["SessionId"], &data["MessageId"], &data["PartitionKey"]], ["drone-7", "drone-7/3", "drone-7"]);
    assert_eq!((&data["DeliveryCount"], &letter["Attempt"]), (&json!(2), &json!(2)));
    assert_eq!(letter["Source"]["SessionQueueName"], "sessions");
    let [record] = &reply.records[..] else { panic!("one record of a dead letter") };
    assert_eq!([&record["sessionId"], &record["messageId"]], ["drone-7", "drone-7/3"]);
    assert_eq!(record["deliveryCount"], 2);
}

/// A host that stops abandons a message although the handler has answered 200.
#[test]
fn a_message_that_is_delivered_again_after_a_success_is_superseded_or_has_a_second_letter_with_the_same_id() {
    let app = app();
    let handler = app.start();
    let message = SessionMessage::battery(1, "drone-7", 0.5);
    complete(&handler, &message).assert_all_applied(1);
    assert_eq!(complete(&handler, &message.delivered(2)).counts(), [1, 0, 1, 0]);
    let poison = SessionMessage::new(2, "drone-7", "nonsense");
    let replies = [complete(&handler, &poison), complete(&handler, &poison.delivered(2))];
    let [first, second] = replies.each_ref().map(Reply::dead_letter);
    assert_eq!((&first["Id"], &first["Attempt"]), (&second["Id"], &json!(1)));
    assert_eq!(second["Attempt"], 2);
}

#[test]
fn a_failed_attempt_abandons_the_message_and_the_next_delivery_applies_it() {
    let app = app().with("RetryDrillDevice", "drone-7");
    let handler = app.start();
    let message = SessionMessage::battery(1, "drone-7", 0.5);
    let response = deliver(&handler, &message);
    assert_eq!(response.status, 503);
    let record = read_record(response.json()["Logs"][0].as_str().expect("a line"));
    let values = ["record", "sessionId", "messageId"].map(|name| record[name].clone());
    assert_eq!(values, ["failedAttempt", "drone-7", "drone-7/1"].map(Value::from));
    complete(&handler, &message.delivered(2)).assert_all_applied(1);
}

#[test]
fn a_retry_policy_is_taken_as_the_host_takes_it() {
    let app = app().with("RetryDrillDevice", "drone-7").with_session_function(|function| {
        function["retry"] = json!({"strategy": "fixedDelay", "maxRetryCount": -1, "delayInterval": "00:00:01"});
    });
    let handler = app.start();
    let message = SessionMessage::battery(1, "drone-7", 0.5);
    assert_eq!(deliver(&handler, &message.retried(0, -1)).status, 503);
    let reply = complete(&handler, &message.retried(1, -1));
    reply.assert_all_applied(1);
    assert_eq!((&reply.batch["attempt"], &reply.batch["deliveryCount"]), (&json!(2), &json!(1)));
    let next_delivery = complete(&handler, &message.delivered(2).retried(0, -1));
    assert_eq!(next_delivery.counts(), [1, 0, 1, 0], "the drill fails the first delivery only");

    let response = handler.call(SESSIONS, "6b0a", b"not json", Framing::Chunked(16_384));
    assert_eq!(Reply::from_response(&response).dead_letter()["Stage"], "envelope");
}

/// A retry policy has its own count in each delivery.
#[test]
fn recorded_messages_under_a_retry_policy_have_the_attempt_of_their_delivery() {
    let app = app();
    let handler = app.start();
    for (name, attempt, delivery) in [
        ("delivery-1-attempt-1", 1, 1),
        ("delivery-1-attempt-2", 2, 1),
        ("delivery-1-attempt-3", 3, 1),
        ("delivery-2-attempt-1", 1, 2),
    ] {
        let recording = recording(&format!("servicebus-binary-one-retry-{name}"));
        let id = recording.header("X-Azure-Functions-InvocationId").expect("an id");
        let reply = Reply::from_response(&handler.call(SESSIONS, id, &recording.body(), Framing::Chunked(1_024)));
        let values = ["attempt", "deliveryCount", "firstSequenceNumber"].map(|name| &reply.batch[name]);
        assert_eq!(values, [&json!(attempt), &json!(delivery), &json!(31)], "{name}");
        assert_eq!((&reply.batch["sessionId"], &reply.batch["messageId"]), (&json!("drone-2"), &json!("7")));
    }
}

#[test]
fn a_handler_starts_without_the_settings_of_the_session_queue() {
    let app = App::shipped();
    let handler = app.start();
    let reply = complete(&handler, &SessionMessage::battery(1, "drone-7", 0.5));
    reply.assert_all_applied(1);
    assert_eq!(reply.batch["sessionQueueName"], Value::Null);
    assert_eq!(reply.batch["sessionId"], "drone-7");
}

#[test]
fn a_trigger_without_sessions_or_with_batches_is_rejected() {
    for (name, value, reason) in [
        ("isSessionsEnabled", json!(false), "isSessionsEnabled must be true"),
        ("cardinality", json!("many"), "cardinality must be \"one\""),
    ] {
        let app = App::shipped().with_session_function(|function| function["bindings"][0][name] = value);
        let (status, errors) = app.fails_to_start();
        assert_eq!(status.code(), Some(1));
        assert!(errors.contains("SessionTelemetryFunction/function.json") && errors.contains(reason), "{errors}");
    }
}
