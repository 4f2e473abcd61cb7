//! A short run of each fuzz target over its corpus, always with the same inputs.
//!
//! It shows that the targets build, are guided by coverage and find no defect quickly. For longer runs see `fuzz/README.md`.

use std::{
    env, fs,
    path::Path,
    process::{Command, Output},
};

/// Runs a target with this many inputs. Its new inputs are deleted with the test.
fn fuzz(target: &str, runs: u32) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let learned = tempfile::tempdir().expect("a folder");
    let mut run = Command::new(root.join("fuzz/run"));
    run.args([target, &format!("-runs={runs}"), "-seed=1"]).env("CORPUS", learned.path());
    // A panic ends the run, and the input reproduces it, so a backtrace is not needed.
    let Output { status, stderr, .. } = run.env("RUST_BACKTRACE", "0").output().expect("bash runs");
    let output = String::from_utf8_lossy(&stderr);
    assert!(
        status.success(),
        "{output}\nto repeat, with the input that is named above: fuzz/run {target} FILE\nor from the start: fuzz/run \
         {target} -runs={runs} -seed=1"
    );
    assert!(output.contains(" inline 8-bit counters)"), "the target reports no coverage: {output}");
    let corpus = fs::read_dir(root.join("fuzz/corpus").join(target)).expect("a corpus").count();
    let coverage =
        |stage: &str| coverage(&output, stage).unwrap_or_else(|| panic!("no {stage} of {corpus} files: {output}"));
    let (begun, done) = (coverage("INITED"), coverage("DONE"));
    assert!(begun > 100 && done >= begun, "{begun} edges of {corpus} files, and {done} at the end");
}

/// Returns the number of covered edges that libFuzzer reports at this stage.
fn coverage(output: &str, stage: &str) -> Option<u32> {
    let line = output.lines().find(|line| line.starts_with('#') && line.contains(stage))?;
    line.split_once("cov: ")?.1.split(' ').next()?.parse().ok()
}

#[test]
fn fuzzing_finds_no_defect_in_requests() {
    fuzz("envelope", 12_000);
}

#[test]
fn fuzzing_finds_no_defect_in_telemetry() {
    fuzz("telemetry", 36_000);
}

#[test]
fn fuzzing_finds_no_defect_in_dead_letters() {
    fuzz("dead_letter", 12_000);
}
