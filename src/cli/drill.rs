//! `devicestate drill`: the failover drill.

mod page;

use std::{fmt, path::PathBuf};

use clap::{Args, value_parser};
use devicestate_local::{
    Input, InvalidEventRate, Simulation,
    drill::{self, DrillError, DrillReport, Step, StepName},
    report::decoding_settings,
    simulator::Encoding,
};
use devicestate_terminal::{CommandError, CommandOutcome, Output, Table, print, print_json_value};

use super::{
    dead_letters::shell_quoted,
    local::{CheckLines, FileOptions, HostOptions, documents},
    program,
    report_page::write_page,
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  # Lose a region, fail over, and fail back
  devicestate drill

  # Keep the state file and the telemetry
  devicestate drill --state drill.db --telemetry telemetry.jsonl

  # The report as a page with charts
  devicestate drill --html drill.html

  # Do not rewind the checkpoints: the drill must fail
  devicestate drill --no-rewind

Exit codes:
  0  passed: every document equals the fold of its events, and every invalid
     event is a dead letter
  1  failed
  2  the drill could not start
  129, 130, 143  interrupted by SIGHUP, Ctrl-C or SIGTERM

Docs: docs/operate/failover.md")]
pub(super) struct Options {
    #[command(flatten)]
    simulation: SimulationOptions,
    /// Add this share of invalid events of several kinds
    #[arg(long, value_name = "PERCENT", default_value = "0%", help_heading = "Faults")]
    invalid_events: InvalidEventRate,
    /// Do not rewind the checkpoints after the region has recovered: the drill must fail
    #[arg(long, help_heading = "Faults")]
    no_rewind: bool,
    #[command(flatten)]
    host: HostOptions,
    #[command(flatten)]
    files: FileOptions,
}

/// Options of the simulated devices.
#[derive(Debug, Args)]
#[command(next_help_heading = "Simulation")]
struct SimulationOptions {
    /// Simulate this many devices, which send key frames and deltas
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = value_parser!(u32).range(1..))]
    devices: u32,
    /// Number of events per device
    #[arg(long, value_name = "N", default_value_t = 100)]
    events: u32,
    /// Encoding of the events
    #[arg(long, value_enum, default_value = "json")]
    encoding: Encoding,
    /// Seed of the simulation; the same seed creates the same events
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

impl Options {
    /// Runs the drill. Each step is printed when it is completed, unless the output is JSON.
    pub(super) async fn run(self) -> Result<(), CommandError> {
        let SimulationOptions { devices, events, encoding, seed } = self.simulation;
        let output = self.files.output.output;
        let simulation =
            Simulation { devices: devices as usize, events: u64::from(devices) * u64::from(events), encoding, seed };
        let page_file = self.files.html.open(&[&self.files.state, &self.files.telemetry])?;
        let options = devicestate_local::Options {
            app_root: self.host.app_root,
            input: Input::Simulation(simulation),
            pack: 1,
            invalid_events: Some(self.invalid_events),
            partitions: self.host.partitions.into(),
            sessions: None,
            instances: self.host.instances.into(),
            front: None,
            rate: None,
            throughput_units: None,
            backdate_ms: 0,
            should_check: true,
            state: self.files.state,
            telemetry: self.files.telemetry,
            verbose: self.files.verbose,
            documents,
        };
        let mut number = 0;
        let on_step = |step: &Step| {
            number += 1;
            if output == Output::Table {
                // A closed standard output must not stop the drill.
                let _ = print(format!("{number:2}  {:<19}  {}\n", name(step.step), step.detail));
            }
        };
        let report = drill::run(options, !self.no_rewind, on_step).await.map_err(|error| match error {
            DrillError::NotStarted(error) => CommandError::not_started(error),
            DrillError::Stopped => CommandError::interrupted(DrillError::Stopped),
            other => CommandError::failed(other),
        })?;
        let outcome = if report.is_passed() { CommandOutcome::Succeeded } else { CommandOutcome::Failed };
        match output {
            Output::Table => print(Tables(&report))?,
            Output::Json | Output::Jsonl => print_json_value(output, "drill", outcome, &report)?,
        }
        let result =
            if report.is_passed() { Ok(()) } else { Err(CommandError::failed("the drill failed: see the report")) };
        write_page(page_file, |result| page::page(&report, result), result)
    }
}

/// Returns the name of a step in the table.
fn name(step: StepName) -> &'static str {
    match step {
        StepName::Baseline => "baseline",
        StepName::Replication => "replication",
        StepName::ReplicationLag => "replication lag",
        StepName::RegionLost => "region lost",
        StepName::StoreFailover => "store failover",
        StepName::AliasFailover => "alias failover",
        StepName::RegionRecovered => "region recovered",
        StepName::BothRegionsActive => "both regions active",
        StepName::Failback => "failback",
    }
}

/// Returns the command that lists the dead letters of each region.
fn list_dead_letters(report: &DrillReport) -> Vec<String> {
    let (settings, program) = (decoding_settings(&report.telemetry), program());
    let list = |state: &PathBuf| {
        format!("{settings}{program} dead-letters list --state {}", shell_quoted(&state.display().to_string()))
    };
    report.state_files.iter().map(list).collect()
}

/// The report as tables.
struct Tables<'a>(&'a DrillReport);

impl fmt::Display for Tables<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let report = self.0;
        let mut rows = Table::new(["DRILL", ""]);
        for (name, count) in [
            ("events in the first region's hub", report.first_region_events),
            ("events in the standby region's hub", report.standby_region_events),
            ("readings lost by the store failover", report.readings_lost as u64),
            ("events read again", report.events_read_again),
        ] {
            rows.row([name.to_owned(), count.to_string()]);
        }
        writeln!(f, "\n{rows}")?;
        writeln!(f, "{}", CheckLines(&report.check))?;
        if !report.is_conclusive() {
            writeln!(f, "The drill is not conclusive: the failover lost nothing. Run it again with more --events.")?;
        }
        writeln!(f, "{}", if report.is_passed() { "PASSED" } else { "FAILED" })?;
        list_dead_letters(report).iter().try_for_each(|command| writeln!(f, "Inspect the dead letters with: {command}"))
    }
}
