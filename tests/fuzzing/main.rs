//! A short run of each fuzz target over its corpus: always the same inputs, so many and no more.
//!
//! It shows that the targets build, that they are steered by coverage, and that nothing has come in that they find at once.
//! A long run is for a person: see `fuzz/README.md`.

use std::{
    env, fs,
    path::Path,
    process::{Command, Output},
};

/// Runs a target for so many inputs; what it learns is gone with the test.
fn fuzz(target: &str, runs: u32) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let learned = tempfile::tempdir().expect("a folder");
    let mut run = Command::new(root.join("fuzz/run"));
    run.args([target, &format!("-runs={runs}"), "-seed=1"]).env("CORPUS", learned.path());
    // A panic is told once and ends the run; where it came from is in the input.
    let Output { status, stderr, .. } = run.env("RUST_BACKTRACE", "0").output().expect("bash runs");
    let told = String::from_utf8_lossy(&stderr);
    assert!(
        status.success(),
        "{told}\nto repeat, with the input that is named above: fuzz/run {target} FILE\nor from the start: fuzz/run \
         {target} -runs={runs} -seed=1"
    );
    assert!(told.contains(" inline 8-bit counters)"), "the target tells nothing of its coverage: {told}");
    let corpus = fs::read_dir(root.join("fuzz/corpus").join(target)).expect("a corpus").count();
    let coverage =
        |stage: &str| coverage(&told, stage).unwrap_or_else(|| panic!("no {stage} of {corpus} files: {told}"));
    let (begun, done) = (coverage("INITED"), coverage("DONE"));
    assert!(begun > 100 && done >= begun, "{begun} edges of {corpus} files, and {done} at the end");
}

/// How many edges libFuzzer tells of at this stage.
fn coverage(told: &str, stage: &str) -> Option<u32> {
    let line = told.lines().find(|line| line.starts_with('#') && line.contains(stage))?;
    line.split_once("cov: ")?.1.split(' ').next()?.parse().ok()
}

#[test]
fn requests_say_what_a_plain_reader_finds_in_them() {
    fuzz("envelope", 20_000);
}

#[test]
fn telemetry_is_shown_and_stored_as_what_it_says() {
    fuzz("telemetry", 60_000);
}

#[test]
fn messages_of_the_queue_are_read_changed_and_replayed_without_harm() {
    fuzz("dead_letter", 20_000);
}
