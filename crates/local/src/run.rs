//! A run, from the first event to the report.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
};

use devicestate_engine::{clock::Clock, queue::DeadLetterQueue as _, rate_limit::RateLimit};
use devicestate_terminal::{
    Progress,
    interrupt::{Shutdown, shutdown_signal},
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use crate::{
    bad_events::BadEvents,
    error::LocalError,
    hub::{self, Hub, Sent},
    intake::Intake,
    options::{Input, Options, Sessions},
    report::{self, Ended, Failures, Report, SessionQueueReport},
    sessions::queue::{self, SessionQueue},
    setup::{Past, Setup, Site},
    simulator::{Simulator, Wire},
    source::{Lines, SourceError},
    statistics::Statistics,
    throughput::Throughput,
};

/// The telemetry that ships with the function app, from its root.
const SAMPLE: &str = "samples/px4-flights.jsonl";

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
        let shown = Arc::clone(&statistics);
        let progress = Progress::start("devicestate", options.known_events(), move || {
            let (done, received) = (shown.done.load(Relaxed), shown.received.load(Relaxed));
            (done, format!("{} waiting", received.saturating_sub(done)))
        });
        let say = progress.line_printer();
        let mut stop = shutdown_signal(move || {
            say("No more events are taken; those that are there are finished. Ctrl-C again: stop at once.");
        });
        region.start();
        let feed = Feed {
            input,
            bad_events: BadEvents::new(options.bad_events_per_mille),
            rate_limit: RateLimit::new(options.rate),
        };
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
                    _ = stop.wait_for(|shutdown| *shutdown == Shutdown::Immediate) => {
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
            documents: &setup.documents,
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
    rate_limit: RateLimit,
}

/// How many events are read before they can be sent.
const AT_ONCE: usize = 1_024;

impl Feed {
    /// Sends the input, until it ends or is to stop.
    async fn send(
        self,
        intake: &impl Intake,
        statistics: &Statistics,
        mut stop: watch::Receiver<Shutdown>,
    ) -> Result<(), SourceError> {
        let Self { input, mut bad_events, mut rate_limit } = self;
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
                        rate_limit.wait(1).await;
                        intake.send(sent).await;
                        statistics.received.fetch_add(1, Relaxed);
                    }
                }
            }
            Ok(())
        };
        tokio::select! {
            ended = sending => ended,
            _ = stop.wait_for(|shutdown| *shutdown >= Shutdown::Draining) => Ok(()),
        }
    }
}
