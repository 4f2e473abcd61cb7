//! The entire system with its documents in Cosmos DB, by the settings of a real account.

use std::process::Command;

use devicestate_test_support::{listener::Listener, program::devicestate};
use serde_json::{Value, json};

use crate::support::{Documents, Workspace, assert_adds_up, count, function_app, report};

/// Returns the command `devicestate local` with its documents in this account.
fn local(workspace: &Workspace, listener: &Listener, arguments: &[&str]) -> Command {
    let mut command = workspace.local(arguments);
    command.env("StateStore", "cosmos").env("CosmosConnection", listener.connection_string());
    for setting in ["CosmosDatabase", "CosmosContainer", "CosmosPreferredRegions", "REGION_NAME"] {
        command.env_remove(setting);
    }
    command
}

/// Returns the report as a table.
fn table(workspace: &Workspace, listener: &Listener, arguments: &[&str]) -> String {
    let mut command = Command::new(devicestate());
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["local", "--state"]).arg(workspace.state()).args(arguments);
    command.env("StateStore", "cosmos").env("CosmosConnection", listener.connection_string());
    String::from_utf8(command.output().expect("the binary runs").stdout).expect("text")
}

/// Returns the documents without versions, and with each number as a double, as Cosmos DB stores it.
fn documents(listener: &Listener) -> Documents {
    let documents = listener.documents().into_iter().map(|(id, document)| {
        let Value::Object(mut document) = document else { panic!("not an object: {document}") };
        document.retain(|name, _| !["id", "Heard", "Versions"].contains(&name.as_str()));
        (id, document)
    });
    as_doubles(documents.collect())
}

fn as_doubles(mut documents: Documents) -> Documents {
    for value in documents.values_mut().flat_map(|document| document.values_mut()) {
        if let Some(number) = value.as_f64() {
            *value = number.into();
        }
    }
    documents
}

#[test]
#[ignore = "just test-azure"]
fn the_same_events_result_in_the_same_documents_in_cosmos_db_and_in_sqlite() {
    const EVENTS: [&str; 6] = ["--devices", "40", "--events", "100", "--seed", "7"];
    let invalid_events = ["--invalid-events", "0.5%", "--partitions", "8", "--instances", "2"];
    let arguments = [&EVENTS[..], &invalid_events].concat();
    let sqlite = Workspace::new();
    sqlite.run(&arguments);

    let (workspace, listener) = (Workspace::new(), Listener::start());
    let report = report(&local(&workspace, &listener, &arguments).output().expect("the binary runs"), 0);
    assert_adds_up(&report);
    assert_eq!((count(&report, "deadLettered"), count(&report, "devices")), (20, 40), "{report}");
    assert_eq!(workspace.dead_letters().len(), 20, "dead letters are in the state file with every store");
    assert!(workspace.documents().is_empty());
    assert_eq!(documents(&listener), as_doubles(sqlite.documents()));

    let units = report["storeOperations"]["requestUnits"].as_f64().expect("a number");
    let counters = listener.counters();
    assert!(0.0 < units && units < counters.request_units, "{units} of {}", counters.request_units);
    // Each instance reads the container, and the report lists the documents; all other requests are the handlers'.
    let others = counters.count(&["metadata", "query"]);
    let operations = &report["storeOperations"];
    let counted = ["reads", "writes"].map(|name| operations[name].as_u64().expect("a number")).iter().sum::<u64>();
    assert_eq!(counted, counters.requests() - others, "{report} {counters:?}");
}

#[test]
#[ignore = "just test-azure"]
fn the_table_has_the_request_units_and_how_to_inspect_the_documents() {
    let (workspace, listener) = (Workspace::new(), Listener::start());
    let text = table(&workspace, &listener, &["--file", "samples/px4-flights.jsonl"]);
    for expected in ["received       876", "request units", "px4-sample-log-small", "devicestate devices list"] {
        assert!(text.contains(expected), "{expected:?} in:\n{text}");
    }
    assert!(!text.contains(listener.key()));
    assert_eq!(documents(&listener)["px4-sample-log-small"]["position.latitude"], 63.417_045_7);
}

/// Reading a container costs request units, and it may have millions of documents.
#[test]
#[ignore = "just test-azure"]
fn the_report_reads_no_more_than_ten_thousand_documents_of_a_container() {
    let (workspace, listener) = (Workspace::new(), Listener::start());
    for number in 0..10_001 {
        listener.put(&json!({"id": format!("older-{number:05}"), "Battery": 0.5, "Versions": {}}));
    }
    let arguments = ["--devices", "2", "--events", "10"];
    let report = report(&local(&workspace, &listener, &arguments).output().expect("the binary runs"), 0);
    assert_eq!((count(&report, "applied"), &report["devices"]), (20, &Value::Null), "{report}");

    let text = table(&workspace, &listener, &arguments);
    assert!(text.contains("more than 10000"), "{text}");
    assert!(!text.contains("older-"), "{text}");
}

#[test]
#[ignore = "just test-azure"]
fn a_missing_container_holds_the_stream_until_it_is_created() {
    let (workspace, listener) = (Workspace::new(), Listener::with(&["--no-container"]));
    let app = function_app(&workspace, |_, _| ());
    let app = app.to_str().expect("text");
    let running = local(&workspace, &listener, &["--app-root", app, "--devices", "3", "--events", "100"]).spawn();
    let running = running.expect("the binary runs");
    listener.wait_until("some attempts failed", |counters| counters.status(404) >= 5);
    listener.create_container();
    let report = report(&running.wait_with_output().expect("it ends"), 0);
    assert_eq!((count(&report, "applied"), count(&report, "devices")), (300, 3), "{report}");
    assert!(count(&report, "failedAttempts") > 0, "{report}");
    assert_adds_up(&report);
}
