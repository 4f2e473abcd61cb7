//! Each recorded request of a running host, sent as it was recorded, has the outcome that `tests/fixtures/host/outcomes.json`
//! states.

mod broken;
mod letters;

use std::collections::{BTreeMap, BTreeSet};

use devicestate_test_support::{
    App, Handler, Recording, Reply, queue_records, read_output, recordings, repository_file,
};
use serde_json::{Map, Value, json};

/// Functions of the recordings that the handler does not serve, and a part of the reason.
const REFUSED_AT_THE_START: [(&str, &str); 11] = [
    ("string-one", "dataType is not \"binary\""),
    ("unset-one", "dataType is not \"binary\""),
    ("unset-many", "dataType is not set"),
    ("servicebus-string-one", "dataType is not \"binary\""),
    ("servicebus-unset-one", "dataType is not \"binary\""),
    ("servicebus-binary-many", "cardinality must be \"one\""),
    ("servicebus-binary-many-503", "cardinality must be \"one\""),
    ("servicebus-binary-many-retry", "cardinality must be \"one\""),
    ("servicebus-string-many", "cardinality must be \"one\""),
    ("servicebus-unset-many", "cardinality must be \"one\""),
    ("servicebus-binary-one-nosession", "isSessionsEnabled must be true"),
];

/// The function of the recordings with an HTTP trigger that the product has; the tests of `devices_function` send it requests.
const DEVICES_FUNCTION: &str = "Devices";

/// The function of the recordings with an HTTP trigger that the product does not have.
const OTHER_FUNCTION: &str = "DevicePage";

/// The function of the recordings with a timer trigger.
const TIMER_FUNCTION: &str = "Watch";

fn is_refused(function: &str) -> bool {
    REFUSED_AT_THE_START.iter().any(|(refused, _)| *refused == function)
}

/// Returns the recordings except those of functions that are refused, and of the one that answers requests for devices.
fn served() -> Vec<Recording> {
    let is_served = |name: &str| !is_refused(name) && name != DEVICES_FUNCTION;
    recordings().into_iter().filter(|recording| is_served(recording.function())).collect()
}

/// Returns the names of the functions of these recordings, except those with a trigger that the product does not have.
fn functions(recordings: &[Recording]) -> BTreeSet<&str> {
    recordings.iter().map(Recording::function).filter(|name| *name != OTHER_FUNCTION).collect()
}

/// Returns `function.json` as the recorded host had it: its name says the kind, the data type and the cardinality.
fn function(name: &str) -> Value {
    if name == TIMER_FUNCTION {
        return repository_file("DeadLetterWatchFunction/function.json");
    }
    let (shipped, kind) = match name.strip_prefix("servicebus-") {
        Some(kind) => ("SessionTelemetryFunction", kind),
        None => ("RawTelemetryFunction", name),
    };
    let mut function = repository_file(&format!("{shipped}/function.json"));
    let mut parts = kind.split('-');
    let (data_type, cardinality) = (parts.next().expect("a data type"), parts.next().expect("a cardinality"));
    let trigger = function["bindings"][0].as_object_mut().expect("the trigger");
    trigger.insert("cardinality".into(), cardinality.into());
    trigger.insert("dataType".into(), data_type.into());
    if data_type == "unset" {
        trigger.remove("dataType");
    }
    if parts.any(|part| part == "nosession") {
        trigger.insert("isSessionsEnabled".into(), false.into());
    }
    function
}

/// Creates an app of the recorded functions with these names.
fn app<'a>(functions: impl IntoIterator<Item = &'a str>) -> App {
    let app = App::empty().with("ServiceBusConnection__fullyQualifiedNamespace", letters::SERVICE_BUS_NAMESPACE);
    let queue = app.path("state.db").display().to_string();
    let app = app.with("SessionQueueName", letters::SESSION_QUEUE).with("DeadLetterSqlitePath", queue);
    for name in functions {
        app.add_function(name, &function(name));
    }
    app
}

/// Returns the stated outcomes by the recordings' names.
fn outcomes() -> Map<String, Value> {
    match repository_file("tests/fixtures/host/outcomes.json") {
        Value::Object(outcomes) => outcomes,
        other => panic!("{other}"),
    }
}

#[test]
fn each_recording_has_one_stated_outcome_and_each_outcome_a_recording() {
    let names: BTreeSet<_> = served().into_iter().map(|recording| recording.name).collect();
    let stated: BTreeSet<_> = outcomes().into_iter().map(|(name, _)| name).collect();
    let without_outcome: Vec<_> = names.difference(&stated).collect();
    let without_file: Vec<_> = stated.difference(&names).collect();
    assert!(
        names.len() > 70 && without_outcome.is_empty() && without_file.is_empty(),
        "{without_outcome:?} {without_file:?}"
    );
}

