//! `--sessions`: the whole system with a Service Bus queue in place of the hub, as long as nothing goes wrong.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
};

use devicestate_test_support::{program::devicestate, record_schema::read_record};
use serde_json::{Value, json};

use crate::support::{Place, assert_adds_up, count, function_app, last_values, lines, report};

/// A count that only a run with sessions has.
pub(crate) fn of_queue(report: &Value, name: &str) -> u64 {
    report["sessionQueue"][name].as_u64().unwrap_or_else(|| panic!("no {name} in {report}"))
}

/// The rows of a table of the telemetry file.
fn rows(place: &Place, table: &str) -> Vec<Value> {
    let text = fs::read_to_string(place.path("telemetry.jsonl")).expect("the file");
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a row is JSON"));
    rows.filter(|row| row["Type"] == table).collect()
}

/// The records of the batches, in the order in which they were answered for.
pub(crate) fn batches(place: &Place) -> Vec<Value> {
    let rows = rows(place, "AppTraces")
        .into_iter()
        .filter(|row| row["Properties"]["Category"] == "Function.SessionTelemetryFunction.User");
    let records = rows.map(|row| read_record(row["Message"].as_str().expect("text")));
    records.filter(|record| record["record"] == "batch").collect()
}

#[test]
fn the_documents_are_those_that_the_event_hub_makes_of_the_same_events() {
    const EVENTS: [&str; 8] = ["--simulate", "40", "--events", "2000", "--seed", "7", "--bad-events", "5"];
    let by_hub = Place::new();
    by_hub.run(&EVENTS);

    let place = Place::new();
    let telemetry = place.path("telemetry.jsonl").display().to_string();
    let options = ["--sessions", "--instances", "2", "--wire", "protobuf", "--telemetry", &telemetry];
    let report = place.run(&[&EVENTS[..], &options].concat());
    assert_adds_up(&report);
    assert_eq!(
        ["received", "deadLettered", "batches", "inSubQueue"].map(|name| count(&report, name)),
        [2_010, 10, 2_010, 0]
    );
    assert_eq!(["sessions", "deliveries", "redeliveries"].map(|name| of_queue(&report, name)), [40, 2_010, 0]);
    assert_eq!((&report["partitions"], &report["instances"]), (&Value::Null, &2.into()));
    assert_eq!(place.documents(), by_hub.documents());

    // Each session was answered for in order, and the numbers are those of the whole queue.
    let mut sessions: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for record in batches(&place) {
        assert_eq!((&record["deliveryCount"], &record["attempt"]), (&1.into(), &1.into()), "{record}");
        let session = record["sessionId"].as_str().expect("text").to_owned();
        sessions.entry(session).or_default().push(record["firstSequenceNumber"].as_i64().expect("a number"));
    }
    assert_eq!(sessions.len(), 40);
    assert!(sessions.values().all(|numbers| numbers.is_sorted()), "{sessions:?}");
    let all: BTreeSet<i64> = sessions.into_values().flatten().collect();
    assert!(all.into_iter().eq(1..=2_010));

    let metrics = rows(&place, "AzureMetrics");
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
fn bad_events_are_dead_letters_with_their_session_and_message_and_what_has_no_key_has_a_session_of_its_own() {
    let place = Place::new();
    let good = json!({ "deviceId": "a", "battery": 0.5 });
    let bad = json!({ "deviceId": "a", "battery": "full" });
    let input = place.write("e.jsonl", format!("{good}\n{bad}\nno JSON\n"));
    let report = place.run(&["--sessions", "--input", input.to_str().expect("text")]);
    assert_adds_up(&report);
    assert_eq!((count(&report, "applied"), count(&report, "deadLettered"), of_queue(&report, "sessions")), (1, 2, 2));
    assert_eq!(place.documents(), last_values([good]));
    let letters = place.dead_letters();
    let told: BTreeSet<_> = letters
        .iter()
        .map(|letter| ["SessionId", "MessageId", "DeliveryCount"].map(|name| letter["EventData"][name].to_string()))
        .collect();
    let expected = [[r#""a""#, r#""2""#, "1"], [r#""without-a-key""#, r#""3""#, "1"]];
    assert_eq!(told, expected.map(|row| row.map(str::to_owned)).into(), "{letters:?}");
}

/// Notes what is under way at the same time, and lets the first three calls wait for each other.
const WITNESS: &str = "
    const fs = require('node:fs');
    const underWay = [], waiting = [];
    require('node:http').createServer((request, reply) => {
        if (request.method === 'GET') return reply.end('{}');
        let body = '';
        request.on('data', (piece) => body += piece);
        request.on('end', () => {
            const session = JSON.parse(JSON.parse(body).Metadata.SessionId);
            underWay.push(session);
            fs.appendFileSync('seen.jsonl', JSON.stringify(underWay) + '\\n');
            waiting.push(() => {
                underWay.splice(underWay.indexOf(session), 1);
                reply.setHeader('Content-Type', 'application/json').end('{}');
            });
            if (waiting.met || waiting.length === 3) {
                waiting.met = true;
                waiting.splice(0).forEach((answer) => answer());
            }
        });
    }).listen(process.env.FUNCTIONS_CUSTOMHANDLER_PORT, '127.0.0.1')";

#[test]
fn an_instance_has_as_many_sessions_at_once_as_host_json_says_and_one_message_of_each() {
    let place = Place::new();
    let root = function_app(&place, |host, _| {
        host["customHandler"]["description"]["defaultExecutablePath"] = "witness.sh".into();
        host["extensions"]["serviceBus"]["maxConcurrentSessions"] = 3.into();
    });
    let script = place.write("app/witness.sh", "#!/bin/sh\nexec node witness.js\n");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a script may run");
    place.write("app/witness.js", WITNESS);
    fs::remove_dir_all(root.join("DeadLetterWatchFunction")).ok();
    let arguments = ["--sessions", "--simulate", "5", "--events", "100", "--app-root", root.to_str().expect("text")];
    let output = place.local(&arguments).output().expect("the binary runs");
    // The witness tells of no event, so that none of them is accounted for.
    assert_eq!(count(&report(&output, 1), "batches"), 100);
    let seen = fs::read_to_string(root.join("seen.jsonl")).expect("what it saw");
    let seen: Vec<Vec<String>> = seen.lines().map(|line| serde_json::from_str(line).expect("a line")).collect();
    assert_eq!(seen.len(), 100);
    assert_eq!(seen.iter().map(Vec::len).max(), Some(3));
    for under_way in seen {
        assert_eq!(under_way.iter().collect::<BTreeSet<_>>().len(), under_way.len(), "{under_way:?}");
    }
}

#[test]
fn a_session_that_is_idle_makes_room_for_the_next_one() {
    let place = Place::new();
    let root = function_app(&place, |host, _| {
        host["extensions"]["serviceBus"] = json!({ "maxConcurrentSessions": 1, "sessionIdleTimeout": "00:00:00.020" });
    });
    let mut command = place.local(&["--sessions", "--input", "-", "--app-root", root.to_str().expect("text")]);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("the binary runs");
    let mut input = child.stdin.take().expect("a pipe");
    for (device, known) in [("a", 1), ("b", 2), ("a", 2), ("c", 3)] {
        let event = json!({ "deviceId": device, "battery": 0.5 });
        input.write_all(lines(&[event]).as_bytes()).expect("it reads");
        place.until("the session had its turn", |place| place.documents().len() == known);
    }
    drop(input);
    let report = report(&child.wait_with_output().expect("it ends"), 0);
    assert_adds_up(&report);
    assert_eq!((of_queue(&report, "sessions"), of_queue(&report, "deliveries")), (3, 4));
}

#[test]
fn what_makes_no_sense_with_sessions_is_refused() {
    let place = Place::new();
    let without = function_app(&place, |_, _| {});
    fs::remove_dir_all(without.join("SessionTelemetryFunction")).expect("a folder of the app");
    let without = without.to_str().expect("text");
    for (arguments, expected) in [
        (vec!["--sessions", "--partitions", "8"], "cannot be used with"),
        (vec!["--sessions", "--throughput-units", "1"], "cannot be used with"),
        (vec!["--sessions", "--drill"], "cannot be used with"),
        (vec!["--max-deliveries", "3"], "--sessions"),
        (vec!["--sessions", "--max-deliveries", "0"], "--max-deliveries"),
        (vec!["--sessions", "--max-deliveries", "2001"], "--max-deliveries"),
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
