//! The binary in a build with OTLP, under a name of its own.

use std::process::ExitCode;

use clap::Parser as _;
use devicestate::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run()
}
