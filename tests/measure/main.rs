//! `scripts/measure`: its statistics, and a very short run of each measurement. The tests check that all events are counted,
//! not the speed.

mod dry_runs;
mod figures;
mod interrupted;
mod peers;
mod rounds;
mod start_errors;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::LazyLock,
};

use devicestate_test_support::{output_schema::read_output, program::devicestate};
use serde_json::Value;

/// The load driver, built like the tests.
static DRIVER: LazyLock<PathBuf> = LazyLock::new(|| devicestate_test_support::program::build(&["--bin", "load"]));

/// Without pinning: the tests may run on one core.
const ANYWHERE: [&str; 4] = ["--handler-core", "", "--driver-core", ""];

fn driver() -> [&'static str; 2] {
    ["--driver", DRIVER.to_str().expect("UTF-8")]
}

/// Returns Node.js, to run in this repository.
fn node() -> Command {
    let mut node = Command::new("node");
    node.current_dir(env!("CARGO_MANIFEST_DIR"));
    node
}

/// Returns the command of a measurement of the tests' binary, with its raw results in this folder.
fn command(script: &str, folder: &Path, words: &[&str]) -> Command {
    let mut node = node();
    node.arg(format!("scripts/measure/{script}")).arg("--binary").arg(devicestate());
    node.args(["--output", "json", "--results"]).arg(folder.join("results.json")).args(words);
    node
}

/// Runs a measurement.
fn measure(script: &str, folder: &Path, words: &[&str]) -> Output {
    command(script, folder, words).output().expect("Node.js (the command node)")
}

/// Returns the results that a measurement printed, which must satisfy the schema and equal those of the file.
#[track_caller]
fn results(output: &Output, folder: &Path) -> Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.stdout.is_empty(), "{stderr}");
    let printed = read_output(&output.stdout, output.status.code());
    let saved = fs::read(folder.join("results.json")).expect("the raw results");
    assert_eq!(printed, serde_json::from_slice::<Value>(&saved).expect("JSON"));
    printed
}

/// Evaluates a JavaScript expression with exports of `scripts/measure`; each import is `name, name from file`.
#[track_caller]
fn evaluate(modules: &[&str], expression: &str) -> Value {
    let modules = modules.iter().map(|module| module.split_once(" from ").expect("names from a file"));
    let imports = modules.map(|(names, file)| format!("const {{ {names} }} = require('./scripts/measure/{file}');"));
    let imports = imports.collect::<Vec<_>>().concat();
    let program = format!("{imports}(async () => console.log(JSON.stringify({expression})))()");
    let output = node().args(["-e", &program]).output().expect("Node.js (the command node)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or_else(|| panic!("not a list: {value}"), Vec::as_slice)
}

/// Writes a shell script.
fn write_script(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a temporary folder");
    fs::write(path, format!("#!/bin/sh\n{text}\n")).expect("a temporary file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("the file exists");
}
