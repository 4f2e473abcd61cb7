//! A run in progress: it sends the input, waits for the instances, and builds the report.

use std::{
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use devicestate_engine::{clock::Clock, queue::DeadLetterQueue as _, rate_limit::RateLimit};
use devicestate_terminal::{
    Progress,
    interrupt::{Shutdown, shutdown_signal},
};
use tokio::{sync::watch, time::Instant};

use crate::{
    broker::Broker,
    check::Check,
    error::LocalError,
    feed::{Events, Feed},
    front::Front,
    injected_faults::InjectedFaults,
    instance::InstanceError,
    invalid_events::InvalidEvents,
    options::Options,
    region::Region,
    report::{self, Failures, InputReport, Report, RunResult, SessionQueueReport},
    setup::{RegionConfig, Setup},
    source::SourceError,
    statistics::Statistics,
    timeline::HappeningKind,
};

/// Why a run ended before everything was processed.
pub(super) type EarlyEnd = InstanceError;

/// The parts of the report that only one kind of run has.
#[derive(Default)]
pub(super) struct Details {
    pub(super) partitions: Option<usize>,
    pub(super) session_queue: Option<SessionQueueReport>,
    pub(super) faults: Option<InjectedFaults>,
    pub(super) check: Option<Check>,
}

/// A run in progress.
pub(super) struct LocalRun<B> {
    pub(super) setup: Setup,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) broker: Arc<B>,
    pub(super) region: Region<B>,
    pub(super) statistics: Arc<Statistics>,
    pub(super) stop: watch::Receiver<Shutdown>,
    input: InputReport,
    feed: Feed,
    /// Whether a signal prevented a step of the run after the whole input was sent.
    pub(super) is_shortened: bool,
    /// Why the input could not be read to its end.
    input_error: Option<SourceError>,
    /// Messages in the dead-letter queue before the run.
    already_queued: u64,
    /// The events of the input, if their number is known.
    expected: Option<u64>,
    front: Option<Front<B>>,
    progress: Progress,
    started: Instant,
}

