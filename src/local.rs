//! The whole system on one machine: a hub in memory, or a queue with sessions; a stand-in for the Functions host that
//! starts the handler as the real one does; SQLite for the documents and the dead letters.
//!
//! It uses the library as an outsider would, and knows of the handler only what a host knows: its replies.

mod bad_events;
pub mod drill;
pub mod endpoint;
pub mod envelope;
mod host;
pub mod hub;
mod intake;
mod monitor;
mod partitions;
mod process;
mod progress;
mod region;
pub mod reply;
pub mod report;
pub mod sessions;
mod settings;
mod setup;
pub mod simulator;
mod source;
mod statistics;
mod throughput;
mod timers;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
};

use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use crate::{
    function_app::FunctionAppError,
    interrupt::in_order_then_at_once,
    pace::Pace,
    queue::{DeadLetterQueue as _, QueueError},
    settings::ConfigError,
    sqlite::DatabaseError,
    surroundings::Clock,
};
use bad_events::BadEvents;
use hub::{Hub, Sent};
use intake::Intake;
use progress::Progress;
use report::{Ended, Failures, Report, SessionQueueReport};
use sessions::queue::{self, SessionQueue};
use setup::{Past, Setup, Site};
use simulator::{Simulator, Wire};
use source::Lines;
pub use source::SourceError;
use statistics::Statistics;
use throughput::Throughput;

/// What to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The function app's folder.
    pub app_root: PathBuf,
    /// Where the events come from.
    pub input: Input,
    /// How many bad events to add to each thousand.
    pub bad_events_per_mille: u64,
    /// How many partitions the hub has.
    pub partitions: usize,
    /// A queue with sessions, in place of the hub.
    pub sessions: Option<Sessions>,
    /// How many instances of the function app share the one or the other.
    pub instances: usize,
    /// How many events are sent a second; as many as go without it.
    pub rate: Option<u32>,
    /// How many throughput units the hub has; without it, it takes all that comes.
    pub throughput_units: Option<u32>,
    /// For how long, in milliseconds, events and dead letters lie there already, as after an outage.
    pub ago_ms: i64,
    /// The SQLite file for documents and dead letters; a new one in a temporary folder without it.
    pub state: Option<PathBuf>,
    /// The file for what Azure Monitor would have of the run.
    pub telemetry: Option<PathBuf>,
    /// Whether to pass on what the handlers log.
    pub verbose: bool,
}

impl Options {
    /// How many events there will be, bad ones included, where that is known beforehand.
    fn known_events(&self) -> Option<u64> {
        match self.input {
            Input::Simulate { events, .. } => Some(events + BadEvents::among(events, self.bad_events_per_mille)),
            Input::Sample | Input::File(_) => None,
        }
    }
}

/// How the queue with sessions is.
#[derive(Debug, Clone, Copy)]
pub struct Sessions {
    /// How often a message is delivered in vain before it goes to the dead-letter sub-queue.
    pub max_delivery_count: u32,
}

/// Where the events come from.
#[derive(Debug, Clone)]
pub enum Input {
    /// The telemetry that ships with the function app; ten simulated devices with one that has none.
    Sample,
    /// A file, or standard input for `-`.
    File(PathBuf),
    /// Simulated devices.
    Simulate {
        /// How many.
        devices: usize,
        /// How many events they send in all.
        events: u64,
        /// In which format.
        wire: Wire,
        /// What makes it repeatable.
        seed: u64,
    },
}

/// The telemetry that ships with the function app, from its root.
const SAMPLE: &str = "samples/px4-flights.jsonl";

