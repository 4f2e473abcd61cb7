//! Each query as it is deployed: it can be read, it reads nothing that nobody writes, and something is made of it.

use std::{collections::BTreeSet, fs};

use devicestate_test_support::record_schema::read_record;
use serde_json::{Value, json};

use crate::support::{ROOT, ask, deployed, local};

fn faults(instead: [&str; 2]) -> Vec<(String, String)> {
    let answer = ask("faults", &json!({ "instead": instead })).expect("an answer");
    let queries = answer.as_object().expect("faults by query").clone();
    let each = |(name, faults): (String, Value)| {
        let faults = faults.as_array().expect("a list").clone();
        faults.into_iter().map(move |fault| (name.clone(), fault.as_str().expect("a text").to_owned()))
    };
    queries.into_iter().flat_map(each).collect()
}

#[test]
fn each_query_is_read_and_understood_by_the_parser_of_the_service() {
    assert_eq!(faults(["", ""]), []);
}

#[test]
fn a_misspelled_column_table_function_or_keyword_is_noticed() {
    for (right, wrong, told) in [
        ("sum(deadLettered)", "sum(deadLetered)", "deadLetered"),
        ("isnotnull(lagMs)", "isnotnull(lagMS)", "lagMS"),
        ("AzureMetrics", "AzureMetric", "AzureMetric"),
        ("isnotnull(", "isnotnul(", "isnotnul"),
        ("arg_max(TimeGenerated", "arg_max(TimeGenerate", "TimeGenerate"),
        ("summarize", "sumarize", "Query operator expected"),
    ] {
        let found = faults([right, wrong]);
        assert!(found.iter().any(|(_, fault)| fault.contains(told)), "{wrong}: {found:?}");
    }
}

/// The names of all members of records that a handler has written, of both ways in.
fn written() -> BTreeSet<String> {
    let records = [&[][..], &["--sessions"]].map(records).concat();
    records.iter().flat_map(|record| record.as_object().expect("an object").keys().cloned()).collect()
}

/// The records of a run in which each kind is written.
fn records(options: &[&str]) -> Vec<Value> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = [&["--devices", "5", "--events", "40", "--invalid-events", "2%"], options].concat();
    let output = local(folder.path(), &run).env("RetryDrillDevice", "drone-00001").output().expect("the binary");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let telemetry = fs::read_to_string(folder.path().join("telemetry.jsonl")).expect("the telemetry");
    let rows = telemetry.lines().map(|line| serde_json::from_str::<Value>(line).expect("a row"));
    let messages = rows.filter_map(|row| row["Message"].as_str().map(str::to_owned));
    let records: Vec<Value> =
        messages.filter(|message| message.contains(r#""record":""#)).map(|message| read_record(&message)).collect();
    let kinds: BTreeSet<_> = records.iter().map(|record| record["record"].as_str().expect("a kind")).collect();
    assert_eq!(kinds, ALL_KINDS.into(), "each kind is written");
    records
}

const ALL_KINDS: [&str; 5] = ["batch", "deadLetter", "deadLetterQueue", "failedAttempt", "start"];

#[test]
fn every_field_that_a_query_reads_is_one_that_the_handler_writes_and_the_other_way_round() {
    let written = written();
    let read = ask("fields", &json!({})).expect("an answer");
    let read: BTreeSet<_> =
        read.as_array().expect("names").iter().map(|name| name.as_str().expect("a name").to_owned()).collect();
    assert_eq!(read.difference(&written).collect::<Vec<_>>(), Vec::<&String>::new(), "read, and never written");
    // For whoever runs a handler by hand.
    let of_the_log = ["level", "port", "timestamp"].map(str::to_owned);
    assert_eq!(written.difference(&read).cloned().collect::<Vec<_>>(), of_the_log, "written, and never read");
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
    // What is looked up by hand, with something put in.
    assert_eq!(unused, ["one-event"]);
    for alert in alerts.iter().filter(|alert| alert["metric"].is_null()) {
        assert!(queries.iter().any(|name| alert["query"] == name.as_str()), "{alert}");
    }
}
