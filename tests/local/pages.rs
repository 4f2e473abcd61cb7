//! `--html`: the reports as pages.

use std::io::Write as _;
use std::{fs, process::Stdio};

use devicestate_test_support::report_page::ReportPage;
use serde_json::json;

use crate::support::{Workspace, count, lines, report, signal};

#[test]
fn the_page_of_the_demonstration_has_the_numbers_of_the_report_and_what_happened() {
    let workspace = Workspace::new();
    let path = workspace.path("report.html");
    let report = workspace.run(&["--html", path.to_str().expect("text")]);
    let page = ReportPage::read(&path);
    assert_eq!(page.texts[..2], ["Run on this machine", "passed"]);
    for (figure, name) in [
        ("events sent", "received"),
        ("dead letters", "deadLettered"),
        ("failed attempts", "failedAttempts"),
        ("lost", "lost"),
        ("applied: a reading was newer", "applied"),
        ("superseded: no reading was newer", "superseded"),
        ("dead-lettered: could not be applied", "deadLettered"),
        ("batches", "batches"),
        ("handler restarts", "handlerRestarts"),
    ] {
        assert_eq!(page.count(figure), count(&report, name), "{figure}");
    }
    assert_eq!(page.count("devices"), report["devices"].as_u64().expect("a count"));
    for happening in [
        "1 instance started",
        "lease of a partition lost during a batch",
        "handler killed, its reply lost",
        "handler restarted",
        "input ended",
        "1 instance stopped",
        "checkpoints set back",
    ] {
        assert!(page.texts.iter().any(|text| text == happening), "{happening} is not in {:?}", page.texts);
    }
    let issues = page.texts.iter().position(|text| text == "Dead letters by issue").expect("a section");
    let end = page.texts.iter().position(|text| text == "Check").expect("a section");
    let by_issue: u64 = page.texts[issues..end].iter().filter_map(|text| text.parse::<u64>().ok()).sum();
    assert_eq!(by_issue, count(&report, "deadLettered"));
    assert_eq!(page.texts.iter().filter(|text| text.starts_with("CHECK: every")).count(), 2);
    assert!(page.html.len() < 200_000, "{} bytes", page.html.len());
    // A page may be overwritten, something else not.
    let other = workspace.write("notes.txt", "mine");
    let output = workspace.local(&["--html", other.to_str().expect("text")]).output().expect("the binary runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && error.contains("is not an HTML page"), "{error}");
    assert_eq!(fs::read_to_string(other).expect("the file"), "mine");
    let state = workspace.state();
    let before = fs::read(&state).expect("the state");
    let output = workspace.local(&["--html", state.to_str().expect("text")]).output().expect("the binary runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && error.contains("--html names a file of another option"), "{error}");
    assert_eq!(fs::read(&state).expect("the state"), before);
}

#[test]
fn a_page_does_not_replace_a_file_that_the_run_has_written() {
    let workspace = Workspace::new();
    let input = workspace.write("input.jsonl", lines(&[json!({"deviceId": "d1", "battery": 0.5})]));
    let (link, input) = (workspace.path("link.html"), input.to_str().expect("text"));
    std::os::unix::fs::symlink(workspace.state(), &link).expect("a link");
    let arguments = ["--file", input, "--html", link.to_str().expect("text")];
    let output = workspace.local(&arguments).output().expect("the binary runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && error.contains("written something else into it"), "{error}");
    assert_eq!(workspace.documents().len(), 1);
}

#[test]
fn a_page_that_cannot_be_written_is_reported_before_the_run_and_one_of_a_failed_start_does_not_stay() {
    let workspace = Workspace::new();
    let (missing, page) = (workspace.path("missing/report.html"), workspace.path("report.html"));
    for command in ["local", "drill"] {
        let arguments = ["--html", missing.to_str().expect("text")];
        let output = workspace.command(command, "json", &arguments).output().expect("the binary runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(2), true), "{error}");
        assert!(error.contains("report.html cannot be written") && error.contains("(option --html)"), "{error}");
        assert!(!workspace.state().exists(), "nothing has begun");
    }
    let arguments = ["--html", page.to_str().expect("text"), "--file", "missing.jsonl"];
    let output = workspace.local(&arguments).output().expect("the binary runs");
    assert_eq!((output.status.code(), page.exists()), (Some(2), false));
}

#[test]
fn the_page_of_an_interrupted_run_is_written_and_shows_hostile_texts_as_text() {
    let workspace = Workspace::new();
    let path = workspace.path("report.html");
    let hostile = "</td><script>alert(1)</script>&amp;\u{1}\u{202e}\"'";
    let arguments = ["--file", "-", "--html", path.to_str().expect("text")];
    let mut local = workspace.local(&arguments).stdin(Stdio::piped()).spawn().expect("it runs");
    let mut input = local.stdin.take().expect("a pipe");
    let events = [json!({ "deviceId": hostile, "battery": 0.5 }), json!({ "deviceId": "b", "battery": "<img src=x>" })];
    input.write_all(lines(&events).as_bytes()).expect("it reads");
    workspace.wait_until("the document is stored", |workspace| workspace.documents().len() == 1);
    assert!(signal("-INT", local.id()));
    let output = local.wait_with_output().expect("it ends");
    drop(input);
    let report = report(&output, 130);
    let page = ReportPage::read(&path);
    assert_eq!((&page.texts[1], page.count("events sent")), (&"interrupted".to_owned(), count(&report, "received")));
    assert!(
        page.texts.iter().any(|text| text.starts_with("interrupted: 2 events of the input sent")),
        "{:?}",
        page.texts
    );
    let shown = page.after("Readings");
    assert!(shown.starts_with("</td><script>alert(1)</script>&amp;") && !shown.contains('\u{202e}'), "{shown:?}");
}

#[test]
fn the_page_of_a_drill_has_the_regions_as_lanes_and_every_step() {
    let workspace = Workspace::new();
    let path = workspace.path("drill.html");
    let arguments = ["--devices", "20", "--html", path.to_str().expect("text")];
    let report = report(&workspace.drill(&arguments).output().expect("the binary runs"), 0);
    let page = ReportPage::read(&path);
    assert_eq!(page.texts[..2], ["Failover drill", "passed"]);
    for (figure, name) in [
        ("events in the first hub", "firstRegionEvents"),
        ("events in the standby hub", "standbyRegionEvents"),
        ("readings lost by the store's failover", "readingsLost"),
        ("events read again", "eventsReadAgain"),
    ] {
        assert_eq!(page.count(figure), report[name].as_u64().expect("a count"), "{figure}");
    }
    for step in report["steps"].as_array().expect("an array") {
        let detail = step["detail"].as_str().expect("text");
        assert!(page.texts.iter().any(|text| text == detail), "{detail}");
    }
    for lane in ["Producers send to", "First region", "Standby region", "Store", "lost", "catches up"] {
        assert!(page.texts.iter().any(|text| text == lane), "{lane}");
    }
}
