//! Runs the simulation for several hundred seeds: it is deterministic, and every fault occurs.

use std::process::Command;

use devicestate_simulate::{Count, Fault, run, run_seeds};
use devicestate_test_support::output_schema::read_output;

/// Number of seeds, and the approximate number of events per seed.
const SEEDS: u64 = 300;
const EVENTS: u32 = 250;

#[test]
fn under_every_fault_each_event_is_accounted_for_once_and_no_version_decreases() {
    let (counts, failure) = run_seeds(0..SEEDS, EVENTS as usize, &|| ());
    if let Some(failure) = failure {
        let repeat = format!("just simulate --seed {} --events {EVENTS} --trace", failure.seed);
        panic!("seed {}: {:#?}\n{repeat}", failure.seed, failure.violations);
    }
    assert_eq!(counts.get(Count::Runs), SEEDS);
    // A check that no fault ever exercises proves nothing.
    for fault in Fault::ALL {
        assert!(counts.get(Count::Fault(fault)) > 0, "this fault never occurred: {}", fault.description());
    }
    for count in [Count::Redelivered, Count::LostWrites, Count::Replayed, Count::Overlaps] {
        assert!(counts.get(count) > 0, "{count:?} is zero");
    }
    let (readings, unordered) = (counts.get(Count::Readings), counts.get(Count::UnorderedReadings));
    assert!(unordered > 0 && unordered * 10 < readings, "{unordered} of {readings} readings were not compared");
    let (exact, replies) = (counts.get(Count::ExactCounts), counts.get(Count::FinalReplies));
    assert!(exact * 4 > replies * 3, "the counts of only {exact} of {replies} replies were checked exactly");
}

#[test]
fn two_runs_of_a_seed_have_the_same_etags_and_times() {
    let digests = || (1_000..1_020).map(|seed| run(seed, 200, false).digest).collect::<Vec<_>>();
    let (one, other) = std::thread::scope(|scope| {
        let other = scope.spawn(digests);
        (digests(), other.join().expect("no panic"))
    });
    assert_eq!(one, other);
    let distinct: std::collections::BTreeSet<_> = one.iter().collect();
    assert_eq!(distinct.len(), one.len(), "different seeds give different runs");
}

#[test]
fn the_json_output_satisfies_the_schema_and_has_the_counts() {
    let mut simulate = Command::new(env!("CARGO_BIN_EXE_simulate"));
    simulate.args(["--seeds", "3", "--events", "50", "--output", "json"]);
    let output = simulate.output().expect("the program runs");
    let data = read_output(&output.stdout, output.status.code());
    assert_eq!((&data["counts"]["runs"], &data["failure"]), (&3.into(), &serde_json::Value::Null));
    assert_eq!(data["faults"].as_object().expect("an object").len(), Fault::ALL.len());
}
