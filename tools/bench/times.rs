//! Measures the time of each part of processing a batch, with criterion: `cargo bench --package devicestate-bench`.
//!
//! The figures are informative only, and need an idle machine. `tools/bench/tests/instructions` guards against regressions.

mod parts;

use criterion::{BatchSize, Criterion, Throughput};

use parts::PARTS;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for part in PARTS {
        let mut group = criterion.benchmark_group(part.name);
        group.throughput(Throughput::Elements(part.events as u64));
        let mut rounds = (part.rounds)();
        group.bench_function("round", |bencher| {
            let prepared = || rounds.next().expect("rounds are endless");
            bencher.iter_batched(prepared, |round| round(), BatchSize::LargeInput);
        });
        group.finish();
    }
    criterion.final_summary();
}
