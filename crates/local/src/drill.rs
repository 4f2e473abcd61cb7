//! The drill of a region that goes: two hubs, two function apps, one store that fails over, and the way back. At the end
//! every document is held against the fold of all events that reached either hub.
//!
//! It goes by what has happened and never by the clock, so that each run meets the same: acknowledged writes that the
//! store's other region never got, events that nobody reads while their region is gone, sequence numbers that begin again.

mod fold;
mod replica;

use std::{path::PathBuf, sync::Arc};

use devicestate_engine::{
    clock::{Clock as _, System},
    store::{StoreError, documents},
    telemetry::drone::Drone,
    text::iso8601,
};
use devicestate_sqlite::{Database, DatabaseError, OpenMode, SqliteStore, dead_letter_folder};
use devicestate_terminal::interrupt::stop_requested;
use serde::Serialize;

use super::{
    bad_events::BadEvents,
    documents::Documents,
    error::LocalError,
    hub::{self, Hub},
    options::{Input, Options},
    region::Region,
    setup::{Setup, Site},
    simulator::Simulator,
};
use fold::Fold;
use replica::Replica;

/// The namespace that producers send to as long as nothing happens.
const FIRST: &str = "devicestate-first";

/// The one that takes over.
const STANDBY: &str = "devicestate-standby";

/// So much further than to the last moment that the store's other region has are the checkpoints moved back. What is read
/// once too often does no harm.
const MARGIN_MS: i64 = 1_000;

/// Of a hundred events, so many are sent in each part of the drill.
const REPLICATED: u64 = 30;
const NOT_REPLICATED: u64 = 15;
const WHILE_IT_GOES: u64 = 10;
const UNREAD: u64 = 10;
const TO_THE_STANDBY: u64 = 15;
const WHILE_IT_COMES_BACK: u64 = 10;
const ALL_THAT_IS_LEFT: u64 = 100;

/// A fifth of the devices is never heard of again when the region goes, and another one when the alias fails over.
const FIFTHS: usize = 5;

/// So many of the documents that are not what they should be are told.
const MOST_TOLD: usize = 10;

/// Why a drill ends before its end.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// It cannot begin.
    #[error(transparent)]
    Begin(#[from] LocalError),
    /// A state file.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The documents cannot be read.
    #[error("the documents cannot be read: {0}")]
    Store(#[from] StoreError),
    /// A region cannot go on.
    #[error("{0} cannot go on: {1}")]
    Region(String, String),
    /// Somebody wants it to end.
    #[error("stopped before its end: there is no verdict")]
    Stopped,
}

/// One thing that happened.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What, in short.
    pub what: &'static str,
    /// What came of it.
    pub came_of_it: String,
}

/// What a drill came to.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Events that reached the first hub, bad ones included.
    pub events_of_first: u64,
    /// Events that reached the standby's hub, bad ones included.
    pub events_of_standby: u64,
    /// Readings that were written and acknowledged, and that the failover of the store lost.
    pub readings_lost: usize,
    /// Events that were read once more since the checkpoints were moved back.
    pub read_again: u64,
    /// Devices that have sent.
    pub devices: usize,
    /// Documents that are not what the events of both hubs come to, and how they differ. A few of them are told.
    pub differences: usize,
    /// How.
    pub different: Vec<String>,
    /// Bad events that reached either hub.
    pub bad_events: usize,
    /// Those of them that are in neither queue of dead letters.
    pub dead_letters_missing: usize,
    /// What happened.
    pub steps: Vec<Step>,
    /// The state files: the documents with the first region's dead letters, and the standby's dead letters.
    pub states: Vec<PathBuf>,
}

impl Verdict {
    /// Whether there was something to lose: too few events are no drill.
    #[must_use]
    pub fn was_a_drill(&self) -> bool {
        self.readings_lost > 0 && self.events_of_standby > 0
    }

    /// Whether it was one, the documents are what they should be, and no bad event is lost.
    #[must_use]
    pub fn is_passed(&self) -> bool {
        self.was_a_drill() && self.differences == 0 && self.dead_letters_missing == 0
    }
}

