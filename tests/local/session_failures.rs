//! `--sessions` while something fails: the message is delivered again, and only its session waits for it.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use devicestate_test_support::{
    listener::{Fault, Listener},
    program::devicestate,
};
use serde_json::{Value, json};

use crate::{
    sessions::{batches, queue_count},
    support::{
        Documents, Workspace, assert_adds_up, count, events, function_app, handlers, kill_handlers, last_values, lines,
        report, signal,
    },
};

/// Returns the documents of an account, without versions.
fn documents(listener: &Listener) -> Documents {
    let documents = listener.documents().into_iter().map(|(id, document)| {
        let Value::Object(mut document) = document else { panic!("not an object: {document}") };
        document.retain(|name, _| !["id", "Heard", "Versions"].contains(&name.as_str()));
        (id, document)
    });
    documents.collect()
}

#[test]
#[ignore = "just test-azure"]
fn a_document_that_cannot_be_written_delays_only_its_own_session() {
    let (workspace, listener) = (Workspace::new(), Listener::start());
    let events: Vec<_> =
        (0..60).map(|n| json!({ "deviceId": format!("d{}", n % 6), "battery": f64::from(n) / 64.0 })).collect();
    let input = workspace.write("e.jsonl", lines(&events));
    let (all, mut others) = (last_values(events.clone()), last_values(events));
    others.remove("d3");
    listener.fault(Fault::status(503).on(&["create", "replace"]).id("d3"));
    let telemetry = workspace.path("telemetry.jsonl").display().to_string();
    let arguments = ["--sessions", "--file", input.to_str().expect("text"), "--telemetry", &telemetry];
    let mut command = workspace.local(&arguments);
    command.env("StateStore", "cosmos").env("CosmosConnection", listener.connection_string());
    // Otherwise the failure would count against the device after some attempts.
    command.env("InvocationBudget", "00:00:01").env("DeadLetterAfterAttempts", "1000");
    for setting in ["CosmosDatabase", "CosmosContainer", "CosmosPreferredRegions", "REGION_NAME"] {
        command.env_remove(setting);
    }
    let child = command.spawn().expect("the binary runs");
    workspace.wait_until("the message of that device was delivered again", |_| {
        fs::read_to_string(&telemetry).is_ok_and(|rows| rows.matches("failedAttempt").count() >= 2)
    });
    assert_eq!(documents(&listener), others, "all other documents are complete while that one still fails");
    listener.clear_faults();
    let report = report(&child.wait_with_output().expect("it ends"), 0);
    assert_adds_up(&report);
    assert_eq!((count(&report, "applied"), count(&report, "inSubQueue")), (60, 0), "{report}");
    assert!(queue_count(&report, "redeliveries") >= 1, "{report}");
    assert_eq!(queue_count(&report, "redeliveries"), count(&report, "failedAttempts"), "{report}");
    assert_eq!(documents(&listener), all);
    let (repeated, others): (Vec<_>, Vec<_>) =
        batches(&workspace).into_iter().partition(|record| record["deliveryCount"].as_u64() > Some(1));
    assert_eq!((repeated.len(), others.len()), (1, 59), "only the received message was delivered again");
    assert_eq!(repeated[0]["sessionId"], "d3");
    assert_eq!(repeated[0]["deliveryCount"], queue_count(&report, "redeliveries") + 1);
}

/// A handler that accepts requests and answers only `GET /`. It creates the file `received` with the first one.
const SILENT_HANDLER: &str = "
    require('node:http').createServer((request, reply) => {
        if (request.method === 'GET') reply.end('{}');
        else require('node:fs').writeFileSync('received', '');
    }).listen(process.env.FUNCTIONS_CUSTOMHANDLER_PORT, '127.0.0.1')";

/// Returns ten events of one device.
fn events_of_one_device() -> Vec<Value> {
    (0..10).map(|n| json!({ "deviceId": "a", "battery": f64::from(n) / 16.0 })).collect()
}

