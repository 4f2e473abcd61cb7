//! `emulators/create-container.js`, which creates the database and container on a developer's machine.

use std::{
    path::Path,
    process::{Command, Output},
};

use devicestate_test_support::{Batch, base64, listener::Listener};

use super::{app, battery, deliver};

/// Runs the program with this connection string and new names.
fn run_create(connection: &str) -> Output {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("emulators/create-container.js");
    let mut node = Command::new("node");
    node.arg(program).envs([("CosmosConnection", connection), ("CosmosDatabase", "new"), ("CosmosContainer", "fleet")]);
    node.output().expect("Node.js (the command node)")
}

/// Runs the program successfully and returns its output.
#[track_caller]
fn created(connection: &str) -> String {
    let output = run_create(connection);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Runs the program without success and returns its output and error.
#[track_caller]
fn failure(connection: &str) -> String {
    let output = run_create(connection);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn the_database_and_container_are_created_once_and_usable() {
    let listener = Listener::with(&["--no-container"]);
    let connection = listener.connection_string();
    assert_eq!(created(connection), "database new: created\ncontainer fleet: created\n");
    assert_eq!(created(connection), "database new: already exists\ncontainer fleet: already exists\n");
    let app = app(&listener).with("CosmosDatabase", "new").with("CosmosContainer", "fleet");
    let handler = app.start();
    deliver(&handler, &Batch::of([battery(1, "drone-1", 0.5)])).reply.assert_all_applied(1);
    // The handler reads and replaces the document, so the partition key is its id.
    deliver(&handler, &Batch::of([battery(2, "drone-1", 0.25)])).reply.assert_all_applied(1);
}

#[test]
fn a_connection_string_is_parsed_like_the_handlers() {
    let listener = Listener::with(&["--no-container"]);
    let (endpoint, key) = (listener.endpoint(), listener.key());
    let output = created(&format!(" accountkey = {key} ;; ACCOUNTENDPOINT= {endpoint} ; "));
    assert_eq!(output, "database new: created\ncontainer fleet: created\n");
}

#[test]
fn a_wrong_key_is_reported_and_not_printed() {
    let listener = Listener::with(&["--no-container"]);
    let key = base64("the key of some other account");
    let error = failure(&format!("AccountEndpoint={};AccountKey={key};", listener.endpoint()));
    for word in ["create-container: ", listener.endpoint(), "401", "AccountKey", "CosmosConnection"] {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
    assert!(!error.contains(&key) && !error.contains(listener.key()), "{error}");
}

#[test]
fn an_invalid_connection_string_is_reported_and_not_printed() {
    let key = base64("the key of some other account");
    let key = key.trim_end_matches('=');
    for connection in
        [key.to_owned(), format!("AccountEndpoint=http://127.0.0.1:1/;{key}"), format!("AccountKey={key}")]
    {
        let error = failure(&connection);
        assert!(error.contains("the setting CosmosConnection"), "{error}");
        assert!(!error.contains(key), "{error}");
    }
}
