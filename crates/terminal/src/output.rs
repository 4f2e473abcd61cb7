//! The results that a program prints on standard output, and the errors with its exit codes.

use std::{fmt::Display, io::ErrorKind, io::Write as _, process::ExitCode};

use clap::ValueEnum;
use devicestate_engine::text::{clean, escape_json};
use serde::Serialize;

use crate::interrupt::exit_code;

/// The version of the envelope's schema, `docs/reference/output.schema.json`. It rises when a member is renamed or removed.
const SCHEMA_VERSION: u32 = 1;

/// The option `-o, --output`, the same in every program.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct OutputOption {
    /// Output format
    #[arg(short, long = "output", value_name = "FORMAT", default_value = "table", help_heading = "Output")]
    pub output: Output,
}

/// How a program prints its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Human-readable tables
    Table,
    /// One JSON object: the envelope of docs/reference/output.schema.json
    Json,
    /// JSON lines: one item of the result per line, without the envelope
    Jsonl,
}

/// Whether a command succeeded. It agrees with the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum CommandOutcome {
    /// Exit code 0.
    Succeeded,
    /// Exit code 1, or the code of a signal.
    Failed,
}

impl CommandOutcome {
    /// Returns the outcome that agrees with the exit code of this result.
    #[must_use]
    pub fn from_result<T>(result: &Result<T, CommandError>) -> Self {
        if result.is_ok() { Self::Succeeded } else { Self::Failed }
    }
}

/// The JSON object that every command prints with `--output json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a, T: ?Sized> {
    command: &'a str,
    schema_version: u32,
    outcome: CommandOutcome,
    data: &'a T,
}

/// Prints a list as JSON: the envelope with `Json`, one line per item with `Jsonl`. `command` names the program or its
/// subcommand, such as `dead-letters list`.
///
/// # Errors
///
/// An item cannot be written as JSON, or standard output fails. A closed pipe or terminal is not an error.
pub fn print_json_items<T: Serialize>(
    output: Output,
    command: &str,
    outcome: CommandOutcome,
    items: &[T],
) -> Result<(), CommandError> {
    if output == Output::Jsonl {
        return items.iter().try_for_each(|item| write_out(&(to_json(item)? + "\n")));
    }
    print_envelope(command, outcome, items)
}

/// Prints a result that is not a list as JSON: the envelope with `Json`, one line with `Jsonl`.
///
/// # Errors
///
/// As [`print_json_items`].
pub fn print_json_value(
    output: Output,
    command: &str,
    outcome: CommandOutcome,
    data: &impl Serialize,
) -> Result<(), CommandError> {
    if output == Output::Jsonl {
        return write_out(&(to_json(data)? + "\n"));
    }
    print_envelope(command, outcome, data)
}

/// Prints a list as JSON, item by item: a list may be larger than memory. With `Json`, `outcome` follows `data`.
pub struct JsonItems<'a> {
    output: Output,
    command: &'a str,
    printed: u64,
}

impl<'a> JsonItems<'a> {
    /// Starts the list of a command. It prints nothing before the first item.
    #[must_use]
    pub fn new(output: Output, command: &'a str) -> Self {
        Self { output, command, printed: 0 }
    }

    /// Returns whether an item was printed.
    #[must_use]
    pub fn has_printed(&self) -> bool {
        self.printed > 0
    }

    /// Prints an item.
    ///
    /// # Errors
    ///
    /// As [`print_json_items`].
    pub fn item(&mut self, item: &impl Serialize) -> Result<(), CommandError> {
        let json = to_json(item)?;
        let text = match self.output {
            Output::Jsonl => json + "\n",
            _ if self.printed == 0 => format!("{}\n    {json}", self.head()?),
            _ => format!(",\n    {json}"),
        };
        self.printed += 1;
        write_out(&text)
    }

    /// Ends the list.
    ///
    /// # Errors
    ///
    /// As [`print_json_items`].
    pub fn end(self, outcome: CommandOutcome) -> Result<(), CommandError> {
        if self.output == Output::Jsonl {
            return Ok(());
        }
        let (head, end) = if self.printed == 0 { (self.head()?, "") } else { (String::new(), "\n  ") };
        write_out(&format!("{head}{end}],\n  \"outcome\": {}\n}}\n", to_json(&outcome)?))
    }

    fn head(&self) -> Result<String, CommandError> {
        let command = to_json(&self.command)?;
        Ok(format!("{{\n  \"command\": {command},\n  \"schemaVersion\": {SCHEMA_VERSION},\n  \"data\": ["))
    }
}

fn print_envelope<T: Serialize + ?Sized>(command: &str, outcome: CommandOutcome, data: &T) -> Result<(), CommandError> {
    let envelope = Envelope { command, schema_version: SCHEMA_VERSION, outcome, data };
    let json = serde_json::to_string_pretty(&envelope).map_err(CommandError::failed)?;
    write_out(&(escape_json(&json).into_owned() + "\n"))
}

