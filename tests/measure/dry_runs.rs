//! Runs each measurement once, as short as possible.

use std::{fs, process::Command};

use devicestate_test_support::program::devicestate;
use serde_json::{Value, json};
use tempfile::tempdir;

use super::{ANYWHERE, command, driver, list, measure, results, write_script};

/// Checks that the handler's counts of a round add up to the events sent.
#[track_caller]
fn assert_counted(round: &Value) {
    let counts = &round["counts"];
    let sum =
        ["applied", "superseded", "deadLettered"].map(|count| counts[count].as_u64().expect("a count")).iter().sum();
    assert!(round["isValid"] == true && Some(sum) == round["eventsSent"].as_u64() && sum > 0, "{round}");
}

#[test]
fn side_by_side_counts_every_event_of_the_product_and_of_a_peer() {
    let folder = tempdir().expect("a temporary folder");
    // Its own `run` would install the newest Node.js.
    let server = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/node/server.mjs");
    write_script(&folder.path().join("node/run"), &format!("exec node {server}"));
    let peers = ["--only", "devicestate,node", "--peers", folder.path().to_str().expect("UTF-8")];
    let short = ["--rounds", "2", "--sizes", "1,10", "--seconds", "1", "--warm", "0", "--connections", "2"];
    let words = [&short[..], &peers, &["--forms", "length"], &ANYWHERE, &driver()].concat();
    let output = measure("side-by-side.js", folder.path(), &words);
    let results = results(&output, folder.path());
    assert_eq!(output.status.code(), Some(0), "{results}");
    let rounds = list(&results["rounds"]);
    let title =
        |round: &Value| format!("{} {} {}", round["round"], round["name"].as_str().expect("a name"), round["events"]);
    assert_eq!(
        rounds.iter().map(title).collect::<Vec<_>>(),
        [
            "1 devicestate 1",
            "1 node 1",
            "1 devicestate 10",
            "1 node 10",
            "2 devicestate 1",
            "2 node 1",
            "2 devicestate 10",
            "2 node 10",
        ]
    );
    rounds.iter().for_each(assert_counted);
    let summary = list(&results["summary"]);
    assert_eq!(summary.len(), 4);
    for figure in ["eventsPerSecond", "nsPerEvent", "p50Ms", "p99Ms", "peakBytes", "driverCpuPercent"] {
        assert!(summary.iter().all(|row| row[figure]["median"].is_number()), "{figure}: {results}");
    }
    assert_eq!((&results["skipped"], &results["isComplete"]), (&json!([]), &json!(true)));
    let [product, node] = list(&results["handlers"]) else { panic!("{results}") };
    assert!(product["runtime"].is_null() && node["runtime"].as_str().is_some_and(|it| it.starts_with("Node.js ")));
}

#[test]
fn side_by_side_sends_each_form_of_requests() {
    let folder = tempdir().expect("a temporary folder");
    let short = ["--rounds", "1", "--sizes", "2", "--seconds", "1", "--warm", "0", "--only", "devicestate"];
    let output = measure("side-by-side.js", folder.path(), &[&short[..], &ANYWHERE, &driver()].concat());
    let results = results(&output, folder.path());
    let forms: Vec<_> = list(&results["rounds"])
        .iter()
        .map(|round| json!([round["form"], round["contentLength"], round["contentType"]]))
        .collect();
    let expected =
        [json!(["length", true, null]), json!(["chunked", false, null]), json!(["typed", false, "application/json"])];
    assert_eq!(forms, expected);
}

#[test]
fn a_measured_program_inherits_no_settings_and_the_results_have_its_own() {
    let folder = tempdir().expect("a temporary folder");
    let seen = folder.path().join("seen");
    let server = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/node/server.mjs");
    write_script(
        &folder.path().join("go/run"),
        &format!("echo \"${{GOGC-none}}\" >> {}; exec node {server}", seen.display()),
    );
    let peers = folder.path().to_str().expect("UTF-8");
    let short = ["--rounds", "1", "--sizes", "1", "--seconds", "1", "--warm", "0", "--forms", "chunked"];
    let words = [&short[..], &["--only", "devicestate,go", "--peers", peers], &ANYWHERE, &driver()].concat();
    let output = command("side-by-side.js", folder.path(), &words).env("GOGC", "7").output().expect("Node.js");
    let results = results(&output, folder.path());
    assert_eq!(output.status.code(), Some(0), "{results}");
    assert_eq!(
        fs::read_to_string(seen).expect("the peer was started"),
        "7\nnone\n",
        "only the build inherits the environment"
    );
    let product =
        json!({ "LogLevel": "warn", "FUNCTIONS_APP_ROOT_PATH": ".", "StateStore": "memory", "Telemetry": "drone" });
    let settings: Vec<_> = list(&results["handlers"]).iter().map(|handler| &handler["settings"]).collect();
    assert_eq!(settings, [&product, &json!({})]);
    assert!(list(&results["inherited"]).contains(&json!("PATH")), "{results}");
}

