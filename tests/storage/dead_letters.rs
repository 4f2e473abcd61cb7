//! The real handler with Azure Storage: its dead letters that are too large for the queue.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener},
    thread,
};

use devicestate_test_storage::azurite::{Azurite, KEY, SETTING, SHARED, WRONG_KEY, connection_string};
use devicestate_test_support::{App, Batch, Event, Response, free_port, from_base64, read_dead_letter, sha256};
use serde_json::{Value, json};

use crate::blobs::read;

/// An app with documents in memory, so that it has no folder for large dead letters.
fn app(connection_string: impl Into<String>) -> App {
    App::shipped().with("StateStore", "memory").with(SETTING, connection_string.into()).with("LogLevel", "trace")
}

/// Two valid events, and between them an undecodable one that does not fit into the queue.
fn batch() -> Batch {
    let body = json!({"battery": 0.5, "padding": "x".repeat(65_536)});
    Batch::of([
        Event::json(1, &json!({"deviceId": "drone-1", "battery": 0.5})),
        Event::json(2, &body),
        Event::json(3, &json!({"deviceId": "drone-3", "battery": 0.5})),
    ])
}

/// The batch under an unlimited retry policy.
fn retried_envelope() -> Value {
    batch().retry(0, -1).envelope()
}

fn error(response: &Response) -> String {
    assert_eq!(response.status, 503);
    response.json()["error"].as_str().expect("a text").to_owned()
}

