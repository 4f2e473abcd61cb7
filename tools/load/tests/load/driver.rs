//! Runs the program from the command line.

use std::process::{Command, Output};

use devicestate_test_support::output_schema::read_output;
use serde_json::Value;

/// Runs the program against a port, without checking the exit code.
pub(crate) fn run(port: u16, arguments: &[&str]) -> Output {
    let url = format!("http://127.0.0.1:{port}");
    run_with(&[&["--url", &url], arguments].concat())
}

/// Runs the program with only these arguments.
pub(crate) fn run_with(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_load")).args(arguments).output().expect("the program runs")
}

/// Runs the program with JSON output, which must succeed and satisfy the schema, and returns the data.
pub(crate) fn report(port: u16, arguments: &[&str]) -> Value {
    let Output { status, stdout, stderr } = run(port, &[arguments, &["--output", "json"]].concat());
    assert!(status.success(), "{status}: {}", String::from_utf8_lossy(&stderr));
    read_output(stdout, status.code())
}

/// Runs the program, which must end with this exit code, and returns its standard error.
pub(crate) fn run_failing(port: u16, arguments: &[&str], exit_code: i32) -> String {
    let Output { status, stdout, stderr } = run(port, arguments);
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(status.code(), Some(exit_code), "{stderr}{}", String::from_utf8_lossy(&stdout));
    stderr
}
