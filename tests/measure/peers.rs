//! The handlers of other languages, by their own check: of what is measured beside the product it is known what it does.

use std::process::Command;

#[test]
fn the_peer_of_node_counts_and_keeps_what_a_fold_of_the_same_events_says() {
    let python = |words: &[&str]| Command::new("python3").args(words).output();
    let is_new_enough = python(&["-c", "import sys; sys.exit(sys.version_info < (3, 11))"]).expect("python3");
    assert!(is_new_enough.status.success(), "python3 must be of version 3.11 or later");
    let check = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/check.py");
    let output = python(&[check, "node"]).expect("it was there just now");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("node: shuffled_batches_one_by_one: ok"), "{said}");
}
