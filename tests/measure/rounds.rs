//! Failed rounds, caused by fake drivers, and their effect on the other rounds.

use devicestate_test_support::program::devicestate;
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use super::{ANYWHERE, driver, evaluate, list, measure, results, write_script};

/// Writes a fake driver, a shell script, into a new folder.
fn fake_driver(script: &str) -> (TempDir, [String; 2]) {
    let folder = tempdir().expect("a temporary folder");
    let driver = folder.path().join("driver");
    write_script(&driver, script);
    let driver = driver.display().to_string();
    (folder, ["--driver".to_owned(), driver])
}

/// Runs a measurement with a fake driver, and returns its exit code and results.
fn measure_with_driver(script: &str, words: &[&str], driver: &str) -> (Option<i32>, Value) {
    let (folder, driver) = fake_driver(driver);
    let driver = driver.each_ref().map(String::as_str);
    let output = measure(script, folder.path(), &[words, &ANYWHERE, &driver].concat());
    (output.status.code(), results(&output, folder.path()))
}

const SIDE_BY_SIDE: [&str; 6] = ["--sizes", "1", "--only", "devicestate", "--forms", "length"];
const GROWTH: [&str; 4] = ["--only", "hot", "--largest", "1"];

#[test]
fn counts_that_do_not_agree_fail_the_measurement() {
    let fake =
        r#"echo '{"events":1,"eventsPerSecond":1,"latencyMs":null,"handler":null}'; echo 'one is missing' >&2; exit 1"#;
    for (script, words) in [("side-by-side.js", &SIDE_BY_SIDE[..]), ("growth.js", &GROWTH)] {
        let (code, results) = measure_with_driver(script, &[words, &["--rounds", "1"]].concat(), fake);
        assert_eq!(code, Some(1), "{script}");
        assert!(results.to_string().contains(r#""error":"one is missing""#), "{results}");
    }
}

#[test]
fn a_failed_round_is_reported_and_in_no_figure() {
    let fake = r#"
        if mkdir "$0.was-here"; then
            echo '{"events":1,"eventsPerSecond":1000,"handler":{"cpuPercent":1,"nsPerEvent":1,"peakBytes":1,"residentBytes":1}}'; echo 'load: one is missing' >&2; exit 1
        fi
        echo '{"events":1,"eventsPerSecond":5,"handler":{"cpuPercent":1,"nsPerEvent":5,"peakBytes":1,"residentBytes":1}}'"#;
    let (code, results) =
        measure_with_driver("side-by-side.js", &[&SIDE_BY_SIDE[..], &["--rounds", "2"]].concat(), fake);
    let [row] = list(&results["summary"]) else { panic!("{results}") };
    assert_eq!((code, &row["validRounds"]), (Some(1), &json!(1)), "{results}");
    assert_eq!(row["eventsPerSecond"], json!({ "median": 5, "min": 5, "max": 5 }));

    let (code, results) = measure_with_driver("growth.js", &[&GROWTH[..], &["--rounds", "2"]].concat(), fake);
    let point = &results["curves"][0]["points"][0];
    assert_eq!((code, &point["validRounds"], &point["figures"]["nsPerEvent"]), (Some(1), &json!(1), &json!(5)));

    let (_folder, driver) = fake_driver(fake);
    let words = ["--rounds", "2", "--output", "table", "--driver", &driver[1]];
    let folder = tempdir().expect("a temporary folder");
    let output = measure("side-by-side.js", folder.path(), &[&SIDE_BY_SIDE[..], &words, &ANYWHERE].concat());
    let table = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(table.contains("round 1, devicestate, 1 events per batch, length: one is missing"), "{table}");
}

#[test]
fn a_driver_that_could_not_start_is_a_failed_round() {
    let (code, results) = measure_with_driver("growth.js", &GROWTH, "echo 'load: no connection' >&2; exit 2");
    assert_eq!(code, Some(1));
    let error = &results["curves"][0]["points"][0]["rounds"][0]["error"];
    assert_eq!(error, "the driver could not start: no connection");
}

#[test]
fn a_peer_that_does_not_restart_fails_only_its_own_round() {
    let folder = tempdir().expect("a temporary folder");
    let server = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/node/server.mjs");
    // It starts for the build and in the first round, but in no later round.
    let starts = format!(
        r#"mkdir "$0.1" 2>&- || mkdir "$0.2" 2>&- || {{ echo 'out of order' >&2; exit 3; }}; exec node {server}"#
    );
    write_script(&folder.path().join("go/run"), &starts);
    let peers = folder.path().to_str().expect("UTF-8");
    let short = ["--rounds", "2", "--sizes", "1", "--seconds", "1", "--warm", "0", "--forms", "length"];
    let words = [&short[..], &["--only", "go,devicestate", "--peers", peers], &ANYWHERE, &driver()].concat();
    let output = measure("side-by-side.js", folder.path(), &words);
    let results = results(&output, folder.path());
    assert_eq!(output.status.code(), Some(1), "{results}");
    let rounds: Vec<_> =
        list(&results["rounds"]).iter().map(|round| json!([round["name"], round["isValid"]])).collect();
    let valid = json!(["devicestate", true]);
    assert_eq!(rounds, [json!(["go", true]), valid.clone(), json!(["go", false]), valid], "{results}");
    let error = results["rounds"][2]["error"].as_str().expect("an error");
    assert!(error.ends_with("does not answer GET /: out of order"), "{error}");
}

#[test]
fn a_cosmos_account_that_exits_immediately_is_a_failed_round() {
    let folder = tempdir().expect("a temporary folder");
    let words = ["--only", "cosmos,size", "--rounds", "2", "--cores", "", "--listener", "/bin/true"];
    let output = measure("end-to-end.js", folder.path(), &words);
    let results = results(&output, folder.path());
    assert_eq!(output.status.code(), Some(1), "{results}");
    let rounds = list(&results["parts"]["cosmos"]["rounds"]);
    assert!(rounds.len() == 2 && rounds.iter().all(|round| round["isValid"] == false), "{results}");
    assert!(results["parts"]["size"]["bytes"].is_number(), "{results}");
}

#[test]
fn the_product_is_measured_with_both_stores_beside_the_program_before_and_packed() {
    let fake = r#"echo "{\"eventsPerSecond\":1,\"contentType\":\"$*\"}""#;
    let before = devicestate().to_str().expect("UTF-8");
    let words = ["--rounds", "1", "--sizes", "1", "--only", "devicestate,devicestate-sqlite", "--before", before];
    let words = [&words[..], &["--forms", "typed,packed"]].concat();
    let (code, results) = measure_with_driver("side-by-side.js", &words, fake);
    let rounds = list(&results["rounds"]).iter().map(|round| {
        let is_packed = round["contentType"].as_str().is_some_and(|arguments| arguments.ends_with(" --pack 8"));
        json!([round["name"], round["form"], is_packed])
    });
    let names = ["devicestate", "before", "devicestate-sqlite", "before-sqlite"];
    let expected = [("typed", false), ("packed", true)];
    let expected = expected.iter().flat_map(|(form, packed)| names.map(|name| json!([name, form, packed])));
    assert_eq!((code, rounds.collect::<Vec<_>>()), (Some(0), expected.collect()), "{results}");
}

#[test]
fn a_ratio_is_that_of_two_handlers_in_the_same_round() {
    let rounds = json!([
        [1, "devicestate", 60, true],
        [1, "before", 30, true],
        [1, "node", 20, true],
        [1, "go", 10, true],
        [2, "devicestate", 80, true],
        [2, "before", 20, true],
        [2, "node", 10, true],
        [2, "go", 20, true],
        [3, "devicestate", 90, false],
        [3, "before", 20, true],
        [3, "node", 1, true],
    ]);
    let object = "({ round, name, events: 1, form: 'typed', eventsPerSecond, isValid })";
    let expression = format!(
        "ratios({rounds}.map(([round, name, eventsPerSecond, isValid]) => {object})) \
         .map(({{ name, to, ratio: {{ median, min, max }} }}) => [name, to, median, min, max])"
    );
    assert_eq!(
        evaluate(&["ratios from side-by-side/summary.js"], &expression),
        json!([
            ["devicestate", "best peer", 3.5, 3, 4],
            ["before", "best peer", 1.5, 1, 20],
            ["devicestate", "before", 3, 2, 4],
        ])
    );
}

#[test]
fn a_curve_has_the_ratio_of_its_last_point_to_its_first() {
    let ns_per_event_equal_to_events_per_batch = r#"
        while [ "$1" != --events ]; do shift; done
        echo "{\"latencyMs\":null,\"handler\":{\"cpuPercent\":1,\"nsPerEvent\":$2,\"peakBytes\":1,\"residentBytes\":1}}""#;
    let words = ["--only", "batch", "--largest", "100"];
    let (code, results) = measure_with_driver("growth.js", &words, ns_per_event_equal_to_events_per_batch);
    assert_eq!((code, &results["curves"][0]["lastToFirst"]), (Some(0), &Value::from(100)), "{results}");
}

#[test]
fn seven_connections_have_small_batches_with_and_without_large_ones() {
    let fake = r#"
        until [ "$1" = --connections ]; do shift; done
        echo "{\"connections\":$2,\"latencyMs\":null,\"handler\":null}""#;
    let (_, results) = measure_with_driver("growth.js", &["--only", "large"], fake);
    let points = list(&results["curves"][0]["points"]);
    let connections: Vec<_> = points.iter().map(|point| &point["rounds"][0]["connections"]).collect();
    assert_eq!(connections, [7, 8, 7, 8]);
}
