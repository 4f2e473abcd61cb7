//! The binary: parses the command line, nothing more.

use std::process::ExitCode;

use clap::Parser as _;
use devicestate::cli::Cli;

/// Each batch asks for a few large pieces of memory and gives them back. That of the C library goes to the system with
/// them each time: docs/performance.md has what this makes of it.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    Cli::parse().run()
}
