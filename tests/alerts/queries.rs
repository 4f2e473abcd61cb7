//! The deployed queries: they can be parsed, read only fields that are written, and are used.

use std::{collections::BTreeSet, fs};

use devicestate_test_support::record_schema::read_record;
use serde_json::{Value, json};

use crate::support::{ROOT, call, deployed, local};

fn errors(replacement: [&str; 2]) -> Vec<(String, String)> {
    let answer = call("errors", &json!({ "replacement": replacement })).expect("a result");
    let queries = answer.as_object().expect("errors by query").clone();
    let each = |(name, errors): (String, Value)| {
        let errors = errors.as_array().expect("a list").clone();
        errors.into_iter().map(move |error| (name.clone(), error.as_str().expect("a text").to_owned()))
    };
    queries.into_iter().flat_map(each).collect()
}

#[test]
fn each_query_is_valid_for_the_parser_of_the_service() {
    assert_eq!(errors(["", ""]), []);
}

#[test]
fn a_misspelled_column_table_function_or_keyword_is_detected() {
    for (correct, misspelled, expected) in [
        ("sum(deadLettered)", "sum(deadLetered)", "deadLetered"),
        ("isnotnull(lagMs)", "isnotnull(lagMS)", "lagMS"),
        ("AzureMetrics", "AzureMetric", "AzureMetric"),
        ("isnotnull(", "isnotnul(", "isnotnul"),
        ("arg_max(TimeGenerated", "arg_max(TimeGenerate", "TimeGenerate"),
        ("summarize", "sumarize", "Query operator expected"),
    ] {
        let found = errors([correct, misspelled]);
        assert!(found.iter().any(|(_, error)| error.contains(expected)), "{misspelled}: {found:?}");
    }
}

/// Returns the member names of all records that a handler writes, for Event Hubs and for Service Bus.
fn written() -> BTreeSet<String> {
    // One run with sessions: it waits for the lock of the drill's message.
    let records = [records(&[], 2), records(&["--sessions"], 1)].concat();
    records.iter().flat_map(|record| record.as_object().expect("an object").keys().cloned()).collect()
}

/// Returns the records of some runs that write each kind. Devices are silent at the end of a run, and back in the next one.
fn records(options: &[&str], runs: usize) -> Vec<Value> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = [&["--devices", "5", "--events", "40", "--invalid-events", "2%"], options].concat();
    let mut telemetry = String::new();
    for _ in 0..runs {
        let mut local = local(folder.path(), &run);
        let silent = [("HeardEvery", "00:00:00"), ("SilentAfter", "00:00:00.001")];
        let output = local.env("RetryDrillDevice", "drone-00001").envs(silent).output().expect("the binary");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        telemetry += &fs::read_to_string(folder.path().join("telemetry.jsonl")).expect("the telemetry");
    }
    let rows = telemetry.lines().map(|line| serde_json::from_str::<Value>(line).expect("a row"));
    let messages = rows.filter_map(|row| row["Message"].as_str().map(str::to_owned));
    let records: Vec<Value> =
        messages.filter(|message| message.contains(r#""record":""#)).map(|message| read_record(&message)).collect();
    let kinds: BTreeSet<_> = records.iter().map(|record| record["record"].as_str().expect("a kind")).collect();
    let expected = ALL_KINDS.into_iter().filter(|kind| runs > 1 || *kind != "deviceBack");
    assert_eq!(kinds, expected.collect(), "each kind is written");
    records
}

const ALL_KINDS: [&str; 8] =
    ["batch", "deadLetter", "deadLetterQueue", "deviceBack", "deviceSilent", "failedAttempt", "silenceWatch", "start"];

#[test]
fn the_queries_read_exactly_the_fields_that_the_handler_writes() {
    let written = written();
    let read = call("fields", &json!({})).expect("a result");
    let read: BTreeSet<_> =
        read.as_array().expect("names").iter().map(|name| name.as_str().expect("a name").to_owned()).collect();
    assert_eq!(read.difference(&written).collect::<Vec<_>>(), Vec::<&String>::new(), "read, but never written");
    // Only for a handler that is run manually.
    let of_the_log = ["level", "port", "timestamp"].map(str::to_owned);
    assert_eq!(written.difference(&read).cloned().collect::<Vec<_>>(), of_the_log, "written, but never read");
}

#[test]
fn each_query_belongs_to_an_alert_or_to_the_workbook() {
    let (alerts, queries) = deployed();
    let workbook = fs::read_to_string(format!("{ROOT}/infra/workbook.json")).expect("the workbook");
    let mut unused = queries.clone();
    unused.retain(|name| {
        !alerts.iter().any(|alert| alert["query"] == name.as_str())
            && !workbook.contains(&format!(r#""query": "{name}""#))
    });
    // Queries with a parameter, for manual use.
    assert_eq!(unused, ["one-event"]);
    for alert in alerts.iter().filter(|alert| alert["metric"].is_null()) {
        assert!(queries.iter().any(|name| alert["query"] == name.as_str()), "{alert}");
    }
}
