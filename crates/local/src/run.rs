//! A run: from the first event to the report.

use std::{
    path::{Path, PathBuf},
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
};

use devicestate_engine::{
    clock::Clock, device_state::Document, queue::DeadLetterQueue as _, rate_limit::RateLimit, store,
    telemetry::drone::Drone,
};
use devicestate_sqlite::Database;
use devicestate_terminal::{
    Progress,
    interrupt::{Shutdown, shutdown_signal},
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use crate::{
    broker::Broker,
    check::{Check, dead_letters_after, newest_dead_letter},
    demonstration::{self, InjectedFaults},
    documents::Documents,
    error::LocalError,
    fold::Fold,
    hub::{self, Hub, Sent},
    invalid_events::InvalidEvents,
    options::{Input, Options, Sessions, Simulation},
    region::Region,
    report::{self, Failures, InputReport, Report, RunResult, SessionQueueReport},
    sessions::queue::{self, SessionQueue},
    setup::{BackdatedClock, RegionConfig, Setup},
    simulator::{Encoding, Simulator},
    source::{Lines, SourceError},
    statistics::Statistics,
    throughput::Throughput,
};

/// The sample telemetry, in the folder of the function app.
const SAMPLE: &str = "samples/px4-flights.jsonl";

/// The input instead of the sample, for a function app without samples.
const WITHOUT_SAMPLE: Simulation = Simulation { devices: 10, events: 1_000, encoding: Encoding::Json, seed: 1 };

/// Runs the system until every event of the input is processed, or until Ctrl-C: then it sends no more events, finishes those
/// that were sent, and reports. The timer functions are called once at the end.
///
/// # Errors
///
/// [`LocalError`], before anything is sent. Later failures are in [`Report::failures`].
pub async fn run(options: Options) -> Result<Report, LocalError> {
    let setup = Setup::new(&options)?;
    let clock: Arc<dyn Clock> = Arc::new(BackdatedClock { by_ms: options.backdate_ms });
    if let Some(Sessions { max_delivery_count }) = options.sessions {
        let queue = SessionQueue::new(queue::Options { clock: Arc::clone(&clock), max_delivery_count });
        let mut run = LocalRun::new(setup, &options, clock, Arc::clone(&queue)).await?;
        run.region.start();
        let sent = run.send(u64::MAX).await;
        let ended = run.end(sent).await;
        let session_queue = SessionQueueReport::new(queue.counts(), &run.statistics);
        return run.report(ended, Details { session_queue: Some(session_queue), ..Details::default() }).await;
    }
    let is_demonstration = options.is_demonstration();
    let should_check = is_demonstration || options.should_check;
    let throughput = options.throughput_units.map(Throughput::new);
    let hub = hub::Options { clock: Arc::clone(&clock), throughput, retains_events: should_check };
    let hub = Arc::new(Hub::new(options.partitions, hub));
    let expected = if should_check { Some(Expected::read(&setup).await?) } else { None };
    let mut run = LocalRun::new(setup, &options, clock, Arc::clone(&hub)).await?;
    let mut faults = None;
    let sent = if is_demonstration {
        demonstration::run(&mut run).await.map(|injected| faults = Some(injected))
    } else {
        run.region.start();
        run.send(u64::MAX).await
    };
    let mut ended = run.end(sent).await;
    let check = match expected {
        // The documents are complete only if all events were processed.
        Some(expected) if ended.is_ok() => match expected.check(&run.setup, &run.region, &hub).await {
            Ok(check) => Some(check),
            Err(error) => {
                ended = Err(Interrupted(format!("the check failed to run: {error}")));
                None
            }
        },
        _ => None,
    };
    run.report(ended, Details { partitions: Some(hub.partitions()), faults, check, ..Details::default() }).await
}

/// Why a run ended before everything was processed.
#[derive(Debug)]
pub(super) struct Interrupted(pub(super) String);

/// The parts of the report that only one kind of run has.
#[derive(Default)]
struct Details {
    partitions: Option<usize>,
    session_queue: Option<SessionQueueReport>,
    faults: Option<InjectedFaults>,
    check: Option<Check>,
}

/// A run in progress.
pub(super) struct LocalRun<B> {
    setup: Setup,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) broker: Arc<B>,
    pub(super) region: Region<B>,
    pub(super) statistics: Arc<Statistics>,
    pub(super) stop: watch::Receiver<Shutdown>,
    input: InputReport,
    feed: Feed,
    /// Why the input could not be read to its end.
    input_error: Option<SourceError>,
    /// Messages in the dead-letter queue before the run.
    already_queued: u64,
    progress: Progress,
    started: Instant,
}

