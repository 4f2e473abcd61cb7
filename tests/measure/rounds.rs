//! Rounds that are not right, and what becomes of the others: by drivers of these tests.

use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use super::{ANYWHERE, driver, list, measured, program, results};

/// A driver of the shell, in a folder of its own.
fn driver_that(says: &str) -> (TempDir, [String; 2]) {
    let folder = tempdir().expect("a temporary folder");
    let driver = folder.path().join("driver");
    program(&driver, says);
    let driver = driver.display().to_string();
    (folder, ["--driver".to_owned(), driver])
}

/// Runs a measurement with that driver, and gives back its exit code and results.
fn with_driver(script: &str, words: &[&str], says: &str) -> (Option<i32>, Value) {
    let (folder, driver) = driver_that(says);
    let driver = driver.each_ref().map(String::as_str);
    let output = measured(script, folder.path(), &[words, &ANYWHERE, &driver].concat());
    (output.status.code(), results(&output, folder.path()))
}

const SIDE_BY_SIDE: [&str; 6] = ["--sizes", "1", "--only", "devicestate", "--forms", "length"];
const GROWTH: [&str; 4] = ["--only", "hot", "--largest", "1"];

#[test]
fn counts_that_do_not_agree_fail_the_measurement() {
    let says =
        r#"echo '{"events":1,"eventsPerSecond":1,"latencyMs":{},"handler":null}'; echo 'one is missing' >&2; exit 1"#;
    for (script, words) in [("side-by-side.js", &SIDE_BY_SIDE[..]), ("growth.js", &GROWTH)] {
        let (code, results) = with_driver(script, &[words, &["--rounds", "1"]].concat(), says);
        assert_eq!(code, Some(1), "{script}");
        assert!(results.to_string().contains(r#""complaint":"one is missing""#), "{results}");
    }
}

#[test]
fn a_round_that_is_not_right_is_told_and_is_in_no_figure() {
    let says = r#"
        if mkdir "$0.was-here"; then
            echo '{"events":1,"eventsPerSecond":1000,"handler":{"nsPerEvent":1}}'; echo 'load: one is missing' >&2; exit 1
        fi
        echo '{"events":1,"eventsPerSecond":5,"handler":{"nsPerEvent":5}}'"#;
    let (code, results) = with_driver("side-by-side.js", &[&SIDE_BY_SIDE[..], &["--rounds", "2"]].concat(), says);
    let [row] = list(&results["summary"]) else { panic!("{results}") };
    assert_eq!((code, &row["roundsCounted"]), (Some(1), &json!(1)), "{results}");
    assert_eq!(row["eventsPerSecond"], json!({ "median": 5, "min": 5, "max": 5 }));

    let (code, results) = with_driver("growth.js", &[&GROWTH[..], &["--rounds", "2"]].concat(), says);
    let point = &results["curves"][0]["points"][0];
    assert_eq!((code, &point["roundsCounted"], &point["figures"]["nsPerEvent"]), (Some(1), &json!(1), &json!(5)));

    let (_folder, driver) = driver_that(says);
    let words = ["--rounds", "2", "--format", "table", "--driver", &driver[1]];
    let folder = tempdir().expect("a temporary folder");
    let output = measured("side-by-side.js", folder.path(), &[&SIDE_BY_SIDE[..], &words, &ANYWHERE].concat());
    let told = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(told.contains("round 1, devicestate, 1 events a batch, length: one is missing"), "{told}");
}

#[test]
fn a_driver_that_could_not_begin_has_counted_nothing_and_says_so() {
    let (code, results) = with_driver("growth.js", &GROWTH, "echo 'load: no connection' >&2; exit 2");
    assert_eq!(code, Some(1));
    let complaint = &results["curves"][0]["points"][0]["rounds"][0]["complaint"];
    assert_eq!(complaint, "the driver could not begin: no connection");
}

#[test]
fn a_peer_that_does_not_start_again_loses_its_own_round_and_no_other() {
    let folder = tempdir().expect("a temporary folder");
    let server = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/node/server.mjs");
    // It starts to be built, then in the first round, and then no more.
    let starts = format!(
        r#"mkdir "$0.1" 2>&- || mkdir "$0.2" 2>&- || {{ echo 'out of order' >&2; exit 3; }}; exec node {server}"#
    );
    program(&folder.path().join("go/run"), &starts);
    let peers = folder.path().to_str().expect("UTF-8");
    let short = ["--rounds", "2", "--sizes", "1", "--seconds", "1", "--warm", "0", "--forms", "length"];
    let words = [&short[..], &["--only", "go,devicestate", "--peers", peers], &ANYWHERE, &driver()].concat();
    let output = measured("side-by-side.js", folder.path(), &words);
    let results = results(&output, folder.path());
    assert_eq!(output.status.code(), Some(1), "{results}");
    let rounds: Vec<_> = list(&results["rounds"]).iter().map(|round| json!([round["who"], round["isRight"]])).collect();
    let right = json!(["devicestate", true]);
    assert_eq!(rounds, [json!(["go", true]), right.clone(), json!(["go", false]), right], "{results}");
    let complaint = results["rounds"][2]["complaint"].as_str().expect("a complaint");
    assert!(complaint.ends_with("does not answer GET /: out of order"), "{complaint}");
}

#[test]
fn a_cosmos_account_that_ends_at_once_is_a_run_that_is_not_right() {
    let folder = tempdir().expect("a temporary folder");
    let words = ["--only", "cosmos,size", "--rounds", "2", "--cores", "", "--listener", "/bin/true"];
    let output = measured("end-to-end.js", folder.path(), &words);
    let results = results(&output, folder.path());
    assert_eq!(output.status.code(), Some(1), "{results}");
    let rounds = list(&results["parts"]["cosmos"]["rounds"]);
    assert!(rounds.len() == 2 && rounds.iter().all(|round| round["isRight"] == false), "{results}");
    assert!(results["parts"]["size"]["bytes"].is_number(), "{results}");
}

#[test]
fn a_curve_ends_with_the_ratio_of_its_last_point_to_its_first() {
    let nanoseconds_of_an_event_are_the_events_of_a_batch = r#"
        while [ "$1" != --events ]; do shift; done
        echo "{\"latencyMs\":{},\"handler\":{\"nsPerEvent\":$2}}""#;
    let words = ["--only", "batch", "--largest", "100"];
    let (code, results) = with_driver("growth.js", &words, nanoseconds_of_an_event_are_the_events_of_a_batch);
    assert_eq!((code, &results["curves"][0]["lastToFirst"]), (Some(0), &Value::from(100)), "{results}");
}

#[test]
fn small_batches_are_seven_at_once_whether_large_ones_are_beside_them_or_not() {
    let told = r#"
        until [ "$1" = --connections ]; do shift; done
        echo "{\"connections\":$2,\"latencyMs\":{},\"handler\":null}""#;
    let (_, results) = with_driver("growth.js", &["--only", "large"], told);
    let points = list(&results["curves"][0]["points"]);
    let connections: Vec<_> = points.iter().map(|point| &point["rounds"][0]["connections"]).collect();
    assert_eq!(connections, [7, 8, 7, 8]);
}