#[test]
fn a_recorded_function_that_is_refused_keeps_the_handler_from_starting() {
    let recorded: BTreeSet<_> = recordings().iter().map(|recording| recording.function().to_owned()).collect();
    for (name, reason) in REFUSED_AT_THE_START {
        assert!(recorded.contains(name), "no recording of {name}");
        let (status, errors) = app([name]).fails_to_start();
        assert_eq!(status.code(), Some(1), "{name}: {errors}");
        assert!(errors.contains(&format!("{name}/function.json")) && errors.contains(reason), "{name}: {errors}");
    }
}

#[test]
fn each_recorded_request_has_its_stated_outcome() {
    let outcomes = outcomes();
    let served = served();
    let functions = functions(&served);
    let mut wrong = Vec::new();
    for round in rounds(&served, &outcomes) {
        let app = app(functions.iter().copied());
        let handler = app.start();
        let observed: Vec<_> = round.iter().map(|recording| observe(&handler, recording)).collect();
        let mut documents = documents(&app);
        for (recording, mut observed) in round.into_iter().zip(observed) {
            let stated = outcomes.get(&recording.name).unwrap_or(&Value::Null);
            let devices = stated["documents"].as_object().into_iter().flat_map(|stated| stated.keys());
            let its_documents: Map<_, _> = devices.filter_map(|id| documents.remove_entry(id)).collect();
            if !its_documents.is_empty() {
                observed["documents"] = its_documents.into();
            }
            if observed != *stated {
                wrong.push(format!("{}\n  stated   {stated}\n  observed {observed}", recording.name));
            }
        }
        wrong.extend(documents.iter().map(|(id, document)| format!("no outcome has {id}: {document}")));
    }
    assert!(wrong.is_empty(), "{} outcomes differ\n{}", wrong.len(), wrong.join("\n"));
}

/// Divides the recordings into groups in which no two write the same document, so that each outcome is independent.
fn rounds<'a>(recordings: &'a [Recording], outcomes: &Map<String, Value>) -> Vec<Vec<&'a Recording>> {
    let mut rounds: Vec<(BTreeSet<&str>, Vec<&Recording>)> = Vec::new();
    for recording in recordings {
        let documents = outcomes.get(&recording.name).and_then(|outcome| outcome["documents"].as_object());
        let devices: BTreeSet<_> =
            documents.into_iter().flat_map(|documents| documents.keys().map(String::as_str)).collect();
        match rounds.iter_mut().find(|(used, _)| used.is_disjoint(&devices)) {
            Some((used, round)) => {
                used.extend(devices);
                round.push(recording);
            }
            None => rounds.push((devices, vec![recording])),
        }
    }
    rounds.into_iter().map(|(_, round)| round).collect()
}

/// Sends a recorded request; returns its outcome without the documents.
fn observe(handler: &Handler, recording: &Recording) -> Value {
    let response = recording.send(handler.port);
    if response.status != 200 {
        let body = response.json();
        // After the first comma there is advice.
        let error = body["error"].as_str().and_then(|error| error.split(',').next());
        return json!({"status": response.status, "error": error});
    }
    if recording.function() == TIMER_FUNCTION {
        let [record] = <[Value; 1]>::try_from(queue_records(&response)).expect("one record");
        return json!({"queue": record["queueName"], "messages": record["messages"]});
    }
    let reply = Reply::from_response(&response);
    let mut outcome = Map::new();
    for name in ["applied", "superseded", "unrecognized", "ignored"] {
        if reply.batch[name] != 0 {
            outcome.insert(name.to_owned(), reply.batch[name].clone());
        }
    }
    letters::assert_as_recorded(recording, &reply);
    if !reply.dead_letters.is_empty() {
        outcome.insert("deadLetters".into(), reply.dead_letters.iter().map(letters::stated).collect());
    }
    outcome.into()
}

/// Returns the documents by their ids: each reading with the time and the sequence number of its version.
fn documents(app: &App) -> BTreeMap<String, Value> {
    let list = read_output(&app.run(&["devices", "list", "-o", "json"]).stdout, Some(0));
    let documents = list.as_array().expect("documents").iter();
    documents.map(|document| (document["id"].as_str().expect("an id").to_owned(), readings(document))).collect()
}

fn readings(document: &Value) -> Value {
    let readings = document.as_object().expect("an object").iter();
    let readings = readings.filter(|(name, _)| !["id", "Heard", "Versions"].contains(&name.as_str()));
    let with_version = |(name, value): (&String, &Value)| {
        let version = &document["Versions"][name];
        let time = version[0].as_i64().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()).expect("a time");
        // The host does not know the time of an event that comes through the admin endpoint.
        let is_arrival = time.duration_until(jiff::Timestamp::now()).abs().as_mins() < 5;
        let time = if is_arrival { "arrival".to_owned() } else { time.to_string() };
        (name.clone(), json!([value, time, version[1]]))
    };
    readings.map(with_version).collect::<Map<_, _>>().into()
}
