//! The simulation's command: runs many seeds with injected faults and reports the first violation.
//!
//! `just simulate --seeds 10000`

use std::{process::ExitCode, time::Instant};

use clap::Parser;
use devicestate_simulate::{Count, Counts, Failure, Fault, run, run_seeds};
use devicestate_terminal::{CommandError, CommandOutcome, Output, OutputOption, print, print_json_value};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};

/// Simulate the system with injected faults, and check that no event is lost and no version decreases.
///
/// Each seed is one run: devices, hubs in two regions, hosts, a store, operators, and the real handler. The seed
/// determines every time and every random choice of its run.
#[derive(Debug, Parser)]
#[command(
    name = "simulate",
    max_term_width = 100,
    after_help = "Examples:\n  simulate --seeds 500 --from 100000 --output json\n  simulate --seed 4711 --trace\n\n\
                  Exit codes: 0 if no run violated a check, 1 if a run did, 2 for invalid options."
)]
struct Options {
    /// Number of seeds to run
    #[arg(long, help_heading = "Seeds", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// First seed
    #[arg(long, help_heading = "Seeds", value_name = "SEED", default_value_t = 0)]
    from: u64,
    /// Run only this seed
    #[arg(long, help_heading = "Seeds", conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Approximate number of events per run; a seed repeats its run only with the same number
    #[arg(long, help_heading = "Simulation", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(2..))]
    events: u32,
    /// Print each step of the run on standard error
    #[arg(long, help_heading = "Output", requires = "seed")]
    trace: bool,
    #[command(flatten, next_help_heading = "Output")]
    output: OutputOption,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match simulate(&options) {
        Ok(exit_code) => exit_code,
        Err(error) => error.report("simulate"),
    }
}

fn simulate(options: &Options) -> Result<ExitCode, CommandError> {
    let started = Instant::now();
    let (counts, failure) = match options.seed {
        Some(seed) => simulate_one(seed, options)?,
        None => simulate_all(options),
    };
    let seconds = started.elapsed().as_secs_f64();
    let outcome = if failure.is_none() { CommandOutcome::Succeeded } else { CommandOutcome::Failed };
    match options.output.output {
        Output::Table => print(table(&counts, seconds))?,
        format => print_json_value(format, "simulate", outcome, &to_json(&counts, failure.as_ref(), seconds))?,
    }
    Ok(match failure {
        None => ExitCode::SUCCESS,
        Some(failure) => {
            report_failure(&failure, options.events);
            ExitCode::FAILURE
        }
    })
}

fn simulate_one(seed: u64, options: &Options) -> Result<(Counts, Option<Failure>), CommandError> {
    let run = run(seed, options.events as usize, options.trace);
    for step in &run.steps {
        eprintln!("{step}");
    }
    if options.output.output == Output::Table {
        print(format!("seed {seed}, digest {:016x} (the same in each run of this seed)\n\n", run.digest))?;
    }
    Ok((run.counts, (!run.violations.is_empty()).then_some(Failure { seed, violations: run.violations })))
}

fn simulate_all(options: &Options) -> (Counts, Option<Failure>) {
    let bar = ProgressBar::new(options.seeds).with_style(
        ProgressStyle::with_template("{elapsed_precise} {wide_bar} {human_pos}/{human_len} seeds")
            .expect("the template is valid"),
    );
    let seeds = options.from..options.from.saturating_add(options.seeds);
    let outcome = run_seeds(seeds, options.events as usize, &|| bar.inc(1));
    bar.finish_and_clear();
    outcome
}

/// The rows of the table, in order.
const ROWS: [(&str, Count); 13] = [
    ("events sent", Count::Events),
    ("  poison events", Count::PoisonEvents),
    ("events delivered", Count::Deliveries),
    ("  redelivered events", Count::Redelivered),
    ("attempts", Count::Attempts),
    ("  overlapping one of the same partition", Count::Overlaps),
    ("final replies", Count::FinalReplies),
    ("  with counts checked exactly", Count::ExactCounts),
    ("store operations", Count::StoreOperations),
    ("  acknowledged, then lost in a failover", Count::LostWrites),
    ("dead letters", Count::DeadLetters),
    ("  replayed and deleted", Count::Replayed),
    ("runs", Count::Runs),
];

fn table(counts: &Counts, seconds: f64) -> String {
    let row = |name: &str, count: u64| format!("{name:<44}{:>14}\n", HumanCount(count).to_string());
    let mut table = String::from("SIMULATED\n");
    table.extend(ROWS.map(|(name, count)| row(name, counts.get(count))));
    table.push_str("\nFAULTS\n");
    table.extend(Fault::ALL.map(|fault| row(fault.description(), counts.get(Count::Fault(fault)))));
    table.push_str(&row("all", counts.total_faults()));
    table
        + &format!(
            "\nTIME\n{:<44}{seconds:>14.1}\n{:<44}{:>14.0}\n",
            "seconds",
            "events/s",
            per_second(counts, seconds)
        )
}

fn to_json(counts: &Counts, failure: Option<&Failure>, seconds: f64) -> Value {
    let faults = Fault::ALL.map(|fault| (camel_case(&format!("{fault:?}")), json!(counts.get(Count::Fault(fault)))));
    let rows = ROWS.map(|(_, count)| (camel_case(&format!("{count:?}")), json!(counts.get(count))));
    json!({
        "counts": Map::from_iter(rows),
        "faults": Map::from_iter(faults),
        "seconds": seconds,
        "eventsPerSecond": per_second(counts, seconds),
        "failure": failure.map(|Failure { seed, violations }| {
            let violations: Vec<_> = violations.iter().map(|violation| json!({ "description": violation })).collect();
            json!({ "seed": seed, "violations": violations })
        }),
    })
}

/// Returns a variant's name as JSON names are written: `PoisonEvents` becomes `poisonEvents`.
fn camel_case(name: &str) -> String {
    name[..1].to_lowercase() + &name[1..]
}

#[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 events are simulated")]
fn per_second(counts: &Counts, seconds: f64) -> f64 {
    counts.get(Count::Events) as f64 / seconds
}

fn report_failure(Failure { seed, violations }: &Failure, events: u32) {
    eprintln!("\nseed {seed} violated a check:");
    for violation in violations {
        eprintln!("* {violation}");
    }
    eprintln!("\nRun it again: simulate --seed {seed} --events {events} --trace");
}
