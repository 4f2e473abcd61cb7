//! A stand-in for the Functions host: one instance, which owns some partitions and runs one handler.
//!
//! It does what the real host does, to the letter where that matters: one batch in flight for each partition, the
//! retry policy of function.json, outputs before the checkpoint, a checkpoint also behind a batch that failed for the
//! last time. What the platform would do is here, too: a host that gave up is started again.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{
    endpoint::Endpoint,
    envelope::{self, Retry},
    hub::{Hub, HubEvent},
    monitor::Monitor,
    process::{Ears, Process, Start, State},
    reply::{self, Accepted, Refused},
    statistics::Statistics,
};
use crate::{
    batch::Source,
    function_app::{Function, HostJson, TimerFunction},
    queue::{DeadLetterQueue as _, SqliteQueue},
    surroundings::{Clock as _, System},
};

/// How long the platform takes to start a host again that gave up.
const HOST_RESTART: Duration = Duration::from_millis(500);

/// One instance of the function app.
#[derive(Clone)]
pub(super) struct Instance {
    /// What it is called where several are told apart.
    pub(super) name: String,
    pub(super) host: HostJson,
    pub(super) function: Function,
    /// What [`timers::call`](super::timers::call) calls.
    pub(super) timers: Vec<TimerFunction>,
    /// Where the events come from; the partition id is filled in for each.
    pub(super) source: Source,
    pub(super) start: Start,
    pub(super) hub: Arc<Hub>,
    pub(super) queue: SqliteQueue,
    pub(super) statistics: Arc<Statistics>,
    pub(super) monitor: Arc<Monitor>,
    /// The partitions that this instance owns.
    pub(super) partitions: Vec<usize>,
}

/// How one life of a host ended.
enum End {
    /// There is nothing more to do.
    Done,
    /// The handler died too often.
    GaveUp(String),
}

impl Instance {
    /// Runs until the hub is closed and everything has been read, or until it is told to end at once.
    ///
    /// # Errors
    ///
    /// When no handler ever gets ready, or one ends so that it is never started again.
    pub(super) async fn run(self, mut end: watch::Receiver<bool>) -> Result<(), String> {
        let instance = Arc::new(self);
        loop {
            let ears = Ears { monitor: Arc::clone(&instance.monitor), instance: instance.name.clone() };
            let statistics = Arc::clone(&instance.statistics);
            let on_restart = move || {
                statistics.handler_restarts.fetch_add(1, Relaxed);
            };
            let process =
                Process::start(instance.start.clone(), ears, on_restart).map_err(|error| error.to_string())?;
            let process = Arc::new(process);
            let ended = tokio::select! {
                ended = life(&instance, &process) => ended,
                _ = end.wait_for(|at_once| *at_once) => Ok(End::Done),
            };
            process.stop().await;
            match ended? {
                End::Done => return Ok(()),
                End::GaveUp(reason) => {
                    eprintln!("devicestate: the host gave up and is started again: {reason}");
                    instance.statistics.host_restarts.fetch_add(1, Relaxed);
                    sleep(HOST_RESTART).await;
                }
            }
        }
    }
}

async fn life(instance: &Arc<Instance>, process: &Arc<Process>) -> Result<End, String> {
    let mut state = process.watch();
    let is_decided = |state: &State| *state != State::Starting;
    let first = state.wait_for(is_decided).await.map(|state| state.clone());
    if let Ok(State::GaveUp(reason)) = first {
        return Err(format!("{reason}\nIt never got ready, so that starting it again would not help."));
    }
    // Aborted when this is dropped: a host that stops cancels its retry loops, and no checkpoint follows.
    let mut pumps = JoinSet::new();
    for partition in instance.partitions.clone() {
        pumps.spawn(pump(Arc::clone(instance), Arc::clone(process), partition));
    }
    let is_over = |state: &State| matches!(state, State::Gone | State::GaveUp(_));
    tokio::select! {
        () = async { while pumps.join_next().await.is_some() {} } => Ok(End::Done),
        over = state.wait_for(is_over) => match over.as_deref() {
            Ok(State::GaveUp(reason)) => Ok(End::GaveUp(reason.clone())),
            _ => Err("the handler ended with exit code 0. The host never starts such a handler again, so that every \
                      later batch fails".into()),
        },
    }
}

