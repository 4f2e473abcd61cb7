//! Runs the program as a person does.

use std::process::{Command, Output};

use serde_json::Value;

/// 20 keys with 100 events each, in 4 partitions and batches of 20: enough for disorder, and soon done.
pub(crate) const SMALL: [&str; 8] = ["--keys", "20", "--events", "100", "--partitions", "4", "--batch", "20"];

/// Runs it, whatever comes of it.
pub(crate) fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ordering")).args(arguments).output().expect("the program runs")
}

/// Runs it and gives back what it prints. Every way has to keep its promise.
pub(crate) fn printed(arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = run(arguments);
    assert!(status.success(), "{status}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("UTF-8")
}

/// Runs it for machines.
pub(crate) fn report(arguments: &[&str]) -> Value {
    serde_json::from_str(&printed(&[arguments, &["--format", "json"]].concat())).expect("JSON")
}

/// The one way of a report.
pub(crate) fn the_way(report: &Value) -> &Value {
    let ways = report["ways"].as_array().expect("ways");
    assert_eq!(ways.len(), 1, "{ways:?}");
    &ways[0]
}

pub(crate) fn count(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// The entries of a list after which order breaks off and an earlier part comes again: from a number that was there
/// already, one after the other, until there is something new.
pub(crate) fn assert_only_repeats(list: &[u32]) -> usize {
    let mut highest = 0;
    let mut repeats = 0;
    for (place, number) in list.iter().copied().enumerate() {
        let before = place.checked_sub(1).map_or(0, |place| list[place]);
        if number != before + 1 {
            assert!(number <= highest, "{number} behind {before} is a gap: {list:?}");
            repeats += 1;
        }
        highest = highest.max(number);
    }
    repeats
}
