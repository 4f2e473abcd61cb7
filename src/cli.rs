//! The command line of `devicestate`.
//!
//! Each command is a module: `devices`, `dead_letters`, `telemetry` and, with the feature `local`, `local`, `drill` and `ui`. A
//! command returns [`CommandError`], which holds the exit code.

mod dead_letters;
mod devices;
#[cfg(feature = "local")]
mod drill;
#[cfg(feature = "local")]
mod local;
#[cfg(feature = "local")]
mod report_page;
mod telemetry;
#[cfg(feature = "local")]
mod ui;
#[cfg(not(feature = "local"))]
mod without_local;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use devicestate_engine::settings::Settings;
use devicestate_terminal::CommandError;

use crate::{config, log, serve};
#[cfg(not(feature = "local"))]
use without_local::{drill, local, ui};

/// The prefix of error messages.
const PROGRAM: &str = "devicestate";

/// Keep the latest state of every device: one document per device, in order, nothing lost
#[derive(Debug, Parser)]
#[command(version, long_about = None, max_term_width = 100)]
#[command(after_help = "\
Examples:
  # Run everything on this machine
  devicestate local --state state.db

  # List the devices with their latest readings
  devicestate devices list --state state.db

  # List the events that could not be applied
  devicestate dead-letters list --state state.db

Docs: docs/reference/commands.md")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve as the custom handler that the Functions host starts
    ///
    /// The configuration comes from app settings, which are environment variables. The command runs until it is stopped; if
    /// it exits by itself, it has failed.
    #[command(after_help = "\
Examples:
  StateStore=memory devicestate serve --port 7071
  StateStore=sqlite SqlitePath=state.db devicestate serve --port 7071 --api 8080

Docs: docs/reference/settings.md")]
    Serve(ServeOptions),
    /// Run the complete system on this machine: a hub, a host that starts the handler, state and dead letters in a file
    #[cfg_attr(not(feature = "local"), command(hide = true))]
    Local(Box<local::Options>),
    /// Lose a region, fail over and fail back on this machine, and compare every document with its events
    #[cfg_attr(not(feature = "local"), command(hide = true))]
    Drill(Box<drill::Options>),
    /// Show the devices of a state file or of Azure on a live page
    #[cfg_attr(not(feature = "local"), command(hide = true))]
    Ui(Box<ui::Options>),
    /// List devices and show their state documents
    Devices(devices::Options),
    /// Check how events are decoded, and write a first telemetry file
    Telemetry(telemetry::Options),
    /// Inspect and repair dead letters: the events that could not be applied
    DeadLetters(Box<dead_letters::Options>),
}

#[derive(Debug, clap::Args)]
struct ServeOptions {
    /// Port on 127.0.0.1 [default: the setting FUNCTIONS_CUSTOMHANDLER_PORT, which the host sets]
    #[arg(long)]
    port: Option<u16>,
    /// Port on 127.0.0.1 for requests for the state of devices by plain HTTP, without a key: /api/devices, /openapi.json
    #[arg(long, value_name = "PORT")]
    api: Option<u16>,
}

impl Cli {
    /// Runs the command and returns its exit code.
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
                Command::Ui(options) => options.run().await,
                Command::Devices(options) => options.run().await,
                Command::Telemetry(options) => options.run().await,
                Command::DeadLetters(options) => options.run().await,
            }
        });
        // Threads that wait for input or a file are dropped with the process.
        runtime.shutdown_background();
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => error.report(PROGRAM),
        }
    }
}

async fn serve(options: ServeOptions) -> Result<(), CommandError> {
    let settings = Settings::from_environment();
    let host = serve::Host::new(&settings, options.port.is_none());
    log::set_up(config::log_level(&settings).map_err(CommandError::failed)?);
    let root = settings.get("FUNCTIONS_APP_ROOT_PATH").map_or_else(|| PathBuf::from("."), PathBuf::from);
    let port = match options.port {
        Some(port) => port,
        None => config::port(&settings).map_err(CommandError::failed)?,
    };
    // The host restarts a handler that exits with any code but 0; `serve` never exits with 0.
    match serve::serve(&root, &settings, port, options.api, host).await {
        Err(error) => Err(CommandError::failed(error)),
    }
}

/// Returns the program as the user called it, for commands that the user can copy.
#[cfg(feature = "local")]
fn program() -> String {
    std::env::args_os().next().map_or_else(|| PROGRAM.to_owned(), |program| program.display().to_string())
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory as _};

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// Returns every command with subcommands, by its complete name.
    fn commands(command: &Command, name: &str) -> Vec<(String, Command)> {
        let subcommands =
            command.get_subcommands().filter(|command| command.get_name() != "help" && !command.is_hide_set());
        let subcommands = subcommands.flat_map(|command| commands(command, &format!("{name} {}", command.get_name())));
        std::iter::once((name.to_owned(), command.clone())).chain(subcommands).collect()
    }

    #[test]
    fn each_help_has_a_line_examples_and_a_page() {
        let commands = commands(&Cli::command(), "devicestate").into_iter();
        for (name, mut command) in commands {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty() && !about.contains('\n'), "{name}: {about:?}");
            let help = command.render_long_help().to_string();
            let examples: Vec<_> =
                help.lines().filter(|line| line.contains("devicestate") && line.starts_with("  ")).collect();
            assert!(examples.len() >= 2, "{name}: {help}");
            let page = help.lines().find_map(|line| line.strip_prefix("Docs: "));
            assert!(page.is_some_and(|page| page.starts_with("docs/")), "{name}: {help}");
        }
    }
}