/// Returns a run of one device's messages in which the first handler process never answers.
fn with_silent_first_handler(workspace: &Workspace, change: impl FnOnce(&mut Value)) -> Command {
    let root = function_app(workspace, |host, _| {
        host["customHandler"]["description"]["defaultExecutablePath"] = "handler.sh".into();
        change(host);
    });
    let script =
        "#!/bin/sh\necho x >> starts; test $(wc -l < starts) -gt 1 || exec node silent.js; exec \"$HANDLER\" serve\n";
    let file = workspace.write("app/handler.sh", script);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("a script may run");
    workspace.write("app/silent.js", SILENT_HANDLER);
    let input = workspace.write("e.jsonl", lines(&events_of_one_device()));
    let telemetry = workspace.path("telemetry.jsonl").display().to_string();
    let mut command =
        workspace.local(&["--sessions", "--file", input.to_str().expect("text"), "--telemetry", &telemetry]);
    command.arg("--app-root").arg(&root).env("HANDLER", devicestate());
    command
}

/// Checks that only the first message was redelivered, and returns how often.
fn assert_only_the_first_was_redelivered(workspace: &Workspace, report: &Value) -> u64 {
    assert_adds_up(report);
    assert_eq!(["applied", "superseded", "handlerRestarts"].map(|name| count(report, name)), [10, 0, 1]);
    let redeliveries = queue_count(report, "redeliveries");
    assert_eq!(
        (queue_count(report, "deliveries"), count(report, "failedAttempts")),
        (10 + redeliveries, redeliveries),
        "{report}"
    );
    let deliveries: Vec<_> = batches(workspace).iter().map(|record| record["deliveryCount"].as_u64()).collect();
    assert_eq!((deliveries.len(), deliveries[0]), (10, Some(redeliveries + 1)));
    assert!(deliveries[1..].iter().all(|count| *count == Some(1)), "{deliveries:?}");
    assert_eq!(workspace.documents(), last_values(events_of_one_device()));
    redeliveries
}

#[test]
fn the_message_of_a_killed_handler_is_delivered_again() {
    let workspace = Workspace::new();
    let child = with_silent_first_handler(&workspace, |_| {}).spawn().expect("the binary runs");
    workspace.wait_until("the handler has received a message", |workspace| workspace.path("app/received").exists());
    for handler in handlers(&child) {
        signal("-KILL", handler);
    }
    let report = report(&child.wait_with_output().expect("it ends"), 0);
    // The message is redelivered immediately, until the host has detected that the handler does not answer.
    assert!(assert_only_the_first_was_redelivered(&workspace, &report) >= 1);
}

#[test]
fn a_handler_that_does_not_answer_is_killed_after_the_function_timeout_and_the_message_is_delivered_again() {
    let workspace = Workspace::new();
    let mut command = with_silent_first_handler(&workspace, |host| {
        host["functionTimeout"] = "00:00:02".into();
        host["extensions"]["eventHubs"]["maxEventBatchSize"] = 10.into();
    });
    let output = command.env("InvocationBudget", "00:00:01").output().expect("the binary runs");
    assert_eq!(assert_only_the_first_was_redelivered(&workspace, &report(&output, 0)), 1);
}

#[test]
fn a_retry_policy_repeats_the_invocation_of_one_delivery() {
    let workspace = Workspace::new();
    let root = function_app(&workspace, |_, _| {});
    let file = root.join("SessionTelemetryFunction/function.json");
    let mut function: Value = serde_json::from_slice(&fs::read(&file).expect("a file")).expect("JSON");
    function["retry"] = json!({ "strategy": "fixedDelay", "maxRetryCount": 2, "delayInterval": "00:00:00.005" });
    fs::write(file, function.to_string()).expect("a file");
    let input = workspace.write("e.jsonl", lines(&events_of_one_device()));
    let telemetry = workspace.path("telemetry.jsonl").display().to_string();
    let arguments = ["--sessions", "--file", input.to_str().expect("text"), "--telemetry", &telemetry, "--app-root"];
    let mut command = workspace.local(&arguments);
    let output = command.arg(&root).env("RetryDrillDevice", "\"a\"").output().expect("the binary runs");
    let report = report(&output, 0);
    assert_adds_up(&report);
    assert_eq!(["applied", "failedAttempts"].map(|name| count(&report, name)), [10, 10]);
    assert_eq!(["deliveries", "redeliveries"].map(|name| queue_count(&report, name)), [10, 0]);
    for record in batches(&workspace) {
        assert_eq!((&record["attempt"], &record["deliveryCount"]), (&json!(2), &json!(1)));
    }
}

