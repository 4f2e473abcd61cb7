//! The function of Service Bus sessions: one message an invocation, beside the function of the event hub.

use devicestate_test_support::{
    App, Batch, Event, Framing, Handler, Reply, Response, SESSIONS, read_record, session_message::SessionMessage,
};
use serde_json::{Value, json};

const NAMESPACE: &str = "bus.servicebus.windows.net";

fn app() -> App {
    App::shipped().with("ServiceBusConnection__fullyQualifiedNamespace", NAMESPACE).with("SessionQueueName", "sessions")
}

/// Delivers a message; each delivery is an invocation of its own.
fn deliver(handler: &Handler, message: &SessionMessage) -> Response {
    let invocation_id = uuid::Uuid::new_v4().to_string();
    handler.call(SESSIONS, &invocation_id, &message.to_bytes(), Framing::Chunked(16_384))
}

fn settled(handler: &Handler, message: &SessionMessage) -> Reply {
    Reply::from_response(&deliver(handler, message))
}

#[test]
fn messages_of_a_session_and_events_of_a_hub_are_served_by_one_handler_into_the_same_documents() {
    let app = app();
    let handler = app.start();
    settled(&handler, &SessionMessage::battery(1, "drone-7", 0.5)).assert_all_applied(1);
    settled(&handler, &SessionMessage::battery(2, "drone-7", 0.25)).assert_all_applied(1);
    handler.invoke(&Batch::of([Event::json(1, &json!({"deviceId": "drone-8", "battery": 1.0}))]).envelope());
    assert_eq!(handler.readings("drone-7")["Battery"], 0.25);
    assert_eq!(handler.readings("drone-8")["Battery"], 1.0);
    let reply = settled(&handler, &SessionMessage::battery(1, "drone-7", 0.5).delivered(2));
    assert_eq!(reply.counts(), [1, 0, 1, 0]);
    assert_eq!(handler.readings("drone-7")["Battery"], 0.25);
    let record = &reply.batch;
    let told = ["fullyQualifiedNamespace", "sessionQueueName", "sessionId", "messageId"].map(|name| &record[name]);
    assert_eq!(told, [NAMESPACE, "sessions", "drone-7", "drone-7/1"]);
    assert_eq!((&record["attempt"], &record["deliveryCount"]), (&json!(2), &json!(2)));
}

#[test]
fn poison_goes_to_the_dead_letter_output_with_200_and_is_told_with_session_message_and_delivery() {
    let app = app();
    let handler = app.start();
    let reply = settled(&handler, &SessionMessage::new(3, "drone-7", "nonsense").delivered(2));
    let letter = reply.dead_letter();
    let data = &letter["EventData"];
    assert_eq!([&data["SessionId"], &data["MessageId"], &data["PartitionKey"]], ["drone-7", "drone-7/3", "drone-7"]);
    assert_eq!((&data["DeliveryCount"], &letter["Attempt"]), (&json!(2), &json!(2)));
    assert_eq!(letter["Source"]["SessionQueueName"], "sessions");
    let [record] = &reply.records[..] else { panic!("one record of a dead letter") };
    assert_eq!([&record["sessionId"], &record["messageId"]], ["drone-7", "drone-7/3"]);
    assert_eq!(record["deliveryCount"], 2);
    let said = handler.stop();
    assert!(said.contains(r#""session_id":"drone-7","message_id":"drone-7/3","delivery_count":2"#), "{said}");
}

#[test]
fn a_failure_that_is_not_the_messages_fault_gives_it_back_and_the_next_delivery_settles_it() {
    let app = app().with("RetryDrillDevice", "drone-7");
    let handler = app.start();
    let message = SessionMessage::battery(1, "drone-7", 0.5);
    let response = deliver(&handler, &message);
    assert_eq!(response.status, 503);
    let record = read_record(response.json()["Logs"][0].as_str().expect("a line"));
    let told = ["record", "sessionId", "messageId"].map(|name| record[name].clone());
    assert_eq!(told, ["failedAttempt", "drone-7", "drone-7/1"].map(Value::from));
    settled(&handler, &message.delivered(2)).assert_all_applied(1);
}

#[test]
fn a_handler_starts_without_the_settings_of_a_queue_that_nobody_wants() {
    let app = App::shipped();
    let handler = app.start();
    let reply = settled(&handler, &SessionMessage::battery(1, "drone-7", 0.5));
    reply.assert_all_applied(1);
    assert_eq!(reply.batch["sessionQueueName"], Value::Null);
    assert_eq!(reply.batch["sessionId"], "drone-7");
}

#[test]
fn a_trigger_without_sessions_or_with_batches_is_refused_with_the_reason() {
    for (name, value, reason) in [
        ("isSessionsEnabled", json!(false), "isSessionsEnabled must be true"),
        ("cardinality", json!("many"), "cardinality must be \"one\""),
    ] {
        let app = App::shipped().with_session_function(|function| function["bindings"][0][name] = value);
        let (status, said) = app.fails_to_start();
        assert_eq!(status.code(), Some(1));
        assert!(said.contains("SessionTelemetryFunction/function.json") && said.contains(reason), "{said}");
    }
}