/// Runs the drill with the simulated devices of the options, and tells each step when it is done. Without `rewinds` no
/// checkpoint is moved back: then what the failover lost stays lost, and the verdict says so.
///
/// # Errors
///
/// [`DrillError`].
pub async fn run(options: Options, rewinds: bool, tell: impl FnMut(&Step)) -> Result<Verdict, DrillError> {
    let setup = Setup::new(&options)?;
    let mut drill = Drill::new(&setup, &options).await?;
    let played = tokio::select! {
        // Listened for before anything is started that would be left behind.
        biased;
        () = stop_requested() => Err(DrillError::Stopped),
        played = drill.play(rewinds, tell) => played,
    };
    // Whatever happened, no handler stays behind.
    drill.first.stop().await;
    drill.standby.stop().await;
    played?;
    drill.judge(&setup).await
}

/// A drill on its way.
struct Drill {
    first: Region<Hub>,
    standby: Region<Hub>,
    /// The state files of both: the first has the documents, too.
    files: [Database; 2],
    devices: Devices,
    bad_events: BadEvents,
    events: u64,
    verdict: Verdict,
}

/// So many devices, and what they send.
struct Devices {
    count: usize,
    simulator: Simulator,
}

impl Drill {
    async fn new(setup: &Setup, options: &Options) -> Result<Self, LocalError> {
        let unsupported = |reason: &str| Err(LocalError::Unsupported(reason.into()));
        let Input::Simulate { devices, events, wire, seed } = options.input else {
            return unsupported("the drill is one of simulated devices");
        };
        let Documents::Sqlite(path) = &setup.documents else {
            return unsupported(
                "the drill plays the failover of the store in the state file: StateStore must be sqlite, or not be set",
            );
        };
        if *path != setup.state {
            return unsupported("the drill needs documents and dead letters in one file: SqlitePath must not be set");
        }
        let beside = setup.state.with_extension("standby.db");
        let files = [setup.open_state()?, Database::open(&beside, OpenMode::Create)?];
        if Replica::of(&files[0]).await?.len() > 0 {
            return unsupported(
                "there are documents in the state file already: the drill takes a new one (option --state)",
            );
        }
        let mut of_standby = setup.settings.clone();
        of_standby.set("DeadLetterDirectory", dead_letter_folder(&beside).display().to_string());
        let region = |namespace, queue: &Database, settings| {
            let hub = hub::Options { keeps: true, ..hub::Options::default() };
            let site = Site { namespace, clock: Arc::new(System), queue: queue.clone(), settings };
            setup.region(site, Arc::new(Hub::new(options.partitions, hub)), options.instances)
        };
        Ok(Self {
            first: region(FIRST, &files[0], setup.settings.clone())?,
            standby: region(STANDBY, &files[1], of_standby)?,
            files,
            devices: Devices { count: devices, simulator: Simulator::new(devices, events, wire, seed) },
            bad_events: BadEvents::new(options.bad_events_per_mille),
            events,
            verdict: Verdict { states: vec![setup.state.clone(), beside], ..Verdict::default() },
        })
    }

    /// All that happens, one after the other.
    async fn play(&mut self, rewinds: bool, mut tell: impl FnMut(&Step)) -> Result<(), DrillError> {
        let Self { first, standby, files, devices, bad_events, verdict, events } = self;
        let documents = &files[0];
        let mut feed = Feed { bad_events, events: *events, of_each: FIFTHS, sent: 0, devices };
        let Verdict { readings_lost, read_again, steps, .. } = verdict;
        let mut step = |what, came_of_it| {
            let step = Step { what, came_of_it };
            tell(&step);
            steps.push(step);
        };

        first.start();
        let sent = feed.send(&first.intake, REPLICATED).await;
        drained(first, 0).await?;
        step("all is well", format!("{sent} events through the alias into {FIRST}, all answered for"));

        let replicated_ms = System.now_ms();
        let replica = Replica::of(documents).await?;
        step("replication", format!("the store's other region has the {} documents as of now", replica.len()));

        let sent = feed.send(&first.intake, NOT_REPLICATED).await;
        drained(first, 0).await?;
        step("it lags behind", format!("{sent} more events, written and checkpointed; the other region lacks them"));

        feed.of_each -= 1;
        let mut sent = feed.send(&first.intake, WHILE_IT_GOES).await;
        drained(first, sent * 3 / 4).await?;
        first.stop().await;
        sent += feed.send(&first.intake, UNREAD).await;
        let unread = first.intake.unread();
        step("the region goes", format!("{FIRST} dies while {sent} events arrive there; {unread} wait in its hub"));

        *readings_lost = replica.take_over(documents).await?;
        step("the store fails over", format!("{readings_lost} readings of acknowledged writes are lost"));

        feed.of_each -= 1;
        standby.start();
        let sent = feed.send(&standby.intake, TO_THE_STANDBY).await;
        drained(standby, 0).await?;
        step("the alias fails over", format!("{sent} events into {STANDBY}, numbered from 0, all answered for"));

        let came_of_it = if rewinds {
            let to_ms = replicated_ms - MARGIN_MS;
            *read_again = first.intake.rewind(to_ms);
            let to = iso8601(to_ms);
            format!("its checkpoints are moved back to {to}: {read_again} events again, before {unread} unread ones")
        } else {
            format!("its checkpoints stay where they are: {unread} unread events, and none again")
        };
        step("the region is back", came_of_it);

        first.start();
        let sent = feed.send(&standby.intake, WHILE_IT_COMES_BACK).await;
        drained(first, 0).await?;
        drained(standby, 0).await?;
        step("both at once", format!("{FIRST} catches up, while {sent} events go on to {STANDBY}"));

        let sent = feed.send(&first.intake, ALL_THAT_IS_LEFT).await;
        drained(first, 0).await?;
        step("the way back", format!("the alias is with {FIRST} again: {sent} events, all answered for"));
        Ok(())
    }

