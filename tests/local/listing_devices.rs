//! `devices list`: the age of each device, the selection and the order.

use std::process::Command;

use devicestate_sqlite::{Database, OpenMode};
use devicestate_test_support::{program::devicestate, read_output};
use serde_json::{Value, json};

use crate::support::Workspace;

const MINUTE_MS: i64 = 60_000;

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Stores documents of these devices, each last heard this many minutes ago.
fn store(workspace: &Workspace, devices: impl IntoIterator<Item = (String, Option<i64>)>) {
    drop(Database::open(&workspace.state(), OpenMode::Create).expect("a state file"));
    let mut connection = rusqlite::Connection::open(workspace.state()).expect("a file");
    let transaction = connection.transaction().expect("a transaction");
    for (id, minutes) in devices {
        let mut document = json!({ "id": id, "x": 1, "Versions": {} });
        if let Some(minutes) = minutes {
            let heard_ms = now_ms() - minutes * MINUTE_MS;
            let heard = jiff::Timestamp::from_millisecond(heard_ms).expect("a time").to_string();
            document["Heard"] = heard.into();
            document["Versions"] = json!({ "Heard": [heard_ms, 1, 2], "x": [now_ms(), 1, 3] });
        }
        let row = (&id, "1", document.to_string());
        transaction.execute("INSERT INTO documents (id, etag, document) VALUES (?, ?, ?)", row).expect("a row");
    }
    transaction.commit().expect("stored");
}

