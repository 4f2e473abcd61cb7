//! Properties of generated events, requests and dead letters.
//!
//! Each run generates other cases. A failing test prints its smallest failing case and the seed that reproduces it, so
//! nothing is written into the source tree. `PROPTEST_CASES` sets the number of cases.

mod dead_letters;
mod document_ids;
mod envelope;
mod json;
mod merge;
mod merge_histories;
mod telemetry;

use proptest::{
    strategy::{Strategy, ValueTree as _},
    test_runner::{Config, RngSeed, TestRunner},
};

/// Returns the configuration: `PROPTEST_CASES` cases, from a seed that a failure prints.
fn cases() -> Config {
    let config = Config { failure_persistence: None, ..Config::default() };
    let seed = match config.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => fastrand::u64(..),
    };
    // The output of a test is shown if it fails.
    let binary = env!("CARGO_CRATE_NAME");
    eprintln!("the same cases again: PROPTEST_RNG_SEED={seed} cargo test --test {binary}");
    // Shrinking a case may take some seconds.
    Config { rng_seed: RngSeed::Fixed(seed), max_shrink_iters: 50_000, max_shrink_time: 20_000, ..config }
}

/// Returns the configuration of tests with large cases: fewer of them.
fn fewer_cases() -> Config {
    let config = cases();
    Config { cases: config.cases / 4, ..config }
}

/// Returns the first cases of a strategy, always the same ones, to check the strategy itself.
fn examples<S: Strategy>(strategy: S, count: usize) -> impl Iterator<Item = S::Value> {
    let mut runner = TestRunner::new(Config { rng_seed: RngSeed::Fixed(0), ..cases() });
    (0..count).map(move |_| strategy.new_tree(&mut runner).expect("the strategy rejects no case").current())
}
