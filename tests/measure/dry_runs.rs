//! Each measurement once, as short as it can be.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::tempdir;

use super::{DRIVER, command, measured, results};

/// Not pinned: a machine of the tests may have one core.
const ANYWHERE: [&str; 4] = ["--handler-core", "", "--driver-core", ""];

fn driver() -> [&'static str; 2] {
    ["--driver", DRIVER.to_str().expect("UTF-8")]
}

/// The counts of a round are those of the handler: what was sent is what became of the events.
#[track_caller]
fn assert_counted(round: &Value) {
    let counts = &round["counts"];
    let sum =
        ["applied", "superseded", "deadLettered"].map(|count| counts[count].as_u64().expect("a count")).iter().sum();
    assert!(round["isRight"] == true && Some(sum) >= round["eventsSent"].as_u64() && sum > 0, "{round}");
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or_else(|| panic!("no list: {value}"), Vec::as_slice)
}

/// A program of the shell.
fn program(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a temporary folder");
    fs::write(path, format!("#!/bin/sh\n{text}\n")).expect("a temporary file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a file of ours");
}

#[test]
fn side_by_side_the_product_and_a_peer_count_every_event_in_each_round() {
    let folder = tempdir().expect("a temporary folder");
    let short = ["--rounds", "2", "--sizes", "1,10", "--seconds", "1", "--warm", "0", "--connections", "2"];
    let words = [&short[..], &["--only", "devicestate,node"], &["--framings", "length"], &ANYWHERE, &driver()].concat();
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
    assert_eq!(results["leftOut"], serde_json::json!([]));
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
fn counts_that_do_not_agree_fail_the_measurement() {
    let folder = tempdir().expect("a temporary folder");
    let driver = folder.path().join("driver");
    program(
        &driver,
        r#"echo '{"events":1,"eventsPerSecond":1,"latencyMs":{},"handler":null}'; echo 'one is missing' >&2; exit 1"#,
    );
    let driver = ["--driver", driver.to_str().expect("UTF-8")];
    for (script, words) in [
        ("side-by-side.js", &["--rounds", "1", "--sizes", "1", "--only", "devicestate"][..]),
        ("growth.js", &["--only", "hot", "--largest", "1"]),
    ] {
        let output = measured(script, folder.path(), &[words, &ANYWHERE, &driver].concat());
        let results = results(&output, folder.path());
        assert_eq!(output.status.code(), Some(1), "{script}");
        assert!(results.to_string().contains(r#""complaint":"one is missing""#), "{results}");
    }
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
        ("devices", at(&[1])),
        ("fleet", at(&[1])),
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
    }
}

#[test]
fn a_curve_ends_with_the_ratio_of_its_last_point_to_its_first() {
    let folder = tempdir().expect("a temporary folder");
    let driver = folder.path().join("driver");
    let nanoseconds_of_an_event_are_the_events_of_a_batch = r#"
        while [ "$1" != --events ]; do shift; done
        echo "{\"latencyMs\":{},\"handler\":{\"nsPerEvent\":$2}}""#;
    program(&driver, nanoseconds_of_an_event_are_the_events_of_a_batch);
    let driver = ["--driver", driver.to_str().expect("UTF-8")];
    let words = [&["--only", "batch", "--largest", "100"][..], &ANYWHERE, &driver].concat();
    let output = measured("growth.js", folder.path(), &words);
    let results = results(&output, folder.path());
    assert_eq!((output.status.code(), &results["curves"][0]["lastToFirst"]), (Some(0), &Value::from(100)), "{results}");
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
    let bytes = fs::metadata(env!("CARGO_BIN_EXE_devicestate")).expect("the binary").len();
    assert_eq!(parts["size"]["bytes"], bytes);
    let [left_out] = list(&results["leftOut"]) else { panic!("{results}") };
    assert_eq!(left_out["part"], "ordering");
    assert!(left_out["reason"].as_str().is_some_and(|reason| reason.contains("cargo build --release")), "{left_out}");
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

#[test]
fn a_measurement_that_is_ended_in_the_middle_leaves_no_process_and_no_folder() {
    let folder = tempdir().expect("a temporary folder");
    let (driver, pids) = (folder.path().join("driver"), folder.path().join("pids"));
    let look = format!(
        r#"while [ "$1" != --pid ]; do shift; done; echo "$$ $2" > {0}.new; mv {0}.new {0}; exec sleep 600"#,
        pids.display()
    );
    program(&driver, &look);
    let driver = ["--driver", driver.to_str().expect("UTF-8")];
    let words = [&["--only", "hot", "--largest", "1"][..], &ANYWHERE, &driver].concat();
    let mut node = command("growth.js", folder.path(), &words);
    let mut child = node.env("TMPDIR", folder.path()).spawn().expect("Node.js (the command node)");
    let pids = until("the driver is started", || fs::read_to_string(&pids).ok());
    let of_measurement = || fs::read_dir(folder.path()).expect("a folder").flatten().map(|entry| entry.file_name());
    let is_its_own = |name: &std::ffi::OsString| name.to_string_lossy().starts_with("devicestate-measure-");
    assert!(of_measurement().any(|name| is_its_own(&name)));
    let killed = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().expect("the command kill");
    assert!(killed.success());
    assert_eq!(child.wait().expect("a child").code(), Some(143));
    for pid in pids.split_whitespace() {
        until("the process is gone", || (!is_running(pid)).then_some(()));
    }
    assert!(!of_measurement().any(|name| is_its_own(&name)));
}

/// Whether there is such a process, other than one that is over and that nobody has asked about.
fn is_running(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[track_caller]
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "it never came to this: {what}");
        look_again();
    }
}

#[expect(clippy::disallowed_methods, reason = "another process gets somewhere in real time")]
fn look_again() {
    thread::sleep(Duration::from_millis(10));
}
