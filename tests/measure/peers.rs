//! Runs the check of the peers, the handlers in other languages that are measured for comparison.

use std::process::Command;

#[test]
fn the_node_peer_passes_its_check() {
    let python = |words: &[&str]| Command::new("python3").args(words).output();
    let is_new_enough = python(&["-c", "import sys; sys.exit(sys.version_info < (3, 11))"]).expect("python3");
    assert!(is_new_enough.status.success(), "python3 must be of version 3.11 or later");
    let check = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/check.py");
    let output = python(&[check, "node"]).expect("python3");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
    assert!(stdout.contains("node: shuffled_batches_one_by_one: ok"), "{stdout}");
}