fn run(workspace: &Workspace, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(devicestate());
    command.args(["devices", "list", "--state"]).arg(workspace.state()).args(arguments);
    let output = command.output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_device_is_shown_with_the_time_of_each_reading_and_when_it_was_last_heard() {
    let workspace = Workspace::new();
    store(&workspace, [("pump-1".to_owned(), Some(30)), ("fan-2".to_owned(), None)]);
    let show = |device| {
        let mut command = Command::new(devicestate());
        let output = command.args(["devices", "show", device, "--state"]).arg(workspace.state()).output();
        String::from_utf8(output.expect("the binary runs").stdout).expect("text")
    };
    let lines: Vec<_> = show("pump-1").lines().map(str::to_owned).collect();
    assert!(lines[0] == "pump-1" && lines[1].starts_with("last heard (UTC)  20"), "{lines:?}");
    // The time may be that of the device.
    assert_eq!(
        lines[3].split_whitespace().collect::<Vec<_>>(),
        ["READING", "VALUE", "TIME", "(UTC)", "SEQUENCE", "NUMBER"]
    );
    assert!(!show("fan-2").contains("heard"));
}

/// Returns the ids that are listed with these options.
#[track_caller]
fn listed(workspace: &Workspace, arguments: &[&str]) -> Vec<String> {
    let (code, output, errors) = run(workspace, &[arguments, &["-o", "json"]].concat());
    assert_eq!(code, Some(0), "{errors}");
    let list = read_output(output, code);
    let ids = list.as_array().expect("an array").iter().map(|document: &Value| document["id"].as_str());
    ids.map(|id| id.expect("an id").to_owned()).collect()
}

fn fleet() -> Workspace {
    let workspace = Workspace::new();
    let devices = [("pump-1", Some(1)), ("pump-2", Some(200)), ("fan-1", Some(30)), ("fan-2", None)];
    store(&workspace, devices.map(|(id, minutes)| (id.to_owned(), minutes)));
    workspace
}

#[test]
fn the_table_has_the_age_of_each_device() {
    let (code, table, errors) = run(&fleet(), &[]);
    assert_eq!(code, Some(0), "{errors}");
    let rows: Vec<Vec<&str>> = table.lines().map(|row| row.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["DEVICE", "NEWEST", "EVENT", "(UTC)", "AGE", "x"], "{table}");
    let row = |device: &str| rows.iter().find(|row| row[0] == device).expect("a row");
    let age = |device: &str| row(device)[2];
    assert_eq!([age("pump-2"), age("fan-1")], ["3h", "30m"], "{table}");
    assert!(age("pump-1").ends_with('s'), "{table}");
    assert_eq!(row("fan-2")[1..], ["1"], "it has neither a time nor an age: {table}");
}

#[test]
fn silent_devices_are_those_that_were_not_heard_for_that_long() {
    let workspace = fleet();
    assert_eq!(listed(&workspace, &["--silent", "15m"]), ["fan-1", "fan-2", "pump-2"]);
    assert_eq!(listed(&workspace, &["--silent", "2h", "--prefix", "pump-"]), ["pump-2"]);
    assert_eq!(listed(&workspace, &["--silent", "1d"]), ["fan-2"], "it is unknown when it was heard");
}

#[test]
fn devices_are_sorted_by_id_or_by_when_they_were_heard() {
    let workspace = fleet();
    assert_eq!(listed(&workspace, &[]), ["fan-1", "fan-2", "pump-1", "pump-2"]);
    assert_eq!(listed(&workspace, &["--sort", "device", "--limit", "2"]), ["fan-1", "fan-2"]);
    let by_time = ["--sort", "heard"];
    assert_eq!(listed(&workspace, &by_time), ["fan-2", "pump-2", "fan-1", "pump-1"]);
    assert_eq!(listed(&workspace, &["--sort", "heard", "--limit", "1", "--prefix", "fan-"]), ["fan-2"]);
    let (_, table, _) = run(&workspace, &["--sort", "heard", "--prefix", "pump"]);
    assert!(table.find("pump-2") < table.find("pump-1"), "{table}");
}

#[test]
fn the_selection_is_made_over_all_pages_of_the_store() {
    let workspace = Workspace::new();
    let minutes = |number| if number == 2_499 { 90 } else { 1 };
    store(&workspace, (0..2_500).map(|number| (format!("d-{number:04}"), Some(minutes(number)))));
    assert_eq!(listed(&workspace, &["--silent", "1h"]), ["d-2499"]);
    assert_eq!(listed(&workspace, &["--sort", "heard", "--limit", "1"]), ["d-2499"]);
    assert_eq!(listed(&workspace, &["--prefix", "d-1", "--limit", "1200"]).len(), 1_000);
    assert_eq!(listed(&workspace, &["--prefix", "d-", "--limit", "1200"]).len(), 1_200);
}

#[test]
fn an_invalid_selection_is_an_error_that_says_what_is_right() {
    for (arguments, expected) in
        [(["--silent", "15"], "such as 90s, 15m, 2h or 7d"), (["--sort", "age"], "possible values: device, heard")]
    {
        let (code, output, errors) = run(&Workspace::new(), &arguments);
        assert_eq!((code, output.as_str()), (Some(2), ""), "{errors}");
        assert!(errors.contains(expected), "{errors}");
    }
}

#[test]
fn a_device_is_shown_with_when_it_was_heard_and_the_times_of_its_readings() {
    let workspace = fleet();
    let show = |device: &str| {
        let mut command = Command::new(devicestate());
        command.args(["devices", "show", device, "--state"]).arg(workspace.state());
        let output = command.output().expect("the binary runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, shown, errors) = show("fan-1");
    assert_eq!(code, Some(0), "{errors}");
    let lines: Vec<_> = shown.lines().collect();
    assert!(
        lines[0] == "fan-1" && lines[1].starts_with("last heard (UTC)  ") && lines[1].ends_with(" (30m ago)"),
        "{shown}"
    );
    assert!(lines[3].starts_with("READING") && lines[3].contains("TIME (UTC)"), "{shown}");
    let (code, _, errors) = show("fan-3");
    let advice = format!("`devicestate devices list --state {}`", workspace.state().display());
    assert!(code == Some(1) && errors.contains(&advice), "{errors}");
}
