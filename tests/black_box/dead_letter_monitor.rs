//! The dead-letter monitor (the timer function), with the queue of a state file and without a queue.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, TcpListener},
    sync::mpsc,
    thread,
    time::Duration,
};

use devicestate_test_support::{
    App, Batch, DEAD_LETTER_MONITOR, Event, Framing, Response, free_port, queue_records, repository_file,
};
use rusqlite::Connection;
use serde_json::{Value, json};

const DAY_MS: i64 = 86_400_000;

/// Longer than any test takes.
const TOLERANCE_MS: i64 = 600_000;

/// An app with its dead letters in its state file, as under `devicestate local`.
fn app_with_local_queue() -> App {
    let app = App::shipped();
    let state = app.path("state.db").display().to_string();
    app.with("DeadLetterSqlitePath", state)
}

/// An app with its dead letters in a storage account at this port.
fn app_with_storage_at(port: u16) -> App {
    let queues = format!("http://127.0.0.1:{port}/devstoreaccount1");
    let connection = format!("AccountName=devstoreaccount1;AccountKey={KEY};QueueEndpoint={queues}");
    App::shipped().with("DeadLetterStorage", connection)
}

/// A well-formed key that no account has.
const KEY: &str = "bm90IHRoZSBrZXkgb2YgYW55IGFjY291bnQsIGJ1dCBsb25nIGVub3VnaA==";

/// Puts a message of this age into the queue of a running handler, hidden for `hidden` milliseconds.
fn put(app: &App, age: i64, hidden: i64) {
    let connection = Connection::open(app.path("state.db")).expect("the state file");
    connection.busy_timeout(Duration::from_secs(5)).expect("a timeout");
    let put = "WITH clock (ms) AS (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER))
               INSERT INTO dead_letters (inserted_ms, text, visible_ms)
               SELECT ms - ?1, x'7b7d', CASE ?2 WHEN 0 THEN 0 ELSE ms + ?2 END FROM clock";
    connection.execute(put, [age, hidden]).expect("put");
}

/// Returns the only record of a reply.
fn record(response: &Response) -> Value {
    let [record] = <[Value; 1]>::try_from(queue_records(response)).expect("one record");
    assert_eq!(record["queueName"], "deadletterqueue");
    record
}