impl<B: Broker> LocalRun<B> {
    /// Prepares a run whose instances are not started.
    async fn new(setup: Setup, options: &Options, clock: Arc<dyn Clock>, broker: Arc<B>) -> Result<Self, LocalError> {
        let config = RegionConfig {
            namespace: "devicestate-local",
            clock: Arc::clone(&clock),
            queue: setup.open_state()?,
            settings: setup.settings.clone(),
        };
        let region = setup.region(config, Arc::clone(&broker), options.instances)?;
        let statistics = Arc::clone(&region.statistics);
        let (input, events) = open_input(&options.input, &setup.app.root)?;
        let already_queued = region.queue.count().await?;

        let started = Instant::now();
        let shown = Arc::clone(&statistics);
        let progress = Progress::start("devicestate", options.known_events(), move || {
            let (processed, received) = (shown.processed.load(Relaxed), shown.received.load(Relaxed));
            (processed, format!("{} waiting", received.saturating_sub(processed)))
        });
        let print_line = progress.line_printer();
        let stop = shutdown_signal(move || {
            print_line(
                "Stopping: no more events are sent, and the sent ones are processed. Press Ctrl-C again to stop immediately.",
            );
        });
        let feed = Feed::start(events, InvalidEvents::new(options.invalid_event_rate()), RateLimit::new(options.rate));
        Ok(Self {
            setup,
            clock,
            broker,
            region,
            statistics,
            stop,
            input,
            feed,
            input_error: None,
            already_queued,
            progress,
            started,
        })
    }

    /// Sends up to `limit` events of the input, while the instances run.
    pub(super) async fn send(&mut self, limit: u64) -> Result<(), Interrupted> {
        let Self { broker, region, statistics, stop, feed, .. } = self;
        let sending = feed.send(&**broker, statistics, stop.clone(), limit);
        let sent = while_running(region, stop.clone(), sending).await?;
        self.input_error = sent.err();
        Ok(())
    }

    /// Waits for a future while the instances run.
    pub(super) async fn while_running<T>(&mut self, future: impl Future<Output = T>) -> Result<T, Interrupted> {
        while_running(&mut self.region, self.stop.clone(), future).await
    }

    /// Waits until everything is processed, unless the run was interrupted, and stops the instances.
    async fn end(&mut self, sent: Result<(), Interrupted>) -> Result<(), Interrupted> {
        self.broker.close();
        let mut ended = sent;
        if ended.is_ok() {
            let mut stop = self.stop.clone();
            ended = tokio::select! {
                ended = wait_for_all_ends(&mut self.region) => ended,
                () = wait_for_immediate_stop(&mut stop) => Err(stopped_error()),
            };
        }
        self.region.stop().await;
        ended
    }

    /// Calls the timer functions and makes the report.
    async fn report(mut self, ended: Result<(), Interrupted>, details: Details) -> Result<Report, LocalError> {
        let took = self.started.elapsed();
        // After an early end, the state of the queue is meaningless.
        let timer = match ended {
            Ok(()) => self.region.call_timers(&mut self.stop).await.err(),
            Err(_) => None,
        };
        self.progress.end();
        let interrupted = ended.err().map(|Interrupted(reason)| reason);
        let error = interrupted.or_else(|| self.input_error.map(|error| error.to_string()));
        // Another process may have removed messages in the meantime.
        let dead_letter_messages = self.region.queue.count().await?.saturating_sub(self.already_queued);
        let Details { partitions, session_queue, faults, check } = details;
        let result = RunResult {
            input: self.input,
            took,
            partitions,
            session_queue,
            instances: self.region.instances,
            state: self.setup.state,
            documents: &self.setup.documents,
            dead_letter_messages,
            failures: Failures { error, timer_error: timer },
            faults,
            check,
        };
        Ok(report::build(&self.statistics, result).await)
    }
}

/// Waits for a future while the instances of a region run.
async fn while_running<B: Broker, T>(
    region: &mut Region<B>,
    mut stop: watch::Receiver<Shutdown>,
    future: impl Future<Output = T>,
) -> Result<T, Interrupted> {
    let mut future = pin!(future);
    loop {
        tokio::select! {
            value = &mut future => return Ok(value),
            () = wait_for_immediate_stop(&mut stop) => return Err(stopped_error()),
            Some(ended) = region.wait_for_end() => ended.map_err(Interrupted)?,
        }
    }
}

/// Waits until every instance of a region has ended.
async fn wait_for_all_ends<B: Broker>(region: &mut Region<B>) -> Result<(), Interrupted> {
    while let Some(ended) = region.wait_for_end().await {
        ended.map_err(Interrupted)?;
    }
    Ok(())
}

async fn wait_for_immediate_stop(stop: &mut watch::Receiver<Shutdown>) {
    let _ = stop.wait_for(|shutdown| *shutdown == Shutdown::Immediate).await;
}

fn stopped_error() -> Interrupted {
    Interrupted("stopped immediately: the events that were not processed are not in a document".into())
}

/// The state with which the check compares the documents and the dead-letter queue.
struct Expected {
    /// The documents that were stored before the run.
    fold: Fold,
    file: Database,
    /// The newest message in the dead-letter queue before the run.
    newest_dead_letter: i64,
}

