//! The timer function: how old the oldest dead letter is, in the queue of a state file and where there is no queue.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::mpsc,
    thread,
    time::Duration,
};

use devicestate_test_support::{
    App, Batch, DEAD_LETTER_MONITOR, Event, Framing, Response, fixture, free_port, queue_records, repository_file,
};
use rusqlite::Connection;
use serde_json::{Value, json};

const DAY: i64 = 86_400_000;

/// More than a test takes.
const A_WHILE: i64 = 600_000;

/// An app whose dead letters lie in its state file, as `devicestate local` has it.
fn at_home() -> App {
    let app = App::shipped();
    let state = app.path("state.db").display().to_string();
    app.with("DeadLetterSqlitePath", state)
}

/// An app whose dead letters lie in a storage account at this port.
fn at_port(port: u16) -> App {
    let queues = format!("http://127.0.0.1:{port}/devstoreaccount1");
    let connection = format!("AccountName=devstoreaccount1;AccountKey={KEY};QueueEndpoint={queues}");
    App::shipped().with("DeadLetterStorage", connection)
}

/// Well-formed, and no account's.
const KEY: &str = "bm90IHRoZSBrZXkgb2YgYW55IGFjY291bnQsIGJ1dCBsb25nIGVub3VnaA==";

/// Puts a message of this age into the queue of a handler that runs, hidden for so long.
fn put(app: &App, age: i64, hidden: i64) {
    let connection = Connection::open(app.path("state.db")).expect("the state file");
    connection.busy_timeout(Duration::from_secs(5)).expect("a timeout");
    let put = "WITH clock (ms) AS (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER))
               INSERT INTO dead_letters (inserted_ms, text, visible_ms)
               SELECT ms - ?1, x'7b7d', CASE ?2 WHEN 0 THEN 0 ELSE ms + ?2 END FROM clock";
    connection.execute(put, [age, hidden]).expect("put");
}

/// The only record of a reply.
fn record(response: &Response) -> Value {
    let [record] = <[Value; 1]>::try_from(queue_records(response)).expect("one record");
    assert_eq!(record["queueName"], "deadletterqueue");
    record
}

/// What failed, as the answer says.
#[track_caller]
fn error(response: &Response, words: &[&str]) {
    assert_eq!(response.status, 503);
    let body = response.json();
    let text = body["error"].as_str().expect("a text");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
    assert!(!text.contains(KEY), "no secret in an error: {text}");
}

fn batch() -> Value {
    Batch::of([Event::json(1, &json!({"deviceId": "drone-1", "battery": 0.5}))]).envelope()
}

#[test]
fn an_empty_queue_has_no_messages_and_none_of_any_age() {
    let app = at_home();
    let expected = json!({"record": "deadLetterQueue", "queueName": "deadletterqueue", "messages": 0,
                          "oldestAgeMs": null, "expiresInMs": null});
    assert_eq!(record(&app.start().invoke_timer()), expected);
}

#[test]
fn the_age_is_that_of_the_oldest_message() {
    let app = at_home();
    let handler = app.start();
    for age in [DAY, 6 * DAY, 0] {
        put(&app, age, 0);
    }
    let record = record(&handler.invoke_timer());
    assert_eq!((&record["messages"], &record["expiresInMs"]), (&3.into(), &Value::Null), "it stays for ever here");
    let age = record["oldestAgeMs"].as_i64().expect("an age");
    assert!((6 * DAY..6 * DAY + A_WHILE).contains(&age), "{record}");
}

#[test]
fn a_message_that_somebody_has_received_is_counted_and_not_seen() {
    let app = at_home();
    let handler = app.start();
    put(&app, 6 * DAY, DAY);
    let hidden = record(&handler.invoke_timer());
    assert_eq!((&hidden["messages"], &hidden["oldestAgeMs"]), (&1.into(), &Value::Null));
    put(&app, DAY, 0);
    let record = record(&handler.invoke_timer());
    let age = record["oldestAgeMs"].as_i64().expect("an age");
    assert!(record["messages"] == 2 && (DAY..DAY + A_WHILE).contains(&age), "{record}");
}

#[test]
fn looking_leaves_the_queue_as_it_is() {
    let app = at_home();
    let handler = app.start();
    put(&app, DAY, 0);
    let looks = [handler.invoke_timer(), handler.invoke_timer()].map(|response| record(&response)["messages"].clone());
    assert_eq!(looks, [1, 1]);
    let rows = Connection::open(app.path("state.db")).expect("the state file");
    let untouched = "SELECT count(*) FROM dead_letters WHERE visible_ms = 0 AND dequeue_count = 0 AND receipt = 0";
    assert_eq!(rows.query_row(untouched, [], |row| row.get::<_, i64>(0)).expect("a count"), 1);
}