#[test]
fn a_peer_that_cannot_be_built_is_skipped_with_the_reason() {
    let folder = tempdir().expect("a temporary folder");
    write_script(&folder.path().join("go/run"), "echo 'go: not found' >&2; exit 127");
    let peers = folder.path().to_str().expect("UTF-8");
    let words = [&["--only", "go", "--peers", peers][..], &ANYWHERE, &driver()].concat();
    let output = measure("side-by-side.js", folder.path(), &words);
    let results = results(&output, folder.path());
    assert_eq!(output.status.code(), Some(0), "{results}");
    let [skipped] = list(&results["skipped"]) else { panic!("{results}") };
    assert_eq!(skipped["name"], "go");
    assert!(skipped["reason"].as_str().is_some_and(|reason| reason.ends_with("go: not found")), "{skipped}");
}

#[test]
fn each_curve_of_growth_has_its_points_and_counts_every_event() {
    let folder = tempdir().expect("a temporary folder");
    let words = [&["--largest", "10", "--batches", "2"][..], &ANYWHERE, &driver()].concat();
    let output = measure("growth.js", folder.path(), &words);
    let results = results(&output, folder.path());
    assert_eq!(output.status.code(), Some(0), "{results}");
    let points = |curve: &Value| list(&curve["points"]).iter().map(|point| point["at"].clone()).collect::<Vec<_>>();
    let curves: Vec<_> = list(&results["curves"]).iter().map(|curve| (curve["name"].as_str(), points(curve))).collect();
    let at = |points: &[u64]| points.iter().copied().map(Value::from).collect::<Vec<_>>();
    let expected = [
        ("batch", at(&[1, 10])),
        ("devicesSqlite", at(&[1])),
        ("devicesMemory", at(&[1])),
        ("partitions", at(&[1, 2, 4, 8])),
        ("body", at(&[])),
        ("hot", at(&[1])),
        ("large", at(&[0, 0])),
        ("kinds", at(&[1, 1, 1, 1, 1, 1, 8])),
        ("reads", at(&[0, 10])),
    ];
    assert_eq!(curves, expected.map(|(name, points)| (Some(name), points)));
    for point in list(&results["curves"]).iter().flat_map(|curve| list(&curve["points"])) {
        list(&point["rounds"]).iter().for_each(assert_counted);
        for figure in ["nsPerEvent", "p50Ms", "p99Ms", "peakBytes", "residentBytes"] {
            assert!(point["figures"][figure].is_number(), "{figure}: {point}");
        }
        assert_eq!(point["validRounds"], 1);
        assert!(point["secondsPerRound"].as_f64() > Some(0.0), "{point}");
    }
}

#[test]
fn end_to_end_accounts_for_every_event_and_skips_what_is_not_built() {
    let folder = tempdir().expect("a temporary folder");
    let short = ["--rounds", "1", "--starts", "2", "--events", "500", "--cores", ""];
    let parts = ["--only", "keys,ordering,start,memory,size", "--ordering", "no-such-program"];
    let output = measure("end-to-end.js", folder.path(), &[&short[..], &parts, &driver()].concat());
    let results = results(&output, folder.path());
    assert_eq!(output.status.code(), Some(0), "{results}");
    let parts = &results["parts"];
    let [round] = list(&parts["keys"]["rounds"]) else { panic!("{results}") };
    assert_eq!(round["report"]["events"]["received"], 500);
    assert_eq!(round["report"]["events"]["lost"], 0);
    assert!(round["cpuSeconds"].as_f64() > Some(0.0), "{round}");
    assert!(list(&parts["start"]["measured"]).iter().all(|app| list(&app["ms"]).len() == 2), "{parts}");
    assert!(parts["memory"]["afterBatch"]["residentBytes"].as_u64() > Some(0), "{parts}");
    let bytes = fs::metadata(devicestate()).expect("the binary").len();
    assert_eq!(parts["size"]["bytes"], bytes);
    let [skipped] = list(&results["skipped"]) else { panic!("{results}") };
    assert_eq!(skipped["name"], "ordering");
    let reason = skipped["reason"].as_str().expect("a reason");
    assert!(reason.contains("cargo build --profile dist --package devicestate-ordering"), "{skipped}");
}

#[test]
fn the_command_in_the_results_repeats_the_run() {
    let folder = tempdir().expect("a temporary folder");
    let words = ["--only", "keys", "--rounds", "1", "--events", "100", "--cores", ""];
    let output = measure("end-to-end.js", folder.path(), &words);
    let results = results(&output, folder.path());
    let command = results["parts"]["keys"]["command"].as_str().expect("a command");
    let mut shell = Command::new("sh");
    let state = folder.path().join("repeated.db");
    let command = command.replace("--state state.db", &format!("--state {}", state.display()));
    let output = shell.current_dir(env!("CARGO_MANIFEST_DIR")).args(["-c", &command]).output().expect("a shell");
    let report: Value = serde_json::from_slice(&output.stdout).expect("the report");
    assert_eq!(report["events"]["received"], 100);
}
