//! The failover drill: two hubs, two function apps and one store, whose first region is lost and recovers. At the end the
//! documents are compared with the fold of all events of both hubs.
//!
//! The steps depend on what has happened and never on the clock, so every drill has acknowledged writes that were not replicated,
//! events that are unread while their region is lost, and sequence numbers that start again.

mod replica;
mod report;

use std::sync::{Arc, atomic::Ordering::Relaxed};

use devicestate_engine::{
    clock::{Clock as _, System},
    processor::{heard_every, max_readings},
    store::{StoreError, documents},
    text::iso8601,
};
use devicestate_sqlite::{Database, DatabaseError, OpenMode, SqliteStore, Synchronous, dead_letter_folder};
use devicestate_terminal::{count_of, interrupt::stop_requested};

use super::{
    check::{Check, dead_letters_after},
    documents::Documents,
    error::LocalError,
    fold::Fold,
    hub::{self, Hub},
    instance::InstanceError,
    invalid_events::InvalidEvents,
    options::{Input, Options, Simulation},
    region::Region,
    setup::{RegionConfig, Setup},
    simulator::Simulator,
};
use replica::Replica;
pub use report::{DrillReport, Step, StepName};

/// The namespace of the first region.
const FIRST_NAMESPACE: &str = "devicestate-first";

/// The namespace of the standby region.
const STANDBY_NAMESPACE: &str = "devicestate-standby";

/// The checkpoints are set back to this long before the last replication. An event that is read again does no harm.
const REWIND_MARGIN_MS: i64 = 1_000;

/// The percentages of the events that are sent in each part of the drill.
const REPLICATED_PERCENT: u64 = 30;
const NOT_REPLICATED_PERCENT: u64 = 15;
const DURING_REGION_LOSS_PERCENT: u64 = 10;
const UNREAD_PERCENT: u64 = 10;
const TO_STANDBY_PERCENT: u64 = 15;
const DURING_RECOVERY_PERCENT: u64 = 10;
const REMAINING_PERCENT: u64 = 100;

/// One of this many devices stops sending when the region is lost, and another one when the alias fails over.
const DEVICE_GROUPS: usize = 5;