#[test]
fn killed_handlers_and_hosts_release_their_sessions_and_no_message_is_lost() {
    let workspace = Workspace::new();
    // So many rounds that each host stops at least once.
    let output =
        kill_handlers(&workspace, &mut workspace.local(&["--sessions", "--file", "-", "--instances", "2"]), 4, 500);
    let report = report(&output, 0);
    assert_adds_up(&report);
    assert_eq!(["received", "deadLettered", "inSubQueue"].map(|name| count(&report, name)), [2_000, 0, 0], "{report}");
    assert!(count(&report, "hostRestarts") >= 1, "the third failure of a handler stops its host: {report}");
    assert_eq!(queue_count(&report, "deliveries"), 2_000 + queue_count(&report, "redeliveries"), "{report}");
    assert!(workspace.documents() == last_values(events(0..2_000)), "the documents are those of an undisturbed run");
}

#[test]
fn a_message_whose_last_delivery_fails_is_in_the_sub_queue_and_is_reported() {
    let workspace = Workspace::new();
    let sent = ["a", "drilled", "a", "drilled", "a"].map(|device| json!({ "deviceId": device, "battery": 0.5 }));
    let input = workspace.write("e.jsonl", lines(&sent));
    let telemetry = workspace.path("telemetry.jsonl").display().to_string();
    let arguments =
        ["--sessions", "--max-delivery-count", "1", "--file", input.to_str().expect("text"), "--telemetry", &telemetry];
    // RetryDrillDevice fails the first delivery of each message of the device, and here there is no second one.
    let output = workspace.local(&arguments).env("RetryDrillDevice", "drilled").output().expect("the binary runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("the dead-letter sub-queue holds 2 messages"), "{error}");
    let report = report(&output, 1);
    assert_adds_up(&report);
    let counts =
        ["received", "applied", "inSubQueue", "failedAttempts", "deadLetterMessages"].map(|name| count(&report, name));
    assert_eq!(counts, [5, 3, 2, 2, 0], "{report}");
    let sub_queue = report["sessionQueue"]["deadLetterSubQueue"].as_array().expect("an array");
    let messages: Vec<_> = sub_queue
        .iter()
        .map(|message| {
            ["sessionId", "messageId", "sequenceNumber", "deliveryCount"].map(|name| message[name].to_string())
        })
        .collect();
    assert_eq!(messages, [[r#""drilled""#, r#""2""#, "2", "1"], [r#""drilled""#, r#""4""#, "4", "1"]]);
    assert!(sub_queue.iter().all(|message| message["reason"].as_str().is_some_and(|reason| reason.contains("503"))));
    assert_eq!(workspace.documents(), last_values([sent[0].clone()]));
    let rows = fs::read_to_string(&telemetry).expect("the file");
    assert!(rows.lines().any(|row| row.contains("DeadletteredMessages") && row.contains(r#""Total":2"#)), "{rows}");

    let output = workspace
        .command("local", "table", &arguments[..5])
        .env("RetryDrillDevice", "drilled")
        .output()
        .expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("in the sub-queue  2") && text.contains("LAST REASON") && text.contains("503"), "{text}");
}

#[test]
fn a_message_that_fails_once_is_applied_with_its_second_delivery() {
    let workspace = Workspace::new();
    let sent = ["a", "drilled", "a"].map(|device| json!({ "deviceId": device, "battery": 0.5 }));
    let input = workspace.write("e.jsonl", lines(&sent));
    let mut command = workspace.local(&["--sessions", "--file", input.to_str().expect("text")]);
    let report = report(&command.env("RetryDrillDevice", "drilled").output().expect("the binary runs"), 0);
    assert_adds_up(&report);
    assert_eq!((count(&report, "applied"), count(&report, "failedAttempts")), (3, 1), "{report}");
    assert_eq!((queue_count(&report, "deliveries"), queue_count(&report, "redeliveries")), (4, 1), "{report}");
    assert_eq!(workspace.documents().len(), 2);
}