/// Checks that the invocation failed with an error that has these words.
#[track_caller]
fn assert_error(response: &Response, words: &[&str]) {
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
fn an_empty_queue_has_no_messages_and_no_age() {
    let app = app_with_local_queue();
    let expected = json!({"record": "deadLetterQueue", "queueName": "deadletterqueue", "messages": 0,
                          "oldestAgeMs": null, "expiresInMs": null});
    assert_eq!(record(&app.start().invoke_timer()), expected);
}

#[test]
fn the_age_is_that_of_the_oldest_message() {
    let app = app_with_local_queue();
    let handler = app.start();
    for age in [DAY_MS, 6 * DAY_MS, 0] {
        put(&app, age, 0);
    }
    let record = record(&handler.invoke_timer());
    assert_eq!(
        (&record["messages"], &record["expiresInMs"]),
        (&3.into(), &Value::Null),
        "messages in a state file do not expire"
    );
    let age = record["oldestAgeMs"].as_i64().expect("an age");
    assert!((6 * DAY_MS..6 * DAY_MS + TOLERANCE_MS).contains(&age), "{record}");
}

#[test]
fn a_received_message_is_counted_but_its_age_is_not() {
    let app = app_with_local_queue();
    let handler = app.start();
    put(&app, 6 * DAY_MS, DAY_MS);
    let hidden = record(&handler.invoke_timer());
    assert_eq!((&hidden["messages"], &hidden["oldestAgeMs"]), (&1.into(), &Value::Null));
    put(&app, DAY_MS, 0);
    let record = record(&handler.invoke_timer());
    let age = record["oldestAgeMs"].as_i64().expect("an age");
    assert!(record["messages"] == 2 && (DAY_MS..DAY_MS + TOLERANCE_MS).contains(&age), "{record}");
}

#[test]
fn the_monitor_does_not_change_the_queue() {
    let app = app_with_local_queue();
    let handler = app.start();
    put(&app, DAY_MS, 0);
    let counts = [handler.invoke_timer(), handler.invoke_timer()].map(|response| record(&response)["messages"].clone());
    assert_eq!(counts, [1, 1]);
    let rows = Connection::open(app.path("state.db")).expect("the state file");
    let untouched = "SELECT count(*) FROM dead_letters WHERE visible_ms = 0 AND dequeue_count = 0 AND receipt = 0";
    assert_eq!(rows.query_row(untouched, [], |row| row.get::<_, i64>(0)).expect("a count"), 1);
}

#[test]
fn the_body_of_the_request_is_ignored() {
    let app = app_with_local_queue();
    let handler = app.start();
    for body in ["", "{}", "not JSON", "[]", &Batch::example().envelope().to_string()] {
        let response = handler.call(DEAD_LETTER_MONITOR, "3f21", body.as_bytes(), Framing::Length);
        assert_eq!(record(&response)["messages"], 0, "{body}");
    }
}

#[test]
fn two_functions_that_share_a_queue_have_one_record() {
    let app = app_with_local_queue();
    app.add_function("Other", &repository_file("RawTelemetryFunction/function.json"));
    assert_eq!(record(&app.start().invoke_timer())["messages"], 0);
}

#[test]
fn a_timer_function_is_served_under_the_name_of_its_folder_only() {
    let app = app_with_local_queue();
    app.add_function("Hourly", &repository_file("DeadLetterWatchFunction/function.json"));
    let handler = app.start();
    let call = |function: &str| handler.call(function, "3f21", b"{}", Framing::Length);
    assert_eq!(record(&call("Hourly"))["messages"], 0);
    for function in ["hourly", "Daily", "Hourly/x"] {
        assert_eq!(call(function).status, 404, "{function}");
    }
}

#[test]
fn without_a_timer_function_the_path_is_not_found() {
    let app = app_with_local_queue();
    std::fs::remove_dir_all(app.path(DEAD_LETTER_MONITOR)).expect("a folder of the app");
    assert_eq!(app.start().invoke_timer().status, 404);
}

#[test]
fn a_missing_connection_fails_the_invocation_but_not_the_handler() {
    let app = App::shipped();
    let handler = app.start();
    assert_error(&handler.invoke_timer(), &["`DeadLetterStorage` is missing", "__queueServiceUri"]);
    handler.invoke(&batch()).assert_all_applied(1);
}

#[test]
fn an_invalid_connection_fails_the_invocation_but_not_the_handler() {
    let app = App::shipped().with("DeadLetterStorage", format!("AccountKey={KEY}"));
    let handler = app.start();
    assert_error(&handler.invoke_timer(), &["DeadLetterStorage", "AccountName"]);
    handler.invoke(&batch()).assert_all_applied(1);
}

#[test]
fn a_missing_state_file_is_reported_and_not_created() {
    let app = App::shipped();
    let missing = app.path("missing.db");
    let app = app.with("DeadLetterSqlitePath", missing.display().to_string());
    assert_error(&app.start().invoke_timer(), &["missing.db", "setting `DeadLetterSqlitePath`"]);
    assert!(!missing.exists());
}

#[test]
fn unreachable_storage_is_reported_in_the_reply_and_once_in_the_log() {
    let port = free_port();
    let app = app_with_storage_at(port);
    let handler = app.start();
    let words =
        ["the queue deadletterqueue", "the connection failed", "setting `DeadLetterStorage`", &format!(":{port}")];
    assert_error(&handler.invoke_timer(), &words);
    let errors = handler.stop();
    let lines: Vec<_> = errors.lines().filter(|line| line.contains("the connection failed")).collect();
    let [line] = lines[..] else { panic!("one line: {errors}") };
    assert!(line.contains("\"ERROR\"") && line.contains(DEAD_LETTER_MONITOR), "{line}");
    // The host would log it as a warning.
    assert!(!line.to_ascii_lowercase().contains("warn"), "{line}");
}

/// Returns the port of a server that answers each request with status 404 and these headers.
fn server_without_queue(headers: &'static str) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.expect("a connection");
            let lines = BufReader::new(&connection).lines().map_while(Result::ok);
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let answer = format!("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n{headers}\r\n");
            connection.write_all(answer.as_bytes()).expect("a connection");
        }
    });
    port
}

/// The host creates the queue with the first dead letter, and calls the timer before that.
#[test]
fn a_queue_that_does_not_exist_yet_has_no_messages_and_is_named_in_the_log() {
    let port = server_without_queue("x-ms-error-code: QueueNotFound\r\n");
    let app = app_with_storage_at(port);
    let handler = app.start();
    let expected = json!({"record": "deadLetterQueue", "queueName": "deadletterqueue", "messages": 0,
                          "oldestAgeMs": null, "expiresInMs": null});
    assert_eq!(record(&handler.invoke_timer()), expected);
    assert_eq!(handler.stop(), "", "it is not an error");
    let log = app.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("does not exist")).collect();
    let [line] = lines[..] else { panic!("one line: {log}") };
    let address = format!("the queue deadletterqueue at 127.0.0.1:{port}");
    for word in
        ["\"INFO\"", &address, "the first dead letter", "correct its name or the account", "`DeadLetterStorage`"]
    {
        assert!(line.contains(word), "{word:?} is not in: {line}");
    }
}

#[test]
fn a_server_that_is_not_a_queue_service_is_an_error() {
    let app = app_with_storage_at(server_without_queue(""));
    assert_error(&app.start().invoke_timer(), &["the queue deadletterqueue", "does not exist", "DeadLetterStorage"]);
}

/// The system accepts connections for a listener that never does, up to its backlog.
#[test]
fn batches_are_answered_while_storage_does_not_answer() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let app = app_with_storage_at(listener.local_addr().expect("an address").port());
    let handler = app.start();
    let (done, order) = mpsc::channel();
    thread::scope(|scope| {
        let (inspected, handler) = (done.clone(), &handler);
        scope.spawn(move || {
            assert_error(&handler.invoke_timer(), &["did not answer in time", "setting `DeadLetterStorage`"]);
            inspected.send("inspection").expect("a receiver");
        });
        // The inspection has started.
        let _connection = listener.accept().expect("a connection");
        handler.invoke(&batch()).assert_all_applied(1);
        done.send("batch").expect("a receiver");
    });
    assert_eq!(order.try_iter().collect::<Vec<_>>(), ["batch", "inspection"]);
}
