//! The load driver: calls a custom handler as the Functions host does, as fast as it answers, and holds its counts
//! against what was sent.
//!
//! `cargo run --release --package devicestate-load -- --url http://127.0.0.1:7071`. docs/contribute/load-driver.md tells how.

mod connection;
mod counts;
mod digits;
mod drive;
mod envelope;
mod error;
mod framing;
mod lane;
mod options;
mod partition;
mod process;
mod repeat;
mod reply;
mod report;
mod tally;
mod telemetry;
mod teller;
mod watch;

use std::process::ExitCode;

use error::Error;
use options::{Format, Options};
use report::Report;

fn main() -> ExitCode {
    let options = Options::read();
    let report = match measure(&options) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("load: {error}");
            return ExitCode::from(error.exit_code());
        }
    };
    match options.format {
        Format::Table => print!("{report}"),
        Format::Json => println!("{}", serde_json::to_string(&report).expect("text and numbers are always JSON")),
    }
    let missing = report.missing();
    for line in &missing {
        eprintln!("load: {line}");
    }
    if missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One thread does it all: there is nothing that a second one could do without taking a core from the handler.
fn measure(options: &Options) -> Result<Report, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    runtime.block_on(drive::drive(options))
}
