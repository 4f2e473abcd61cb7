//! What holds whatever comes: properties over made-up events, requests and dead letters.
//!
//! Each run makes up others. One that fails prints its smallest failing case and the seed that makes it again; that is
//! all there is to repeat, so nothing is ever written into the source tree. `PROPTEST_CASES` asks for more cases.

mod dead_letters;
mod envelope;
mod json;
mod merge;
mod telemetry;

use proptest::{
    strategy::{Strategy, ValueTree as _},
    test_runner::{Config, RngSeed, TestRunner},
};

/// As many cases as `PROPTEST_CASES` says, from a seed that a failure prints.
fn cases() -> Config {
    let config = Config { failure_persistence: None, ..Config::default() };
    let seed = match config.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => fastrand::u64(..),
    };
    // The output of a test is shown when it fails.
    let binary = env!("CARGO_CRATE_NAME");
    eprintln!("the same cases again: PROPTEST_RNG_SEED={seed} cargo test --test {binary}");
    // A case is worth some seconds of making it smaller.
    Config { rng_seed: RngSeed::Fixed(seed), max_shrink_iters: 50_000, max_shrink_time: 20_000, ..config }
}

/// Fewer, where each is large.
fn fewer_cases() -> Config {
    let config = cases();
    Config { cases: config.cases / 4, ..config }
}

/// Some of what a strategy makes up, always the same, to see that it is what it should be.
fn examples<S: Strategy>(strategy: S, count: usize) -> impl Iterator<Item = S::Value> {
    let mut runner = TestRunner::new(Config { rng_seed: RngSeed::Fixed(0), ..cases() });
    (0..count).map(move |_| strategy.new_tree(&mut runner).expect("nothing is filtered out").current())
}
