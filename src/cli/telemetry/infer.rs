//! `telemetry infer`.

use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use clap::Args;
use devicestate_telemetry::infer::{InferError, Inference, Known, Sample};
use devicestate_terminal::{CommandError, print, print_message};

use super::{EventsArgument, visit_events};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  devicestate telemetry infer events.jsonl
  devicestate telemetry infer capture.avro --output telemetry.json
  devicestate telemetry infer events.jsonl --device /unit/no --time body:/sentAt

The sample is the first 1000 events, at most 16 MiB. The device id and the time are found by usual \
names and formats, or are named by the options: a JSON Pointer in the record, `body:` and a pointer if it \
is outside of the records, or another source of a telemetry file. What was chosen, and what to check, is printed on standard error. Nothing is said \
of units and ranges, and no reading is required. Check the result with `devicestate telemetry check`.

Exit codes:
  0  the file was written
  1  no telemetry file can be inferred: no device id was found, or no JSON
  2  the file of events cannot be read, an option is not valid, or the output exists

Docs: docs/reference/commands.md")]
pub(super) struct Options {
    #[command(flatten)]
    events: EventsArgument,
    /// Where the device id is
    #[arg(long, value_name = "POINTER", help_heading = "Telemetry")]
    device: Option<String>,
    /// Where the device's time is
    #[arg(long, value_name = "POINTER", help_heading = "Telemetry")]
    time: Option<String>,
    /// New file for the result [default: standard output]
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    output: Option<PathBuf>,
    /// Overwrite the file
    #[arg(long, requires = "output", help_heading = "Output")]
    overwrite: bool,
}

impl Options {
    pub(super) async fn run(self) -> Result<(), CommandError> {
        if let Some(output) = self.output.as_ref().filter(|output| !self.overwrite && output.exists()) {
            return Err(exists(output));
        }
        let sample =
            visit_events(&self.events.events, Sample::default(), |sample, event| sample.add(&event.to_event()));
        let known = Known { device: self.device, time: self.time };
        let inferred = sample.await?.infer(&known).map_err(|error| match error {
            InferError::InvalidSource { .. } => CommandError::not_started(error),
            InferError::NoObjects(_) | InferError::NoDevice(_) => CommandError::failed(error),
        });
        let Inference { text, notes } = inferred?;
        notes.iter().for_each(print_message);
        match &self.output {
            Some(output) => write(output, &text, self.overwrite),
            None => print(text),
        }
    }
}

/// Writes the file; an existing one only if it may be overwritten.
fn write(path: &Path, text: &str, may_overwrite: bool) -> Result<(), CommandError> {
    let file = if may_overwrite { File::create(path) } else { File::create_new(path) };
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(path),
        _ => CommandError::not_started(format!(
            "the file {} cannot be written: {error} (option --output)",
            path.display()
        )),
    })
}

fn exists(path: &Path) -> CommandError {
    CommandError::not_started(format!("the file {} exists: use another name, or --overwrite", path.display()))
}
