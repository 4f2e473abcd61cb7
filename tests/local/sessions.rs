//! `--sessions`: the entire system with a Service Bus queue instead of the hub, without failures.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
};

use devicestate_test_support::{program::devicestate, record_schema::read_record};
use serde_json::{Value, json};

use crate::support::{Workspace, assert_adds_up, count, function_app, last_values, lines, report};

/// Returns a count of the session queue.
pub(crate) fn queue_count(report: &Value, name: &str) -> u64 {
    report["sessionQueue"][name].as_u64().unwrap_or_else(|| panic!("no {name} in {report}"))
}

/// Returns the rows of a table of the telemetry file.
fn rows(workspace: &Workspace, table: &str) -> Vec<Value> {
    let text = fs::read_to_string(workspace.path("telemetry.jsonl")).expect("the file");
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a row is JSON"));
    rows.filter(|row| row["Type"] == table).collect()
}

/// Returns the records of the batches, in the order of their replies.
pub(crate) fn batches(workspace: &Workspace) -> Vec<Value> {
    let rows = rows(workspace, "AppTraces")
        .into_iter()
        .filter(|row| row["Properties"]["Category"] == "Function.SessionTelemetryFunction.User");
    let records = rows.map(|row| read_record(row["Message"].as_str().expect("text")));
    records.filter(|record| record["record"] == "batch").collect()
}

#[test]
fn sessions_result_in_the_same_documents_as_the_hub() {
    const EVENTS: [&str; 8] = ["--devices", "40", "--events", "50", "--seed", "7", "--invalid-events", "0.5%"];
    let through_hub = Workspace::new();
    through_hub.run(&EVENTS);

    let workspace = Workspace::new();
    let telemetry = workspace.path("telemetry.jsonl").display().to_string();
    let options = ["--sessions", "--instances", "2", "--encoding", "protobuf", "--telemetry", &telemetry];
    let report = workspace.run(&[&EVENTS[..], &options].concat());
    assert_adds_up(&report);
    assert_eq!(
        ["received", "deadLettered", "batches", "inSubQueue"].map(|name| count(&report, name)),
        [2_010, 10, 2_010, 0]
    );
    assert_eq!(["sessions", "deliveries", "redeliveries"].map(|name| queue_count(&report, name)), [40, 2_010, 0]);
    assert_eq!((&report["partitions"], &report["instances"]), (&Value::Null, &2.into()));
    assert_eq!(workspace.documents(), through_hub.documents());

    // Each session is in order, and the sequence numbers are those of the entire queue.
    let mut sessions: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for record in batches(&workspace) {
        assert_eq!((&record["deliveryCount"], &record["attempt"]), (&1.into(), &1.into()), "{record}");
        let session = record["sessionId"].as_str().expect("text").to_owned();
        sessions.entry(session).or_default().push(record["firstSequenceNumber"].as_i64().expect("a number"));
    }
    assert_eq!(sessions.len(), 40);
    assert!(sessions.values().all(|numbers| numbers.is_sorted()), "{sessions:?}");
    let all: BTreeSet<i64> = sessions.into_values().flatten().collect();
    assert!(all.into_iter().eq(1..=2_010));

    let metrics = rows(&workspace, "AzureMetrics");
    assert!(metrics.iter().all(|row| row["ResourceProvider"] == "MICROSOFT.SERVICEBUS"));
    let of = |name: &str| -> Vec<u64> {
        metrics
            .iter()
            .filter(|row| row["MetricName"] == name)
            .map(|row| row["Total"].as_u64().expect("a count"))
            .collect()
    };
    assert_eq!(of("IncomingMessages").iter().sum::<u64>(), 2_010);
    assert_eq!((of("ActiveMessages").last(), of("DeadletteredMessages").last()), (Some(&0), Some(&0)));
}

