//! The rehearsals on the alerts' pages, as a reader would run them: only the commands of the page, in their order, from the
//! alert that fires to the repaired system. A command that fails ends a rehearsal, and `check.js --until` fails when an
//! alert never becomes what the page says.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::Command,
};

use devicestate_test_support::{listener::program, program::devicestate};

use crate::support::{ROOT, packages};

const REHEARSAL: &str = "## Exercise";

/// The commands below this heading.
fn script(page: &str) -> String {
    let page = fs::read_to_string(format!("{ROOT}/{page}")).expect("a page");
    let (_, section) = page.split_once(REHEARSAL).expect("a rehearsal");
    let section = section.split("\n## ").next().expect("a section");
    let blocks = section.split("```sh\n").skip(1).filter_map(|rest| rest.split_once("```"));
    blocks.map(|(block, _)| block).collect()
}

/// A port of the system's choice, where nobody listens just now.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Runs the rehearsal of a page, with what it builds built already and in a folder of its own; gives back what it says.
#[track_caller]
fn rehearse(page: &str) -> String {
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
    // Whatever happens, nothing that it has started stays behind: `local` ends at once when it is asked twice.
    let end = "set +e; for once in 1 2; do kill $(jobs -p) 2>/dev/null; sleep 1; done";
    let script = format!("set -euo pipefail\ntrap '{end}' EXIT\n{script}");
    let mut bash = Command::new("timeout");
    bash.args(["--kill-after=30", "300", "bash", "-c", &script]).current_dir(ROOT).env("NODE_PATH", packages());
    for setting in ["StateStore", "SqlitePath", "InvocationBudget", "TelemetryFormat", "DeadLetterDirectory"] {
        bash.env_remove(setting);
    }
    let output = bash.output().expect("bash");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{page}: {said}\n{errors}");
    said
}

/// Runs the rehearsal of an alert: it fires, and it is quiet in the end; and nothing was lost in the run that went on.
#[track_caller]
fn rehearse_alert(name: &str) -> String {
    let said = rehearse(&format!("docs/operate/alerts/{name}.md"));
    let states: Vec<_> = said
        .lines()
        .filter(|line| line.ends_with(&format!("docs/operate/alerts/{name}.md")))
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    assert_eq!((states.first(), states.last()), (Some(&"fires"), Some(&"quiet")), "{said}");
    assert!(!said.lines().any(|line| line.starts_with("lost")), "{said}");
    said
}

/// What the last report says of this.
#[track_caller]
fn reported(said: &str, what: &str) -> u64 {
    let line = said.lines().rev().find(|line| line.split_whitespace().next() == Some(what));
    let number = line.and_then(|line| line.split_whitespace().nth(1)).and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("no {what} in {said}"))
}

/// Checks that a run accounts for so many events, none of them dead-lettered. Those that an attempt has written which then
/// failed for others of its batch are superseded.
#[track_caller]
fn assert_whole(said: &str, events: u64) {
    let [applied, superseded, dead_lettered] =
        ["applied", "superseded", "dead-lettered"].map(|what| reported(said, what));
    assert_eq!((applied + superseded, dead_lettered), (events, 0), "{said}");
}

#[test]
fn no_output() {
    assert_whole(&rehearse_alert("no-output"), 12_000);
}

#[test]
fn group_behind() {
    assert_whole(&rehearse_alert("group-behind"), 12_000);
}

#[test]
fn documents_throttled() {
    assert_whole(&rehearse_alert("documents-throttled"), 12_000);
}

#[test]
fn account_throttled() {
    let said = rehearse("docs/operate/alerts/account-throttled.md");
    assert_whole(&said, 9_000);
    assert!(said.contains(r#""429""#), "{said}");
}

#[test]
fn lag() {
    rehearse_alert("lag");
}

#[test]
fn lag_near_retention() {
    rehearse_alert("lag-near-retention");
}

#[test]
fn dead_letter_rate() {
    rehearse_alert("dead-letter-rate");
}

#[test]
fn dead_letters_expiring() {
    rehearse_alert("dead-letters-expiring");
}

#[test]
fn stream_throttled() {
    rehearse_alert("stream-throttled");
}

#[test]
fn dead_letter_sub_queue() {
    rehearse_alert("dead-letter-sub-queue");
}

#[test]
fn handler_restarts() {
    assert_whole(&rehearse_alert("handler-restarts"), 6_000);
}

#[test]
fn a_region_that_goes() {
    assert!(rehearse("docs/operate/failover.md").contains("\nPASSED\n"));
}
