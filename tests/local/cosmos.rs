//! The whole system with its documents in Cosmos DB, by the settings that a real account would have.

use std::process::Command;

use devicestate_test_support::{listener::Listener, program::devicestate};
use serde_json::{Value, json};

use crate::support::{Documents, Place, assert_adds_up, count, function_app, report};

/// `devicestate local` with its documents in this account.
fn local(place: &Place, listener: &Listener, arguments: &[&str]) -> Command {
    let mut command = place.local(arguments);
    command.env("StateStore", "cosmos").env("CosmosConnection", listener.connection_string());
    for setting in ["CosmosDatabase", "CosmosContainer", "CosmosPreferredRegions", "REGION_NAME"] {
        command.env_remove(setting);
    }
    command
}

/// The report in words.
fn in_words(place: &Place, listener: &Listener, arguments: &[&str]) -> String {
    let mut command = Command::new(devicestate());
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["local", "--state"]).arg(place.state()).args(arguments);
    command.env("StateStore", "cosmos").env("CosmosConnection", listener.connection_string());
    String::from_utf8(command.output().expect("the binary runs").stdout).expect("text")
}

/// The documents as they are compared: without versions, and each number as the double that Cosmos DB takes it for.
fn documents(listener: &Listener) -> Documents {
    let documents = listener.documents().into_iter().map(|(id, document)| {
        let Value::Object(mut document) = document else { panic!("no object: {document}") };
        document.retain(|name, _| !["id", "Versions"].contains(&name.as_str()));
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
fn the_same_events_come_to_the_same_documents_in_cosmos_db_and_in_sqlite() {
    const EVENTS: [&str; 6] = ["--simulate", "40", "--events", "4000", "--seed", "7"];
    let bad_events = ["--bad-events", "5", "--partitions", "8", "--instances", "2"];
    let arguments = [&EVENTS[..], &bad_events].concat();
    let sqlite = Place::new();
    sqlite.run(&arguments);

    let (place, listener) = (Place::new(), Listener::start());
    let report = report(&local(&place, &listener, &arguments).output().expect("the binary runs"), 0);
    assert_adds_up(&report);
    assert_eq!((count(&report, "deadLettered"), count(&report, "devices")), (20, 40), "{report}");
    assert_eq!(place.dead_letters().len(), 20, "they go into the file, whatever the store");
    assert!(place.documents().is_empty());
    assert_eq!(documents(&listener), as_doubles(sqlite.documents()));

    let units = report["storeOperations"]["requestUnits"].as_f64().expect("a number");
    let counters = listener.counters();
    assert!(0.0 < units && units < counters.request_units, "{units} of {}", counters.request_units);
    // Each instance finds the container, and the report lists the documents; all else is the handlers'.
    let others = counters.count(&["metadata", "query"]);
    let operations = &report["storeOperations"];
    let told = ["reads", "writes"].map(|name| operations[name].as_u64().expect("a number")).iter().sum::<u64>();
    assert_eq!(told, counters.requests() - others, "{report} {counters:?}");
}

#[test]
#[ignore = "just test-azure"]
fn the_report_in_words_tells_the_request_units_and_how_to_look_at_the_documents() {
    let (place, listener) = (Place::new(), Listener::start());
    let text = in_words(&place, &listener, &[]);
    for expected in ["received       876", "request units", "px4-sample-log-small", "devicestate state list"] {
        assert!(text.contains(expected), "{expected:?} in:\n{text}");
    }
    assert!(!text.contains(listener.key()));
    assert_eq!(documents(&listener)["px4-sample-log-small"]["Latitude"], 63.417_045_7);
}

/// Reading a container costs request units, and there may be millions.
#[test]
#[ignore = "just test-azure"]
fn of_a_large_container_the_report_reads_no_more_than_ten_thousand_documents() {
    let (place, listener) = (Place::new(), Listener::start());
    for number in 0..10_001 {
        listener.put(&json!({"id": format!("older-{number:05}"), "Battery": 0.5, "Versions": {}}));
    }
    let arguments = ["--simulate", "2", "--events", "20"];
    let report = report(&local(&place, &listener, &arguments).output().expect("the binary runs"), 0);
    assert_eq!((count(&report, "applied"), &report["devices"]), (20, &Value::Null), "{report}");

    let words = in_words(&place, &listener, &arguments);
    assert!(words.contains("more than 10000"), "{words}");
    assert!(!words.contains("older-"), "{words}");
}

#[test]
#[ignore = "just test-azure"]
fn a_container_that_is_not_there_holds_the_stream_until_it_is_made() {
    let (place, listener) = (Place::new(), Listener::with(&["--no-container"]));
    let app = function_app(&place, |_, _| ());
    let app = app.to_str().expect("text");
    let running = local(&place, &listener, &["--app-root", app, "--simulate", "3", "--events", "300"]).spawn();
    let running = running.expect("the binary runs");
    listener.wait_until("some attempts were in vain", |counters| counters.status(404) >= 5);
    listener.create_container();
    let report = report(&running.wait_with_output().expect("it ends"), 0);
    assert_eq!((count(&report, "applied"), count(&report, "devices")), (300, 3), "{report}");
    assert!(count(&report, "failedAttempts") > 0, "{report}");
    assert_adds_up(&report);
}