#[test]
fn dead_letters_have_session_and_message_ids_and_events_without_a_key_share_a_session() {
    let workspace = Workspace::new();
    let valid = json!({ "deviceId": "a", "battery": 0.5 });
    let invalid = json!({ "deviceId": "a", "battery": "full" });
    let input = workspace.write("e.jsonl", format!("{valid}\n{invalid}\nnot JSON\n"));
    let report = workspace.run(&["--sessions", "--file", input.to_str().expect("text")]);
    assert_adds_up(&report);
    assert_eq!(
        (count(&report, "applied"), count(&report, "deadLettered"), queue_count(&report, "sessions")),
        (1, 2, 2)
    );
    assert_eq!(workspace.documents(), last_values([valid]));
    let letters = workspace.dead_letters();
    let messages: BTreeSet<_> = letters
        .iter()
        .map(|letter| ["SessionId", "MessageId", "DeliveryCount"].map(|name| letter["EventData"][name].to_string()))
        .collect();
    let expected = [[r#""a""#, r#""2""#, "1"], [r#""without-a-key""#, r#""3""#, "1"]];
    assert_eq!(messages, expected.map(|row| row.map(str::to_owned)).into(), "{letters:?}");
}

/// A handler that records the concurrent sessions. The first three calls wait for each other.
const RECORDER: &str = "
    const fs = require('node:fs');
    const active = [], waiting = [];
    require('node:http').createServer((request, reply) => {
        if (request.method === 'GET') return reply.end('{}');
        let body = '';
        request.on('data', (piece) => body += piece);
        request.on('end', () => {
            const session = JSON.parse(JSON.parse(body).Metadata.SessionId);
            active.push(session);
            fs.appendFileSync('seen.jsonl', JSON.stringify(active) + '\\n');
            waiting.push(() => {
                active.splice(active.indexOf(session), 1);
                reply.setHeader('Content-Type', 'application/json').end('{}');
            });
            if (waiting.isComplete || waiting.length === 3) {
                waiting.isComplete = true;
                waiting.splice(0).forEach((answer) => answer());
            }
        });
    }).listen(process.env.FUNCTIONS_CUSTOMHANDLER_PORT, '127.0.0.1')";

#[test]
fn an_instance_holds_as_many_sessions_as_host_json_allows_and_one_message_of_each() {
    let workspace = Workspace::new();
    let root = function_app(&workspace, |host, _| {
        host["customHandler"]["description"]["defaultExecutablePath"] = "recorder.sh".into();
        host["extensions"]["serviceBus"]["maxConcurrentSessions"] = 3.into();
    });
    let script = workspace.write("app/recorder.sh", "#!/bin/sh\nexec node recorder.js\n");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a script may run");
    workspace.write("app/recorder.js", RECORDER);
    fs::remove_dir_all(root.join("DeadLetterWatchFunction")).ok();
    let arguments = ["--sessions", "--devices", "5", "--events", "20", "--app-root", root.to_str().expect("text")];
    let output = workspace.local(&arguments).output().expect("the binary runs");
    // This handler's replies have no records, so no event is accounted for.
    assert_eq!(count(&report(&output, 1), "batches"), 100);
    let recorded = fs::read_to_string(root.join("seen.jsonl")).expect("the recorded sessions");
    let recorded: Vec<Vec<String>> = recorded.lines().map(|line| serde_json::from_str(line).expect("a line")).collect();
    assert_eq!(recorded.len(), 100);
    assert_eq!(recorded.iter().map(Vec::len).max(), Some(3));
    for under_way in recorded {
        assert_eq!(under_way.iter().collect::<BTreeSet<_>>().len(), under_way.len(), "{under_way:?}");
    }
}

#[test]
fn an_idle_session_is_released_for_the_next_one() {
    let workspace = Workspace::new();
    let root = function_app(&workspace, |host, _| {
        host["extensions"]["serviceBus"] = json!({ "maxConcurrentSessions": 1, "sessionIdleTimeout": "00:00:00.020" });
    });
    let mut command = workspace.local(&["--sessions", "--file", "-", "--app-root", root.to_str().expect("text")]);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("the binary runs");
    let mut input = child.stdin.take().expect("a pipe");
    for (device, known) in [("a", 1), ("b", 2), ("a", 2), ("c", 3)] {
        let event = json!({ "deviceId": device, "battery": 0.5 });
        input.write_all(lines(&[event]).as_bytes()).expect("it reads");
        workspace.wait_until("both sessions were processed", |workspace| workspace.documents().len() == known);
    }
    drop(input);
    let report = report(&child.wait_with_output().expect("it ends"), 0);
    assert_adds_up(&report);
    assert_eq!((queue_count(&report, "sessions"), queue_count(&report, "deliveries")), (3, 4));
}

#[test]
fn options_and_apps_that_are_incompatible_with_sessions_are_rejected() {
    let workspace = Workspace::new();
    let without = function_app(&workspace, |_, _| {});
    fs::remove_dir_all(without.join("SessionTelemetryFunction")).expect("a folder of the app");
    let without = without.to_str().expect("text");
    for (arguments, expected) in [
        (vec!["--sessions", "--partitions", "8"], "cannot be used with"),
        (vec!["--sessions", "--throughput-units", "1"], "cannot be used with"),
        (vec!["--sessions", "--check"], "cannot be used with"),
        (vec!["--max-delivery-count", "3"], "--sessions"),
        (vec!["--sessions", "--max-delivery-count", "0"], "--max-delivery-count"),
        (vec!["--sessions", "--max-delivery-count", "2001"], "--max-delivery-count"),
        (vec!["--sessions", "--app-root", without], "serviceBusTrigger"),
    ] {
        let mut command = Command::new(devicestate());
        let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).arg("local").args(&arguments).output();
        let output = output.expect("the binary runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
}
