//! The command line.

mod dead_letters;
mod drill;
mod local;
mod quantities;
mod report;
mod state;
pub mod table;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand, ValueEnum};

use crate::{config, log, serve, settings::Settings};

pub use quantities::rate;
pub use table::{Table, clean};

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
    Local(local::Options),
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

/// How to print a list or a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For machines: one JSON value.
    Json,
}

/// An error that ends a command, with its exit code: 1 for work that failed, 2 for what could not be begun
/// or reached.
#[derive(Debug)]
pub struct Failed {
    message: String,
    code: u8,
}

impl Failed {
    /// The command could not be begun: usage, a file, a connection.
    #[must_use]
    pub fn to_begin(error: impl std::fmt::Display) -> Self {
        Self { message: error.to_string(), code: 2 }
    }

    /// The command began and failed.
    #[must_use]
    pub fn at_work(error: impl std::fmt::Display) -> Self {
        Self { message: error.to_string(), code: 1 }
    }

    /// With one more line.
    fn with(self, line: &str) -> Self {
        Self { message: format!("{}\n{line}", self.message), ..self }
    }

    /// Tells it on standard error, as this program's last word.
    #[must_use]
    pub fn end(&self, program: &str) -> ExitCode {
        eprintln!("{program}: {}", clean(&self.message));
        ExitCode::from(self.code)
    }

    /// What it says.
    fn into_message(self) -> String {
        self.message
    }
}

impl Cli {
    /// Runs the command.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let runtime = match tokio::runtime::Runtime::new() {
            Ok(runtime) => runtime,
            Err(error) => return Failed::to_begin(error).end(PROGRAM),
        };
        let result = runtime.block_on(async {
            match self.command {
                Command::Serve(options) => serve(options).await,
                Command::Local(options) => options.run().await,
                Command::State(options) => options.run().await,
                Command::DeadLetters(options) => options.run().await,
            }
        });
        // Threads that wait for input or a file end with the process.
        runtime.shutdown_background();
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(failed) => failed.end(PROGRAM),
        }
    }
}

/// Prints to standard output. A reader that went away (`| head`) is no error.
///
/// # Errors
///
/// Any other failure to write.
pub fn print(text: impl std::fmt::Display) -> Result<(), Failed> {
    use std::io::{ErrorKind, Write as _};
    match write!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failed::at_work(error)),
        _ => Ok(()),
    }
}

async fn serve(options: ServeOptions) -> Result<(), Failed> {
    let settings = Settings::from_environment();
    log::set_up(config::log_level(&settings).map_err(Failed::at_work)?);
    let root = settings.get("FUNCTIONS_APP_ROOT_PATH").map_or_else(|| PathBuf::from("."), PathBuf::from);
    let port = match options.port {
        Some(port) => port,
        None => config::port(&settings).map_err(Failed::at_work)?,
    };
    // The host restarts a handler that ended with any code but 0; `serve` never ends with 0.
    match serve::serve(&root, &settings, port).await {
        Err(error) => Err(Failed::at_work(error)),
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
