//! The binary: parses the command line and runs the command.

use std::process::ExitCode;

use clap::Parser as _;
use devicestate::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run()
}