/// Why a drill did not start or did not complete.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// It cannot start.
    #[error(transparent)]
    NotStarted(#[from] LocalError),
    /// A state file cannot be used.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The documents cannot be read.
    #[error("the documents cannot be read: {0}")]
    Store(#[from] StoreError),
    /// A region failed.
    #[error("the region {namespace} failed: {reason}")]
    Region {
        /// Its namespace.
        namespace: String,
        /// The cause.
        reason: String,
    },
    /// Ctrl-C stopped it.
    #[error("stopped before the end of the drill, so it has no result")]
    Stopped,
}

/// Runs the drill with the simulated devices of the options. `on_step` runs after each step. Without `should_rewind` no checkpoint is
/// set back: then the readings that the failover lost stay lost, and the check fails.
///
/// # Errors
///
/// [`DrillError`] if the drill cannot start, a region or a file fails, or Ctrl-C stops it.
pub async fn run(options: Options, should_rewind: bool, on_step: impl FnMut(&Step)) -> Result<DrillReport, DrillError> {
    let setup = Setup::new(&options)?;
    let mut drill = Drill::new(&setup, &options).await?;
    let steps = tokio::select! {
        // Polled first, so that it listens before a handler is started that a signal would leave running.
        biased;
        () = stop_requested() => Err(DrillError::Stopped),
        steps = drill.run_steps(should_rewind, on_step) => steps,
    };
    // Also after an error, so that no handler is left.
    let timelines = [&drill.first, &drill.standby].map(|region| region.sampler.timeline());
    drill.first.kill().await;
    drill.standby.kill().await;
    let files = drill.files.clone();
    let report = match steps {
        Ok(()) => {
            [drill.report.first_region, drill.report.standby_region] = timelines;
            drill.check(&setup).await
        }
        Err(error) => Err(error),
    };
    // Tasks of the stopped instances may still be in memory and hold a clone.
    files.iter().for_each(Database::close);
    report
}

/// A drill in progress.
struct Drill {
    first: Region<Hub>,
    standby: Region<Hub>,
    /// The state files of the two regions. The first one also has the documents.
    files: [Database; 2],
    devices: Devices,
    invalid_events: InvalidEvents,
    events: u64,
    report: DrillReport,
}

/// The simulated devices.
struct Devices {
    count: usize,
    simulator: Simulator,
}

impl Drill {
    async fn new(setup: &Setup, options: &Options) -> Result<Self, LocalError> {
        let unsupported = |reason: &str| Err(LocalError::Unsupported(reason.into()));
        let Input::Simulation(Simulation { devices, events, encoding, seed }) = options.input else {
            return unsupported("the drill needs simulated devices");
        };
        let Documents::Sqlite(path) = &setup.documents else {
            return unsupported(
                "the drill fails over the store in the state file: set StateStore to sqlite, or remove the setting",
            );
        };
        if *path != setup.state {
            return unsupported(
                "the drill needs documents and dead letters in one file: remove the setting SqlitePath",
            );
        }
        let standby_file = setup.state.with_extension("standby.db");
        let files = [setup.open_state()?, Database::open_with(&standby_file, OpenMode::Create, Synchronous::Normal)?];
        if Replica::read(&files[0]).await?.len() > 0 {
            return unsupported("the state file already has documents: use a new file (option --state)");
        }
        let mut standby_settings = setup.settings.clone();
        standby_settings.set("DeadLetterDirectory", dead_letter_folder(&standby_file).display().to_string());
        let region = |namespace, queue: &Database, settings| {
            let hub = hub::Options { retains_events: true, ..hub::Options::default() };
            let config = RegionConfig { namespace, clock: Arc::new(System), queue: queue.clone(), settings };
            setup.region(config, Arc::new(Hub::new(options.partitions, hub)), options.instances)
        };
        Ok(Self {
            first: region(FIRST_NAMESPACE, &files[0], setup.settings.clone())?,
            standby: region(STANDBY_NAMESPACE, &files[1], standby_settings)?,
            files,
            devices: Devices { count: devices, simulator: Simulator::new(devices, events, encoding, seed) },
            invalid_events: InvalidEvents::new(options.invalid_event_rate()),
            events,
            report: DrillReport {
                telemetry: setup.telemetry.description.clone(),
                state_files: vec![setup.state.clone(), standby_file],
                ..DrillReport::default()
            },
        })
    }

    /// Runs the steps one after another.
    async fn run_steps(&mut self, should_rewind: bool, mut on_step: impl FnMut(&Step)) -> Result<(), DrillError> {
        let Self { first, standby, files, devices, invalid_events, report, events } = self;
        let documents = &files[0];
        let mut feed = Feed { invalid_events, events: *events, sending_groups: DEVICE_GROUPS, sent: 0, devices };
        let DrillReport { readings_lost, events_read_again, steps, .. } = report;
        let statistics = Arc::clone(&first.statistics);
        let mut complete = |step, detail| {
            let step = Step { step, detail, at: statistics.happenings.elapsed() };
            on_step(&step);
            steps.push(step);
        };

        first.start();
        let sent = feed.send(first, REPLICATED_PERCENT).await;
        wait_until_unread_at_most(first, 0).await?;
        complete(
            StepName::Baseline,
            format!("{} sent through the alias to {FIRST_NAMESPACE} and processed", count_of(sent, "event")),
        );

        let replicated_ms = System.now_ms();
        let replica = Replica::read(documents).await?;
        complete(
            StepName::Replication,
            format!("{} in the store's other region, which is all", count_of(replica.len() as u64, "document")),
        );

        let sent = feed.send(first, NOT_REPLICATED_PERCENT).await;
        wait_until_unread_at_most(first, 0).await?;
        let detail = format!(
            "{} written and checkpointed, but not replicated to the other region",
            count_of(sent, "more event")
        );
        complete(StepName::ReplicationLag, detail);

        feed.sending_groups -= 1;
        let mut sent = feed.send(first, DURING_REGION_LOSS_PERCENT).await;
        wait_until_unread_at_most(first, sent * 3 / 4).await?;
        first.kill().await;
        sent += feed.send(first, UNREAD_PERCENT).await;
        let unread = first.broker.unread();
        let detail = format!("{FIRST_NAMESPACE} killed during {}; {unread} unread in its hub", count_of(sent, "event"));
        complete(StepName::RegionLost, detail);

        *readings_lost = replica.take_over(documents).await?;
        complete(
            StepName::StoreFailover,
            format!("{} of acknowledged writes lost", count_of(*readings_lost as u64, "reading")),
        );

        feed.sending_groups -= 1;
        standby.start();
        let sent = feed.send(standby, TO_STANDBY_PERCENT).await;
        wait_until_unread_at_most(standby, 0).await?;
        let detail = format!(
            "{} sent to {STANDBY_NAMESPACE} and processed, with sequence numbers from 0",
            count_of(sent, "event")
        );
        complete(StepName::AliasFailover, detail);

        let detail = if should_rewind {
            let to_ms = replicated_ms - REWIND_MARGIN_MS;
            *events_read_again = first.broker.rewind(to_ms);
            let to = iso8601(to_ms);
            let (again, unread) = (count_of(*events_read_again, "event"), count_of(unread, "unread event"));
            format!("checkpoints rewound to {to}: {again} to read again, then {unread}")
        } else {
            format!("checkpoints not rewound: {}, and none to read again", count_of(unread, "unread event"))
        };
        complete(StepName::RegionRecovered, detail);

        first.start();
        let sent = feed.send(standby, DURING_RECOVERY_PERCENT).await;
        wait_until_unread_at_most(first, 0).await?;
        wait_until_unread_at_most(standby, 0).await?;
        let detail =
            format!("{FIRST_NAMESPACE} has caught up during {} to {STANDBY_NAMESPACE}", count_of(sent, "event"));
        complete(StepName::BothRegionsActive, detail);

        let sent = feed.send(first, REMAINING_PERCENT).await;
        wait_until_unread_at_most(first, 0).await?;
        complete(
            StepName::Failback,
            format!("{} sent through the alias to {FIRST_NAMESPACE} again and processed", count_of(sent, "event")),
        );
        Ok(())
    }

    /// Compares documents and dead letters with the events of both hubs.
    async fn check(self, setup: &Setup) -> Result<DrillReport, DrillError> {
        let Self { first, standby, files, mut report, .. } = self;
        let heard_every = heard_every(&setup.settings).map_err(LocalError::from)?;
        let max_readings = max_readings(&setup.settings).map_err(LocalError::from)?;
        let mut fold = Fold::new(Arc::clone(&setup.telemetry.telemetry), heard_every, max_readings);
        for Region { source, broker: hub, .. } in [&first, &standby] {
            for partition in 0..hub.partitions() {
                fold.add_events(source, partition, &hub.retained_events(partition));
            }
        }
        report.first_region_events = first.broker.incoming();
        report.standby_region_events = standby.broker.incoming();
        let stored = documents(&SqliteStore::new(files[0].clone()), usize::MAX).await?;
        let mut dead_letters = Vec::new();
        for file in &files {
            dead_letters.extend(dead_letters_after(file, 0).await?);
        }
        report.check = Check::new(fold, &stored, &dead_letters);
        Ok(report)
    }
}

/// The simulated devices, with the invalid events that are added to theirs.
struct Feed<'a> {
    devices: &'a mut Devices,
    invalid_events: &'a mut InvalidEvents,
    /// The number of events if every device sent all of its events.
    events: u64,
    /// The device groups that still send. The last events of the others are not overwritten, so a lost one is visible.
    sending_groups: usize,
    /// The number of events that the devices have produced.
    sent: usize,
}

