//! The ordering experiment: the same ordered events in several ways through a handler, and what becomes of their order.
//!
//! `just ordering`. docs/reports/ordering.md tells what is measured.

mod crash;
mod dispatch;
mod error;
mod failing;
mod fault;
mod fuse;
mod handler;
mod instance;
mod lists;
mod options;
mod picture;
mod report;
mod ways;

use std::{fs, process::ExitCode};

use devicestate_ordering::plan::Plan;
use indicatif::{ProgressBar, ProgressStyle};

use error::Error;
use lists::Place;
use options::{Format, Options};
use picture::Picture;
use report::{Failing, Pictured, Report, Row};
use ways::Way;

fn main() -> ExitCode {
    let options = Options::read();
    let report = match measure(&options) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("ordering: {error}");
            return ExitCode::from(error.exit_code());
        }
    };
    match options.format {
        Format::Table => print!("{report}"),
        Format::Json => println!("{}", serde_json::to_string(&report).expect("text and numbers are always JSON")),
    }
    let broken = report.broken();
    for promise in &broken {
        eprintln!("ordering: {promise}");
    }
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn measure(options: &Options) -> Result<Report, Error> {
    let (plan, place) = (options.plan(), Place::new(options.redis.as_deref())?);
    let chosen = options.chosen();
    let mut outcomes = Vec::new();
    for way in chosen {
        let bar = progress(&plan, &way.name(&plan));
        outcomes.push(way.go(&plan, &place, &bar)?);
        bar.finish_and_clear();
    }
    let one_failing_message = options.ways.is_empty().then(|| one_failing_message(&plan, &place)).transpose()?;
    if !options.keep {
        instance::runtime()?.block_on(place.clear(plan.all_keys()))?;
    }
    let pictured = Pictured::of(&outcomes, &plan);
    if let Some(path) = &options.svg {
        let picture = Picture { plan: &plan, outcomes: &outcomes, pictured: &pictured };
        fs::write(path, picture.to_string()).map_err(|error| Error::Picture { path: path.clone(), error })?;
    }
    let ways = outcomes.iter().map(|outcome| Row::new(outcome, &plan)).collect();
    Ok(Report { plan, lists_in: place.name(), ways, one_failing_message, pictured })
}

fn one_failing_message(plan: &Plan, place: &Place) -> Result<Failing, Error> {
    let plan = failing::plan(plan);
    let bar = progress(&plan, "one failing message");
    bar.set_length(2 * plan.all_events());
    let ways = [Way::Batches, Way::Sessions].map(|way| failing::behind(way, &plan, place, &bar));
    let ways = ways.into_iter().collect::<Result<_, _>>()?;
    bar.finish_and_clear();
    Ok(Failing { plan, ways })
}

/// Hidden where there is no terminal.
fn progress(plan: &Plan, what: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{elapsed_precise} {wide_bar} {human_pos}/{human_len} events: {msg}");
    let bar = ProgressBar::new(plan.all_events()).with_style(style.expect("the template is valid"));
    bar.with_message(what.to_owned())
}
