//! Runs the program as a person does.

use std::process::{Command, Output};

use serde_json::Value;

/// Runs it against a port, whatever comes of it.
pub(crate) fn run(port: u16, arguments: &[&str]) -> Output {
    let url = format!("http://127.0.0.1:{port}");
    run_with(&[&["--url", &url], arguments].concat())
}

/// Runs it with these arguments and no others.
pub(crate) fn run_with(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_load")).args(arguments).output().expect("the program runs")
}

/// Runs it for machines; all has to be well.
pub(crate) fn report(port: u16, arguments: &[&str]) -> Value {
    let Output { status, stdout, stderr } = run(port, &[arguments, &["--format", "json"]].concat());
    assert!(status.success(), "{status}: {}", String::from_utf8_lossy(&stderr));
    serde_json::from_slice(&stdout).expect("JSON")
}

/// Runs it where it has to end with this exit code, and gives back what it says to standard error.
pub(crate) fn complaint(port: u16, arguments: &[&str], exit_code: i32) -> String {
    let Output { status, stdout, stderr } = run(port, arguments);
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(status.code(), Some(exit_code), "{said}{}", String::from_utf8_lossy(&stdout));
    said
}