impl Feed<'_> {
    /// Sends this percentage of the events, without those of devices that no longer send. Returns the number of sent events, with
    /// the invalid ones.
    async fn send(&mut self, region: &Region<Hub>, percent: u64) -> u64 {
        let hub = &region.broker;
        let before = hub.incoming();
        let valid = usize::try_from(self.events * percent / 100).unwrap_or(usize::MAX);
        for event in self.devices.simulator.by_ref().take(valid) {
            // The devices send in turn.
            let device = self.sent % self.devices.count;
            self.sent += 1;
            if device % DEVICE_GROUPS >= self.sending_groups {
                continue;
            }
            // A hub with room never waits, and without a yield Ctrl-C would have no effect.
            tokio::task::consume_budget().await;
            let invalid = self.invalid_events.following(&event);
            for sent in [event].into_iter().chain(invalid) {
                hub.send(sent).await;
                region.statistics.received.fetch_add(1, Relaxed);
            }
        }
        hub.incoming() - before
    }
}

/// Waits until a region has at most this many unread events.
async fn wait_until_unread_at_most(region: &mut Region<Hub>, most: u64) -> Result<(), DrillError> {
    let hub = Arc::clone(&region.broker);
    tokio::select! {
        () = hub.wait_until_unread_at_most(most) => Ok(()),
        ended = region.wait_for_end() => {
            let reason = match ended.and_then(Result::err) {
                Some(InstanceError::HandlerNotStarted(reason)) if region.statistics.processed.load(Relaxed) == 0 => {
                    return Err(LocalError::HandlerNotStarted(reason).into());
                }
                Some(error) => error.into_reason(),
                None => "its hosts stopped".into(),
            };
            Err(DrillError::Region { namespace: region.source.fully_qualified_namespace.clone(), reason })
        }
    }
}
