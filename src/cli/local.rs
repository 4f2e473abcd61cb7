//! `devicestate local`: the entire system on one machine.

mod page;
mod report;

use std::{path::PathBuf, sync::Arc};

use clap::{ArgGroup, Args, value_parser};
use devicestate_azure::CosmosStore;
use devicestate_engine::settings::{ConfigError, Settings};
use devicestate_local::{
    Documents, Front, Input, InvalidEventRate, Sessions, Simulation,
    packing::MAX_PACKED_RECORDS,
    report::{Failures, InputReport, Report},
    simulator::Encoding,
};
use devicestate_terminal::{
    CommandError, CommandOutcome, Output, OutputOption, count_of, parse_duration_ms, parse_rate, print,
    print_json_value, print_message, shell_quoted,
};

use super::{
    program,
    report_page::{HtmlOption, write_page},
};
use crate::config::StoreConfig;
pub(super) use report::CheckLines;
use report::Tables;

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("records").args(["file", "devices"])))]
#[command(after_help = "\
Examples:
  # The demonstration: sample telemetry, faults, and a check at the end
  devicestate local

  # Events of a file, with 32 partitions and 3 instances
  devicestate local --file telemetry.jsonl.gz --partitions 32 --instances 3

  # Events from standard input
  gunzip -c telemetry.jsonl.gz | devicestate local --file - --state state.db

  # 1000 simulated devices, and invalid events
  devicestate local --devices 1000 --invalid-events 0.5% --check -o json

  # Events by HTTP and the live page, until Ctrl-C
  devicestate local --listen --ui --state state.db

  # Telemetry for the alerts
  devicestate local --devices 100 --rate 200/s --telemetry telemetry.jsonl

  # Eight records of a device in each event
  devicestate local --devices 100 --pack 8

  # A Service Bus queue with a session for each device
  devicestate local --sessions --devices 100

  # The report as a page with charts
  devicestate local --html report.html

  # A published app, which has no samples
  devicestate local --app-root target/package

Exit codes:
  0  every event is accounted for, and the check passed if it was run; Ctrl-C
     is the normal end with --listen or --ui, after the input
  1  the run or the check failed, events were lost or are in the dead-letter
     sub-queue, or nothing is stored: no event had a known field, or every
     event became a dead letter
  2  the run could not start
  129, 130, 143  interrupted by SIGHUP, Ctrl-C or SIGTERM

Docs: docs/reference/commands.md")]
pub(super) struct Options {
    #[command(flatten)]
    input: InputOptions,
    #[command(flatten)]
    simulation: SimulationOptions,
    /// Add this share of invalid events of several kinds [default: 1% in the demonstration, else 0%]
    #[arg(long, value_name = "PERCENT", help_heading = "Faults")]
    invalid_events: Option<InvalidEventRate>,
    /// Backdate events and dead letters by this long, as after an outage (90s, 15m, 2h, 7d)
    #[arg(long, value_name = "DURATION", value_parser = backdate, help_heading = "Faults")]
    backdate: Option<i64>,
    /// Throttle the hub to this many throughput units of 1000 events or 1 MB per second
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=40), help_heading = "Faults")]
    throughput_units: Option<u32>,
    #[command(flatten)]
    host: HostOptions,
    #[command(flatten)]
    sessions: SessionOptions,
    /// Compare every document with the fold of its events at the end, as the demonstration always does; keeps all events in memory
    #[arg(long, conflicts_with = "sessions", help_heading = "Output")]
    check: bool,
    /// Keep running until Ctrl-C, and show the devices on a live page in the browser [default port: 7080; 0: a free one]
    #[arg(long, value_name = "PORT", num_args = 0..=1, help_heading = "Output")]
    #[expect(clippy::option_option, reason = "an option whose value is optional")]
    ui: Option<Option<u16>>,
    #[command(flatten)]
    files: FileOptions,
}

/// The port of `--listen` and `--ui`, unless another one is given.
const DEFAULT_PORT: u16 = 7080;

/// Options of the input.
#[derive(Debug, Args)]
#[command(next_help_heading = "Input")]
struct InputOptions {
    /// Read events from this file, or from standard input for -: JSON lines or values, an array, a Capture file, dead letters; plain or gzip
    #[arg(long, value_name = "FILE", conflicts_with = "devices")]
    file: Option<PathBuf>,
    /// Keep running until Ctrl-C, and take events by HTTP at http://127.0.0.1:PORT/HUB/messages [default port: 7080; 0: a free one]
    #[arg(long, value_name = "PORT", num_args = 0..=1, conflicts_with = "check")]
    #[expect(clippy::option_option, reason = "an option whose value is optional")]
    listen: Option<Option<u16>>,
    /// Maximum rate in events per second of the file or the simulation, such as 200/s [default: unlimited]
    #[arg(long, value_name = "N/s", value_parser = parse_rate)]
    rate: Option<u32>,
    /// Put up to N consecutive JSON records of a device into one event, an array of at most 250 kB, in their order; incomplete ones
    /// are sent at the end of the input
    #[arg(long, value_name = "N", default_value_t = 1, requires = "records", value_parser = value_parser!(u32).range(1..=MAX_PACKED_RECORDS.into()))]
    pack: u32,
}