impl<B: Broker> LocalRun<B> {
    /// Prepares a run whose instances are not started.
    pub(super) async fn new(
        setup: Setup,
        options: &Options,
        (input, events): (InputReport, Events),
        clock: Arc<dyn Clock>,
        broker: Arc<B>,
    ) -> Result<Self, LocalError> {
        let config = RegionConfig {
            namespace: "devicestate-local",
            clock: Arc::clone(&clock),
            queue: setup.open_state()?,
            settings: setup.settings.clone(),
        };
        let region = setup.region(config, Arc::clone(&broker), options.instances)?;
        let statistics = Arc::clone(&region.statistics);
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
        let front = match options.front.clone() {
            Some(front) => Front::open(front, &setup, &region, stop.clone(), progress.line_printer()).await.map(Some),
            None => Ok(None),
        };
        let front = match front {
            Ok(front) => front,
            Err(error) => {
                progress.end();
                return Err(error);
            }
        };
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
            is_shortened: false,
            input_error: None,
            already_queued,
            expected: options.known_events(),
            front,
            progress,
            started,
        })
    }

    /// Starts the instances, and in a run without an end the timer functions by their schedules.
    pub(super) fn start(&mut self) {
        self.region.start();
        if self.front.is_some() {
            self.region.start_timers();
        }
    }

    /// Stays after the input was sent, in a run without an end, until a signal. An input that cannot be read ends the run.
    pub(super) async fn stay_after(&mut self, sent: Result<(), EarlyEnd>) -> Result<(), EarlyEnd> {
        sent?;
        let Some(front) = self.front.take() else { return Ok(()) };
        self.region.start_timers();
        let (mut stop, has_input_failed) = (self.stop.clone(), self.input_error.is_some());
        let stayed = self
            .while_running(async {
                if !has_input_failed {
                    let _ = stop.wait_for(|shutdown| *shutdown >= Shutdown::Draining).await;
                }
                front.end_intake().await;
            })
            .await;
        self.front = Some(front);
        stayed
    }

    /// Sends up to `limit` events of the input, while the instances run.
    pub(super) async fn send(&mut self, limit: u64) -> Result<(), EarlyEnd> {
        let Self { broker, region, statistics, stop, feed, .. } = self;
        let sending = feed.send(&**broker, statistics, stop.clone(), limit);
        let sent = while_running(region, stop.clone(), sending).await?;
        self.input_error = sent.err();
        if limit == u64::MAX {
            let detail = if self.feed.is_stopped { "by a signal" } else { "" };
            self.statistics.happenings.record(HappeningKind::InputEnded, detail, 1);
        }
        Ok(())
    }

    /// Waits for a future while the instances run.
    pub(super) async fn while_running<T>(&mut self, future: impl Future<Output = T>) -> Result<T, EarlyEnd> {
        while_running(&mut self.region, self.stop.clone(), future).await
    }

    /// Waits until everything is processed, unless the run was interrupted, and ends the instances.
    pub(super) async fn end(&mut self, sent: Result<(), EarlyEnd>) -> Result<(), EarlyEnd> {
        self.broker.close();
        let mut ended = sent;
        if ended.is_ok() {
            let mut stop = self.stop.clone();
            ended = tokio::select! {
                ended = wait_for_all_ends(&mut self.region) => ended,
                () = wait_for_immediate_stop(&mut stop) => Err(InstanceError::Stopped),
            };
        }
        self.region.kill().await;
        ended
    }

    /// Calls the timer functions and makes the report.
    pub(super) async fn report(mut self, ended: Result<(), EarlyEnd>, details: Details) -> Result<Report, LocalError> {
        let took = self.started.elapsed();
        let ended = match ended {
            // One line and no report of zeros.
            Err(InstanceError::HandlerNotStarted(reason)) if self.statistics.processed.load(Relaxed) == 0 => {
                self.progress.end();
                self.region.queue.close();
                return Err(LocalError::HandlerNotStarted(reason));
            }
            ended => ended,
        };
        // After an early end, the state of the queue is meaningless.
        let timer = match ended {
            Ok(()) => self.region.call_timers(&mut self.stop).await.err(),
            Err(_) => None,
        };
        self.progress.end();
        if let Some(front) = self.front {
            front.close().await;
        }
        let is_stopped = matches!(ended, Err(InstanceError::Stopped));
        let is_timer_stopped = timer.is_some() && *self.stop.borrow() == Shutdown::Immediate;
        // A signal after the work was done has interrupted nothing.
        let interrupted = self.feed.is_stopped || self.is_shortened || is_stopped || is_timer_stopped;
        let error =
            ended.err().map(InstanceError::into_reason).or_else(|| self.input_error.map(|error| error.to_string()));
        // Another process may have removed messages in the meantime.
        let dead_letter_messages = self.region.queue.count().await?.saturating_sub(self.already_queued);
        let Details { partitions, session_queue, faults, check } = details;
        let result = RunResult {
            input: self.input,
            telemetry: self.setup.telemetry.description,
            took,
            timeline: self.region.sampler.timeline(),
            interrupted,
            expected: self.expected,
            partitions,
            session_queue,
            instances: self.region.instances,
            state: self.setup.state,
            documents: &self.setup.documents,
            dead_letter_messages,
            failures: Failures { error, is_stopped, timer_error: timer },
            faults,
            check,
        };
        let report = report::build(&self.statistics, result).await;
        // Tasks of the stopped instances may still be in memory and hold a clone.
        self.region.queue.close();
        Ok(report)
    }
}

/// Waits for a future while the instances of a region run.
async fn while_running<B: Broker, T>(
    region: &mut Region<B>,
    mut stop: watch::Receiver<Shutdown>,
    future: impl Future<Output = T>,
) -> Result<T, EarlyEnd> {
    let mut future = pin!(future);
    loop {
        tokio::select! {
            value = &mut future => return Ok(value),
            () = wait_for_immediate_stop(&mut stop) => return Err(InstanceError::Stopped),
            Some(ended) = region.wait_for_end() => ended?,
        }
    }
}

/// Waits until every instance of a region has ended.
async fn wait_for_all_ends<B: Broker>(region: &mut Region<B>) -> Result<(), EarlyEnd> {
    while let Some(ended) = region.wait_for_end().await {
        ended?;
    }
    Ok(())
}

async fn wait_for_immediate_stop(stop: &mut watch::Receiver<Shutdown>) {
    let _ = stop.wait_for(|shutdown| *shutdown == Shutdown::Immediate).await;
}
