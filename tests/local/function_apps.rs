//! Function apps that differ from the shipped one: the stand-in host follows their files.

use std::{fs, io::Write as _, os::unix::fs::PermissionsExt as _, process::Stdio};

use devicestate_test_support::program::devicestate;
use serde_json::{Value, json};

use crate::support::{Workspace, assert_adds_up, count, events, function_app, last_values, lines, report};

#[test]
fn a_function_with_other_binding_names_is_called_with_them() {
    let workspace = Workspace::new();
    let root = function_app(&workspace, |_, function| {
        function["bindings"][0]["name"] = "telemetry".into();
        function["bindings"][1]["name"] = "broken".into();
    });
    fs::rename(root.join("RawTelemetryFunction"), root.join("Other")).expect("a folder can be renamed");
    let valid = json!({ "deviceId": "a", "battery": 0.5 });
    let file = workspace.write("e.jsonl", format!("{valid}\nnot JSON\n"));
    let arguments = ["--file", file.to_str().expect("text"), "--app-root", root.to_str().expect("text")];
    let report = workspace.run(&arguments);
    assert_eq!((count(&report, "applied"), count(&report, "deadLetterMessages")), (1, 1));
    assert_eq!(workspace.documents(), last_values([valid]));
    assert_eq!(workspace.dead_letters().len(), 1);
}

#[test]
fn dead_letters_arrive_as_return_value_too() {
    let workspace = Workspace::new();
    let root = function_app(&workspace, |_, function| function["bindings"][1]["name"] = "$return".into());
    let file = workspace.write("e.jsonl", "{\"deviceId\":\"d\",\"flightMode\":99}\n");
    let arguments = ["--file", file.to_str().expect("text"), "--app-root", root.to_str().expect("text")];
    let output = workspace.local(&arguments).output().expect("the binary runs");
    assert_eq!(count(&report(&output, 1), "deadLetterMessages"), 1);
    assert_eq!(workspace.dead_letters().len(), 1);
}