#[test]
fn the_request_may_be_whatever_it_is() {
    let app = at_home();
    let handler = app.start();
    for body in ["", "{}", "no JSON", "[]", &fixture("many-binary").to_string()] {
        let response = handler.call(DEAD_LETTER_MONITOR, "3f21", body.as_bytes(), Framing::Length);
        assert_eq!(record(&response)["messages"], 0, "{body}");
    }
}

#[test]
fn two_functions_that_share_a_queue_have_one_record() {
    let app = at_home();
    app.add_function("Other", &repository_file("RawTelemetryFunction/function.json"));
    assert_eq!(record(&app.start().invoke_timer())["messages"], 0);
}

#[test]
fn a_timer_function_is_served_under_the_name_of_its_folder_and_no_other_is() {
    let app = at_home();
    app.add_function("Hourly", &repository_file("DeadLetterWatchFunction/function.json"));
    let handler = app.start();
    let call = |function: &str| handler.call(function, "3f21", b"{}", Framing::Length);
    assert_eq!(record(&call("Hourly"))["messages"], 0);
    for function in ["hourly", "Daily", "Hourly/x"] {
        assert_eq!(call(function).status, 404, "{function}");
    }
}

#[test]
fn an_app_without_a_timer_function_has_none() {
    let app = at_home();
    std::fs::remove_dir_all(app.path(DEAD_LETTER_MONITOR)).expect("a folder of the app");
    assert_eq!(app.start().invoke_timer().status, 404);
}

#[test]
fn a_queue_of_which_no_setting_says_where_it_is_fails_the_invocation_and_not_the_handler() {
    let app = App::shipped();
    let handler = app.start();
    error(&handler.invoke_timer(), &["DeadLetterStorage is missing", "__queueServiceUri"]);
    handler.invoke(&batch()).assert_all_applied(1);
}

#[test]
fn a_connection_that_is_none_fails_the_invocation_and_not_the_handler() {
    let app = App::shipped().with("DeadLetterStorage", format!("AccountKey={KEY}"));
    let handler = app.start();
    error(&handler.invoke_timer(), &["DeadLetterStorage", "AccountName"]);
    handler.invoke(&batch()).assert_all_applied(1);
}

#[test]
fn a_state_file_that_is_not_there_is_named_and_not_made() {
    let app = App::shipped();
    let missing = app.path("missing.db");
    let app = app.with("DeadLetterSqlitePath", missing.display().to_string());
    error(&app.start().invoke_timer(), &["missing.db", "setting DeadLetterSqlitePath"]);
    assert!(!missing.exists());
}

#[test]
fn storage_that_is_down_is_told_in_the_answer_and_once_as_an_error_of_the_log() {
    let port = free_port();
    let app = at_port(port);
    let handler = app.start();
    let words =
        ["the queue deadletterqueue", "the connection failed", "setting `DeadLetterStorage`", &format!(":{port}")];
    error(&handler.invoke_timer(), &words);
    let errors = handler.stop();
    let lines: Vec<_> = errors.lines().filter(|line| line.contains("the connection failed")).collect();
    let [line] = lines[..] else { panic!("one line: {errors}") };
    assert!(line.contains("\"ERROR\"") && line.contains(DEAD_LETTER_MONITOR), "{line}");
    // The host would take it for a warning.
    assert!(!line.to_ascii_lowercase().contains("warn"), "{line}");
}

/// The system accepts for a listener that never does, up to its backlog.
#[test]
fn while_storage_does_not_answer_batches_are_answered_all_the_same() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let app = at_port(listener.local_addr().expect("an address").port());
    let handler = app.start();
    let (done, order) = mpsc::channel();
    thread::scope(|scope| {
        let (looked, handler) = (done.clone(), &handler);
        scope.spawn(move || {
            error(&handler.invoke_timer(), &["did not answer in time", "setting `DeadLetterStorage`"]);
            looked.send("look").expect("a receiver");
        });
        // So the look has begun.
        let _connection = listener.accept().expect("a connection");
        handler.invoke(&batch()).assert_all_applied(1);
        done.send("batch").expect("a receiver");
    });
    assert_eq!(order.try_iter().collect::<Vec<_>>(), ["batch", "look"]);
}
