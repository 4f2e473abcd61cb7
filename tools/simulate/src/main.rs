//! The simulation: the whole system, with faults of all kinds, as often as one likes.
//!
//! `just simulate --seeds 10000`

use std::{process::ExitCode, time::Instant};

use clap::{Parser, ValueEnum};
use devicestate_simulate::{Count, Failure, Fault, Tally, many, run};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};

/// Simulate the whole system, with everything that can go wrong, and check that nothing is lost and nothing goes
/// backwards.
///
/// One run for each seed: devices, hubs in two regions, hosts, a store, people, and the real handler in their midst. Time
/// and chance are the seed's.
#[derive(Debug, Parser)]
#[command(
    name = "simulate",
    max_term_width = 100,
    after_help = "Examples:\n  simulate --seeds 10000\n  simulate --seed 4711 --trace\n  simulate --seeds 500 \
                  --from 100000 --format json\n\nIt exits with 0 when all is well, with 1 when a run broke a rule."
)]
struct Options {
    /// How many seeds to run.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Run just this seed.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// About how many events each run has. A seed repeats itself only with the same number.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(2..))]
    events: u32,
    /// Print each step of the run on standard error.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// For machines: one JSON object.
    Json,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let started = Instant::now();
    let (tally, failure) = match options.seed {
        Some(seed) => one(seed, &options),
        None => all(&options),
    };
    let seconds = started.elapsed().as_secs_f64();
    match options.format {
        Format::Table => print_table(&tally, seconds),
        Format::Json => println!("{}", to_json(&tally, failure.as_ref(), seconds)),
    }
    match failure {
        None => ExitCode::SUCCESS,
        Some(failure) => {
            tell(&failure, options.events);
            ExitCode::FAILURE
        }
    }
}

fn one(seed: u64, options: &Options) -> (Tally, Option<Failure>) {
    let run = run(seed, options.events as usize, options.trace);
    for step in &run.steps {
        eprintln!("{step}");
    }
    if options.format == Format::Table {
        println!("seed {seed}, digest {:016x}: the same each time\n", run.digest);
    }
    (run.tally, (!run.violations.is_empty()).then_some(Failure { seed, violations: run.violations }))
}

fn all(options: &Options) -> (Tally, Option<Failure>) {
    let bar = ProgressBar::new(options.seeds).with_style(
        ProgressStyle::with_template("{elapsed_precise} {wide_bar} {human_pos}/{human_len} seeds")
            .expect("the template is valid"),
    );
    let seeds = options.from..options.from.saturating_add(options.seeds);
    let outcome = many(seeds, options.events as usize, &|| bar.inc(1));
    bar.finish_and_clear();
    outcome
}

/// What was counted, by its name.
const COUNTS: [(&str, Count); 13] = [
    ("events sent", Count::Events),
    ("  poison among them", Count::PoisonEvents),
    ("events delivered", Count::Deliveries),
    ("  again", Count::Redelivered),
    ("attempts", Count::Attempts),
    ("  beside another of the same partition", Count::Overlaps),
    ("final replies", Count::FinalReplies),
    ("  whose counts were checked to the event", Count::ExactCounts),
    ("store operations", Count::StoreOperations),
    ("  acknowledged, and lost in a failover", Count::LostWrites),
    ("dead letters", Count::DeadLetters),
    ("  replayed and deleted", Count::Replayed),
    ("runs", Count::Runs),
];

fn print_table(tally: &Tally, seconds: f64) {
    let row = |name: &str, count: u64| println!("{name:<44}{:>14}", HumanCount(count).to_string());
    println!("SIMULATED");
    for (name, count) in COUNTS {
        row(name, tally.of(count));
    }
    println!("\nFAULTS");
    for fault in Fault::ALL {
        row(fault.name(), tally.of(Count::Fault(fault)));
    }
    row("all", tally.faults());
    println!("\nTIME");
    println!("{:<44}{seconds:>14.1}", "seconds");
    println!("{:<44}{:>14.0}", "events/s", per_second(tally, seconds));
}

fn to_json(tally: &Tally, failure: Option<&Failure>, seconds: f64) -> Value {
    let faults = Fault::ALL.map(|fault| (format!("{fault:?}"), json!(tally.of(Count::Fault(fault)))));
    let counts = COUNTS.map(|(_, count)| (format!("{count:?}"), json!(tally.of(count))));
    json!({
        "counts": Map::from_iter(counts),
        "faults": Map::from_iter(faults),
        "seconds": seconds,
        "eventsPerSecond": per_second(tally, seconds),
        "failure": failure.map(|failure| json!({"seed": failure.seed, "violations": failure.violations})),
    })
}

#[expect(clippy::cast_precision_loss, reason = "nobody simulates 2^52 events")]
fn per_second(tally: &Tally, seconds: f64) -> f64 {
    tally.of(Count::Events) as f64 / seconds
}

fn tell(Failure { seed, violations }: &Failure, events: u32) {
    eprintln!("\nseed {seed} broke a rule:");
    for violation in violations {
        eprintln!("* {violation}");
    }
    eprintln!("\nThis repeats it: simulate --seed {seed} --events {events} --trace");
}
