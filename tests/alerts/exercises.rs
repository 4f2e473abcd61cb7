//! Runs the exercises of the alerts' pages: the commands of each page in order, from the firing alert to the repaired system.
//! A failed command ends an exercise, and `check.js --until` fails if an alert does not reach the expected state.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::Command,
};

use devicestate_test_support::{listener::program, program::devicestate};

use crate::support::{ROOT, packages};

/// Returns the commands of a page's exercise, after those of the preparation that it names.
fn script(page: &str) -> String {
    let page = fs::read_to_string(format!("{ROOT}/{page}")).expect("a page");
    let preparation = fs::read_to_string(format!("{ROOT}/docs/operate/alerts/README.md")).expect("the list of alerts");
    let mut commands = commands(&preparation, "## Exercises\n");
    if page.contains("README.md#exercise-with-a-stand-in") {
        commands += &self::commands(&preparation, "## Exercise with a stand-in\n");
    }
    commands + &self::commands(&page, "## Exercise\n")
}

/// Returns the commands of a section.
fn commands(page: &str, heading: &str) -> String {
    let (_, section) = page.split_once(heading).unwrap_or_else(|| panic!("{heading} is missing"));
    let section = section.split("\n## ").next().expect("a section");
    let blocks = section.split("```sh\n").skip(1).filter_map(|rest| rest.split_once("```"));
    blocks.map(|(block, _)| block).collect()
}

/// Returns a free port.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Runs the exercise of a page in its own folder, with prebuilt programs. Returns its standard output.
#[track_caller]
fn run_exercise(page: &str) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let account = "cargo run --manifest-path tests/cosmos-listener/Cargo.toml --target-dir target/cosmos-listener --";
    let mut script = script(page);
    assert!(script.starts_with("cargo build --release && npm ci --prefix scripts/alerts\n"), "{script}");
    script = script.lines().skip(1).map(|line| line.to_owned() + "\n").collect();
    if script.contains(account) {
        script = script.replace(account, &program().display().to_string());
    }
    for port in ["8082", "8083"] {
        script = script.replace(port, &free_port().to_string());
    }
    script = script.replace("target/exercise", &folder.path().join("exercise").display().to_string());
    let built = Path::new(devicestate()).parent().expect("a folder").display().to_string();
    script = script.replace("$PWD/target/release", &built);
    // Stops everything that the exercise has started: `local` ends immediately after the second signal.
    let end = "set +e; for once in 1 2; do kill $(jobs -p) 2>/dev/null; sleep 1; done";
    let script = format!("set -euo pipefail\ntrap '{end}' EXIT\n{script}");
    let mut bash = Command::new("timeout");
    bash.args(["--kill-after=30", "300", "bash", "-c", &script]).current_dir(ROOT).env("NODE_PATH", packages());
    for setting in
        ["StateStore", "SqlitePath", "InvocationBudget", "Telemetry", "TelemetryFormat", "DeadLetterDirectory"]
    {
        bash.env_remove(setting);
    }
    let output = bash.output().expect("bash");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{page}: {text}\n{errors}");
    text
}

/// Runs the exercise of an alert and checks that it fires first and is quiet at the end. Returns the output.
#[track_caller]
fn run_alert_exercise(name: &str) -> String {
    let text = run_exercise(&format!("docs/operate/alerts/{name}.md"));
    let states: Vec<_> = text
        .lines()
        .filter(|line| line.ends_with(&format!("docs/operate/alerts/{name}.md")))
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    assert_eq!((states.first(), states.last()), (Some(&"fires"), Some(&"quiet")), "{text}");
    assert!(!text.lines().any(|line| line.starts_with("lost")), "{text}");
    text
}

/// Returns a number from the last report in the text.
#[track_caller]
fn reported(text: &str, what: &str) -> u64 {
    let line = text.lines().rev().find(|line| line.split_whitespace().next() == Some(what));
    let number = line.and_then(|line| line.split_whitespace().nth(1)).and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("{what} is missing in {text}"))
}

/// Checks that a run accounts for `events` events without dead letters. Events written by an attempt that then failed are
/// counted as superseded.
#[track_caller]
fn assert_complete(text: &str, events: u64) {
    let [applied, superseded, dead_lettered] =
        ["applied", "superseded", "dead-lettered"].map(|what| reported(text, what));
    assert_eq!((applied + superseded, dead_lettered), (events, 0), "{text}");
}

#[test]
fn no_output_fires_in_its_exercise_and_is_quiet_after_the_repair() {
    assert_complete(&run_alert_exercise("no-output"), 12_000);
}

#[test]
fn group_behind_fires_in_its_exercise_and_is_quiet_after_the_repair() {
    assert_complete(&run_alert_exercise("group-behind"), 12_000);
}

#[test]
fn documents_throttled_fires_in_its_exercise_and_is_quiet_after_the_repair() {
    assert_complete(&run_alert_exercise("documents-throttled"), 12_000);
}

#[test]
fn the_exercise_of_account_throttled_counts_responses_with_429() {
    let text = run_exercise("docs/operate/alerts/account-throttled.md");
    assert_complete(&text, 9_000);
    assert!(text.contains(r#""429""#), "{text}");
}

#[test]
fn lag_fires_in_its_exercise_and_is_quiet_after_the_repair() {
    run_alert_exercise("lag");
}

#[test]
fn lag_near_retention_fires_in_its_exercise_and_is_quiet_after_the_repair() {
    run_alert_exercise("lag-near-retention");
}

#[test]
fn dead_letter_rate_fires_in_its_exercise_and_is_quiet_after_the_repair() {
    run_alert_exercise("dead-letter-rate");
}

#[test]
fn unrecognized_fires_in_its_exercise_and_is_quiet_after_the_repair() {
    run_alert_exercise("unrecognized");
}

#[test]
fn dead_letters_expiring_fires_in_its_exercise_and_is_quiet_after_the_repair() {
    run_alert_exercise("dead-letters-expiring");
}

#[test]
fn stream_throttled_fires_in_its_exercise_and_is_quiet_after_the_repair() {
    run_alert_exercise("stream-throttled");
}

#[test]
fn dead_letter_sub_queue_fires_in_its_exercise_and_is_quiet_after_the_repair() {
    run_alert_exercise("dead-letter-sub-queue");
}

#[test]
fn silent_devices_fires_in_its_exercise_and_is_quiet_after_the_repair() {
    assert_complete(&run_alert_exercise("silent-devices"), 100);
}

#[test]
fn handler_restarts_fires_in_its_exercise_and_is_quiet_after_the_repair() {
    assert_complete(&run_alert_exercise("handler-restarts"), 6_000);
}

#[test]
fn the_drill_of_the_failover_page_passes() {
    assert!(run_exercise("docs/operate/failover.md").contains("\nPASSED\n"));
}
