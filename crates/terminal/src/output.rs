//! What a program prints, and how it ends.

use std::process::ExitCode;

use clap::ValueEnum;

use crate::table::clean;

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
    #[must_use]
    pub fn with(self, line: &str) -> Self {
        Self { message: format!("{}\n{line}", self.message), ..self }
    }

    /// Tells it on standard error, as this program's last word.
    #[must_use]
    pub fn end(&self, program: &str) -> ExitCode {
        eprintln!("{program}: {}", clean(&self.message));
        ExitCode::from(self.code)
    }

    /// What it says.
    #[must_use]
    pub fn into_message(self) -> String {
        self.message
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
