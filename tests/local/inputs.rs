//! Inputs of `devicestate local`: files, standard input, and invalid ones.

use std::{
    io::{Read as _, Write as _},
    process::{Command, Stdio},
};

use devicestate_test_support::{program::devicestate, read_output};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use crate::support::{Workspace, assert_adds_up, count, function_app, last_values, lines, report, signal};

fn events(count: u32) -> Vec<Value> {
    let event = |number| json!({ "deviceId": format!("d{}", number % 7), "battery": f64::from(number) / 1e4 });
    (0..count).map(event).collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).expect("written");
    encoder.finish().expect("written")
}

#[test]
fn plain_and_gzip_input_is_read_from_files_and_standard_input() {
    let events = events(500);
    let text = lines(&events);
    for (name, content) in [("e.jsonl", text.clone().into_bytes()), ("e.jsonl.gz", gzip(&text))] {
        let workspace = Workspace::new();
        let file = workspace.write(name, &content);
        workspace.run(&["--file", file.to_str().expect("a path of text")]);
        assert_eq!(workspace.documents(), last_values(events.clone()), "{name}");

        let workspace = Workspace::new();
        let mut child = workspace.local(&["--file", "-"]).stdin(Stdio::piped()).spawn().expect("the binary runs");
        child.stdin.take().expect("a pipe").write_all(&content).expect("it reads");
        report(&child.wait_with_output().expect("it ends"), 0);
        assert_eq!(workspace.documents(), last_values(events.clone()), "{name} from standard input");
    }
}

#[test]
fn lines_that_are_not_telemetry_are_dead_lettered_and_blank_lines_are_ignored() {
    let workspace = Workspace::new();
    let file = workspace
        .write("e.jsonl", "{\"deviceId\":\"a\",\"battery\":1}\n\nnot json\n{\"deviceId\":\"b\",\"battery\":1}");
    let report = workspace.run(&["--file", file.to_str().expect("a path of text")]);
    assert_eq!((count(&report, "received"), count(&report, "applied"), count(&report, "deadLettered")), (3, 2, 1));
    assert_eq!(workspace.dead_letters()[0]["EventData"]["Body"], "bm90IGpzb24=");
}

