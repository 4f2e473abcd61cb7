//! `emulators/create-container.js`, with which a developer's machine gets its database and container.

use std::{
    path::Path,
    process::{Command, Output},
};

use devicestate_test_support::{Batch, base64, listener::Listener};

use super::{app, battery, deliver};

/// Runs the program with this connection string, and with names that the account does not know yet.
fn create(connection: &str) -> Output {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("emulators/create-container.js");
    let mut node = Command::new("node");
    node.arg(program).envs([("CosmosConnection", connection), ("CosmosDatabase", "new"), ("CosmosContainer", "fleet")]);
    node.output().expect("Node.js (the command node)")
}

/// What it says when it succeeds.
#[track_caller]
fn said(connection: &str) -> String {
    let output = create(connection);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// What it says when it fails.
#[track_caller]
fn complained(connection: &str) -> String {
    let output = create(connection);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn the_database_and_the_container_are_made_once_and_the_handler_works_with_them() {
    let listener = Listener::with(&["--no-container"]);
    let connection = listener.connection_string();
    assert_eq!(said(connection), "database new: created\ncontainer fleet: created\n");
    assert_eq!(said(connection), "database new: there already\ncontainer fleet: there already\n");
    let app = app(&listener).with("CosmosDatabase", "new").with("CosmosContainer", "fleet");
    let handler = app.start();
    deliver(&handler, &Batch::of([battery(1, "drone-1", 0.5)])).reply.assert_all_applied(1);
    // The handler reads it and replaces it: the partition key is the document's id.
    deliver(&handler, &Batch::of([battery(2, "drone-1", 0.25)])).reply.assert_all_applied(1);
}

#[test]
fn a_connection_string_is_read_as_the_handler_reads_it() {
    let listener = Listener::with(&["--no-container"]);
    let (endpoint, key) = (listener.endpoint(), listener.key());
    let told = said(&format!(" accountkey = {key} ;; ACCOUNTENDPOINT= {endpoint} ; "));
    assert_eq!(told, "database new: created\ncontainer fleet: created\n");
}

#[test]
fn a_wrong_key_is_told_clearly_and_is_not_printed() {
    let listener = Listener::with(&["--no-container"]);
    let key = base64("the key of some other account");
    let told = complained(&format!("AccountEndpoint={};AccountKey={key};", listener.endpoint()));
    for word in ["create-container: ", listener.endpoint(), "401", "AccountKey", "CosmosConnection"] {
        assert!(told.contains(word), "{word:?} is not in: {told}");
    }
    assert!(!told.contains(&key) && !told.contains(listener.key()), "{told}");
}

#[test]
fn what_is_no_connection_string_is_told_and_is_not_printed() {
    let key = base64("the key of some other account");
    let key = key.trim_end_matches('=');
    for connection in
        [key.to_owned(), format!("AccountEndpoint=http://127.0.0.1:1/;{key}"), format!("AccountKey={key}")]
    {
        let told = complained(&connection);
        assert!(told.contains("the setting CosmosConnection"), "{told}");
        assert!(!told.contains(key), "{told}");
    }
}
