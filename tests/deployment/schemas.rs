//! Validates the configuration files against published schemas. Where a schema is outdated, additional rules apply, each with
//! its reason.

use serde_json::{Value, json};

use crate::pipeline::yaml::{THIS, pipeline, read, run_node};

const HOST: &str = "host.json";
const FUNCTION: &str = "function.json";
const COMPOSE: &str = "raw.githubusercontent.com/compose-spec/compose-spec/master/schema/compose-spec.json";
const WORKFLOW: &str = "github-workflow.json";
const DEPENDABOT: &str = "dependabot-2.0.json";
const PIPELINES: &str = "raw.githubusercontent.com/microsoft/azure-pipelines-vscode/master/service-schema.json";

/// Returns the errors of each document by a published schema; empty if it is valid. To compile a schema takes seconds.
fn validate(schema: &str, documents: &[Value]) -> Vec<String> {
    serde_json::from_value(run_node("validate.js", &[schema], &json!(documents))).expect("a text for each document")
}

/// Checks that the document is valid, and that each invalid copy, with one value changed, is not.
#[track_caller]
fn assert_valid(schema: &str, document: &Value, invalid: &[(&str, Value)]) {
    let copies = invalid.iter().map(|(path, value)| with(document, path, value.clone()));
    let documents: Vec<_> = std::iter::once(document.clone()).chain(copies).collect();
    let errors = validate(schema, &documents);
    assert_eq!(errors[0], "");
    for ((path, value), errors) in invalid.iter().zip(&errors[1..]) {
        assert_ne!(errors, "", "it is valid with {value} at {path}");
    }
}

/// Returns the document with this value at this path.
fn with(document: &Value, path: &str, value: Value) -> Value {
    let mut copy = document.clone();
    let (parent, name) = path.rsplit_once('/').expect("a path");
    let parent = copy.pointer_mut(parent).unwrap_or_else(|| panic!("{path} does not exist"));
    parent.as_object_mut().expect("an object").insert(name.to_owned(), value);
    copy
}

fn without(document: &Value, path: &str) -> Value {
    let mut copy = document.clone();
    let (parent, name) = path.rsplit_once('/').expect("a path");
    let parent = copy.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
    parent.remove(name).unwrap_or_else(|| panic!("{path} does not exist"));
    copy
}

#[test]
fn host_json_is_valid_by_its_schema() {
    let invalid = [
        ("/functionTimeout", json!("5 minutes")),
        ("/extensions/eventHubs/maxEventBatchSize", json!("1000")),
        ("/extensions/eventHubs/initialOffsetOptions/type", json!("fromTheStart")),
        ("/extensionBundle/version", json!(4)),
        ("/customHandler/description/arguments", json!("serve")),
        ("/customHandler/forwarding", json!(true)),
    ];
    // The schema describes version 4 of the Service Bus extension, and one of Event Hubs without a minimum.
    let older =
        ["/extensions/serviceBus", "/extensions/eventHubs/minEventBatchSize", "/extensions/eventHubs/maxWaitTime"];
    assert_valid(HOST, &older.iter().fold(read("host.json"), |host, path| without(&host, path)), &invalid);
}

/// Options of version 5 of the Service Bus extension that apply to sessions of single messages, and whether each is a time
/// span. From its source; it ignores other options silently.
const SERVICE_BUS_OPTIONS: [(&str, bool); 6] = [
    ("autoCompleteMessages", false),
    ("maxAutoLockRenewalDuration", true),
    ("maxConcurrentCallsPerSession", false),
    ("maxConcurrentSessions", false),
    ("prefetchCount", false),
    ("sessionIdleTimeout", true),
];

fn service_bus_errors(host: &Value) -> Vec<String> {
    let options = host["extensions"]["serviceBus"].as_object().expect("the extension's options");
    let is_valid = |name: &str, value: &Value| {
        SERVICE_BUS_OPTIONS.iter().any(|(option, is_time)| {
            let is_time_span = value.as_str().is_some_and(|text| text.split(':').count() == 3);
            *option == name && if *is_time { is_time_span } else { !value.is_string() }
        })
    };
    let invalid = options.iter().filter(|(name, value)| !is_valid(name, value));
    invalid.map(|(name, value)| format!("{name}: {value}")).collect()
}

#[test]
fn host_json_has_only_options_of_the_current_service_bus_extension() {
    let host = read("host.json");
    assert_eq!(service_bus_errors(&host), Vec::<String>::new());
    for (name, value) in [
        ("maxConcurrentSession", json!(64)),
        ("maxConcurrentSessions", json!("64")),
        ("sessionIdleTimeout", json!(1)),
        ("sessionHandlerOptions", json!({"maxConcurrentSessions": 64})),
    ] {
        let invalid = with(&host, &format!("/extensions/serviceBus/{name}"), value.clone());
        assert_eq!(service_bus_errors(&invalid), [format!("{name}: {value}")]);
    }
}

