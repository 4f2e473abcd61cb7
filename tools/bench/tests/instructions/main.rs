//! Compares the instructions of processing a batch, counted by valgrind, with the committed baseline
//! `tools/bench/instructions.json`. See tools/bench/README.md.

mod comparison;
mod counting;

use std::{env, fs};

use devicestate_test_support::root;

use comparison::{Comparison, Counts};
use counting::Counting;

/// The environment variable that makes the test write the baseline instead of comparing with it.
const UPDATE_VARIABLE: &str = "UPDATE_BASELINE";

#[test]
fn the_instructions_of_each_part_match_the_baseline() {
    let path = root().join("tools/bench/instructions.json");
    let is_update = env::var_os(UPDATE_VARIABLE).is_some_and(|value| !value.is_empty());
    let counting = Counting::new();
    let baseline = fs::read_to_string(&path).unwrap_or_else(|error| {
        assert!(is_update, "{}: {error}", path.display());
        "{}".to_owned()
    });
    let baseline: Counts = serde_json::from_str(&baseline).expect("instructions by part");
    let parts = counting.parts();
    let comparison = Comparison { baseline, now: counting.count(&parts), parts };
    if is_update {
        println!("{comparison}");
        let text = serde_json::to_string_pretty(&comparison.now).expect("numbers by name");
        fs::write(&path, text + "\n").expect("the baseline can be written");
        return;
    }
    let deviations = comparison.deviations();
    assert!(
        deviations.is_empty(),
        "{comparison}\n{}\n\nIf this is intended, update the baseline and commit it with the reason:\n{UPDATE_VARIABLE}=1 cargo \
         test --package devicestate-bench --test instructions\n",
        deviations.join("\n")
    );
    println!("{comparison}");
}