/// Returns the log of the handler of this app.
fn log(app: &App, errors: &str) -> String {
    let log = fs::read_to_string(app.path("stdout.log")).expect("the log") + errors;
    assert!(log.contains(r#""record":"start""#), "not the log: {log}");
    log
}

#[tokio::test]
async fn a_large_dead_letter_is_in_a_blob_and_the_message_points_to_it() {
    let app = app(SHARED.connection_string(KEY));
    let handler = app.start();
    let reply = handler.invoke(&retried_envelope());
    assert_eq!(reply.counts(), [3, 2, 0, 1]);
    let message = reply.dead_letter();
    let overflow = &message["Overflow"];
    let location = overflow["Location"].as_str().expect("an address");
    let name = location.rsplit('/').next().expect("a name");
    assert!(location.contains("/deadletters/"), "{location}");
    assert!(name.starts_with(message["Id"].as_str().expect("an id")), "{name}");

    let stored = read(location).await;
    assert_eq!((&overflow["Length"], &overflow["Sha256"]), (&stored.len().into(), &sha256(&stored).into()));
    let letter = read_dead_letter(&stored);
    assert_eq!((&letter["Id"], &letter["Issue"]), (&message["Id"], &message["Issue"]));
    let body = from_base64(letter["EventData"]["Body"].as_str().expect("a body"));
    let body: Value = serde_json::from_slice(&body).expect("the event");
    assert_eq!(body["padding"].as_str().map(str::len), Some(65_536));

    let log = log(&app, &handler.stop());
    assert!(!log.contains(KEY), "no secret in the log");
}

#[tokio::test]
async fn many_large_dead_letters_are_stored_in_one_attempt() {
    let app = app(SHARED.connection_string(KEY));
    let poison = |number: i64| Event::json(number, &json!({"battery": number, "padding": "x".repeat(50_000)}));
    let reply = app.start().invoke(&Batch::of((1..=60).map(poison).collect::<Vec<_>>()).retry(0, -1).envelope());
    assert_eq!(reply.counts(), [60, 0, 0, 60]);
    for (number, message) in (1..).zip(&reply.dead_letters) {
        let location = message["Overflow"]["Location"].as_str().expect("an address");
        let letter = read_dead_letter(read(location).await);
        let body = from_base64(letter["EventData"]["Body"].as_str().expect("a body"));
        let body: Value = serde_json::from_slice(&body).expect("the event");
        assert_eq!(body["battery"], number, "in the order of the batch");
    }
}

#[tokio::test]
async fn the_container_is_a_setting() {
    let app = app(SHARED.connection_string(KEY)).with("DeadLetterContainer", "of-this-fleet");
    let reply = app.start().invoke(&retried_envelope());
    let location = reply.dead_letter()["Overflow"]["Location"].as_str().expect("an address").to_owned();
    assert!(location.contains("/devstoreaccount1/of-this-fleet/"), "{location}");
    assert!(!read(&location).await.is_empty());
}

#[test]
fn an_outage_of_storage_fails_the_attempt_and_the_retry_stores_the_dead_letter() {
    let ports = [free_port(), free_port()];
    let app = app(connection_string(ports, &format!("AccountKey={KEY}")));
    let handler = app.start();
    let message = error(&handler.post("94d0", retried_envelope().to_string().as_bytes()));
    for word in ["in the container deadletters", "the connection failed", "setting `DeadLetterStorage`"] {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
    let _azurite = Azurite::start(ports);
    let reply = handler.invoke(&batch().retry(1, -1).envelope());
    assert!(reply.dead_letter()["Overflow"]["Location"].is_string(), "{}", reply.dead_letter());
    let log = log(&app, &handler.stop());
    assert!(!log.contains(KEY), "no secret in the log");
}

#[test]
fn during_an_outage_of_storage_the_last_attempt_truncates_the_body() {
    let ports = [free_port(), free_port()];
    let app = app(connection_string(ports, &format!("AccountKey={KEY}")));
    let reply = app.start().invoke(&batch().envelope());
    assert_eq!(reply.counts(), [3, 2, 0, 1]);
    assert!(reply.dead_letter()["EventData"]["BodyCut"].is_object(), "{}", reply.dead_letter());
}

#[test]
fn a_wrong_key_is_reported_and_not_in_the_log() {
    let app = app(SHARED.connection_string(WRONG_KEY));
    let handler = app.start();
    let message = error(&handler.post("94d0", retried_envelope().to_string().as_bytes()));
    for word in ["the account key was rejected", "setting `DeadLetterStorage`"] {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
    let log = log(&app, &handler.stop());
    assert!(log.contains("the account key was rejected"), "{log}");
    for secret in [WRONG_KEY, KEY] {
        assert!(!log.contains(secret) && !message.contains(secret), "no secret in the log");
    }
}

#[test]
fn a_shared_access_signature_is_never_in_the_log() {
    let signature = "sv=2022-11-02&ss=bq&srt=sco&sp=rwcl&sig=bm90IGEgc2lnbmF0dXJl";
    let access = format!("SharedAccessSignature={signature}");
    for ports in [[SHARED.blob_port, SHARED.queue_port], [free_port(), free_port()]] {
        let app = app(connection_string(ports, &access));
        let handler = app.start();
        let message = error(&handler.post("94d0", retried_envelope().to_string().as_bytes()));
        let log = log(&app, &handler.stop());
        assert!(!log.contains("bm90IGEgc2lnbmF0dXJl") && !message.contains("sig="), "no secret: {message}");
    }
}

/// The token endpoint answers that the identity does not exist.
#[test]
fn an_identity_without_a_token_is_not_reported_as_an_error_of_storage() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let endpoint = format!("http://{}/token", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        let answer = "HTTP/1.1 400 Bad Request\r\nContent-Length: 20\r\nConnection: close\r\n\r\nno identity is called";
        for mut connection in listener.incoming().map_while(Result::ok) {
            let _ = connection.read(&mut [0; 4_096]);
            let _ = connection.write_all(answer.as_bytes());
        }
    });
    let app = App::shipped()
        .with("StateStore", "memory")
        .with("DeadLetterStorage__accountName", "drones")
        .with("IDENTITY_ENDPOINT", endpoint)
        .with("IDENTITY_HEADER", "bm90IGEgaGVhZGVy");
    let handler = app.start();
    let message = error(&handler.post("94d0", retried_envelope().to_string().as_bytes()));
    for word in ["drones.blob.core.windows.net", "no token for the identity", "DeadLetterStorage__blobServiceUri"] {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
    assert!(!(message + &handler.stop()).contains("bm90IGEgaGVhZGVy"));
}

#[test]
fn a_handler_with_an_invalid_connection_does_not_start() {
    for (text, words) in [
        ("AccountName=drones", "AccountKey"),
        ("UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://azurite", "DevelopmentStorageProxyUri"),
    ] {
        let (status, errors) = app(text).fails_to_start();
        assert_eq!(status.code(), Some(1), "{errors}");
        assert!(errors.contains("DeadLetterStorage") && errors.contains(words), "{errors}");
    }
    let app = app("UseDevelopmentStorage=true").with("DeadLetterContainer", "Dead_Letters");
    let (status, errors) = app.fails_to_start();
    assert_eq!(status.code(), Some(1), "{errors}");
    assert!(errors.contains("DeadLetterContainer") && errors.contains("Dead_Letters"), "{errors}");
}

#[test]
fn an_unused_connection_is_not_read() {
    let folder = tempfile::tempdir().expect("a folder").path().display().to_string();
    for app in [
        app("nonsense").with("DeadLetterDirectory", folder),
        App::shipped().with(SETTING, "nonsense"),
        App::shipped().with("DeadLetterStorage__credential", "nonsense"),
    ] {
        drop(app.start());
    }
}

#[test]
fn without_storage_the_handler_warns_and_truncates() {
    let app = App::shipped().without_sessions().with("StateStore", "memory");
    let handler = app.start();
    let reply = handler.invoke(&retried_envelope());
    assert!(reply.dead_letter()["EventData"]["BodyCut"].is_object(), "{}", reply.dead_letter());
    let log = log(&app, &handler.stop());
    let warnings: Vec<_> = log.lines().filter(|line| line.contains("will be truncated")).collect();
    let [warning] = warnings[..] else { panic!("one warning: {log}") };
    for word in ["WARN", "RawTelemetryFunction", "DeadLetterStorage", "DeadLetterDirectory"] {
        assert!(warning.contains(word), "{word:?} is not in: {warning}");
    }
}

/// Returns an app with this connection in its queue binding, and with these settings.
fn app_bound_to(connection: &Value, settings: &[(&str, &str)]) -> App {
    let app = App::shipped().without_sessions().with_function(|function| match connection {
        Value::Null => drop(function["bindings"][1].as_object_mut().expect("the queue").remove("connection")),
        name => function["bindings"][1]["connection"] = name.clone(),
    });
    settings.iter().fold(app.with("StateStore", "memory"), |app, (name, value)| app.with(name, *value))
}

#[test]
fn the_connection_of_the_queue_binding_is_resolved_as_by_the_host() {
    let (right, wrong) = (SHARED.connection_string(KEY), "nonsense");
    for (connection, settings) in [
        (json!("FleetStorage"), &[("FleetStorage", right.as_str()), (SETTING, wrong)][..]),
        (json!("FleetStorage"), &[("AzureWebJobsFleetStorage", &right), ("FleetStorage", wrong)]),
        (json!("%Which%"), &[("Which", "FleetStorage"), ("FleetStorage", &right)]),
        (json!(""), &[("AzureWebJobsStorage", &right), (SETTING, wrong)]),
        (Value::Null, &[("AzureWebJobsStorage", &right)]),
    ] {
        let app = app_bound_to(&connection, settings);
        let reply = app.start().invoke(&retried_envelope());
        let location = &reply.dead_letter()["Overflow"]["Location"];
        assert!(location.is_string(), "{connection}: {}", reply.dead_letter());
    }
    for (connection, settings, named) in [
        ("FleetStorage", ("FleetStorage", wrong), "the setting `FleetStorage` "),
        ("FleetStorage", ("AzureWebJobsFleetStorage", wrong), "the setting `AzureWebJobsFleetStorage` "),
        (
            "FleetStorage",
            ("AzureWebJobsFleetStorage__queueServiceUri", "https://drones.queue.core.windows.net"),
            "the setting `AzureWebJobsFleetStorage__blobServiceUri` ",
        ),
        ("%Which%", (SETTING, right.as_str()), "the setting `Which` "),
    ] {
        let (status, errors) = app_bound_to(&json!(connection), &[settings]).fails_to_start();
        assert_eq!(status.code(), Some(1), "{errors}");
        assert!(errors.contains(named), "{named:?} is not in: {errors}");
    }
}

#[test]
fn each_function_has_the_connection_of_its_own_binding() {
    let app = app_bound_to(&json!("FleetStorage"), &[("FleetStorage", &SHARED.connection_string(KEY))]);
    let mut other = devicestate_test_support::repository_file("RawTelemetryFunction/function.json");
    other["bindings"][1]["connection"] = "OtherStorage".into();
    app.add_function("Other", &other);
    let handler = app.start();
    assert!(handler.invoke(&retried_envelope()).dead_letter()["Overflow"]["Location"].is_string());
    let log = log(&app, &handler.stop());
    let warnings: Vec<_> = log.lines().filter(|line| line.contains("will be truncated")).collect();
    let [warning] = warnings[..] else { panic!("one warning: {log}") };
    assert!(warning.contains("\"Other\"") && warning.contains("OtherStorage"), "{warning}");
}
