//! The load driver: invokes a custom handler as the Functions host does, as fast as it replies, and compares its counts
//! with the events sent.
//!
//! `cargo run --release --package devicestate-load -- --url http://127.0.0.1:7071`. See tools/load/README.md.
//!
//! Begin with `drive`, the closed loop of a run.
//!
//! * `options`: the command line. `error`: why a run failed.
//! * Requests: `partition` prepares and updates them, from `telemetry` (bodies), `envelope` (JSON), `framing` (HTTP) and
//!   `digits` (numbers and times of a fixed width).
//! * Replies: `connection` and `partition_connection` send a request and receive its `reply`.
//! * Counts: `counts_reader` reads the handler's `counts`; `repeat` sends the last batches again.
//! * Results: `metrics` (requests and latencies), `monitor` and `process` (processor time and memory), `report`.

mod connection;
mod counts;
mod counts_reader;
mod digits;
mod drive;
mod envelope;
mod error;
mod framing;
mod metrics;
mod monitor;
mod options;
mod partition;
mod partition_connection;
mod process;
mod repeat;
mod report;
mod telemetry;

use std::process::ExitCode;

use devicestate_terminal::{CommandError, CommandOutcome, Output, print, print_json_value};

use error::Error;
use options::Options;
use report::Report;

fn main() -> ExitCode {
    let options = Options::parse_arguments();
    let report = match measure(&options) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("load: {error}");
            return ExitCode::from(error.exit_code());
        }
    };
    let mismatches = report.mismatches();
    if let Err(error) = print_report(&options, &report, mismatches.is_empty()) {
        return error.report("load");
    }
    for line in &mismatches {
        eprintln!("load: {line}");
    }
    if mismatches.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs on one thread: a second one would only take a core from the handler.
fn measure(options: &Options) -> Result<Report, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    runtime.block_on(drive::drive(options))
}

fn print_report(options: &Options, report: &Report, is_complete: bool) -> Result<(), CommandError> {
    let outcome = if is_complete { CommandOutcome::Succeeded } else { CommandOutcome::Failed };
    match options.output.output {
        Output::Table => print(report),
        format => print_json_value(format, "load", outcome, report),
    }
}