/// Returns JSON on one line.
fn to_json(value: &impl Serialize) -> Result<String, CommandError> {
    let json = serde_json::to_string(value).map_err(CommandError::failed)?;
    // JSON that a message contains unparsed may have line ends between its tokens.
    Ok(escape_json(&json).replace('\n', " "))
}

/// An error that ends a command, with its exit code.
#[derive(Debug)]
pub struct CommandError {
    message: String,
    code: u8,
}

impl CommandError {
    /// Creates the error of a command that could not start: usage, a file, a connection. Exit code 2.
    #[must_use]
    pub fn not_started(error: impl Display) -> Self {
        Self { message: without_os_codes(&error.to_string()), code: 2 }
    }

    /// Creates the error of a command that started and failed. Exit code 1.
    #[must_use]
    pub fn failed(error: impl Display) -> Self {
        Self { message: without_os_codes(&error.to_string()), code: 1 }
    }

    /// Creates the error of a command that Ctrl-C or another signal stopped before its end. Exit code 130, 143 (SIGTERM) or 129
    /// (SIGHUP), as of a program that does not handle these signals.
    #[must_use]
    pub fn interrupted(error: impl Display) -> Self {
        Self { message: without_os_codes(&error.to_string()), code: exit_code() }
    }

    /// Returns whether the command started, so that its exit code is not 2.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        self.code != 2
    }

    /// Appends a line to the message.
    #[must_use]
    pub fn with_line(self, line: &str) -> Self {
        Self { message: format!("{}\n{line}", self.message), ..self }
    }

    /// Prints the message on standard error, prefixed with the program's name, and returns the exit code.
    #[must_use]
    pub fn report(&self, program: &str) -> ExitCode {
        print_message(format_args!("{program}: {}", self.message));
        ExitCode::from(self.code)
    }

    /// Returns the message without the program's name.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the message without the program's name.
    #[must_use]
    pub fn into_message(self) -> String {
        self.message
    }
}

/// Removes the codes that `std::io::Error` appends, such as ` (os error 2)`: the text before them is the reason. words:allow the code itself
fn without_os_codes(text: &str) -> String {
    const BEGIN: &str = " (os error ";
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(BEGIN) {
        result.push_str(before);
        let code = after.trim_start_matches(|c: char| c == '-' || c.is_ascii_digit());
        rest = match code.strip_prefix(')') {
            Some(after_code) if code.len() < after.len() => after_code,
            _ => {
                result.push_str(BEGIN);
                after
            }
        };
    }
    result + rest
}

/// Prints a text to standard output, without hidden characters. A closed pipe (`| head`) or terminal is not an error.
///
/// # Errors
///
/// Any other failure to write.
pub fn print(text: impl Display) -> Result<(), CommandError> {
    write_out(&clean(&text.to_string()))
}

/// Prints a line to standard error, without hidden characters. An error is ignored: the command continues without its terminal.
pub fn print_message(text: impl Display) {
    eprint(&format!("{text}\n"));
}

/// Prints a text to standard error, as [`print_message`] does, without a line end.
pub fn eprint(text: &str) {
    let _ = std::io::stderr().write_all(clean(text).as_bytes());
}

fn write_out(text: &str) -> Result<(), CommandError> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe && !is_closed_terminal(&error) => {
            Err(CommandError::failed(error))
        }
        _ => Ok(()),
    }
}

/// Returns true for the error of a write to a terminal that was closed. On a disk the same error is a failure.
#[cfg(unix)]
fn is_closed_terminal(error: &std::io::Error) -> bool {
    use std::os::{fd::AsFd as _, unix::fs::FileTypeExt as _};
    /// `EIO` of Linux and macOS.
    const INPUT_OUTPUT_ERROR: i32 = 5;
    // Not `is_terminal`, which is false once the terminal is closed.
    let is_device = || {
        let output = std::io::stdout().as_fd().try_clone_to_owned().map(std::fs::File::from);
        output.and_then(|file| file.metadata()).is_ok_and(|metadata| metadata.file_type().is_char_device())
    };
    error.raw_os_error() == Some(INPUT_OUTPUT_ERROR) && is_device()
}

#[cfg(not(unix))]
fn is_closed_terminal(_: &std::io::Error) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_no_os_code() {
        let missing = std::fs::read("no/such/file").expect_err("there is no file");
        assert!(
            !CommandError::failed(format!("reading: {missing}; is the path right?"))
                .into_message()
                .contains("os error")
        );
        assert_eq!(without_os_codes("a (os error 2), b (os error -7)"), "a, b"); // words:allow the code itself
        assert_eq!(without_os_codes("a (os error x) (os error )"), "a (os error x) (os error )");
    }
}
