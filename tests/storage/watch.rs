//! The timer function over a Storage queue: how old the oldest dead letter is, and when it goes.

use azure_storage_queue::{
    QueueServiceClient, QueueServiceClientOptions,
    models::{QueueClientSendMessageOptions, QueueMessage},
};
use devicestate_engine::queue::DeadLetterQueue as _;
use devicestate_test_storage::azurite::{Azurite, KEY, SETTING, SHARED, WRONG_KEY, signing};
use devicestate_test_support::{App, Handler, Response, base64, queue_records, read_record, repository_file};
use serde_json::{Value, json};

const WEEK_MS: i64 = 7 * 86_400_000;

/// More than a test takes, and than two clocks of this machine differ.
const A_WHILE: i64 = 600_000;

/// An app whose dead letters go to this queue of the Azurite of all tests.
fn app(queue: &str, key: &str) -> App {
    let app =
        App::shipped().without_sessions().with_function(|function| function["bindings"][1]["queueName"] = queue.into());
    app.with("StateStore", "memory").with(SETTING, SHARED.connection_string(key))
}

fn look(handler: &Handler) -> Value {
    let [record] = <[Value; 1]>::try_from(queue_records(&handler.invoke_timer())).expect("one record");
    record
}

fn error(response: &Response) -> String {
    assert_eq!(response.status, 503);
    response.json()["error"].as_str().expect("a text").to_owned()
}

/// Puts a message as the Functions binding does, which sets no time to live.
async fn put_as_the_binding_does(queue: &str) {
    let options = QueueServiceClientOptions { client_options: signing(), ..Default::default() };
    let service = QueueServiceClient::new(Azurite::url(SHARED.queue_port), None, Some(options)).expect("a service");
    let message = QueueMessage { message_text: Some(base64("{}")) };
    let options = QueueClientSendMessageOptions::default();
    let queue = service.queue_client(queue).expect("a queue");
    queue.send_message(message.try_into().expect("XML"), Some(options)).await.expect("sent");
}

#[tokio::test]
async fn an_empty_queue_has_no_messages_and_none_of_any_age() {
    SHARED.queue("watch-empty").await;
    let expected = json!({"record": "deadLetterQueue", "queueName": "watch-empty", "messages": 0,
                          "oldestAgeMs": null, "expiresInMs": null});
    assert_eq!(look(&app("watch-empty", KEY).start()), expected);
}

#[tokio::test]
async fn what_the_binding_puts_is_gone_in_seven_days_and_what_a_tool_puts_stays() {
    let queue = SHARED.queue("watch-some").await;
    let app = app("watch-some", KEY);
    let handler = app.start();
    queue.put(b"{}").await.expect("put");
    let record = look(&handler);
    assert_eq!((&record["messages"], &record["expiresInMs"]), (&1.into(), &Value::Null));
    assert!((0..A_WHILE).contains(&record["oldestAgeMs"].as_i64().expect("an age")), "{record}");

    put_as_the_binding_does("watch-some").await;
    let record = look(&handler);
    let left = record["expiresInMs"].as_i64().expect("a time");
    assert!(record["messages"] == 2 && (WEEK_MS - A_WHILE..=WEEK_MS + A_WHILE).contains(&left), "{record}");
}

#[tokio::test]
async fn the_name_of_a_queue_may_be_a_setting() {
    SHARED.queue("watch-by-setting").await;
    let record = look(&app("%Which%", KEY).with("Which", "watch-by-setting").start());
    assert_eq!(record["queueName"], "watch-by-setting");
}

#[test]
fn a_queue_that_is_not_there_is_named() {
    let told = error(&app("watch-missing", KEY).start().invoke_timer());
    for word in ["the queue watch-missing", "does not exist", "setting `DeadLetterStorage`"] {
        assert!(told.contains(word), "{word:?} is not in: {told}");
    }
}

#[tokio::test]
async fn a_key_that_is_refused_is_told_and_not_shown() {
    SHARED.queue("watch-refused").await;
    let app = app("watch-refused", WRONG_KEY);
    let handler = app.start();
    let told = error(&handler.invoke_timer());
    assert!(told.contains("the account key was rejected"), "{told}");
    let log = app.log() + &handler.stop();
    assert!(!told.contains(WRONG_KEY) && !log.contains(WRONG_KEY), "no secret in {told} {log}");
}

#[tokio::test]
async fn of_two_queues_of_which_one_cannot_be_looked_at_the_other_is_told_of_in_the_log() {
    SHARED.queue("watch-one").await;
    let app = app("watch-one", KEY);
    let mut other = repository_file("RawTelemetryFunction/function.json");
    other["bindings"][1]["connection"] = "OtherStorage".into();
    app.add_function("Other", &other);
    let handler = app.start();
    let told = error(&handler.invoke_timer());
    assert!(told.contains("OtherStorage is missing") && !told.contains("watch-one"), "{told}");
    drop(handler);
    let log = app.log();
    let records: Vec<_> = log.lines().filter(|line| line.contains("deadLetterQueue")).map(read_record).collect();
    let [record] = &records[..] else { panic!("one record: {log}") };
    assert_eq!((&record["queueName"], &record["messages"]), (&"watch-one".into(), &0.into()));
}