/// Options of the simulated devices.
#[derive(Debug, Args)]
#[command(next_help_heading = "Simulation")]
struct SimulationOptions {
    /// Simulate this many devices, which send key frames and deltas
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    devices: Option<u32>,
    /// Number of events per device
    #[arg(long, value_name = "N", default_value_t = 100, requires = "devices")]
    events: u32,
    /// Encoding of the events
    #[arg(long, value_enum, default_value = "json", requires = "devices")]
    encoding: Encoding,
    /// Seed of the simulation; the same seed creates the same events
    #[arg(long, value_name = "N", default_value_t = 1, requires = "devices")]
    seed: u64,
}

/// Options of the stand-in host.
#[derive(Debug, Args)]
#[command(next_help_heading = "Host")]
pub(super) struct HostOptions {
    /// Number of partitions of the hub
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = value_parser!(u16).range(1..=1024))]
    pub(super) partitions: u16,
    /// Number of instances of the function app, each with its own handler; a hub has at most one for each partition
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u16).range(1..=64))]
    pub(super) instances: u16,
    /// Folder of the function app, with host.json [default: this folder; if it has no host.json, the shipped app]
    #[arg(long, value_name = "DIR")]
    pub(super) app_root: Option<PathBuf>,
}

/// Options of the queue with sessions.
#[derive(Debug, Args)]
#[command(next_help_heading = "Host")]
struct SessionOptions {
    /// Use a Service Bus queue with a session for each device instead of the hub
    #[arg(long, conflicts_with_all = ["partitions", "throughput_units"])]
    sessions: bool,
    /// Maximum number of deliveries of a message before it is moved to the dead-letter sub-queue
    #[arg(long, value_name = "N", default_value_t = 2_000, requires = "sessions", value_parser = value_parser!(u32).range(1..=2_000))]
    max_delivery_count: u32,
}

/// The files of a run, and what is printed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(super) struct FileOptions {
    /// Keep documents and dead letters in this SQLite file [default: a new file in a temporary folder]
    #[arg(long, value_name = "FILE")]
    pub(super) state: Option<PathBuf>,
    /// Write the run's telemetry as Azure Monitor would store it, for scripts/alerts/check.js (overwrites that of an earlier run)
    #[arg(long, value_name = "FILE")]
    pub(super) telemetry: Option<PathBuf>,
    #[command(flatten)]
    pub(super) html: HtmlOption,
    /// Show the handlers' log on standard error
    #[arg(long, short)]
    pub(super) verbose: bool,
    #[command(flatten)]
    pub(super) output: OutputOption,
}

fn backdate(text: &str) -> Result<i64, String> {
    parse_duration_ms(text).ok_or_else(|| "it must be a duration such as 90s, 15m, 2h or 7d".into())
}

/// Returns the store of a run's documents.
pub(super) fn documents(settings: &Settings) -> Result<Documents, ConfigError> {
    let config = StoreConfig::from_settings(settings)?;
    Ok(match &config {
        StoreConfig::Memory => Documents::Memory,
        StoreConfig::Sqlite(file) => Documents::Sqlite(file.path.clone()),
        StoreConfig::Cosmos(cosmos) => {
            let store = Arc::new(CosmosStore::new(cosmos.clone()));
            Documents::Remote(config.name(), store, config.indexed_fields(settings)?)
        }
    })
}

