//! The binary in a build with OTLP, under another name than the default build's.

use std::process::ExitCode;

use clap::Parser as _;
use devicestate::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run()
}