/// Reads a partition, one batch after the other.
async fn pump(instance: Arc<Instance>, process: Arc<Process>, partition: usize) {
    let settings = &instance.host.extensions.event_hubs;
    let size = (settings.min_event_batch_size, settings.max_event_batch_size, settings.max_wait_time);
    let hub = &instance.hub;
    let listener = Listener::new(&instance, &process, partition);
    let mut next = hub.checkpoint(partition);
    let mut batches = 0;
    while let Some(events) = hub.receive(partition, next, size).await {
        next = events.last().map_or(next, |event| event.sequence_number + 1);
        let answered = listener.invoke(&events).await;
        // Nothing is awaited from here to the checkpoint, so that the counts cannot stop in between.
        match answered {
            Some((accepted, took)) => {
                instance.statistics.answered(partition, &events, &accepted.logs, took, System.now_ms());
            }
            None => instance.statistics.lost(partition, &events),
        }
        batches += 1;
        if batches % settings.batch_checkpoint_frequency.max(1) == 0 {
            hub.set_checkpoint(partition, next);
        }
    }
}

/// The listener of one partition.
struct Listener<'a> {
    instance: &'a Instance,
    process: &'a Process,
    source: Source,
    endpoint: Endpoint,
}

impl<'a> Listener<'a> {
    fn new(instance: &'a Instance, process: &'a Process, partition: usize) -> Self {
        Self {
            instance,
            process,
            source: Source { partition_id: partition.to_string(), ..instance.source.clone() },
            endpoint: Endpoint::new(process.port, &instance.function.name),
        }
    }

    /// One batch with its retries; `None` when it failed for the last time.
    async fn invoke(&self, events: &[Arc<HubEvent>]) -> Option<(Accepted, Duration)> {
        let invocation_id = uuid::Uuid::new_v4().to_string();
        let policy = self.instance.function.retry.as_ref();
        let max_count = policy.map_or(0, crate::function_app::RetryPolicy::max_retry_count);
        let mut retry = Retry { count: 0, max_count, exception: None };
        loop {
            let started = Instant::now();
            let failed = match self.attempt(events, &invocation_id, policy.map(|_| &retry)).await {
                Ok(accepted) => return Some((accepted, started.elapsed())),
                Err(reason) => reason,
            };
            if self.process.gave_up() {
                // A host that stops cancels what is under way, and no checkpoint follows.
                return std::future::pending().await;
            }
            self.instance.statistics.failed_attempts.fetch_add(1, Relaxed);
            let policy = policy.filter(|_| max_count < 0 || i64::from(retry.count) < max_count)?;
            retry.count += 1;
            retry.exception = Some(failed);
            sleep(policy.delay(retry.count)).await;
        }
    }

    /// One attempt: the request, the reply, the outputs.
    async fn attempt(
        &self,
        events: &[Arc<HubEvent>],
        invocation_id: &str,
        retry: Option<&Retry>,
    ) -> Result<Accepted, String> {
        let Instance { host, function, queue, statistics, .. } = self.instance;
        self.process.ready().await?;
        let request = envelope::request(function, &self.source, events, retry, System.now_ms())?;
        let limit = host.function_timeout.unwrap_or(Duration::MAX);
        let answer = timeout(limit, self.endpoint.post(invocation_id, request)).await;
        let too_long = || {
            self.process.kill();
            format!("the handler did not answer within functionTimeout ({limit:?}) and was killed")
        };
        let Ok(answer) = answer else { return Err(too_long()) };
        let (status, content_type, body) = answer?;
        let encoding = host.extensions.queues.message_encoding;
        let accepted = match reply::read(status, content_type.as_deref(), &body, &function.dead_letters.name, encoding)
        {
            Ok(accepted) => accepted,
            Err(Refused::Failed(reason)) => {
                statistics.failed(&body);
                return Err(reason);
            }
            Err(Refused::Hangs) => {
                sleep(limit).await;
                return Err(too_long());
            }
        };
        self.instance.monitor.logs(&self.instance.name, &function.name, invocation_id, &accepted.logs);
        // One after another, not all or none: a failure midway leaves the first ones, and a retry repeats them.
        for message in &accepted.messages {
            queue.put(message).await.map_err(|error| error.to_string())?;
        }
        Ok(accepted)
    }
}