impl Expected {
    async fn read(setup: &Setup) -> Result<Self, LocalError> {
        let file = setup.open_state()?;
        let mut fold = Fold::new(Drone::from_settings(&setup.settings)?);
        fold.add_documents(&read_stored(&setup.documents).await?);
        let newest_dead_letter = newest_dead_letter(&file).await?;
        Ok(Self { fold, file, newest_dead_letter })
    }

    /// Compares what is stored with the fold of all events that the hub retains.
    async fn check(mut self, setup: &Setup, region: &Region<Hub>, hub: &Hub) -> Result<Check, LocalError> {
        for partition in 0..hub.partitions() {
            self.fold.add_events(&region.source, partition, &hub.retained_events(partition));
        }
        let stored = read_stored(&setup.documents).await?;
        Ok(Check::new(self.fold, &stored, &dead_letters_after(&self.file, self.newest_dead_letter).await?))
    }
}

/// Reads all documents for the check.
async fn read_stored(documents: &Documents) -> Result<Vec<Document>, LocalError> {
    let unsupported = |reason: String| {
        LocalError::Unsupported(format!(
            "the documents cannot be checked: {reason}; use another store, or an input (--file, --devices) without --check"
        ))
    };
    let Some(store) = documents.open()? else {
        return Err(unsupported("StateStore is memory, which only the handler can read".into()));
    };
    let max = documents.max_read();
    let found = store::documents(&*store, max.saturating_add(1)).await?;
    if found.len() > max {
        return Err(unsupported(format!("the store holds more than {max} documents")));
    }
    Ok(found)
}

type Events = Box<dyn Iterator<Item = Result<Sent, SourceError>> + Send>;

/// Opens the input and describes it for the report.
fn open_input(input: &Input, root: &Path) -> Result<(InputReport, Events), SourceError> {
    let sample = root.join(SAMPLE);
    let file = |path: &PathBuf| Lines::open(path).map(|lines| -> Events { Box::new(lines) });
    let simulated = |simulation: Simulation| -> (InputReport, Events) {
        let Simulation { devices, events, encoding, seed } = simulation;
        let simulator = Simulator::new(devices, events, encoding, seed);
        (InputReport::Simulation(simulation), Box::new(simulator.map(Ok)))
    };
    Ok(match input {
        Input::Sample if sample.exists() => (InputReport::Sample { file: SAMPLE.into() }, file(&sample)?),
        Input::Sample => simulated(WITHOUT_SAMPLE),
        Input::File(path) => (InputReport::File { file: path.clone() }, file(path)?),
        Input::Simulation(simulation) => simulated(*simulation),
    })
}

/// The input and how it is sent.
struct Feed {
    events: mpsc::Receiver<Result<Sent, SourceError>>,
    invalid_events: InvalidEvents,
    rate_limit: RateLimit,
}

/// Limits the events that are read before they can be sent.
const READ_AHEAD_EVENTS: usize = 1_024;

impl Feed {
    /// Starts to read the input in a separate thread. It may wait for standard input, and then ends with the process.
    fn start(input: Events, invalid_events: InvalidEvents, rate_limit: RateLimit) -> Self {
        let (sender, events) = mpsc::channel(READ_AHEAD_EVENTS);
        thread::spawn(move || {
            for event in input {
                if sender.blocking_send(event).is_err() {
                    return;
                }
            }
        });
        Self { events, invalid_events, rate_limit }
    }

    /// Sends up to `limit` events of the input and the invalid ones among them, until the input or the run ends.
    async fn send(
        &mut self,
        broker: &impl Broker,
        statistics: &Statistics,
        mut stop: watch::Receiver<Shutdown>,
        mut limit: u64,
    ) -> Result<(), SourceError> {
        let Self { events: input, invalid_events, rate_limit } = self;
        let sending = async {
            let mut events = Vec::new();
            loop {
                // Many at a time: the thread would otherwise be woken for each event that leaves a full channel.
                let count = usize::try_from(limit).unwrap_or(usize::MAX).min(READ_AHEAD_EVENTS);
                if count == 0 || input.recv_many(&mut events, count).await == 0 {
                    return Ok(());
                }
                limit -= events.len() as u64;
                for event in events.drain(..) {
                    let valid = event?;
                    let invalid = invalid_events.following(&valid);
                    statistics.invalid_added.fetch_add(invalid.len() as u64, Relaxed);
                    for sent in [valid].into_iter().chain(invalid) {
                        rate_limit.wait(1).await;
                        broker.send(sent).await;
                        statistics.received.fetch_add(1, Relaxed);
                    }
                }
            }
        };
        tokio::select! {
            ended = sending => ended,
            _ = stop.wait_for(|shutdown| *shutdown >= Shutdown::Draining) => Ok(()),
        }
    }
}
