//! The dead-letter monitor (the timer function) with a Storage queue: the oldest dead letter's age and the next expiry.

use azure_storage_queue::{
    QueueServiceClient, QueueServiceClientOptions,
    models::{QueueClientSendMessageOptions, QueueMessage},
};
use devicestate_engine::queue::DeadLetterQueue as _;
use devicestate_test_storage::azurite::{Azurite, KEY, SETTING, SHARED, WRONG_KEY, signing_options};
use devicestate_test_support::{App, Handler, Response, base64, queue_records, read_record, repository_file};
use serde_json::{Value, json};

const WEEK_MS: i64 = 7 * 86_400_000;

/// Longer than a test takes, and than the difference of two clocks of this machine.
const TOLERANCE_MS: i64 = 600_000;

/// An app with its dead letters in this queue of the shared Azurite.
fn app(queue: &str, key: &str) -> App {
    let app =
        App::shipped().without_sessions().with_function(|function| function["bindings"][1]["queueName"] = queue.into());
    app.with("StateStore", "memory").with(SETTING, SHARED.connection_string(key))
}

fn inspect(handler: &Handler) -> Value {
    let [record] = <[Value; 1]>::try_from(queue_records(&handler.invoke_timer())).expect("one record");
    record
}

fn error(response: &Response) -> String {
    assert_eq!(response.status, 503);
    response.json()["error"].as_str().expect("a text").to_owned()
}

/// Puts a message as the Functions binding does: without a time to live.
async fn put_with_default_expiry(queue: &str) {
    let options = QueueServiceClientOptions { client_options: signing_options(), ..Default::default() };
    let service = QueueServiceClient::new(Azurite::url(SHARED.queue_port), None, Some(options)).expect("a service");
    let message = QueueMessage { message_text: Some(base64("{}")) };
    let options = QueueClientSendMessageOptions::default();
    let queue = service.queue_client(queue).expect("a queue");
    queue.send_message(message.try_into().expect("XML"), Some(options)).await.expect("sent");
}

#[tokio::test]
async fn an_empty_queue_has_no_messages_and_no_age() {
    SHARED.queue("monitor-empty").await;
    let expected = json!({"record": "deadLetterQueue", "queueName": "monitor-empty", "messages": 0,
                          "oldestAgeMs": null, "expiresInMs": null});
    assert_eq!(inspect(&app("monitor-empty", KEY).start()), expected);
}

#[tokio::test]
async fn messages_of_the_binding_expire_in_seven_days_and_those_of_tools_never() {
    let queue = SHARED.queue("monitor-some").await;
    let app = app("monitor-some", KEY);
    let handler = app.start();
    queue.put(b"{}").await.expect("put");
    let record = inspect(&handler);
    assert_eq!((&record["messages"], &record["expiresInMs"]), (&1.into(), &Value::Null));
    assert!((0..TOLERANCE_MS).contains(&record["oldestAgeMs"].as_i64().expect("an age")), "{record}");

    put_with_default_expiry("monitor-some").await;
    let record = inspect(&handler);
    let left = record["expiresInMs"].as_i64().expect("a time");
    assert!(record["messages"] == 2 && (WEEK_MS - TOLERANCE_MS..=WEEK_MS + TOLERANCE_MS).contains(&left), "{record}");
}

#[tokio::test]
async fn the_name_of_a_queue_may_be_a_setting() {
    SHARED.queue("monitor-by-setting").await;
    let record = inspect(&app("%Which%", KEY).with("Which", "monitor-by-setting").start());
    assert_eq!(record["queueName"], "monitor-by-setting");
}

#[tokio::test]
async fn a_queue_that_does_not_exist_yet_has_no_messages() {
    let app = app("monitor-missing", KEY);
    let handler = app.start();
    let record = inspect(&handler);
    assert_eq!((&record["queueName"], &record["messages"]), (&"monitor-missing".into(), &0.into()));
    assert!(app.log().contains("the queue monitor-missing at 127.0.0.1"), "{}", app.log());
    SHARED.queue("monitor-missing").await.put(b"{}").await.expect("put");
    assert_eq!(inspect(&handler)["messages"], 1);
}

#[tokio::test]
async fn a_rejected_key_is_reported_and_not_printed() {
    SHARED.queue("monitor-refused").await;
    let app = app("monitor-refused", WRONG_KEY);
    let handler = app.start();
    let message = error(&handler.invoke_timer());
    assert!(message.contains("the account key was rejected"), "{message}");
    let log = app.log() + &handler.stop();
    assert!(!message.contains(WRONG_KEY) && !log.contains(WRONG_KEY), "no secret in {message} {log}");
}

#[tokio::test]
async fn if_one_of_two_queues_fails_the_record_of_the_other_is_logged() {
    SHARED.queue("monitor-one").await;
    let app = app("monitor-one", KEY);
    let mut other = repository_file("RawTelemetryFunction/function.json");
    other["bindings"][1]["connection"] = "OtherStorage".into();
    app.add_function("Other", &other);
    let handler = app.start();
    let message = error(&handler.invoke_timer());
    assert!(message.contains("`OtherStorage` is missing") && !message.contains("monitor-one"), "{message}");
    drop(handler);
    let log = app.log();
    let records: Vec<_> = log.lines().filter(|line| line.contains("deadLetterQueue")).map(read_record).collect();
    let [record] = &records[..] else { panic!("one record: {log}") };
    assert_eq!((&record["queueName"], &record["messages"]), (&"monitor-one".into(), &0.into()));
}