#[test]
fn the_verbose_output_has_each_dead_letter_once() {
    let workspace = Workspace::new();
    let root = function_app(&workspace, |_, _| {});
    let file = workspace.write("e.jsonl", "{\"deviceId\":\"d\",\"flightMode\":99}\n");
    let arguments = ["--verbose", "--file", file.to_str().expect("text"), "--app-root"];
    let output = workspace.local(&arguments).arg(&root).output().expect("the binary runs");
    let log = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = log.lines().filter(|line| line.contains("flight mode 99")).collect();
    let [line] = lines[..] else { panic!("one line: {log}") };
    assert!(line.contains(r#""record":"deadLetter""#) && line.contains(r#""deviceId":"d""#), "{line}");
}

#[test]
fn local_settings_may_have_a_byte_order_mark_and_comments() {
    let workspace = Workspace::new();
    let root = function_app(&workspace, |_, _| {});
    let settings = "\u{feff}{ // local only\n\"values\": { \"InvocationBudget\": \"soon\", \"Number\": 1, } }";
    workspace.write("app/local.settings.json", settings);
    let output = workspace.local(&["--app-root", root.to_str().expect("text")]).output().expect("the binary runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("`InvocationBudget`") && error.contains("soon"), "{error}");
}

#[test]
fn batches_have_at_most_the_size_of_host_json() {
    let workspace = Workspace::new();
    let root = function_app(&workspace, |host, _| host["extensions"]["eventHubs"]["maxEventBatchSize"] = 10.into());
    let report = workspace.run(&["--devices", "5", "--events", "40", "--app-root", root.to_str().expect("text")]);
    assert!(count(&report, "batches") >= 20, "{report}");
}

fn without_retry(function: &mut Value) {
    function.as_object_mut().expect("an object").remove("retry");
}

#[test]
fn a_batch_that_fails_without_a_retry_policy_is_lost_and_reported() {
    let workspace = Workspace::new();
    let root = function_app(&workspace, |host, function| {
        host["customHandler"]["description"]["defaultExecutablePath"] = "handler.sh".into();
        without_retry(function);
    });
    // The first handler fails the first batch, and ends.
    let script = "#!/bin/sh\ntest -e started || { touch started; exec node fail.js; }; exec \"$HANDLER\" serve\n";
    let file = workspace.write("app/handler.sh", script);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("a script may run");
    workspace.write(
        "app/fail.js",
        "require('node:http').createServer((request, reply) => {
            if (request.method === 'GET') return reply.end('{}');
            reply.writeHead(503).end('{}', () => process.exit(200));
        }).listen(process.env.FUNCTIONS_CUSTOMHANDLER_PORT, '127.0.0.1')",
    );
    let file = workspace.write("e.jsonl", "{\"deviceId\":\"a\",\"battery\":0.5}\n");
    let arguments = ["--partitions", "1", "--file", file.to_str().expect("text"), "--app-root"];
    let output =
        workspace.local(&arguments).arg(&root).env("HANDLER", devicestate()).output().expect("the binary runs");
    let report = report(&output, 1);
    assert_eq!((count(&report, "lost"), count(&report, "applied")), (1, 0), "{report}");
    assert_adds_up(&report);
    let error = String::from_utf8_lossy(&output.stderr);
    let warnings = error.lines().filter(|line| line.contains("RawTelemetryFunction/function.json")).count();
    assert!(warnings == 1 && error.starts_with("devicestate: warning: "), "{error}");
    assert!(error.contains("no retries") && error.contains("\"maxRetryCount\": -1"), "{error}");
}

#[test]
fn an_app_with_which_the_host_would_lose_events_is_refused() {
    let workspace = Workspace::new();
    let root = function_app(&workspace, |_, function| {
        function["bindings"][0].as_object_mut().expect("an object").remove("dataType");
    });
    for command in ["local", "drill"] {
        let mut command = workspace.command(command, "table", &["--devices", "2", "--app-root"]);
        let output = command.arg(&root).output().expect("the binary runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), error.lines().count()), (Some(2), 1), "{error}");
        assert!(error.contains("RawTelemetryFunction/function.json"), "{error}");
        assert!(error.contains(r#"set `"dataType": "binary"` in the trigger"#), "{error}");
    }
}

#[test]
fn a_disabled_function_that_is_not_served_is_named_with_the_reason() {
    let workspace = Workspace::new();
    let root = function_app(&workspace, |_, _| {});
    let file = root.join("SessionTelemetryFunction/function.json");
    let text = fs::read_to_string(&file).expect("a file").replace("\"binary\"", "\"string\"");
    fs::write(&file, text).expect("a file");
    // The local settings disable it.
    let output = workspace.local(&["--sessions", "--app-root"]).arg(&root).output().expect("the binary runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), error.lines().count()), (Some(2), 2), "{error}");
    let expected = "devicestate: warning: a function is not served: the file ";
    assert!(error.starts_with(expected) && error.contains("SessionTelemetryFunction/function.json"), "{error}");
    assert!(error.contains(r#"set `"dataType": "binary"` in the trigger"#), "{error}");
}

#[test]
fn a_function_with_cardinality_one_gets_each_event_in_its_own_invocation() {
    let workspace = Workspace::new();
    let root = function_app(&workspace, |_, function| function["bindings"][0]["cardinality"] = "one".into());
    let [a, b] = [json!({ "deviceId": "a", "battery": 0.5 }), json!({ "deviceId": "b", "battery": 0.25 })];
    let file = workspace.write("e.jsonl", format!("{a}\nbad\n{b}\n"));
    let arguments = ["--partitions", "1", "--file", file.to_str().expect("text"), "--app-root"];
    let output = workspace.local(&arguments).arg(&root).output().expect("the binary runs");
    let report = report(&output, 0);
    assert_eq!((count(&report, "batches"), count(&report, "deadLettered")), (3, 1), "{report}");
    assert_adds_up(&report);
    assert_eq!(workspace.documents(), last_values([a, b]));
}

#[test]
fn the_setting_state_store_is_used_instead_of_the_state_file() {
    let workspace = Workspace::new();
    let output = workspace.local(&["--devices", "3"]).env("StateStore", "memory").output().expect("the binary runs");
    let report = report(&output, 0);
    assert!(report["devices"].is_null(), "{report}");
    assert_eq!(workspace.documents().len(), 0);
}

#[test]
fn a_checkpoint_after_many_batches_does_not_stop_the_stream() {
    let workspace = Workspace::new();
    let root =
        function_app(&workspace, |host, _| host["extensions"]["eventHubs"]["batchCheckpointFrequency"] = 100.into());
    let arguments = ["--devices", "5", "--events", "6000", "--partitions", "1", "--app-root"];
    let output = workspace.local(&arguments).arg(&root).output().expect("the binary runs");
    assert_eq!(count(&report(&output, 0), "applied"), 30_000);
}

#[test]
fn a_handler_with_a_working_directory_finds_the_function_app() {
    let workspace = Workspace::new();
    let root =
        function_app(&workspace, |host, _| host["customHandler"]["description"]["workingDirectory"] = "bin".into());
    fs::create_dir(root.join("bin")).expect("a folder can be made");
    let report = workspace.run(&["--devices", "2", "--app-root", root.to_str().expect("text")]);
    assert_eq!(count(&report, "devices"), 2);
}

#[test]
fn the_state_option_has_precedence_over_a_file_of_the_environment() {
    let workspace = Workspace::new();
    let mut command = workspace.local(&["--devices", "2"]);
    command.env("StateStore", "sqlite").env("SqlitePath", workspace.path("other.db"));
    report(&command.output().expect("the binary runs"), 0);
    assert_eq!(workspace.documents().len(), 2);
    assert!(!workspace.path("other.db").exists());
}

#[test]
fn app_settings_have_precedence_over_host_json() {
    let workspace = Workspace::new();
    let mut command = workspace.local(&["--devices", "5", "--events", "40"]);
    command.env("AzureFunctionsJobHost__extensions__eventHubs__maxEventBatchSize", "10");
    command.env("AzureFunctionsJobHost__extensions__eventHubs__minEventBatchSize", "1");
    assert!(count(&report(&command.output().expect("the binary runs"), 0), "batches") >= 20);

    let mut command = workspace.local(&[]);
    let output = command.env("AzureFunctionsJobHost__functionTimeout", "00:00:30").output().expect("the binary runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("InvocationBudget") && error.contains("functionTimeout"), "{error}");
}

/// Sends each part after the previous one is stored, with these limits of batches, and returns the report.
fn send_in_parts(workspace: &Workspace, minimum: &str, wait: &str, parts: &[std::ops::Range<u32>]) -> Value {
    let mut command = workspace.local(&["--file", "-", "--partitions", "1"]);
    command.env("AzureFunctionsJobHost__extensions__eventHubs__minEventBatchSize", minimum);
    command.env("AzureFunctionsJobHost__extensions__eventHubs__maxWaitTime", wait);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("the binary runs");
    let mut input = child.stdin.take().expect("a pipe");
    for (index, part) in parts.iter().enumerate() {
        input.write_all(lines(&events(part.clone())).as_bytes()).expect("it reads");
        if index + 1 < parts.len() {
            workspace.wait_until("the part is stored", |workspace| {
                let newest = f64::from(part.end - 1) / 1e5;
                workspace.documents().values().any(|document| document["Battery"].as_f64() == Some(newest))
            });
        }
    }
    drop(input);
    let report = report(&child.wait_with_output().expect("it ends"), 0);
    let all = parts.iter().map(|part| part.end).max().unwrap_or_default();
    assert_eq!(workspace.documents(), last_values(events(0..all)));
    report
}

#[test]
fn the_first_batch_goes_at_once_and_the_next_ones_wait_for_the_minimum_or_the_end_of_the_input() {
    let workspace = Workspace::new();
    // Nothing ends the wait of ten minutes but the fourth event of the second part, and the end.
    let report = send_in_parts(&workspace, "4", "00:10:00", &[0..1, 1..5, 5..8]);
    assert_eq!(count(&report, "batches"), 3, "{report}");
}

#[test]
fn a_batch_that_stays_below_the_minimum_goes_after_the_longest_wait() {
    let workspace = Workspace::new();
    let report = send_in_parts(&workspace, "1000", "00:00:00.010", &[0..1, 1..5, 5..8, 8..9]);
    assert!(count(&report, "batches") >= 4, "{report}");
}

#[test]
fn a_minimum_above_the_maximum_is_rejected_as_the_host_does() {
    let workspace = Workspace::new();
    let mut command = workspace.local(&["--devices", "2"]);
    command.env("AzureFunctionsJobHost__extensions__eventHubs__maxEventBatchSize", "99");
    let output = command.output().expect("the binary runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("minEventBatchSize (100)") && error.contains("maxEventBatchSize (99)"), "{error}");
}
