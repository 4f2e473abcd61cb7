//! What the way of a batch costs, in instructions that valgrind counts, held against the committed
//! `tools/bench/instructions.json`.
//! docs/contribute/instruction-counts.md tells what is counted and what the counts rest on.

mod comparison;
mod counting;

use std::{env, fs};

use devicestate_test_support::root;

use comparison::{Comparison, Counts};
use counting::Counting;

/// Written when this is set, instead of being compared.
const UPDATE: &str = "UPDATE_BASELINE";

#[test]
fn no_part_of_the_way_of_a_batch_costs_other_instructions_than_the_baseline_says() {
    let path = root().join("tools/bench/instructions.json");
    let is_update = env::var_os(UPDATE).is_some_and(|value| !value.is_empty());
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
    let faults = comparison.faults();
    assert!(
        faults.is_empty(),
        "{comparison}\n{}\n\nIf that is meant, write the baseline anew and commit it with its reason:\n{UPDATE}=1 cargo \
         test --package devicestate-bench --test instructions\n",
        faults.join("\n")
    );
    println!("{comparison}");
}