/// Why the system cannot run.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The function app's files.
    #[error(transparent)]
    FunctionApp(#[from] FunctionAppError),
    /// `local.settings.json`.
    #[error("{}: {reason}", path.display())]
    LocalSettings {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A setting.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Something that the stand-in does not do.
    #[error("{0}")]
    Unsupported(String),
    /// The state file.
    #[error("{0} (option --state)")]
    Database(#[from] DatabaseError),
    /// The queue in it.
    #[error("{0} (option --state)")]
    Queue(#[from] QueueError),
    /// The file for the telemetry.
    #[error("{}: {error} (option --telemetry)", path.display())]
    Telemetry {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A folder.
    #[error("{}: {error}", path.display())]
    Folder {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The input.
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// Runs the system until every event of the input is done with, or Ctrl-C: then it takes no more events, finishes those
/// that it has, and reports. The timer functions are called once at the end, when the events are done.
///
/// # Errors
///
/// [`LocalError`], before anything is sent. What goes wrong later stands in the report as `failure` or `watchFailure`.
pub async fn run(options: Options) -> Result<Report, LocalError> {
    let setup = Setup::new(&options)?;
    let clock: Arc<dyn Clock> = Arc::new(Past { by_ms: options.ago_ms });
    match options.sessions {
        None => {
            let throughput = options.throughput_units.map(Throughput::new);
            let of_hub = hub::Options { clock: Arc::clone(&clock), throughput, ..hub::Options::default() };
            let hub = Arc::new(Hub::new(options.partitions, of_hub));
            Play { setup, options, clock, intake: hub }.run(|hub, _| (Some(hub.partitions()), None)).await
        }
        Some(Sessions { max_delivery_count }) => {
            let queue = SessionQueue::new(queue::Options { clock: Arc::clone(&clock), max_delivery_count });
            let told = |queue: &SessionQueue, statistics: &Statistics| {
                (None, Some(SessionQueueReport::new(queue.counts(), statistics)))
            };
            Play { setup, options, clock, intake: queue }.run(told).await
        }
    }
}

/// All that plays in a run.
struct Play<I> {
    setup: Setup,
    options: Options,
    clock: Arc<dyn Clock>,
    intake: Arc<I>,
}

impl<I: Intake> Play<I> {
    /// Until everything is done with, or Ctrl-C; `tell` adds to the report what only the one intake or the other has.
    async fn run(
        self,
        tell: impl FnOnce(&I, &Statistics) -> (Option<usize>, Option<SessionQueueReport>),
    ) -> Result<Report, LocalError> {
        let Self { setup, options, clock, intake } = self;
        let site = Site {
            namespace: "devicestate-local",
            clock,
            queue: setup.open_state()?,
            settings: setup.settings.clone(),
        };
        let mut region = setup.region(site, Arc::clone(&intake), options.instances)?;
        let statistics = Arc::clone(&region.statistics);
        let input = open(&options.input, &setup.app.root)?;
        let already_queued = region.queue.count().await?;

        let started = Instant::now();
        let progress = Progress::start(options.known_events(), &statistics);
        let say = progress.teller();
        let mut stop = in_order_then_at_once(move || {
            say("No more events are taken; those that are there are finished. Ctrl-C again: stop at once.");
        });
        region.start();
        let feed =
            Feed { input, bad_events: BadEvents::new(options.bad_events_per_mille), pace: Pace::new(options.rate) };
        let feeding = feed.send(&*intake, &statistics, stop.clone());
        let mut failure = None;
        let mut end_of_input = None;
        {
            let mut feeding = std::pin::pin!(feeding);
            loop {
                tokio::select! {
                    end = &mut feeding, if end_of_input.is_none() => {
                        end_of_input = Some(end);
                        intake.close();
                    }
                    _ = stop.wait_for(|asked| *asked >= 2) => {
                        failure = Some("stopped at once: what still waited is not in the documents".into());
                        break;
                    }
                    ended = region.ended() => match ended {
                        None => break,
                        Some(Ok(())) => {}
                        Some(Err(reason)) => { failure = Some(reason); break; }
                    },
                }
            }
        }
        region.stop().await;
        let took = started.elapsed();
        // Behind an early end they would tell of a moment that means nothing.
        let watch_failure = match failure {
            None => region.call_timers(&mut stop).await.err(),
            Some(_) => None,
        };
        progress.end();
        if let Some(Err(error)) = end_of_input {
            failure.get_or_insert(error.to_string());
        }
        // Somebody may have taken messages out of it in the meantime.
        let dead_letter_messages = region.queue.count().await?.saturating_sub(already_queued);
        let (partitions, session_queue) = tell(&intake, &statistics);
        let ended = Ended {
            took,
            partitions,
            session_queue,
            instances: region.instances,
            state: setup.state,
            store: &setup.store,
            dead_letter_messages,
            failures: Failures { run: failure, watch: watch_failure },
        };
        Ok(report::make(&statistics, ended).await)
    }
}

type Events = Box<dyn Iterator<Item = Result<Sent, SourceError>> + Send>;

fn open(input: &Input, root: &Path) -> Result<Events, SourceError> {
    Ok(match input {
        Input::Sample if root.join(SAMPLE).exists() => Box::new(Lines::open(&root.join(SAMPLE))?),
        Input::Sample => Box::new(Simulator::new(10, 1_000, Wire::Json, 1).map(Ok)),
        Input::File(path) => Box::new(Lines::open(path)?),
        Input::Simulate { devices, events, wire, seed } => {
            Box::new(Simulator::new(*devices, *events, *wire, *seed).map(Ok))
        }
    })
}

/// What is sent, and how.
struct Feed {
    input: Events,
    bad_events: BadEvents,
    pace: Pace,
}

/// How many events are read before they can be sent.
const AT_ONCE: usize = 1_024;

impl Feed {
    /// Sends the input, until it ends or is to stop.
    async fn send(
        self,
        intake: &impl Intake,
        statistics: &Statistics,
        mut stop: watch::Receiver<u8>,
    ) -> Result<(), SourceError> {
        let Self { input, mut bad_events, mut pace } = self;
        // A thread of its own, which may wait for standard input for ever: it ends with the process.
        let (sender, mut receiver) = mpsc::channel(AT_ONCE);
        thread::spawn(move || {
            for event in input {
                if sender.blocking_send(event).is_err() {
                    return;
                }
            }
        });
        let sending = async {
            let mut events = Vec::new();
            // All that are there: the thread would otherwise be woken for each that is taken from a full channel.
            while receiver.recv_many(&mut events, AT_ONCE).await > 0 {
                for event in events.drain(..) {
                    let good = event?;
                    let bad = bad_events.behind(&good);
                    statistics.bad_added.fetch_add(bad.len() as u64, Relaxed);
                    for sent in [good].into_iter().chain(bad) {
                        pace.wait(1).await;
                        intake.send(sent).await;
                        statistics.received.fetch_add(1, Relaxed);
                    }
                }
            }
            Ok(())
        };
        tokio::select! {
            ended = sending => ended,
            _ = stop.wait_for(|asked| *asked >= 1) => Ok(()),
        }
    }
}
