//! The commands on documents with the settings of the handler.

use devicestate_test_support::{App, Batch, Fold, listener::Listener, read_output};
use serde_json::{Value, json};

use super::{app, battery, deliver, event, test_account::Account};

/// Runs a command successfully and returns its output.
#[track_caller]
fn output_of(app: &App, arguments: &[&str]) -> String {
    let output = app.run(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).expect("text")
}

/// Runs a command that fails and returns its error.
#[track_caller]
fn error_of(app: &App, arguments: &[&str]) -> String {
    let output = app.run(arguments);
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).expect("text")
}

/// Returns the `data` that a command prints with `-o json`.
fn json(app: &App, arguments: &[&str]) -> Value {
    read_output(output_of(app, &[arguments, &["-o", "json"]].concat()), Some(0))
}

#[test]
fn documents_of_the_handler_are_listed_and_shown() {
    let account = Account::empty();
    let app = account.app();
    assert_eq!(json(&app, &["devices", "list"]), json!([]));
    let batch = Batch::of([
        battery(1, "drone-2", 0.5),
        event(2, "drone-1", json!({"battery": 0.25, "position": {"latitude": 47.5}})),
        battery(3, "a/b", 0.75),
    ]);
    deliver(&app.start(), &batch).reply.assert_all_applied(3);

    let listed = json(&app, &["devices", "list"]);
    let mut stored = account.documents();
    assert_eq!(listed, json!(["a~2Fb", "drone-1", "drone-2"].map(|id| &stored[id])));
    let first = json(&app, &["devices", "list", "--limit", "1"]);
    assert_eq!(first, json!([stored["a~2Fb"]]));
    let shown = json(&app, &["devices", "show", "a/b"]);
    assert_eq!(shown, stored["a~2Fb"]);
    let mut expected = Fold::from_batches([&batch]).documents();
    let renamed = expected.remove("a/b").map(|mut document| {
        document["id"] = "a~2Fb".into();
        document
    });
    expected.extend(renamed.map(|document| ("a~2Fb".to_owned(), document)));
    assert_eq!(std::mem::take(&mut stored), expected);

    for arguments in [&["devices", "list"][..], &["devices", "show", "drone-1"]] {
        let table = output_of(&app, arguments);
        assert!(["drone-1", "47.5", "2024-11-20"].iter().all(|text| table.contains(text)), "{table}");
    }
    let missing = error_of(&app, &["devices", "show", "drone-9"]);
    assert!(missing.contains("there is no document of the device \"drone-9\""), "{missing}");
}

/// There are more documents than in one page of the service.
#[test]
fn more_documents_than_a_page_are_listed_in_order() {
    const DOCUMENTS: usize = 450;
    let listener = Listener::start();
    let app = app(&listener);
    for number in (0..DOCUMENTS).rev() {
        listener.put(&json!({"id": format!("drone-{number:03}"), "Battery": number, "Versions": {}}));
    }
    let listed = json(&app, &["devices", "list"]);
    let numbers: Vec<_> = listed
        .as_array()
        .expect("an array")
        .iter()
        .map(|document| document["Battery"].as_u64().expect("a number"))
        .collect();
    assert_eq!(numbers, (0..DOCUMENTS as u64).collect::<Vec<_>>());
}

#[test]
fn a_missing_account_or_container_is_reported_without_the_key() {
    let listener = Listener::with(&["--no-container"]);
    let app = app(&listener);
    for arguments in [&["devices", "list"][..], &["devices", "show", "drone-1"]] {
        let error = error_of(&app, arguments);
        assert!(error.contains("CosmosContainer") && !error.contains(listener.key()), "{error}");
    }
    listener.down();
    let error = error_of(&app, &["devices", "list"]);
    assert!(
        error.contains("the request to Cosmos DB (127.0.0.1) failed") && !error.contains(listener.key()),
        "{error}"
    );
}
