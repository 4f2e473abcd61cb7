//! The command line.

mod dead_letters;
#[cfg(feature = "local")]
mod drill;
#[cfg(feature = "local")]
mod local;
mod state;
#[cfg(not(feature = "local"))]
mod without_local;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use devicestate_engine::settings::Settings;
use devicestate_terminal::CommandError;

use crate::{config, log, serve};
#[cfg(not(feature = "local"))]
use without_local::{drill, local};

/// What its errors begin with.
const PROGRAM: &str = "devicestate";

/// The latest state of every device, exactly.
#[derive(Debug, Parser)]
#[command(version, about, long_about = None, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve as the custom handler that the Functions host starts (see host.json).
    ///
    /// Reads its configuration from app settings, which are environment variables. Ends only with an error.
    #[command(after_help = "Examples:\n  StateStore=memory devicestate serve --port 7071\n  \
                            StateStore=sqlite SqlitePath=state.db devicestate serve --port 7071")]
    Serve(ServeOptions),
    /// Run the whole system on this machine: a hub, a host that starts the handler, state and dead letters in a file.
    #[cfg_attr(not(feature = "local"), command(hide = true))]
    Local(Box<local::Options>),
    /// Lose a region, fail over and fail back on this machine, and compare every document with its events
    #[cfg_attr(not(feature = "local"), command(hide = true))]
    Drill(Box<drill::Options>),
    /// Look at the state documents.
    State(state::Options),
    /// Examine dead letters, replay them, put them right.
    DeadLetters(Box<dead_letters::Options>),
}

#[derive(Debug, clap::Args)]
struct ServeOptions {
    /// Listen on this port of 127.0.0.1 in place of the one that the host names in FUNCTIONS_CUSTOMHANDLER_PORT.
    #[arg(long)]
    port: Option<u16>,
}

impl Cli {
    /// Runs the command.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let runtime = match tokio::runtime::Runtime::new() {
            Ok(runtime) => runtime,
            Err(error) => return CommandError::not_started(error).report(PROGRAM),
        };
        let result = runtime.block_on(async {
            match self.command {
                Command::Serve(options) => serve(options).await,
                Command::Local(options) => options.run().await,
                Command::Drill(options) => options.run().await,
                Command::State(options) => options.run().await,
                Command::DeadLetters(options) => options.run().await,
            }
        });
        // Threads that wait for input or a file end with the process.
        runtime.shutdown_background();
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => error.report(PROGRAM),
        }
    }
}

async fn serve(options: ServeOptions) -> Result<(), CommandError> {
    let settings = Settings::from_environment();
    log::set_up(config::log_level(&settings).map_err(CommandError::failed)?);
    let root = settings.get("FUNCTIONS_APP_ROOT_PATH").map_or_else(|| PathBuf::from("."), PathBuf::from);
    let port = match options.port {
        Some(port) => port,
        None => config::port(&settings).map_err(CommandError::failed)?,
    };
    // The host restarts a handler that ended with any code but 0; `serve` never ends with 0.
    match serve::serve(&root, &settings, port).await {
        Err(error) => Err(CommandError::failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_does_not_contradict_itself() {
        super::Cli::command().debug_assert();
    }
}