    /// Holds documents and dead letters against the events of both hubs.
    async fn judge(self, setup: &Setup) -> Result<Verdict, DrillError> {
        let Self { first, standby, files, mut verdict, .. } = self;
        let mut fold = Fold::new(Drone::from_settings(&setup.settings).map_err(LocalError::from)?);
        for Region { source, intake: hub, .. } in [&first, &standby] {
            for partition in 0..hub.partitions() {
                fold.add(source, partition, &hub.kept(partition));
            }
        }
        verdict.events_of_first = first.intake.incoming();
        verdict.events_of_standby = standby.intake.incoming();
        verdict.devices = fold.devices();
        verdict.bad_events = fold.bad_events();
        let found = documents(&SqliteStore::new(files[0].clone()), usize::MAX).await?;
        verdict.different = fold.differences(&found);
        verdict.differences = verdict.different.len();
        verdict.different.truncate(MOST_TOLD);
        for file in &files {
            fold.strike_out(&dead_letters(file).await?);
        }
        verdict.dead_letters_missing = fold.bad_events();
        Ok(verdict)
    }
}

/// The devices, and what of theirs is bad.
struct Feed<'a> {
    devices: &'a mut Devices,
    bad_events: &'a mut BadEvents,
    /// How many events the devices would send in all.
    events: u64,
    /// So many of five devices still send. What the others sent last is overwritten by nothing, so that it shows what
    /// becomes of it.
    of_each: usize,
    /// How many events the devices have made so far.
    sent: usize,
}

impl Feed<'_> {
    /// Sends so many of a hundred events, as far as there are any left and their devices still send; gives back how many
    /// they were with the bad ones.
    async fn send(&mut self, hub: &Hub, percent: u64) -> u64 {
        let before = hub.incoming();
        let good = usize::try_from(self.events * percent / 100).unwrap_or(usize::MAX);
        for event in self.devices.simulator.by_ref().take(good) {
            // They take turns.
            let device = self.sent % self.devices.count;
            self.sent += 1;
            if device % FIFTHS >= self.of_each {
                continue;
            }
            // A hub that has room never waits, and whoever wants to stop it all would not be heard.
            tokio::task::consume_budget().await;
            let bad = self.bad_events.behind(&event);
            for sent in [event].into_iter().chain(bad) {
                hub.send(sent).await;
            }
        }
        hub.incoming() - before
    }
}

/// Waits until a region has no more than so many events of its hub in front of it.
async fn drained(region: &mut Region<Hub>, most: u64) -> Result<(), DrillError> {
    let hub = Arc::clone(&region.intake);
    tokio::select! {
        () = hub.drained_to(most) => Ok(()),
        ended = region.ended() => {
            let reason = ended.and_then(Result::err).unwrap_or_else(|| "its hosts ended".into());
            Err(DrillError::Region(region.source.fully_qualified_namespace.clone(), reason))
        }
    }
}

/// The texts of all messages in a queue.
async fn dead_letters(file: &Database) -> Result<Vec<Vec<u8>>, DatabaseError> {
    file.read(|connection| {
        connection.prepare("SELECT text FROM dead_letters")?.query_map([], |row| row.get(0))?.collect()
    })
    .await
}