impl Options {
    pub(super) async fn run(self) -> Result<(), CommandError> {
        let SimulationOptions { devices, events, encoding, seed } = self.simulation;
        let input = match (self.input.file, devices) {
            (Some(path), _) => Input::File(path),
            (None, Some(devices)) => Input::Simulation(Simulation {
                devices: devices as usize,
                events: u64::from(devices) * u64::from(events),
                encoding,
                seed,
            }),
            (None, None) if self.input.listen.is_some() => Input::None,
            (None, None) => Input::Sample,
        };
        let front = front(self.input.listen, self.ui)?;
        let SessionOptions { sessions, max_delivery_count } = self.sessions;
        let output = self.files.output.output;
        let page_file = self.files.html.open(&[&self.files.state, &self.files.telemetry])?;
        let options = devicestate_local::Options {
            app_root: self.host.app_root,
            input,
            pack: self.input.pack,
            invalid_events: self.invalid_events,
            partitions: self.host.partitions.into(),
            sessions: sessions.then_some(Sessions { max_delivery_count }),
            instances: self.host.instances.into(),
            front,
            rate: self.input.rate,
            throughput_units: self.throughput_units,
            backdate_ms: self.backdate.unwrap_or_default(),
            should_check: self.check,
            state: self.files.state,
            telemetry: self.files.telemetry,
            verbose: self.files.verbose,
            documents,
        };
        let report = devicestate_local::run(options).await.map_err(CommandError::not_started)?;
        let result = check_report(&report);
        if report.events.received == 0 && result.is_ok() && !matches!(report.input, InputReport::Http) {
            print_message("devicestate: warning: the input has no events");
        }
        let outcome = if result.is_ok() { CommandOutcome::Succeeded } else { CommandOutcome::Failed };
        match output {
            Output::Table => print(Tables(&report))?,
            Output::Json | Output::Jsonl => print_json_value(output, "local", outcome, &report)?,
        }
        if report.events.unrecognized > 0 && !report.is_all_unrecognized() {
            let unrecognized = count_of(report.events.unrecognized, "event");
            print_message(format_args!(
                "devicestate: warning: {unrecognized} had no known field, so nothing of them is stored: {UNRECOGNIZED_ADVICE}"
            ));
        }
        write_page(page_file, |result| page::page(&report, result), result)
    }
}

/// Returns what the run serves, by the ports of `--listen` and `--ui`, which share one.
#[expect(clippy::option_option, reason = "options whose values are optional")]
fn front(listen: Option<Option<u16>>, ui: Option<Option<u16>>) -> Result<Option<Front>, CommandError> {
    let (takes_events, shows_page) = (listen.is_some(), ui.is_some());
    let port = match (listen.flatten(), ui.flatten()) {
        (Some(listen), Some(ui)) if listen != ui => {
            return Err(CommandError::not_started("--listen and --ui share one port: name it only once"));
        }
        (listen, ui) => listen.or(ui).unwrap_or(DEFAULT_PORT),
    };
    Ok((takes_events || shows_page).then(|| Front { port, takes_events, shows_page, program: program() }))
}

/// What to do about unrecognized events.
const UNRECOGNIZED_ADVICE: &str = "the handler's log names fields (--verbose); docs/your-devices.md says how a telemetry file names the readings, docs/reference/telemetry.md lists those of drones";

/// Returns an error if the run failed.
fn check_report(report: &Report) -> Result<(), CommandError> {
    match &report.failures {
        Failures { error: Some(reason), is_stopped: true, .. } => Err(CommandError::interrupted(reason)),
        Failures { error: Some(reason), .. } => Err(CommandError::failed(reason)),
        _ if report.events.lost > 0 => {
            let lost = count_of(report.events.lost, "event");
            Err(CommandError::failed(format!("{lost} lost: see the report")))
        }
        _ if !report.is_complete() => {
            Err(CommandError::failed("the counts of the results do not add up to the received events: see the report"))
        }
        _ if report.is_all_unrecognized() => Err(CommandError::failed(format!(
            "no event had a known field, so nothing is stored: {UNRECOGNIZED_ADVICE}"
        ))),
        _ if report.is_all_dead_lettered() => {
            let advice = match &report.input {
                InputReport::File { file } if file.as_os_str() != "-" => {
                    format!("telemetry check {}", shell_quoted(&file.display().to_string()))
                }
                InputReport::Http => {
                    format!("dead-letters list --state {}", shell_quoted(&report.state.display().to_string()))
                }
                _ => "telemetry check FILE".to_owned(),
            };
            let events = count_of(report.events.dead_lettered, "event");
            Err(CommandError::failed(format!(
                "nothing of {events} is stored, because every event became a dead letter: `devicestate {advice}` says why"
            )))
        }
        _ if report.check.as_ref().is_some_and(|check| !check.is_passed()) => {
            Err(CommandError::failed("the check failed: see the report"))
        }
        _ if report.events.in_sub_queue > 0 => {
            let messages = count_of(report.events.in_sub_queue, "message");
            Err(CommandError::failed(format!(
                "the dead-letter sub-queue holds {messages}: not lost, but not applied to a document (see the report)"
            )))
        }
        _ if report.interrupted => {
            let sent = count_of(report.events.received, "event");
            Err(CommandError::interrupted(format!("interrupted: {sent} of the input sent, all of them processed")))
        }
        Failures { timer_error: Some(reason), .. } => {
            Err(CommandError::failed(format!("the events are processed, but a timer function failed: {reason}")))
        }
        _ => Ok(()),
    }
}
