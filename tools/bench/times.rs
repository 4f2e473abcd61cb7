//! How long each part of the way of a batch takes, by criterion: `cargo bench --package devicestate-bench`.
//!
//! For a look, on a machine that does nothing else. What must not get worse is counted, in
//! `tools/bench/tests/instructions`.

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
            let prepared = || rounds.next().expect("rounds without end");
            bencher.iter_batched(prepared, |round| round(), BatchSize::LargeInput);
        });
        group.finish();
    }
    criterion.final_summary();
}
