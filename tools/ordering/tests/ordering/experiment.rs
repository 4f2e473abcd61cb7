//! Runs the program from the command line.

use std::process::{Command, Output};

use devicestate_test_support::output_schema::read_output;
use serde_json::Value;

/// 20 keys with 100 events each, in 4 partitions and batches of 20: enough for disorder, and fast.
pub(crate) const SMALL: [&str; 8] = ["--keys", "20", "--events", "100", "--partitions", "4", "--batch", "20"];

/// Runs the program, without checking the exit code.
pub(crate) fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ordering")).args(arguments).output().expect("the program runs")
}

/// Runs the program, which must succeed, and returns its standard output.
pub(crate) fn run_successfully(arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = run(arguments);
    assert!(status.success(), "{status}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("UTF-8")
}

/// Runs the program with JSON output, which must succeed and satisfy the schema, and returns the data.
pub(crate) fn report(arguments: &[&str]) -> Value {
    read_output(run_successfully(&[arguments, &["--output", "json"]].concat()), Some(0))
}

/// Returns the only strategy of a report.
pub(crate) fn only_strategy(report: &Value) -> &Value {
    let strategies = report["strategies"].as_array().expect("strategies");
    assert_eq!(strategies.len(), 1, "{strategies:?}");
    &strategies[0]
}

pub(crate) fn count(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// Checks that a list has no gap except where an earlier part is repeated, and returns the number of repeats.
pub(crate) fn assert_only_repeats(list: &[u32]) -> usize {
    let mut highest = 0;
    let mut repeats = 0;
    for (index, number) in list.iter().copied().enumerate() {
        let before = index.checked_sub(1).map_or(0, |index| list[index]);
        if number != before + 1 {
            assert!(number <= highest, "{number} after {before} is a gap: {list:?}");
            repeats += 1;
        }
        highest = highest.max(number);
    }
    repeats
}
