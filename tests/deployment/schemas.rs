//! The configuration files against published schemas. Where a schema is older than what it describes, rules of our own
//! stand beside it, each with its reason.

use std::{io::Write as _, process::Stdio};

use serde_json::{Value, json};

use crate::pipeline::yaml::{THIS, node, pipeline, read};

const HOST: &str = "host.json";
const FUNCTION: &str = "function.json";
const COMPOSE: &str = "raw.githubusercontent.com/compose-spec/compose-spec/master/schema/compose-spec.json";
const PIPELINES: &str = "raw.githubusercontent.com/microsoft/azure-pipelines-vscode/master/service-schema.json";

/// What of a document does not agree with a published schema; empty when all does.
fn complaints(schema: &str, document: &Value) -> String {
    let mut node = node("validate.js");
    let mut child = node.arg(schema).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Node.js");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(document.to_string().as_bytes()).expect("a reader");
    drop(stdin);
    let output = child.wait_with_output().expect("a child");
    assert!(output.status.success(), "the schema cannot be used");
    String::from_utf8(output.stdout).expect("text")
}

/// Checks that the document agrees with the schema, and that none of the broken copies does: each is one value, put at
/// a place of the document.
#[track_caller]
fn assert_agrees(schema: &str, document: &Value, broken: &[(&str, Value)]) {
    assert_eq!(complaints(schema, document), "");
    for (place, value) in broken {
        let copy = with(document, place, value.clone());
        assert_ne!(complaints(schema, &copy), "", "it passes with {value} at {place}");
    }
}

/// The document with this value at this place.
fn with(document: &Value, place: &str, value: Value) -> Value {
    let mut copy = document.clone();
    let (parent, name) = place.rsplit_once('/').expect("a path");
    let parent = copy.pointer_mut(parent).unwrap_or_else(|| panic!("there is no {place}"));
    parent.as_object_mut().expect("an object").insert(name.to_owned(), value);
    copy
}

fn without(document: &Value, place: &str) -> Value {
    let mut copy = document.clone();
    let (parent, name) = place.rsplit_once('/').expect("a path");
    let parent = copy.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
    parent.remove(name).unwrap_or_else(|| panic!("there is no {place}"));
    copy
}

#[test]
fn host_json_agrees_with_its_schema() {
    let broken = [
        ("/functionTimeout", json!("5 minutes")),
        ("/extensions/eventHubs/maxEventBatchSize", json!("1000")),
        ("/extensions/eventHubs/initialOffsetOptions/type", json!("fromTheStart")),
        ("/extensionBundle/version", json!(4)),
        ("/customHandler/description/arguments", json!("serve")),
        ("/customHandler/forwarding", json!(true)),
    ];
    // The schema knows the Service Bus extension as it was in its fourth version.
    assert_agrees(HOST, &without(&read("host.json"), "/extensions/serviceBus"), &broken);
}

/// Options that the Service Bus extension has in its fifth version, as far as sessions of single messages go by them: by
/// its source, where others are ignored without a word.
const OF_SERVICE_BUS: [(&str, bool); 6] = [
    ("autoCompleteMessages", false),
    ("maxAutoLockRenewalDuration", true),
    ("maxConcurrentCallsPerSession", false),
    ("maxConcurrentSessions", false),
    ("prefetchCount", false),
    ("sessionIdleTimeout", true),
];

fn service_bus_faults(host: &Value) -> Vec<String> {
    let options = host["extensions"]["serviceBus"].as_object().expect("the extension's options");
    let is_right = |name: &str, value: &Value| {
        OF_SERVICE_BUS.iter().any(|(known, is_time)| {
            let is_time_span = value.as_str().is_some_and(|text| text.split(':').count() == 3);
            *known == name && if *is_time { is_time_span } else { !value.is_string() }
        })
    };
    let wrong = options.iter().filter(|(name, value)| !is_right(name, value));
    wrong.map(|(name, value)| format!("{name}: {value}")).collect()
}

#[test]
fn host_json_has_options_of_the_service_bus_extension_as_it_is_now() {
    let host = read("host.json");
    assert_eq!(service_bus_faults(&host), Vec::<String>::new());
    for (name, value) in [
        ("maxConcurrentSession", json!(64)),
        ("maxConcurrentSessions", json!("64")),
        ("sessionIdleTimeout", json!(1)),
        ("sessionHandlerOptions", json!({"maxConcurrentSessions": 64})),
    ] {
        let broken = with(&host, &format!("/extensions/serviceBus/{name}"), value.clone());
        assert_eq!(service_bus_faults(&broken), [format!("{name}: {value}")]);
    }
}

#[test]
fn function_json_agrees_with_its_schema() {
    let broken = [
        ("/bindings/0/cardinality", json!("several")),
        ("/bindings/0/dataType", json!("text")),
        ("/bindings/0/direction", json!("out")),
        ("/retry/strategy", json!("forEver")),
        ("/retry/minimumInterval", json!("1 s")),
    ];
    assert_agrees(FUNCTION, &read("RawTelemetryFunction/function.json"), &broken);
    let broken = [
        ("/bindings/0/schedule", json!(3600)),
        ("/bindings/0/direction", json!("out")),
        ("/bindings/0/useMonitor", json!("yes")),
        ("/bindings/0/runOnStartup", json!("no")),
    ];
    assert_agrees(FUNCTION, &read("DeadLetterWatchFunction/function.json"), &broken);
    let broken = [
        ("/bindings/0/dataType", json!("text")),
        ("/bindings/0/direction", json!("out")),
        ("/bindings/0/queueName", json!(1)),
    ];
    assert_agrees(FUNCTION, &read("SessionTelemetryFunction/function.json"), &broken);
}

