//! `scripts/measure`: its arithmetic, and runs of each measurement that are too short to measure anything. How fast
//! something was is no matter of a test; that all was counted is.

#[path = "../support/built.rs"]
mod built;
mod dry_runs;
mod figures;
mod refusals;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::LazyLock,
};

use serde_json::Value;

/// The driver, as it is built beside the tests.
static DRIVER: LazyLock<PathBuf> = LazyLock::new(|| built::example("load", &[]));

/// Node.js in the folder of this repository.
fn node() -> Command {
    let mut node = Command::new("node");
    node.current_dir(env!("CARGO_MANIFEST_DIR"));
    node
}

/// A measurement with these words, by the binary of the tests, with its raw results in this folder.
fn command(script: &str, folder: &Path, words: &[&str]) -> Command {
    let mut node = node();
    node.arg(format!("scripts/measure/{script}")).args(["--binary", env!("CARGO_BIN_EXE_devicestate")]);
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
    let kept = std::fs::read(folder.join("results.json")).expect("the raw results");
    assert_eq!(printed, serde_json::from_slice::<Value>(&kept).expect("JSON"));
    printed
}
