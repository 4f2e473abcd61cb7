//! Handlers that are killed or exit, and how the host and the platform react.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use devicestate_test_support::program::devicestate;
use serde_json::Value;

use crate::support::{
    Workspace, assert_adds_up, count, events, function_app, handlers, kill_handlers, last_values, lines, report, signal,
};

/// A handler that accepts requests and answers only `GET /`. It creates the file `received` with the first one.
const SILENT_HANDLER: &str = "
    require('node:http').createServer((request, reply) => {
        if (request.method === 'GET') reply.end('{}');
        else require('node:fs').writeFileSync('received', '');
    }).listen(process.env.FUNCTIONS_CUSTOMHANDLER_PORT, '127.0.0.1')";

/// Writes an app whose handler is this shell script. `$HANDLER` is the real handler.
fn app_with_script(workspace: &Workspace, script: &str) -> PathBuf {
    let root = function_app(workspace, |host, _| {
        host["customHandler"]["description"]["defaultExecutablePath"] = "handler.sh".into();
        host["customHandler"]["initializationTimeout"] = "00:00:10".into();
    });
    let file = workspace.write("app/handler.sh", format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("a script may run");
    root
}

fn run(workspace: &Workspace, root: &Path, code: i32) -> (Value, String) {
    let input = workspace.write("e.jsonl", lines(&events(0..100)));
    let mut command =
        workspace.local(&["--file", input.to_str().expect("text"), "--app-root", root.to_str().expect("text")]);
    let output = command.env("HANDLER", devicestate()).output().expect("the binary runs");
    (report(&output, code), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Checks that the app's script has started this many handlers, all on the same port.
#[track_caller]
fn assert_one_port(root: &Path, starts: usize) {
    let ports = fs::read_to_string(root.join("starts")).expect("a file");
    let ports: Vec<_> = ports.lines().collect();
    assert_eq!(ports.len(), starts);
    assert!(ports.iter().all(|port| *port == ports[0]), "{ports:?}");
}

/// Runs commands with an app whose handler never starts: one line, and no report. Returns the line of one.
#[track_caller]
fn fails_to_start(workspace: &Workspace, root: &Path) -> String {
    let input = workspace.write("e.jsonl", lines(&events(0..100)));
    let file = ["--file", input.to_str().expect("text")];
    let mut errors = Vec::new();
    for mut command in [
        workspace.command("local", "json", &file),
        workspace.command("local", "table", &file),
        workspace.command("drill", "table", &["--devices", "2"]),
    ] {
        let _ = fs::remove_file(root.join("starts"));
        let output = command.arg("--app-root").arg(root).output().expect("the binary runs");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert_eq!((error.lines().count(), output.stdout.len()), (1, 0), "{error}");
        assert!(error.starts_with("devicestate: no handler became ready: "), "{error}");
        errors.push(error);
    }
    errors.remove(0)
}

#[test]
fn killed_handlers_are_restarted_and_no_event_is_lost() {
    let workspace = Workspace::new();
    let root = function_app(&workspace, |host, _| host["extensions"]["eventHubs"]["maxEventBatchSize"] = 20.into());
    let mut command = workspace.local(&["--file", "-", "--instances", "3", "--partitions", "6"]);
    command.arg("--app-root").arg(root);
    // All handlers are killed five times, so that each host stops at least once.
    let report = report(&kill_handlers(&workspace, &mut command, 5, 1_000), 0);
    assert_adds_up(&report);
    assert_eq!((count(&report, "received"), count(&report, "deadLettered")), (5_000, 0), "{report}");
    assert!(count(&report, "handlerRestarts") >= 3 && count(&report, "failedAttempts") > 0, "{report}");
    assert!(count(&report, "hostRestarts") >= 1, "the third failure of a handler stops its host: {report}");
    assert!(workspace.documents() == last_values(events(0..5_000)), "the documents are those of an undisturbed run");
}

#[test]
fn a_handler_that_is_never_ready_ends_the_run_with_its_last_log_lines() {
    let workspace = Workspace::new();
    let root =
        app_with_script(&workspace, "echo x >> starts; echo first >&2; echo the setting X is missing >&2; exit 3");
    let error = fails_to_start(&workspace, &root);
    assert!(error.contains("exit code 3: first / the setting X is missing"), "{error}");
    assert_eq!(fs::read_to_string(root.join("starts")).expect("a file").len(), 6, "the third error stops the host");
    assert_eq!(workspace.documents().len(), 0);
}

/// The host joins the arguments by blanks and quotes none.
#[test]
fn an_argument_with_a_blank_arrives_as_two() {
    let workspace = Workspace::new();
    let root = app_with_script(&workspace, "echo $# \"$2\" >&2; exit 3");
    let file = root.join("host.json");
    let mut host: Value = serde_json::from_slice(&fs::read(&file).expect("a file")).expect("JSON");
    host["customHandler"]["description"]["arguments"] = serde_json::json!(["one", "two words"]);
    fs::write(&file, host.to_string()).expect("a file");
    let error = fails_to_start(&workspace, &root);
    assert!(error.contains("exit code 3: 3 two"), "{error}");
}

#[test]
fn a_handler_with_exit_code_0_is_not_restarted_and_ends_the_run() {
    let workspace = Workspace::new();
    let root = app_with_script(&workspace, "exit 0");
    let error = fails_to_start(&workspace, &root);
    assert!(error.contains("exit code 0"), "{error}");
}

#[test]
fn exit_code_200_is_a_restart_that_does_not_count_as_a_failure() {
    let workspace = Workspace::new();
    let script = "
        echo $FUNCTIONS_CUSTOMHANDLER_PORT >> starts
        test $(wc -l < starts) -gt 5 || exit 200
        exec \"$HANDLER\" serve";
    let root = app_with_script(&workspace, script);
    let (report, _) = run(&workspace, &root, 0);
    assert_eq!((count(&report, "handlerRestarts"), count(&report, "hostRestarts")), (5, 0), "{report}");
    assert_eq!(workspace.documents(), last_values(events(0..100)));
    assert_one_port(&root, 6);
}

#[test]
fn a_process_that_a_handler_leaves_behind_does_not_delay_the_restart() {
    let workspace = Workspace::new();
    // The first process leaves one that holds its standard error; the second one checks that it still runs.
    let script = "
        if ! test -e holder; then env -i sh -c 'unset PWD; sleep 20; touch ended' & echo $! > holder; exit 200; fi
        test -e ended || touch held
        exec \"$HANDLER\" serve";
    let root = app_with_script(&workspace, script);
    let (report, _) = run(&workspace, &root, 0);
    assert_eq!(count(&report, "handlerRestarts"), 1, "{report}");
    assert!(root.join("held").exists(), "the restart waited for the other process");
    let holder = fs::read_to_string(root.join("holder")).expect("a file");
    assert!(signal("-KILL", holder.trim().parse().expect("a process id")));
}

#[test]
fn a_handler_that_does_not_answer_is_killed_after_the_function_timeout_and_its_batch_is_retried() {
    let workspace = Workspace::new();
    // The first process answers only `GET /`.
    let script = "
        echo $FUNCTIONS_CUSTOMHANDLER_PORT >> starts
        test $(wc -l < starts) -gt 1 || exec node silent.js
        exec \"$HANDLER\" serve";
    let root = app_with_script(&workspace, script);
    workspace.write("app/silent.js", SILENT_HANDLER);
    let mut host: Value = serde_json::from_slice(&fs::read(root.join("host.json")).expect("a file")).expect("JSON");
    host["functionTimeout"] = "00:00:02".into();
    host["extensions"]["eventHubs"]["maxEventBatchSize"] = 10.into();
    workspace.write("app/host.json", host.to_string());
    let input = workspace.write("e.jsonl", lines(&events(0..100)));
    let mut command = workspace.local(&["--partitions", "1", "--file", input.to_str().expect("text"), "--app-root"]);
    command.arg(&root).env("InvocationBudget", "00:00:01").env("HANDLER", devicestate());
    let report = report(&command.output().expect("the binary runs"), 0);
    assert_eq!((count(&report, "failedAttempts"), count(&report, "handlerRestarts")), (1, 1), "{report}");
    assert_eq!(workspace.documents(), last_values(events(0..100)));
    assert_one_port(&root, 2);
}

#[test]
fn a_second_ctrl_c_stops_immediately_and_leaves_no_handler() {
    let workspace = Workspace::new();
    // The batch is never answered, so the run would not end after one Ctrl-C.
    let root = app_with_script(&workspace, "exec node silent.js");
    workspace.write("app/silent.js", SILENT_HANDLER);
    let input = workspace.write("e.jsonl", lines(&events(0..100)));
    let mut command = workspace.local(&["--file", input.to_str().expect("text"), "--app-root"]);
    let mut child = command.arg(&root).spawn().expect("the binary runs");
    workspace.wait_until("a batch is sent", |_| root.join("received").exists());
    assert_eq!(handlers(&child).len(), 1);
    // Sent until the process has ended, because signals that arrive together count once.
    while child.try_wait().expect("a child").is_none() {
        signal("-INT", child.id());
        std::thread::yield_now();
    }
    let output = child.wait_with_output().expect("it ended");
    let report = report(&output, 130);
    assert!(report["error"].as_str().is_some_and(|text| text.contains("stopped immediately")), "{report}");
    assert_adds_up(&report);
    assert_eq!(count(&report, "unfinished"), 100, "{report}");
}

#[test]
fn a_handler_that_fails_after_ctrl_c_has_the_exit_code_of_a_failure() {
    let workspace = Workspace::new();
    let root = app_with_script(&workspace, "test -e fail && exit 0; exec node silent.js");
    workspace.write("app/silent.js", SILENT_HANDLER);
    let mut command = workspace.local(&["--file", "-", "--app-root"]);
    let mut child = command.arg(&root).stdin(Stdio::piped()).spawn().expect("the binary runs");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(lines(&events(0..100)).as_bytes()).expect("it reads");
    workspace.wait_until("a batch is sent", |_| root.join("received").exists());
    signal("-INT", child.id());
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut line = String::new();
    while !line.contains("Stopping: ") {
        line.clear();
        assert!(stderr.read_line(&mut line).expect("text") > 0, "it ended");
    }
    workspace.write("app/fail", "");
    for handler in handlers(&child) {
        signal("-KILL", handler);
    }
    let report = report(&child.wait_with_output().expect("it ends"), 1);
    assert!(report["error"].as_str().is_some_and(|text| text.contains("exit code 0")), "{report}");
    assert_eq!(report["interrupted"], true, "{report}");
}

#[test]
fn a_signal_after_everything_was_processed_interrupts_nothing() {
    let workspace = Workspace::new();
    // The handler of the timer functions is the second one.
    let script = "
        echo x >> starts
        if test $(wc -l < starts) -gt 1; then touch timers; until test -e go; do sleep 0.02; done; fi
        exec \"$HANDLER\" serve";
    let root = app_with_script(&workspace, script);
    let timer = Path::new(env!("CARGO_MANIFEST_DIR")).join("DeadLetterWatchFunction/function.json");
    workspace.write("app/DeadLetterWatchFunction/function.json", fs::read(timer).expect("a shipped file"));
    let input = workspace.write("e.jsonl", lines(&events(0..100)));
    let mut command = workspace.local(&["--file", input.to_str().expect("text"), "--app-root"]);
    let child = command.arg(&root).env("HANDLER", devicestate()).spawn().expect("the binary runs");
    workspace.wait_until("the events are processed", |_| root.join("timers").exists());
    signal("-INT", child.id());
    workspace.write("app/go", "");
    let report = report(&child.wait_with_output().expect("it ends"), 0);
    assert_eq!((&report["interrupted"], count(&report, "applied")), (&false.into(), 100), "{report}");
}

/// The handler reads the end of a pipe that this run holds, so that also one that has just been started ends.
#[test]
fn a_handler_does_not_outlive_a_killed_run() {
    let workspace = Workspace::new();
    for arguments in
        [&["--devices", "10", "--events", "100000", "--rate", "500/s", "--instances", "2"][..], &["--sessions"]]
    {
        let mut child = workspace.local(arguments).stdin(Stdio::piped()).spawn().expect("the binary runs");
        workspace.wait_until("a handler runs", |_| !handlers(&child).is_empty());
        assert!(signal("-KILL", child.id()));
        child.wait().expect("a child of this test");
        workspace.wait_until("no handler is left", |workspace| workspace.leftovers() == 0);
    }
}

/// The Functions host holds no such pipe.
#[test]
fn without_the_pipe_no_handler_is_left_five_seconds_after_a_run_was_killed() {
    let workspace = Workspace::new();
    let script = "
        echo $FUNCTIONS_CUSTOMHANDLER_PORT >> ports
        unset StopAtEndOfInput
        exec \"$HANDLER\" serve < /dev/null";
    let root = app_with_script(&workspace, script);
    let arguments = ["--devices", "10", "--events", "100000", "--rate", "500/s", "--instances", "2", "--app-root"];
    let mut command = workspace.local(&arguments);
    let mut child = command.arg(&root).env("HANDLER", devicestate()).spawn().expect("the binary runs");
    workspace
        .wait_until("the handlers have stored something of each device", |workspace| workspace.documents().len() == 10);
    assert!(signal("-KILL", child.id()));
    let killed = Instant::now();
    child.wait().expect("a child of this test");
    workspace.wait_until("no handler is left", |workspace| workspace.leftovers() == 0);
    assert!(killed.elapsed() < Duration::from_secs(5));
    let ports = fs::read_to_string(root.join("ports")).expect("a file");
    assert_eq!(ports.lines().count(), 2);
    for port in ports.lines() {
        assert!(TcpStream::connect(format!("127.0.0.1:{port}")).is_err(), "the port {port} is free");
    }
}

#[test]
fn a_handler_with_an_invalid_setting_is_one_line_and_no_report() {
    let workspace = Workspace::new();
    let mut local = workspace.local(&[]);
    let output = local.env("InvocationBudget", "abc").output().expect("the binary runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), error.lines().count(), output.stdout.len()), (Some(2), 1, 0), "{error}");
    assert!(error.contains("exit code 1: the setting `InvocationBudget`"), "{error}");
}
