//! Failures that retries do not repair: a wrong key, a missing role, a missing container. The attempt fails immediately with a
//! reason for the operator, and the handler recovers without a restart once the cause is repaired.

use std::time::{Duration, Instant};

use devicestate_test_support::{
    App, Batch, Fold, Handler, base64,
    listener::{Fault, Listener},
};
use serde_json::Value;

use super::{app, battery, deliver};

/// Returns a batch of many devices.
fn batch(first: i64) -> Batch {
    let events = (0..100_i32).map(|n| battery(first + i64::from(n), &format!("drone-{n}"), f64::from(n)));
    Batch::of(events.collect::<Vec<_>>())
}

/// Checks that attempts fail soon, after few requests, with a reason that has these words.
#[track_caller]
fn assert_attempts_fail(listener: &Listener, handler: &Handler, words: &[&str]) {
    let before = listener.counters();
    for retry in 0..8 {
        let envelope = batch(1_000).retry(retry, -1).envelope().to_string();
        let started = Instant::now();
        let response = handler.post("f0bb1d", envelope.as_bytes());
        let took = started.elapsed();
        assert_eq!(response.status, 503, "{}", response.json());
        assert!(took < Duration::from_secs(10), "{took:?} of a budget of a minute");
        let body = response.json();
        let reason = body["error"].as_str().expect("a reason");
        for word in words.iter().chain(&["100 of 100 events", "Cosmos DB (127.0.0.1)"]) {
            assert!(reason.contains(word), "{word:?} is not in: {reason}");
        }
        assert!(!body.to_string().contains(listener.key()), "the key is in: {body}");
    }
    // In each attempt, at most the concurrent requests: for documents, and before that for the account and the container.
    let after = listener.counters();
    let documents = (after.reads() + after.writes()) - (before.reads() + before.writes());
    let others = after.requests() - before.requests() - documents;
    assert!(documents <= 8 * 32 && others <= 8 * 32, "{documents} requests for documents, {others} others");
}

/// Checks that the handler has logged neither a secret nor a signature made with one.
#[track_caller]
fn assert_no_secrets(app: &App, handler: Handler, keys: &[&str]) {
    let text = handler.stop() + &app.log();
    assert!(text.contains("f0bb1d"), "nothing was logged: {text}");
    for secret in keys.iter().chain(&["AccountKey=", "sig=", "sig%3D"]) {
        let line = text.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} was logged");
    }
}

fn app_with_trace_log(listener: &Listener) -> App {
    app(listener).with("LogLevel", "trace")
}

#[test]
fn a_wrong_key_is_reported_and_never_logged() {
    let listener = Listener::start();
    let wrong = base64("a key that was regenerated");
    let connection = format!("AccountEndpoint={};AccountKey={wrong};", listener.endpoint());
    let app = app_with_trace_log(&listener).with("CosmosConnection", connection);
    let handler = app.start();
    assert_attempts_fail(&listener, &handler, &["401", "key", "CosmosConnection"]);
    assert_eq!(listener.documents().len(), 0);
    assert_no_secrets(&app, handler, &[&wrong]);
}

/// Checks the recovery from a fault of all data operations, and of all operations including the account's properties.
#[track_caller]
fn assert_recovers(fault: impl Fn() -> Fault, words: &[&str]) {
    const DATA: &[&str] = &["read", "create", "replace"];
    for (operations, is_known) in [(DATA, false), (DATA, true), (&["all"], false)] {
        let listener = Listener::start();
        let app = app_with_trace_log(&listener);
        let handler = app.start();
        let first = batch(0);
        if is_known {
            assert_eq!(deliver(&handler, &first).failed.len(), 0);
        }
        listener.fault(fault().on(operations));
        assert_attempts_fail(&listener, &handler, words);
        listener.clear_faults();
        deliver(&handler, &batch(1_000)).reply.assert_all_applied(100);
        let all = is_known.then_some(first).into_iter().chain([batch(1_000)]).collect::<Vec<_>>();
        assert_eq!(listener.documents(), Fold::from_batches(&all).documents());
        assert_no_secrets(&app, handler, &[listener.key()]);
    }
}

#[test]
fn the_handler_recovers_once_the_key_is_accepted() {
    assert_recovers(|| Fault::status(401), &["401", "key", "CosmosConnection"]);
}