#[test]
fn function_json_is_valid_by_its_schema() {
    let invalid = [
        ("/bindings/0/cardinality", json!("several")),
        ("/bindings/0/dataType", json!("text")),
        ("/bindings/0/direction", json!("out")),
        ("/retry/strategy", json!("forEver")),
        ("/retry/minimumInterval", json!("1 s")),
    ];
    assert_valid(FUNCTION, &read("RawTelemetryFunction/function.json"), &invalid);
    let invalid = [
        ("/bindings/0/schedule", json!(3600)),
        ("/bindings/0/direction", json!("out")),
        ("/bindings/0/useMonitor", json!("yes")),
        ("/bindings/0/runOnStartup", json!("no")),
    ];
    assert_valid(FUNCTION, &read("DeadLetterWatchFunction/function.json"), &invalid);
    assert_valid(FUNCTION, &read("SilenceWatchFunction/function.json"), &invalid);
    let invalid = [
        ("/bindings/0/authLevel", json!("none")),
        ("/bindings/0/direction", json!("out")),
        ("/bindings/0/methods", json!("get")),
        ("/bindings/1/direction", json!("in")),
    ];
    assert_valid(FUNCTION, &read("DevicesFunction/function.json"), &invalid);
    let invalid = [
        ("/bindings/0/dataType", json!("text")),
        ("/bindings/0/direction", json!("out")),
        ("/bindings/0/queueName", json!(1)),
    ];
    assert_valid(FUNCTION, &read("SessionTelemetryFunction/function.json"), &invalid);
}

/// Returns errors that the schema does not detect.
fn function_errors(function: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    // The schema has the hub's old name, `path`, and requires only the type of a binding.
    let required = [
        ("eventHubTrigger", &["name", "connection", "eventHubName", "consumerGroup", "cardinality", "dataType"][..]),
        ("queue", &["name", "connection", "queueName"]),
        ("timerTrigger", &["name", "schedule"]),
        ("httpTrigger", &["name", "authLevel", "route"]),
        ("http", &["name"]),
        ("serviceBusTrigger", &["name", "connection", "queueName", "cardinality", "dataType"]),
    ];
    let empty = Vec::new();
    for binding in function["bindings"].as_array().unwrap_or(&empty) {
        let kind = binding["type"].as_str().unwrap_or_default();
        let Some((_, names)) = required.iter().find(|(required, _)| *required == kind) else {
            errors.push(format!("a binding has the unknown type {kind:?}"));
            continue;
        };
        let missing = names.iter().filter(|name| binding[**name].as_str().is_none_or(str::is_empty));
        errors.extend(missing.map(|name| format!("{kind} has no {name}")));
    }
    let trigger = &function["bindings"][0];
    if trigger["type"] == "serviceBusTrigger" {
        // Microsoft documents no retry policies for it, although the host honours them: Service Bus redelivers messages.
        if !function["retry"].is_null() {
            errors.push("a retry policy of a serviceBusTrigger is not documented".into());
        }
        if trigger["isSessionsEnabled"] != true {
            errors.push("without sessions, the messages of a device are not in order".into());
        }
        return errors;
    }
    // Without a retry policy, a failed batch is lost. A timer needs none: it fires again. The caller of an HTTP trigger repeats.
    if (trigger["type"] == "timerTrigger" || trigger["type"] == "httpTrigger") && function["retry"].is_null() {
        return errors;
    }
    // The schema has the same members for both strategies; the host rejects a function without its strategy's delays.
    let delays = match function["retry"]["strategy"].as_str() {
        Some("exponentialBackoff") => &["maxRetryCount", "minimumInterval", "maximumInterval"][..],
        Some("fixedDelay") => &["maxRetryCount", "delayInterval"],
        _ => &["strategy"],
    };
    let missing = delays.iter().filter(|name| function["retry"][**name].is_null());
    errors.extend(missing.map(|name| format!("the retry policy has no {name}")));
    errors
}