/// What the schema lets pass, and the host does not, or not as it is meant.
fn function_faults(function: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    // The schema knows the hub by its older name, `path`, and requires nothing of a binding but its type.
    let required = [
        ("eventHubTrigger", &["name", "connection", "eventHubName", "consumerGroup", "cardinality", "dataType"][..]),
        ("queue", &["name", "connection", "queueName"]),
        ("timerTrigger", &["name", "schedule"]),
        ("serviceBusTrigger", &["name", "connection", "queueName", "cardinality", "dataType"]),
    ];
    let empty = Vec::new();
    for binding in function["bindings"].as_array().unwrap_or(&empty) {
        let kind = binding["type"].as_str().unwrap_or_default();
        let Some((_, names)) = required.iter().find(|(required, _)| *required == kind) else {
            faults.push(format!("a binding is of the type {kind:?}"));
            continue;
        };
        let missing = names.iter().filter(|name| binding[**name].as_str().is_none_or(str::is_empty));
        faults.extend(missing.map(|name| format!("{kind} has no {name}")));
    }
    let trigger = &function["bindings"][0];
    if trigger["type"] == "serviceBusTrigger" {
        // The host has had no retry policy for it since December 2022: Service Bus itself delivers a message again.
        if !function["retry"].is_null() {
            faults.push("a retry policy of a serviceBusTrigger is ignored".into());
        }
        if trigger["isSessionsEnabled"] != true {
            faults.push("nothing keeps the messages of a device in order".into());
        }
        return faults;
    }
    // A batch that fails without one is lost. A timer comes again by itself.
    if trigger["type"] == "timerTrigger" && function["retry"].is_null() {
        return faults;
    }
    // The schema has one list of members for both strategies; the host refuses a function whose delays are missing.
    let delays = match function["retry"]["strategy"].as_str() {
        Some("exponentialBackoff") => &["maxRetryCount", "minimumInterval", "maximumInterval"][..],
        Some("fixedDelay") => &["maxRetryCount", "delayInterval"],
        _ => &["strategy"],
    };
    let missing = delays.iter().filter(|name| function["retry"][**name].is_null());
    faults.extend(missing.map(|name| format!("the retry policy has no {name}")));
    faults
}

#[test]
fn function_json_has_what_the_schema_does_not_ask_for() {
    let function = read("RawTelemetryFunction/function.json");
    assert_eq!(function_faults(&function), Vec::<String>::new());
    for (place, fault) in [
        ("/bindings/0/eventHubName", "eventHubTrigger has no eventHubName"),
        ("/bindings/0/dataType", "eventHubTrigger has no dataType"),
        ("/bindings/1/queueName", "queue has no queueName"),
        ("/retry/maximumInterval", "the retry policy has no maximumInterval"),
        ("/retry", "the retry policy has no strategy"),
    ] {
        assert_eq!(function_faults(&without(&function, place)), [fault]);
    }
    let timer = read("DeadLetterWatchFunction/function.json");
    assert_eq!(function_faults(&timer), Vec::<String>::new());
    assert_eq!(function_faults(&without(&timer, "/bindings/0/schedule")), ["timerTrigger has no schedule"]);
    let sessions = read("SessionTelemetryFunction/function.json");
    assert_eq!(function_faults(&sessions), Vec::<String>::new());
    for (place, fault) in [
        ("/bindings/0/queueName", "serviceBusTrigger has no queueName"),
        ("/bindings/0/isSessionsEnabled", "nothing keeps the messages of a device in order"),
    ] {
        assert_eq!(function_faults(&without(&sessions, place)), [fault]);
    }
    let retried = with(&sessions, "/retry", function["retry"].clone());
    assert_eq!(function_faults(&retried), ["a retry policy of a serviceBusTrigger is ignored"]);
}

#[test]
fn the_compose_file_agrees_with_its_schema() {
    let broken = [
        ("/services/cosmos/port", json!("8081:8081")),
        ("/services/cosmos/ports", json!("8081:8081")),
        ("/services/azurite/healthcheck/tests", json!([])),
        ("/services/event-hubs/depends_on/azurite/condition", json!("healthy")),
    ];
    assert_agrees(COMPOSE, &read("emulators/compose.yaml"), &broken);
}

/// The schema knows no template expressions, so it is asked about what they come to.
#[test]
fn the_pipeline_agrees_with_its_schema() {
    let deploy = "/stages/3/jobs/0/strategy/runOnce/deploy/steps/2/inputs";
    let broken = [
        ("/lockBehaviour", json!("sequential")),
        ("/stages/0/dependson", json!([])),
        ("/stages/0/jobs/0/step", json!([])),
        (&format!("{deploy}/artifact_name"), json!("package")),
        ("/stages/3/jobs/0/strategy/runOnce/on/failed", json!({"steps": []})),
    ];
    assert_agrees(PIPELINES, &pipeline(THIS), &broken);
}

#[test]
fn the_pipeline_that_rolls_back_agrees_with_its_schema() {
    assert_agrees(PIPELINES, &pipeline("4711"), &[("/stages/0/dependson", json!([]))]);
}
