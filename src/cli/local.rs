//! `devicestate local`: the whole system on one machine.

mod drill;
mod report;

use std::{path::PathBuf, sync::Arc};

use clap::{Args, value_parser};
use devicestate_azure::CosmosStore;
use devicestate_engine::settings::{ConfigError, Settings};
use devicestate_local::{Documents, Input, Sessions, report::Failures, simulator::Wire};
use devicestate_terminal::{CommandError, ago_ms, print, rate};

use crate::config::StoreConfig;
use report::{ReportFormat, Text};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  devicestate local                              the sample telemetry of two drones
  devicestate local --app-root target/package    what is published; it has no samples, so ten simulated drones
  devicestate local --input telemetry.jsonl.gz --partitions 32 --instances 3
  devicestate local --simulate 1000 --events 100000 --bad-events 5 --report json
  gunzip -c telemetry.jsonl.gz | devicestate local --input - --state state.db
  devicestate local --simulate 100 --events 6000 --rate 200/s --telemetry telemetry.jsonl
  devicestate local --sessions --bad-events 5    through a Service Bus queue, with a session for each device
  devicestate local --drill --bad-events 5       a region goes, and comes back

Exit codes: 0 every event is accounted for; 1 something was lost, is in the sub-queue or went wrong; 2 it could not begin.")]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(super) struct Options {
    /// Read events from this file, or from standard input for -: one JSON event a line, plain or gzip.
    #[arg(long, value_name = "FILE", conflicts_with = "simulate")]
    input: Option<PathBuf>,
    /// Simulate this many devices, which send key frames and deltas.
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    simulate: Option<u32>,
    /// How many events the simulated devices send in all; 100 each without it.
    #[arg(long, value_name = "N", requires = "simulate")]
    events: Option<u64>,
    /// The format in which the simulated devices send.
    #[arg(long, value_enum, default_value = "json", requires = "simulate")]
    wire: Wire,
    /// The same seed simulates the same events.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "simulate")]
    seed: u64,
    /// Add this many bad events of several kinds to each thousand.
    #[arg(long, value_name = "PER_MILLE", default_value_t = 0, value_parser = value_parser!(u64).range(..=1000))]
    bad_events: u64,
    /// The hub's partitions.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = value_parser!(u16).range(1..=1024))]
    partitions: u16,
    /// Play the other way in: a Service Bus queue with a session for each device, in place of the hub.
    #[arg(long, conflicts_with_all = ["partitions", "throughput_units", "drill"])]
    sessions: bool,
    /// How often the queue delivers a message in vain before it goes to the dead-letter sub-queue.
    #[arg(long, value_name = "N", default_value_t = 2_000, requires = "sessions", value_parser = value_parser!(u32).range(1..=2_000))]
    max_deliveries: u32,
    /// Instances of the function app, each with a handler of its own, which share the partitions, at most one for each, or
    /// the sessions.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u16).range(1..=64))]
    instances: u16,
    /// Send at this pace; as fast as it goes without it.
    #[arg(long, value_name = "N/s", value_parser = rate)]
    rate: Option<u32>,
    /// The hub's throughput units: each takes 1,000 events or 1 MB a second. Without it, the hub takes all that comes.
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=40))]
    throughput_units: Option<u32>,
    /// Let the events lie there, and the dead letters in their queue, since so long ago: 90s, 15m, 2h, 7d.
    #[arg(long, value_name = "TIME", value_parser = ago)]
    ago: Option<i64>,
    /// Play the loss of a region and the way back: two hubs, two function apps, a store that fails over and loses its last
    /// writes. It ends with a verdict. It takes no --input, --rate, --throughput-units or --ago.
    #[arg(long, conflicts_with_all = ["input", "rate", "throughput_units", "ago"])]
    drill: bool,
    /// Leave the checkpoints where they are when the region is back: the drill must fail then.
    #[arg(long, requires = "drill")]
    no_rewind: bool,
    /// Write what Azure Monitor would have of the run into this file, which begins anew, for scripts/alerts/check.js.
    #[arg(long, value_name = "FILE")]
    telemetry: Option<PathBuf>,
    /// Keep documents and dead letters in this SQLite file; without it, in a new one.
    #[arg(long, value_name = "PATH")]
    state: Option<PathBuf>,
    /// The function app's folder, with host.json.
    #[arg(long, value_name = "DIR", default_value = ".")]
    app_root: PathBuf,
    /// How to report at the end. JSON stands alone on standard output.
    #[arg(long, value_enum, default_value = "text")]
    report: ReportFormat,
    /// Show what the handlers log, on standard error.
    #[arg(long, short)]
    verbose: bool,
}

fn ago(text: &str) -> Result<i64, String> {
    ago_ms(text).ok_or_else(|| "it must be a time such as 90s, 15m, 2h or 7d".into())
}

/// Where the documents of a run are.
fn documents(settings: &Settings) -> Result<Documents, ConfigError> {
    let config = StoreConfig::from_settings(settings)?;
    Ok(match &config {
        StoreConfig::Memory => Documents::Memory,
        StoreConfig::Sqlite(path) => Documents::Sqlite(path.clone()),
        StoreConfig::Cosmos(cosmos) => Documents::Remote(config.name(), Arc::new(CosmosStore::new(cosmos.clone()))),
    })
}

impl Options {
    pub(super) async fn run(self) -> Result<(), CommandError> {
        let input = match (self.input, self.simulate) {
            (Some(path), _) => Input::File(path),
            (None, Some(devices)) => Input::Simulate {
                devices: devices as usize,
                events: self.events.unwrap_or(u64::from(devices) * 100),
                wire: self.wire,
                seed: self.seed,
            },
            (None, None) if self.drill => {
                Input::Simulate { devices: 100, events: 10_000, wire: self.wire, seed: self.seed }
            }
            (None, None) => Input::Sample,
        };
        let options = devicestate_local::Options {
            app_root: self.app_root,
            input,
            bad_events_per_mille: self.bad_events,
            partitions: self.partitions.into(),
            sessions: self.sessions.then_some(Sessions { max_delivery_count: self.max_deliveries }),
            instances: self.instances.into(),
            rate: self.rate,
            throughput_units: self.throughput_units,
            ago_ms: self.ago.unwrap_or_default(),
            state: self.state,
            telemetry: self.telemetry,
            verbose: self.verbose,
            documents,
        };
        if self.drill {
            return drill::run(options, !self.no_rewind, self.report).await;
        }
        let report = devicestate_local::run(options).await.map_err(CommandError::not_started)?;
        match self.report {
            ReportFormat::Json => print(serde_json::to_string_pretty(&report).map_err(CommandError::failed)? + "\n")?,
            ReportFormat::Text => print(Text(&report))?,
        }
        match &report.failures {
            Failures { run: Some(reason), .. } => Err(CommandError::failed(reason)),
            _ if !report.is_whole() => {
                Err(CommandError::failed("not every event that was received is accounted for: see the report"))
            }
            _ if report.events.in_sub_queue > 0 => Err(CommandError::failed(format!(
                "the dead-letter sub-queue holds {} of the messages: not lost, but in no document either (see the report)",
                report.events.in_sub_queue
            ))),
            Failures { watch: Some(reason), .. } => {
                Err(CommandError::failed(format!("the events are done with, but a timer function failed: {reason}")))
            }
            _ => Ok(()),
        }
    }
}