#[test]
fn the_handler_recovers_once_the_role_is_assigned() {
    assert_recovers(|| Fault::status(403).sub_status(5300), &["403", "Cosmos DB Built-in Data Contributor"]);
}

const MISSING: [&str; 6] = ["404", "CosmosContainer", "CosmosDatabase", "\"devices\"", "\"devicestate\"", "/id"];

#[test]
fn the_handler_recovers_once_a_missing_container_is_created() {
    let listener = Listener::with(&["--no-container"]);
    let app = app_with_trace_log(&listener);
    let handler = app.start();
    assert_attempts_fail(&listener, &handler, &MISSING);
    listener.create_container();
    deliver(&handler, &batch(1_000)).reply.assert_all_applied(100);
    assert_eq!(listener.documents(), Fold::from_batches([&batch(1_000)]).documents());
    assert_no_secrets(&app, handler, &[listener.key()]);
}

#[test]
fn the_handler_recovers_once_a_deleted_container_is_created_again() {
    let listener = Listener::start();
    let app = app_with_trace_log(&listener);
    let handler = app.start();
    deliver(&handler, &batch(0)).reply.assert_all_applied(100);
    listener.delete_container();
    assert_attempts_fail(&listener, &handler, &MISSING);
    listener.create_container();
    deliver(&handler, &batch(1_000)).reply.assert_all_applied(100);
    assert_eq!(
        listener.documents(),
        Fold::from_batches([&batch(1_000)]).documents(),
        "no document is written from the cache"
    );
    assert_no_secrets(&app, handler, &[listener.key()]);
}

#[test]
fn a_recreated_container_is_found_again() {
    let listener = Listener::start();
    let app = app(&listener);
    let handler = app.start();
    deliver(&handler, &batch(0)).reply.assert_all_applied(100);
    listener.delete_container();
    listener.create_container();
    let delivered = deliver(&handler, &batch(1_000));
    delivered.reply.assert_all_applied(100);
    assert_eq!(listener.documents(), Fold::from_batches([&batch(1_000)]).documents());
}

#[test]
fn unknown_names_are_in_the_reason() {
    let listener = Listener::start();
    for (setting, name) in [("CosmosDatabase", "no-such-database"), ("CosmosContainer", "no-such-container")] {
        let app = app(&listener).with(setting, name);
        assert_attempts_fail(&listener, &app.start(), &[setting, name, "404"]);
    }
}

#[test]
fn an_unreachable_account_fails_the_attempt_within_the_budget() {
    let port = devicestate_test_support::free_port();
    let key = base64("any key");
    let app = App::shipped()
        .with("StateStore", "cosmos")
        .with("InvocationBudget", "00:00:01")
        .with("CosmosConnection", format!("AccountEndpoint=http://127.0.0.1:{port}/;AccountKey={key};"));
    let handler = app.start();
    let envelope = batch(0).retry(0, -1).envelope().to_string();
    let response = handler.post("f0bb1d", envelope.as_bytes());
    assert_eq!(response.status, 503);
    let reason = response.json()["error"].to_string();
    assert!(reason.contains("the request to Cosmos DB (127.0.0.1) failed"), "{reason}");
}

#[test]
fn an_unresolvable_host_fails_the_attempt_without_retries() {
    let listener = Listener::start();
    // RFC 2606 reserves this name, so it never resolves.
    let connection = format!("AccountEndpoint=https://account.invalid:443/;AccountKey={};", listener.key());
    let app = app(&listener).with("CosmosConnection", connection);
    let handler = app.start();
    let response = handler.post("f0bb1d", batch(1).retry(0, -1).envelope().to_string().as_bytes());
    assert_eq!(response.status, 503, "{}", response.json());
    let body = response.json();
    let reason = body["error"].as_str().expect("a reason");
    for word in ["100 of 100 events", "account.invalid", "no account has the URL in the setting `CosmosConnection`"] {
        assert!(reason.contains(word), "{word:?} is not in: {reason}");
    }
    let record: Value = serde_json::from_str(body["Logs"][0].as_str().expect("a record")).expect("JSON");
    assert_eq!(record["retries"], 0, "a name is not retried: {record}");
    assert!(!body.to_string().contains(listener.key()), "the key is in: {body}");
}
