//! `telemetry check`.

use std::{collections::BTreeSet, fs, path::PathBuf};

use clap::{Args, ValueEnum};
use devicestate_engine::{processor::max_readings, settings::Settings};
use devicestate_telemetry::{
    DEFAULT_FILE, LoadError, LoadedTelemetry,
    inspect::{EventReport, Inspector, Summary, reading_names},
    load,
};
use devicestate_terminal::{CommandError, CommandOutcome, Output, OutputOption, count_of, print, print_json_value};
use serde::Serialize;

use super::{EventsArgument, tables::Tables, visit_events, warn};

/// The name of the command in the output.
const COMMAND: &str = "telemetry check";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  # With the telemetry of the function app in the current folder
  devicestate telemetry check events.jsonl

  # With a telemetry file, for a script
  devicestate telemetry check --file telemetry.json events.jsonl -o json

  # The dead letters of a queue, with a corrected telemetry file
  devicestate dead-letters export | devicestate telemetry check -

Nothing is stored. Readings of shown events have the JSON Pointer of their source, if changing that \
alone changes the reading. Records of an event are numbered from 0, as in versions, dead letters and \
pointers. A field is never used if changing or removing it changed nothing in up to \
20 events.

Exit codes:
  0  all events are decoded, or ignored
  1  an event would become a dead letter, or no event had a known field
  2  a setting, the telemetry file or the file of events is not valid

Docs: docs/reference/commands.md")]
pub(super) struct Options {
    #[command(flatten)]
    events: EventsArgument,
    /// Telemetry file [default: that of the function app]
    #[arg(long, value_name = "FILE", help_heading = "Telemetry")]
    file: Option<PathBuf>,
    /// Telemetry, instead of the setting `Telemetry`
    #[arg(long, value_enum, value_name = "KIND", conflicts_with = "file", help_heading = "Telemetry")]
    telemetry: Option<Kind>,
    /// Folder of the function app
    #[arg(long, value_name = "DIR", default_value = ".", help_heading = "Telemetry")]
    app_root: PathBuf,
    /// Show the first N events; the summary is of all
    #[arg(long, value_name = "N", default_value_t = 10, help_heading = "Output")]
    limit: u64,
    // The page is drawn by a crate that the deployed build does not have.
    #[cfg(feature = "local")]
    #[command(flatten)]
    html: crate::cli::report_page::HtmlOption,
    #[command(flatten)]
    output: OutputOption,
}

/// The telemetry of a function app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Any JSON, or what a telemetry file describes
    Json,
    /// The drones of the reference implementation
    Drone,
}

/// The result.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Check {
    /// What decoded the events.
    pub(super) telemetry: String,
    pub(super) events: Vec<EventReport>,
    pub(super) summary: Summary,
}

impl Options {
    pub(super) async fn run(self) -> Result<(), CommandError> {
        let Loaded { telemetry: LoadedTelemetry { telemetry, description, .. }, max_readings, names } = self.load()?;
        #[cfg(feature = "local")]
        let page_file = self.html.open(&[])?;
        let limit = self.limit;
        let inspected = Inspected { inspector: Inspector::new(telemetry, max_readings, names), events: Vec::new() };
        let inspected = visit_events(&self.events.events, inspected, move |inspected, event| {
            let Inspected { inspector, events } = inspected;
            let is_wanted = (events.len() as u64) < limit;
            events.extend(inspector.add(&event.to_event(), event.line, is_wanted));
            true
        });
        let Inspected { inspector, events } = inspected.await?;
        let check = Check { telemetry: description, events, summary: inspector.finish() };
        let result = result(&check.summary);
        match self.output.output {
            Output::Table => print(Tables(&check))?,
            output => print_json_value(output, COMMAND, CommandOutcome::from_result(&result), &check)?,
        }
        if check.summary.events == 0 {
            warn("the file has no events");
        }
        #[cfg(feature = "local")]
        let result = crate::cli::report_page::write_page(
            page_file,
            |result| super::page::page(&self.events.events.display().to_string(), &check, result),
            result,
        );
        result
    }

    /// Loads the telemetry as the handler does.
    fn load(&self) -> Result<Loaded, CommandError> {
        let mut settings = Settings::from_environment();
        if let Some(file) = &self.file {
            // A path in a setting is relative to the folder of the app.
            let file = std::path::absolute(file).map_err(CommandError::not_started)?;
            settings.set("TelemetryFile", file.to_string_lossy());
            settings.set("Telemetry", "json");
        }
        match self.telemetry {
            Some(Kind::Json) => settings.set("Telemetry", "json"),
            Some(Kind::Drone) => settings.set("Telemetry", "drone"),
            None => {}
        }
        let telemetry = load(&settings, &self.app_root).map_err(|error| match error {
            LoadError::Unreadable { path, source, .. } if self.file.is_some() => {
                let error = LoadError::Unreadable { path, is_set: false, source };
                CommandError::not_started(format!("{error} (option --file)"))
            }
            error => CommandError::not_started(error),
        })?;
        let file = self.app_root.join(settings.get("TelemetryFile").unwrap_or(DEFAULT_FILE));
        let names = fs::read_to_string(file).map(|text| reading_names(&text)).unwrap_or_default();
        let max_readings = max_readings(&settings).map_err(CommandError::not_started)?;
        Ok(Loaded { telemetry, max_readings, names })
    }
}

/// What the settings select.
struct Loaded {
    telemetry: LoadedTelemetry,
    max_readings: usize,
    /// The names of the readings in the telemetry file.
    names: BTreeSet<String>,
}

struct Inspected {
    inspector: Inspector,
    events: Vec<EventReport>,
}

/// Returns the error for the exit code.
fn result(summary: &Summary) -> Result<(), CommandError> {
    let Summary { events, decoded, unrecognized, dead_lettered, .. } = *summary;
    if dead_lettered > 0 {
        let of = count_of(events, "event");
        return Err(CommandError::failed(format!("{dead_lettered} of {of} would become dead letters")));
    }
    if unrecognized > 0 && decoded == 0 {
        return Err(CommandError::failed("no event had a known field, so nothing would be stored"));
    }
    Ok(())
}
