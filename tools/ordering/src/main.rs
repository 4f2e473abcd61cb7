//! The ordering experiment: delivers the same ordered events to a handler with several strategies, and checks their order
//! on arrival.
//!
//! `just ordering`. See docs/reports/ordering.md.
//!
//! Begin with `strategy`: it fills a hub or a queue, and runs an instance that reads it.
//!
//! * `options`: the command line. `error`: why the experiment failed.
//! * An `instance` is a host and a handler: `dispatch` reads events and invokes the `handler`, which appends them to `lists`.
//! * Faults: `crash` and `crash_trigger` (strategy d), `failing_message` and `fault` (one event that fails).
//! * Results: `report` and `picture`. The library has `plan` (the events) and `order_check`.

mod crash;
mod crash_trigger;
mod dispatch;
mod error;
mod failing_message;
mod fault;
mod handler;
mod instance;
mod lists;
mod options;
mod picture;
mod report;
mod strategy;

use std::{fs, process::ExitCode};

use devicestate_ordering::plan::Plan;
use devicestate_terminal::{CommandError, CommandOutcome, Output, print, print_json_value};
use indicatif::{ProgressBar, ProgressStyle};

use error::Error;
use lists::ListStore;
use options::Options;
use picture::Picture;
use report::{FailingMessageReport, Pictured, Report, StrategyReport};
use strategy::Strategy;

fn main() -> ExitCode {
    let options = Options::parse_arguments();
    let report = match measure(&options) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("ordering: {error}");
            return ExitCode::from(error.exit_code());
        }
    };
    let violations = report.violations();
    if let Err(error) = print_report(&options, &report, violations.is_empty()) {
        return error.report("ordering");
    }
    for violation in &violations {
        eprintln!("ordering: {violation}");
    }
    if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print_report(options: &Options, report: &Report, has_succeeded: bool) -> Result<(), CommandError> {
    let outcome = if has_succeeded { CommandOutcome::Succeeded } else { CommandOutcome::Failed };
    match options.output.output {
        Output::Table => print(report),
        format => print_json_value(format, "ordering", outcome, report),
    }
}

fn measure(options: &Options) -> Result<Report, Error> {
    let (plan, store) = (options.plan(), ListStore::new(options.redis.as_deref())?);
    let mut outcomes = Vec::new();
    for strategy in options.selected_strategies() {
        let bar = create_progress_bar(&plan, &strategy.description(&plan));
        outcomes.push(strategy.run(&plan, &store, &bar)?);
        bar.finish_and_clear();
    }
    let one_failing_message =
        options.strategies.is_empty().then(|| measure_one_failing_message(&plan, &store)).transpose()?;
    if !options.keep {
        instance::create_runtime()?.block_on(store.clear(plan.all_keys()))?;
    }
    let pictured = Pictured::select(&outcomes, &plan);
    if let Some(path) = &options.svg {
        let picture = Picture { plan: &plan, outcomes: &outcomes, pictured: &pictured };
        fs::write(path, picture.to_string()).map_err(|error| Error::Picture { path: path.clone(), error })?;
    }
    let strategies = outcomes.iter().map(|outcome| StrategyReport::new(outcome, &plan)).collect();
    Ok(Report { plan, lists_in: store.name(), strategies, one_failing_message, pictured })
}

fn measure_one_failing_message(plan: &Plan, store: &ListStore) -> Result<FailingMessageReport, Error> {
    let plan = failing_message::plan(plan);
    let bar = create_progress_bar(&plan, "one failing message");
    bar.set_length(2 * plan.all_events());
    let strategies = [Strategy::Batches, Strategy::Sessions]
        .map(|strategy| failing_message::measure_blocked(strategy, &plan, store, &bar));
    let strategies = strategies.into_iter().collect::<Result<_, _>>()?;
    bar.finish_and_clear();
    Ok(FailingMessageReport { plan, strategies })
}

/// Creates a progress bar, which is hidden without a terminal.
fn create_progress_bar(plan: &Plan, message: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{elapsed_precise} {wide_bar} {human_pos}/{human_len} events: {msg}");
    let bar = ProgressBar::new(plan.all_events()).with_style(style.expect("the template is valid"));
    bar.with_message(message.to_owned())
}