#[test]
fn unrecognized_events_are_a_row_and_a_warning_and_an_error_if_there_are_no_others() {
    let pump = r#"{"deviceId":"pump-1","pressure":3.2}"#;
    for (lines, code, unrecognized, expected) in [
        (format!("{pump}\n{pump}\n"), 1, 2, "no event had a known field, so nothing is stored"),
        (format!("{pump}\n{{\"deviceId\":\"d\",\"battery\":1}}\n"), 0, 1, "1 event had no known field"),
        ("{\"deviceId\":\"d\",\"battery\":1}\n{\"deviceId\":\"e\"}\n".to_owned(), 0, 0, ""),
    ] {
        let workspace = Workspace::new();
        let file = workspace.write("e.jsonl", &lines);
        let arguments = ["--file", file.to_str().expect("a path of text"), "--check"];
        let output = workspace.local(&arguments).output().expect("the binary runs");
        let report = report(&output, code);
        assert_eq!(count(&report, "unrecognized"), unrecognized, "{report}");
        assert_adds_up(&report);
        assert_eq!(report["check"]["differentDocuments"], 0, "{report}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.contains(expected) && errors.lines().count() == usize::from(unrecognized > 0), "{errors}");
        let table = workspace.command("local", "table", &arguments).output().expect("the binary runs");
        assert_eq!(String::from_utf8_lossy(&table.stdout).contains("unrecognized (not stored)"), unrecognized > 0);
        assert!(!workspace.documents().contains_key("pump-1"));
    }
}

#[test]
fn a_truncated_gzip_file_is_an_error_and_loses_no_earlier_event() {
    let workspace = Workspace::new();
    let mut content = gzip(&lines(&events(20_000)));
    content.truncate(content.len() / 2);
    let file = workspace.write("e.jsonl.gz", content);
    let output =
        workspace.local(&["--file", file.to_str().expect("a path of text")]).output().expect("the binary runs");
    let report = report(&output, 1);
    let received = u32::try_from(count(&report, "received")).expect("a small number");
    assert!(received > 100, "{report}");
    assert_adds_up(&report);
    assert!(report["error"].as_str().is_some_and(|text| text.contains(&format!("after line {received}"))), "{report}");
    assert_eq!(workspace.documents(), last_values(events(received)));
}

#[test]
fn a_run_that_cannot_start_exits_with_2_and_a_reason() {
    let workspace = Workspace::new();
    let text = workspace.write("no.db", "this is a text and not a database, but long enough for one ".repeat(20));
    let folder = workspace.path("");
    let (text, folder) = (text.to_str().expect("text"), folder.to_str().expect("text"));
    for (arguments, expected) in [
        (
            vec!["local", "--file", "missing.jsonl"],
            "missing.jsonl cannot be read: No such file or directory (option --file)\n",
        ),
        (vec!["local", "--state", text], "not an SQLite database"),
        (vec!["local", "--app-root", folder], "host.json"),
        (vec!["local", "--partitions", "0"], "--partitions"),
        (vec!["local", "--devices", "5", "--file", "x"], "cannot be used with"),
        (vec!["local", "--events", "5"], "--devices"),
        (vec!["local", "--invalid-events", "5"], "such as 0.5%"),
        (vec!["local", "--simulate", "5"], "unexpected argument"),
        (vec!["devices", "list", "--state", "missing.db"], "missing.db"),
        (vec!["devices", "list"], "StateStore"),
    ] {
        let mut command = Command::new(devicestate());
        let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("StateStore").args(&arguments).output();
        let output = output.expect("the binary runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(expected) && !error.contains("panicked"), "{arguments:?}: {error}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_locked_state_file_is_reported() {
    let workspace = Workspace::new();
    workspace.run(&[]);
    let connection = rusqlite::Connection::open(workspace.state()).expect("the state file");
    connection.execute_batch("BEGIN EXCLUSIVE").expect("a lock");
    let output = workspace.local(&[]).output().expect("the binary runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("lock") && error.contains("state.db"), "{error}");
}

#[test]
fn ctrl_c_finishes_the_sent_events_and_loses_nothing() {
    let workspace = Workspace::new();
    let events = events(3_000);
    let mut child = workspace.local(&["--file", "-"]).stdin(Stdio::piped()).spawn().expect("the binary runs");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(lines(&events).as_bytes()).expect("it reads");
    workspace.wait_until("the first documents", |workspace| workspace.documents().len() == 7);
    // Standard input stays open, so only Ctrl-C ends this run.
    signal("-INT", child.id());
    let mut out = Vec::new();
    child.stdout.take().expect("a pipe").read_to_end(&mut out).expect("it reports");
    let code = child.wait().expect("it ends").code();
    assert_eq!(code, Some(130));
    drop(input);
    let report = read_output(&out, code);
    assert_adds_up(&report);
    assert_eq!((&report["interrupted"], count(&report, "unfinished")), (&true.into(), 0), "{report}");
    let received = usize::try_from(count(&report, "received")).expect("a small number");
    assert_eq!(workspace.documents(), last_values(events[..received].to_vec()));
}

#[test]
fn the_report_of_an_interrupted_run_has_the_signals_exit_code_and_how_many_events_were_sent() {
    for (name, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        for output in ["json", "table"] {
            let workspace = Workspace::new();
            let arguments = ["--devices", "10", "--events", "100000", "--rate", "500/s"];
            let child = workspace.command("local", output, &arguments).spawn().expect("the binary runs");
            workspace.wait_until("the first documents", |workspace| workspace.documents().len() == 10);
            assert!(signal(name, child.id()));
            let ended = child.wait_with_output().expect("it ends");
            let (text, errors) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
            assert_eq!(ended.status.code(), Some(code), "{errors}");
            assert!(errors.contains("interrupted:"), "{errors}");
            if output == "json" {
                let report = read_output(&ended.stdout, Some(code));
                assert_eq!((&report["interrupted"], count(&report, "expected")), (&true.into(), 1_000_000), "{report}");
                assert_adds_up(&report);
            } else {
                let received = text.lines().find(|line| line.starts_with("received ")).expect("a row");
                assert!(received.ends_with(" of 1000000"), "{received}");
                assert!(text.contains("(interrupted)"), "{text}");
            }
        }
    }
}

/// `nohup` and a service manager start a program that must outlive the terminal.
#[test]
fn a_run_that_ignores_the_end_of_its_terminal_continues() {
    let workspace = Workspace::new();
    let local = workspace.local(&["--file", "-"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]).arg(local.get_program()).args(local.get_args());
    shell.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = shell.spawn().expect("a shell");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(lines(&events(100)).as_bytes()).expect("it reads");
    workspace.wait_until("the first documents", |workspace| workspace.documents().len() == 7);
    assert!(signal("-HUP", child.id()));
    input.write_all(lines(&events(100)).as_bytes()).expect("it still reads");
    drop(input);
    let report = report(&child.wait_with_output().expect("it ends"), 0);
    assert_eq!((&report["interrupted"], count(&report, "received")), (&false.into(), 200), "{report}");
}

#[test]
fn the_devices_commands_show_what_is_stored() {
    let workspace = Workspace::new();
    workspace.run(&[]);
    let state = |arguments: &[&str]| {
        let mut command = Command::new(devicestate());
        let output = command.arg("devices").args(arguments).arg("--state").arg(workspace.state()).output();
        let output = output.expect("the binary runs");
        (output.status.code(), String::from_utf8(output.stdout).expect("text"))
    };
    let (code, list) = state(&["list", "-o", "json"]);
    let list = read_output(list, code).as_array().expect("one array").clone();
    assert_eq!((code, list.len()), (Some(0), 2));
    let (_, shown) = state(&["show", "px4-sample-log-small", "-o", "json"]);
    assert_eq!(read_output(&shown, Some(0)), list[0]);
    let (_, table) = state(&["list"]);
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 3);
    let column = rows[0].find("NEWEST").expect("a column");
    assert!(rows[1..].iter().all(|row| row[column..].starts_with("20") && row[..column].ends_with("  ")), "{table}");
    assert_eq!(state(&["list", "--limit", "1", "-o", "json"]).1.matches("\"id\"").count(), 1);
    assert_eq!(state(&["show", "no-such-device"]).0, Some(1));
}

#[test]
fn events_that_all_become_dead_letters_are_an_error() {
    let workspace = Workspace::new();
    let file = workspace.write("e.jsonl", "{\"deviceId\":\"a\",\"battery\":\"full\"}\n{\"battery\":1}\n");
    let file = file.to_str().expect("a path of text");
    let output = workspace.command("local", "table", &["--file", file, "--check"]).output().expect("the binary runs");
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("nothing of 2 events is stored, because every event became a dead letter"), "{errors}");
    assert!(errors.contains(&format!("`devicestate telemetry check {file}`")), "{errors}");
    assert!(text.contains("CHECK: no document was compared") && !text.contains("(0 of 0)"), "{text}");
}

#[test]
fn simulated_drones_are_not_sent_to_an_app_whose_telemetry_file_does_not_read_them() {
    let workspace = Workspace::new();
    let root = function_app(&workspace, |_, _| {});
    let elevators = json!({ "device": "/elevator", "readings": { "floor": "/floor" } });
    let no_readings = json!({ "readings": { "floor": "/floor" } });
    let drones = json!({ "readings": { "battery": "/battery" } });
    for (telemetry, code) in [(elevators, 2), (no_readings, 2), (drones, 0)] {
        let file = workspace.write("app/telemetry.json", telemetry.to_string());
        for (command, arguments) in [("local", &["--devices", "2"][..]), ("local", &[]), ("drill", &[])] {
            if code == 0 && command == "drill" {
                continue;
            }
            let mut command = workspace.command(command, "json", arguments);
            let output = command.arg("--app-root").arg(&root).output().expect("the binary runs");
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{telemetry} {arguments:?}: {errors}");
            let expected = format!("({}) does not read the simulated drones: ", file.display());
            assert_eq!(errors.contains(&expected) && errors.contains("use --file with events"), code == 2, "{errors}");
        }
    }
}

#[test]
fn the_report_counts_records_and_device_times_that_cannot_be_right() {
    let workspace = Workspace::new();
    let root = function_app(&workspace, |_, _| {});
    workspace.write("app/telemetry.json", r#"{"time":{"from":"/t","format":"rfc3339","newest":"device"}}"#);
    let record = |id: &str, t: &str| json!({ "deviceId": id, "x": 1, "t": t });
    let first = json!([record("a", "1970-01-01T00:00:09Z"), record("b", "2026-01-01T00:00:00Z")]);
    let second = record("c", "2019-12-31T23:59:59Z");
    let file = workspace.write("e.jsonl", format!("{first}\n{second}\n"));
    for output in ["json", "table"] {
        let mut command = workspace.command("local", output, &["--app-root"]);
        command.arg(&root).arg("--file").arg(&file);
        let finished = command.output().expect("the binary runs");
        if output == "json" {
            let report = report(&finished, 0);
            let names = ["received", "records", "unusableDeviceTimes"];
            assert_eq!(names.map(|name| count(&report, name)), [2, 3, 2], "{report}");
        } else {
            let text = String::from_utf8_lossy(&finished.stdout);
            let has = |name: &str, value: &str| {
                text.lines().any(|line| line.starts_with(name) && line.trim_end().ends_with(value))
            };
            assert!(has("records in these events", " 3"), "{text}");
            assert!(has("records with an unusable device time", " 2"), "{text}");
        }
    }
}
