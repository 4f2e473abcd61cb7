//! `scripts/measure`: its arithmetic, and runs of each measurement that are too short to measure anything. How fast
//! something was is no matter of a test; that all was counted is.

mod dry_runs;
mod figures;
mod interrupted;
mod peers;
mod refusals;
mod rounds;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::LazyLock,
};

use devicestate_test_support::program::devicestate;
use serde_json::Value;

/// The driver, as it is built beside the tests.
static DRIVER: LazyLock<PathBuf> = LazyLock::new(|| devicestate_test_support::program::build(&["--bin", "load"]));

/// Not pinned: a machine of the tests may have one core.
const ANYWHERE: [&str; 4] = ["--handler-core", "", "--driver-core", ""];

fn driver() -> [&'static str; 2] {
    ["--driver", DRIVER.to_str().expect("UTF-8")]
}

/// Node.js in the folder of this repository.
fn node() -> Command {
    let mut node = Command::new("node");
    node.current_dir(env!("CARGO_MANIFEST_DIR"));
    node
}

/// A measurement with these words, by the binary of the tests, with its raw results in this folder.
fn command(script: &str, folder: &Path, words: &[&str]) -> Command {
    let mut node = node();
    node.arg(format!("scripts/measure/{script}")).arg("--binary").arg(devicestate());
    node.args(["--format", "json", "--output"]).arg(folder.join("results.json")).args(words);
    node
}

/// Runs it to its end.
fn measured(script: &str, folder: &Path, words: &[&str]) -> Output {
    command(script, folder, words).output().expect("Node.js (the command node)")
}

/// What a measurement prints: nothing but its results, which are the same as in the file.
#[track_caller]
fn results(output: &Output, folder: &Path) -> Value {
    let complaint = String::from_utf8_lossy(&output.stderr);
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {complaint}"));
    let kept = fs::read(folder.join("results.json")).expect("the raw results");
    assert_eq!(printed, serde_json::from_slice::<Value>(&kept).expect("JSON"));
    printed
}

/// What an expression comes to, with what these modules of `scripts/measure` export: each as `name, name from file`.
#[track_caller]
fn evaluated(modules: &[&str], expression: &str) -> Value {
    let modules = modules.iter().map(|module| module.split_once(" from ").expect("names from a file"));
    let imports = modules.map(|(names, file)| format!("const {{ {names} }} = require('./scripts/measure/{file}');"));
    let imports = imports.collect::<Vec<_>>().concat();
    let program = format!("{imports}(async () => console.log(JSON.stringify({expression})))()");
    let output = node().args(["-e", &program]).output().expect("Node.js (the command node)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
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