#[test]
fn function_json_has_members_that_the_schema_does_not_require() {
    let function = read("RawTelemetryFunction/function.json");
    assert_eq!(function_errors(&function), Vec::<String>::new());
    for (path, error) in [
        ("/bindings/0/eventHubName", "eventHubTrigger has no eventHubName"),
        ("/bindings/0/dataType", "eventHubTrigger has no dataType"),
        ("/bindings/1/queueName", "queue has no queueName"),
        ("/retry/maximumInterval", "the retry policy has no maximumInterval"),
        ("/retry", "the retry policy has no strategy"),
    ] {
        assert_eq!(function_errors(&without(&function, path)), [error]);
    }
    let timer = read("DeadLetterWatchFunction/function.json");
    assert_eq!(function_errors(&timer), Vec::<String>::new());
    assert_eq!(function_errors(&without(&timer, "/bindings/0/schedule")), ["timerTrigger has no schedule"]);
    let devices = read("DevicesFunction/function.json");
    assert_eq!(function_errors(&devices), Vec::<String>::new());
    assert_eq!(function_errors(&without(&devices, "/bindings/0/authLevel")), ["httpTrigger has no authLevel"]);
    let sessions = read("SessionTelemetryFunction/function.json");
    assert_eq!(function_errors(&sessions), Vec::<String>::new());
    for (path, error) in [
        ("/bindings/0/queueName", "serviceBusTrigger has no queueName"),
        ("/bindings/0/isSessionsEnabled", "without sessions, the messages of a device are not in order"),
    ] {
        assert_eq!(function_errors(&without(&sessions, path)), [error]);
    }
    let retried = with(&sessions, "/retry", function["retry"].clone());
    assert_eq!(function_errors(&retried), ["a retry policy of a serviceBusTrigger is not documented"]);
}

#[test]
fn the_compose_file_is_valid_by_its_schema() {
    let invalid = [
        ("/services/cosmos/port", json!("8081:8081")),
        ("/services/cosmos/ports", json!("8081:8081")),
        ("/services/azurite/healthcheck/tests", json!([])),
        ("/services/event-hubs/depends_on/azurite/condition", json!("healthy")),
    ];
    assert_valid(COMPOSE, &read("emulators/compose.yaml"), &invalid);
}

/// The schema does not support template expressions, so they are evaluated first.
#[test]
fn the_pipeline_is_valid_by_its_schema() {
    let deploy = "/stages/3/jobs/0/strategy/runOnce/deploy/steps/2/inputs";
    let invalid = [
        ("/lockBehaviour", json!("sequential")),
        ("/stages/0/dependson", json!([])),
        ("/stages/0/jobs/0/step", json!([])),
        (&format!("{deploy}/artifact_name"), json!("package")),
        ("/stages/3/jobs/0/strategy/runOnce/on/failed", json!({"steps": []})),
    ];
    assert_valid(PIPELINES, &pipeline(THIS), &invalid);
}

#[test]
fn the_pipeline_with_a_rollback_is_valid_by_its_schema() {
    assert_valid(PIPELINES, &pipeline("4711"), &[("/stages/0/dependson", json!([]))]);
}

/// The schema has only tasks of Microsoft's, and an older version of `AzureCLI@2`.
#[test]
fn the_pipeline_of_azd_is_valid_by_its_schema() {
    let mut pipeline = read(".azdo/pipelines/azure-dev.yml");
    let steps = pipeline["steps"].as_array_mut().expect("steps");
    steps.retain(|step| step["task"] != "setup-azd@1");
    for step in steps {
        if let Some(inputs) = step.get_mut("inputs").and_then(Value::as_object_mut) {
            inputs.remove("keepAzSessionActive");
        }
    }
    let invalid = [
        ("/trigger/branch", json!("main")),
        ("/steps/2/script", json!("scripts/package.sh")),
        ("/steps/5/inputs/azureSubscriptions", json!("azconnection")),
    ];
    assert_valid(PIPELINES, &pipeline, &invalid);
}

/// The schema is older than the images of the runners, which actionlint knows.
fn workflow(path: &str) -> Value {
    let mut workflow = read(path);
    for job in workflow["jobs"].as_object_mut().expect("jobs").values_mut() {
        job["runs-on"] = json!("ubuntu-latest");
    }
    workflow
}

#[test]
fn the_workflows_of_github_are_valid_by_their_schema() {
    let invalid = [
        ("/job", json!({})),
        ("/permissions/id-tokens", json!("write")),
        ("/jobs/deploy/timeout", json!(90)),
        ("/concurrency/cancel", json!(true)),
    ];
    assert_valid(WORKFLOW, &workflow(".github/workflows/azure-dev.yml"), &invalid);
    let invalid = [("/jobs/checks/container/option", json!("--init")), ("/on/pull_request/branch", json!(["main"]))];
    assert_valid(WORKFLOW, &workflow(".github/workflows/ci.yml"), &invalid);
    assert_valid(WORKFLOW, &workflow(".github/workflows/audit.yml"), &[("/on/schedule", json!("weekly"))]);
}

#[test]
fn the_updates_of_github_are_valid_by_their_schema() {
    let invalid = [("/update", json!([])), ("/updates/0/schedule/interval", json!("yearly"))];
    assert_valid(DEPENDABOT, &read(".github/dependabot.yml"), &invalid);
}
