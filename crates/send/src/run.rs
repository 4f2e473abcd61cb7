//! A run: creates events, passes each to the worker of its key, and reports the counts.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Instant,
};

use devicestate_engine::{rate_limit::RateLimit, settings::Settings};
use devicestate_local::{hub::Sent, simulator::Encoding};
use devicestate_terminal::{
    CommandError, CommandOutcome, Output, Progress,
    interrupt::{Shutdown, shutdown_signal},
    print, print_json_value,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use crate::{
    PROGRAM,
    counts::Counts,
    destination::Destination,
    options::Options,
    report::Report,
    source::{self, Events},
    template::{Template, TemplateError},
    worker::{Limits, MAX_BUFFERED_EVENTS, Worker},
};

/// Sends the events that the options describe, and prints a report.
pub(crate) async fn run(options: Options) -> Result<(), CommandError> {
    let to = Destination::from_options(&options, &Settings::from_environment());
    let template = template(&options).map_err(CommandError::not_started)?;
    if options.pack > 1 && options.encoding == Encoding::Protobuf {
        return Err(CommandError::not_started(
            "a protobuf message has one record: use --encoding json (option --pack)",
        ));
    }
    let to = Arc::new(to.map_err(CommandError::not_started)?);
    let counts = Arc::new(Counts::default());
    let limits =
        Limits { timeout: options.timeout, max_attempts: options.attempts, max_batch_events: options.batch as usize };
    // Open one link first, to report an error of the destination before anything is sent.
    let mut first = Worker::new(Arc::clone(&to), limits, Arc::clone(&counts));
    if let Err(failure) = first.open().await {
        let hub = to.hub.path().trim_start_matches('/');
        return Err(CommandError::not_started(format!(
            "{}: the hub {hub} cannot be reached: {failure}; check the hub's name, the address and the permissions",
            to.configured_by
        )));
    }

    let keys = options.keys.or(options.devices).unwrap_or(1);
    let count = keys.min(options.in_flight.into());
    let others = (1..count).map(|_| Worker::new(Arc::clone(&to), limits, Arc::clone(&counts)));
    let mut running = JoinSet::new();
    let mut workers = Workers::default();
    for worker in std::iter::once(first).chain(others) {
        let (sender, receiver) = mpsc::channel(MAX_BUFFERED_EVENTS);
        running.spawn(worker.run(receiver));
        workers.senders.push(sender);
    }

    let started = Instant::now();
    let progress_counts = Arc::clone(&counts);
    let progress = Progress::start(PROGRAM, Some(u64::from(keys).saturating_mul(options.events)), move || {
        let retries = progress_counts.retries.load(Relaxed);
        let noun = if retries == 1 { "retry" } else { "retries" };
        (progress_counts.records.load(Relaxed), format!("{retries} {noun}"))
    });
    let print_line = progress.line_printer();
    let mut stop = shutdown_signal(move || {
        print_line("No more events are created; the created ones are sent. Press Ctrl-C again to stop immediately.");
    });
    let feed = Feed {
        events: source::events(&options, template),
        rate_limit: RateLimit::new(options.rate),
        workers,
        counts: &counts,
    };
    let (keys, stopped_early) = feed.run(stop.clone()).await;
    let failure = finish(&mut running, &mut stop).await.err();
    let elapsed = started.elapsed();
    progress.end();

    let report = Report::new(&counts, keys, stopped_early, options.rate, elapsed);
    let result = match (failure, report.not_sent()) {
        (None, 0) => Ok(()),
        (Some(failure), 1) => Err(format!("1 created event may not be in the hub: {failure}")),
        (Some(failure), events) => Err(format!("{events} created events may not be in the hub: {failure}")),
        (None, 1) => Err("1 created event was not sent".to_owned()),
        (None, events) => Err(format!("{events} created events were not sent")),
    };
    let stopped = *stop.borrow();
    let result = match result {
        Ok(()) if stopped_early => {
            Err(CommandError::interrupted("interrupted: every created event is in the hub, and no more were created"))
        }
        Err(reason) if stopped == Shutdown::Immediate => Err(CommandError::interrupted(reason)),
        result => result.map_err(CommandError::failed),
    };
    match options.output.output {
        Output::Table => print(&report)?,
        output => print_json_value(output, PROGRAM, CommandOutcome::from_result(&result), &report)?,
    }
    result
}

/// Reads the template, if there is one.
fn template(options: &Options) -> Result<Option<Template>, TemplateError> {
    let Some(path) = &options.template else { return Ok(None) };
    let template = Template::read(path)?;
    if options.pack > 1 {
        template.check_is_json(path)?;
    }
    Ok(Some(template))
}

/// Waits for all workers. Returns the first failure, or an error after a second Ctrl-C.
async fn finish(running: &mut JoinSet<Result<(), String>>, stop: &mut watch::Receiver<Shutdown>) -> Result<(), String> {
    let mut result = Ok(());
    loop {
        tokio::select! {
            ended = running.join_next() => match ended {
                None => return result,
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(failure))) => result = result.and(Err(failure)),
                Some(Err(error)) => result = result.and(Err(error.to_string())),
            },
            _ = stop.wait_for(|shutdown| *shutdown == Shutdown::Immediate) => {
                running.abort_all();
                return result.and(Err("stopped immediately".into()));
            }
        }
    }
}

/// The workers, and the index of the worker of each key.
#[derive(Default)]
struct Workers {
    senders: Vec<mpsc::Sender<Sent>>,
    keys: HashMap<Option<String>, usize>,
}

impl Workers {
    /// Returns the worker of an event. New keys go to the workers in turn.
    fn worker_for(&mut self, sent: &Sent) -> &mpsc::Sender<Sent> {
        let next = self.keys.len() % self.senders.len();
        let worker = match self.keys.get(&sent.partition_key) {
            Some(worker) => *worker,
            None => *self.keys.entry(sent.partition_key.clone()).or_insert(next),
        };
        &self.senders[worker]
    }
}

/// Passes events to the workers.
struct Feed<'a> {
    events: Events,
    rate_limit: RateLimit,
    workers: Workers,
    counts: &'a Counts,
}

impl Feed<'_> {
    /// Passes all events to the workers, until a worker fails or a shutdown is requested. Returns the number of keys and whether
    /// it ended early.
    async fn run(mut self, mut stop: watch::Receiver<Shutdown>) -> (usize, bool) {
        let feeding = async {
            for sent in self.events {
                self.rate_limit.wait(1).await;
                let Ok(permit) = self.workers.worker_for(&sent).reserve().await else { return true };
                permit.send(sent);
                self.counts.created.fetch_add(1, Relaxed);
            }
            false
        };
        let is_early = tokio::select! {
            is_early = feeding => is_early,
            _ = stop.wait_for(|shutdown| *shutdown >= Shutdown::Draining) => true,
        };
        (self.workers.keys.len(), is_early)
    }
}
