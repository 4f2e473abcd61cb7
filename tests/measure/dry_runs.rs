//! Each measurement once, as short as it can be.

use std::{fs, process::Command};

use devicestate_test_support::program::devicestate;
use serde_json::{Value, json};
use tempfile::tempdir;

use super::{ANYWHERE, command, driver, list, measured, program, results};

/// The counts of a round are those of the handler: what was sent is what became of the events.
#[track_caller]
fn assert_counted(round: &Value) {
    let counts = &round["counts"];
    let sum =
        ["applied", "superseded", "deadLettered"].map(|count| counts[count].as_u64().expect("a count")).iter().sum();
    assert!(round["isRight"] == true && Some(sum) == round["eventsSent"].as_u64() && sum > 0, "{round}");
}

#[test]
fn side_by_side_the_product_and_a_peer_count_every_event_in_each_round() {
    let folder = tempdir().expect("a temporary folder");
    let short = ["--rounds", "2", "--sizes", "1,10", "--seconds", "1", "--warm", "0", "--connections", "2"];
    let words = [&short[..], &["--only", "devicestate,node"], &["--forms", "length"], &ANYWHERE, &driver()].concat();
    let output = measured("side-by-side.js", folder.path(), &words);
    let results = results(&output, folder.path());
    assert_eq!(output.status.code(), Some(0), "{results}");
    let rounds = list(&results["rounds"]);
    let who =
        |round: &Value| format!("{} {} {}", round["round"], round["who"].as_str().expect("a name"), round["events"]);
    assert_eq!(
        rounds.iter().map(who).collect::<Vec<_>>(),
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
    assert_eq!((&results["leftOut"], &results["isComplete"]), (&json!([]), &json!(true)));
}

#[test]
fn requests_come_with_their_length_in_chunks_and_with_events_that_have_a_content_type() {
    let folder = tempdir().expect("a temporary folder");
    let short = ["--rounds", "1", "--sizes", "2", "--seconds", "1", "--warm", "0", "--only", "devicestate"];
    let output = measured("side-by-side.js", folder.path(), &[&short[..], &ANYWHERE, &driver()].concat());
    let results = results(&output, folder.path());
    let forms: Vec<_> = list(&results["rounds"])
        .iter()
        .map(|round| json!([round["form"], round["contentLength"], round["contentType"]]))
        .collect();
    let expected = [
        json!(["length", true, null]),
        json!(["chunked", false, null]),
        json!(["chunked+content-type", false, "application/json"]),
    ];
    assert_eq!(forms, expected);
}

#[test]
fn what_is_measured_inherits_no_settings_and_the_results_tell_those_that_it_has() {
    let folder = tempdir().expect("a temporary folder");
    let seen = folder.path().join("seen");
    let server = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/node/server.mjs");
    program(
        &folder.path().join("go/run"),
        &format!("echo \"${{GOGC-none}}\" >> {}; exec node {server}", seen.display()),
    );
    let peers = folder.path().to_str().expect("UTF-8");
    let short = ["--rounds", "1", "--sizes", "1", "--seconds", "1", "--warm", "0", "--forms", "chunked"];
    let words = [&short[..], &["--only", "devicestate,go", "--peers", peers], &ANYWHERE, &driver()].concat();
    let output = command("side-by-side.js", folder.path(), &words).env("GOGC", "7").output().expect("Node.js");
    let results = results(&output, folder.path());
    assert_eq!(output.status.code(), Some(0), "{results}");
    assert_eq!(fs::read_to_string(seen).expect("it was started"), "7\nnone\n", "what it builds may need what is set");
    let product = json!({ "LogLevel": "warn", "FUNCTIONS_APP_ROOT_PATH": ".", "StateStore": "memory" });
    let settings: Vec<_> = list(&results["handlers"]).iter().map(|handler| &handler["settings"]).collect();
    assert_eq!(settings, [&product, &json!({})]);
    assert!(list(&results["inherited"]).contains(&json!("PATH")), "{results}");
}

#[test]
fn a_peer_that_cannot_be_built_here_is_left_out_with_the_reason() {
    let folder = tempdir().expect("a temporary folder");
    program(&folder.path().join("go/run"), "echo 'go: not found' >&2; exit 127");
    let peers = folder.path().to_str().expect("UTF-8");
    let words = [&["--only", "go", "--peers", peers][..], &ANYWHERE, &driver()].concat();
    let output = measured("side-by-side.js", folder.path(), &words);
    let results = results(&output, folder.path());
    assert_eq!(output.status.code(), Some(0), "{results}");
    let [left_out] = list(&results["leftOut"]) else { panic!("{results}") };
    assert_eq!(left_out["who"], "go");
    assert!(left_out["reason"].as_str().is_some_and(|reason| reason.ends_with("go: not found")), "{left_out}");
}

#[test]
fn each_curve_of_growth_has_its_points_and_counts_every_event() {
    let folder = tempdir().expect("a temporary folder");
    let words = [&["--largest", "10", "--batches", "2"][..], &ANYWHERE, &driver()].concat();
    let output = measured("growth.js", folder.path(), &words);
    let results = results(&output, folder.path());
    assert_eq!(output.status.code(), Some(0), "{results}");
    let points = |curve: &Value| list(&curve["points"]).iter().map(|point| point["at"].clone()).collect::<Vec<_>>();
    let curves: Vec<_> = list(&results["curves"]).iter().map(|curve| (curve["name"].as_str(), points(curve))).collect();
    let at = |points: &[u64]| points.iter().copied().map(Value::from).collect::<Vec<_>>();
    let expected = [
        ("batch", at(&[1, 10])),
        ("devices-sqlite", at(&[1])),
        ("devices-memory", at(&[1])),
        ("partitions", at(&[1, 2, 4, 8])),
        ("body", at(&[])),
        ("hot", at(&[1])),
        ("large", at(&[0, 0])),
    ];
    assert_eq!(curves, expected.map(|(name, points)| (Some(name), points)));
    for point in list(&results["curves"]).iter().flat_map(|curve| list(&curve["points"])) {
        list(&point["rounds"]).iter().for_each(assert_counted);
        for figure in ["nsPerEvent", "p50Ms", "p99Ms", "peakBytes", "residentBytes"] {
            assert!(point["figures"][figure].is_number(), "{figure}: {point}");
        }
        assert_eq!(point["roundsCounted"], 1);
        assert!(point["secondsOfEach"].as_f64() > Some(0.0), "{point}");
    }
}

#[test]
fn from_end_to_end_every_event_is_accounted_for_and_what_is_not_built_is_left_out() {
    let folder = tempdir().expect("a temporary folder");
    let short = ["--rounds", "1", "--starts", "2", "--events", "500", "--cores", ""];
    let parts = ["--only", "keys,ordering,start,memory,size", "--ordering", "no-such-program"];
    let output = measured("end-to-end.js", folder.path(), &[&short[..], &parts, &driver()].concat());
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
    let [left_out] = list(&results["leftOut"]) else { panic!("{results}") };
    assert_eq!(left_out["part"], "ordering");
    let reason = left_out["reason"].as_str().expect("a reason");
    assert!(reason.contains("cargo build --profile dist --package devicestate-ordering"), "{left_out}");
}

/// The commands in the results are for people, who repeat them.
#[test]
fn a_run_is_repeated_by_the_command_in_the_results() {
    let folder = tempdir().expect("a temporary folder");
    let words = ["--only", "keys", "--rounds", "1", "--events", "100", "--cores", ""];
    let output = measured("end-to-end.js", folder.path(), &words);
    let results = results(&output, folder.path());
    let command = results["parts"]["keys"]["command"].as_str().expect("a command");
    let mut again = Command::new("sh");
    let state = folder.path().join("again.db");
    let command = command.replace("--state state.db", &format!("--state {}", state.display()));
    let output = again.current_dir(env!("CARGO_MANIFEST_DIR")).args(["-c", &command]).output().expect("a shell");
    let report: Value = serde_json::from_slice(&output.stdout).expect("the report");
    assert_eq!(report["events"]["received"], 100);
}
