//! A run: events are made, given to the lane of their key, sent, and counted.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Instant,
};

use devicestate_engine::{rate_limit::RateLimit, settings::Settings};
use devicestate_local::hub::Sent;
use devicestate_terminal::{
    CommandError, Format, Progress,
    interrupt::{Shutdown, shutdown_signal},
    print,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use crate::{
    PROGRAM,
    counts::Counts,
    destination::Destination,
    lane::{Lane, Limits, WAITING},
    options::Options,
    report::Report,
    source::{self, Events},
};

/// Sends what the options ask for, and reports.
pub(crate) async fn run(options: Options) -> Result<(), CommandError> {
    let to = Destination::find(&options, &Settings::from_environment()).map_err(CommandError::not_started)?;
    let to = Arc::new(to);
    let counts = Arc::new(Counts::default());
    let limits = Limits { timeout: options.timeout, attempts: options.attempts, events: options.batch as usize };
    // One that opens shows that the rest can: what is wrong with the destination is told before anything is sent.
    let mut first = Lane::new(Arc::clone(&to), limits, Arc::clone(&counts));
    if let Err(failure) = first.open().await {
        let hub = to.hub.path().trim_start_matches('/');
        return Err(CommandError::not_started(format!("{}: the hub {hub} cannot be reached: {failure}", to.named_by)));
    }

    let keys = options.keys.or(options.devices).unwrap_or(1);
    let how_many = keys.min(options.in_flight.into());
    let rest = (1..how_many).map(|_| Lane::new(Arc::clone(&to), limits, Arc::clone(&counts)));
    let mut running = JoinSet::new();
    let mut lanes = Lanes::default();
    for lane in std::iter::once(first).chain(rest) {
        let (sender, receiver) = mpsc::channel(WAITING);
        running.spawn(lane.run(receiver));
        lanes.senders.push(sender);
    }

    let started = Instant::now();
    let shown = Arc::clone(&counts);
    let progress = Progress::start(PROGRAM, Some(u64::from(keys).saturating_mul(options.events)), move || {
        (shown.events.load(Relaxed), format!("{} retries", shown.retries.load(Relaxed)))
    });
    let tell = progress.line_printer();
    let mut stop = shutdown_signal(move || {
        tell("No more events are made; those that were made are sent. Ctrl-C again: stop at once.");
    });
    let feed =
        Feed { events: source::events(&options), rate_limit: RateLimit::new(options.rate), lanes, counts: &counts };
    let (keys, stopped_early) = feed.give(stop.clone()).await;
    let failure = finish(&mut running, &mut stop).await.err();
    let took = started.elapsed();
    progress.end();

    let report = Report::new(&counts, keys, stopped_early, took);
    match options.format {
        Format::Table => print(&report)?,
        Format::Json => print(serde_json::to_string_pretty(&report).map_err(CommandError::failed)? + "\n")?,
    }
    match (failure, report.not_sent()) {
        (Some(failure), events) => Err(CommandError::failed(format!(
            "{events} events were made and are not known to be in the hub: {failure}"
        ))),
        (None, 0) => Ok(()),
        (None, events) => Err(CommandError::failed(format!("{events} events were made and were not sent"))),
    }
}

/// Waits for all lanes; the first failure of one, or a second Ctrl-C.
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
                return result.and(Err("stopped at once".into()));
            }
        }
    }
}

/// The lanes, and which key has which.
#[derive(Default)]
struct Lanes {
    senders: Vec<mpsc::Sender<Sent>>,
    keys: HashMap<Option<String>, usize>,
}

impl Lanes {
    /// The lane of this event. New keys go round, so that all lanes have as many.
    fn of(&mut self, sent: &Sent) -> &mpsc::Sender<Sent> {
        let next = self.keys.len() % self.senders.len();
        let lane = match self.keys.get(&sent.partition_key) {
            Some(lane) => *lane,
            None => *self.keys.entry(sent.partition_key.clone()).or_insert(next),
        };
        &self.senders[lane]
    }
}

/// What is given to the lanes, and how.
struct Feed<'a> {
    events: Events,
    rate_limit: RateLimit,
    lanes: Lanes,
    counts: &'a Counts,
}

impl Feed<'_> {
    /// Gives all events to the lanes, until one of them has failed or somebody wants an end. How many keys there were, and
    /// whether it ended early.
    async fn give(mut self, mut stop: watch::Receiver<Shutdown>) -> (usize, bool) {
        let giving = async {
            for sent in self.events {
                self.rate_limit.wait(1).await;
                let Ok(place) = self.lanes.of(&sent).reserve().await else { return true };
                place.send(sent);
                self.counts.made.fetch_add(1, Relaxed);
            }
            false
        };
        let early = tokio::select! {
            early = giving => early,
            _ = stop.wait_for(|shutdown| *shutdown >= Shutdown::Draining) => true,
        };
        (self.lanes.keys.len(), early)
    }
}
