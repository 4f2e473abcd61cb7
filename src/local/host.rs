//! A stand-in for the Functions host: one instance, which reads its share of an [`Intake`] and runs one handler.
//!
//! It does what the real host does, to the letter where that matters; here is what is the same for every trigger: the
//! handler's process, the invocation, outputs before anything is settled. What the platform would do is here, too: a host
//! that gave up is started again.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    endpoint::Endpoint,
    intake::{Intake, Share},
    monitor::Monitor,
    process::{Ears, Process, Start, State},
    reply::{self, Accepted, Refused},
    statistics::Statistics,
};
use crate::{
    batch::Source,
    function_app::{Function, HostJson, TimerFunction},
    queue::{DeadLetterQueue as _, SqliteQueue},
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
    pub(super) queue: SqliteQueue,
    pub(super) statistics: Arc<Statistics>,
    pub(super) monitor: Arc<Monitor>,
}

/// How one life of a host ended.
enum End {
    /// There is nothing more to do.
    Done,
    /// The handler died too often.
    GaveUp(String),
}

impl Instance {
    /// Runs until the intake is closed and everything in it is done with, or until it is told to end at once.
    ///
    /// # Errors
    ///
    /// When no handler ever gets ready, or one ends so that it is never started again.
    pub(super) async fn run<I: Intake>(
        self,
        intake: Arc<I>,
        share: Share,
        mut end: watch::Receiver<bool>,
    ) -> Result<(), String> {
        let instance = Arc::new(self);
        loop {
            let ears = Ears { monitor: Arc::clone(&instance.monitor), instance: instance.name.clone() };
            let statistics = Arc::clone(&instance.statistics);
            let on_restart = move || {
                statistics.handler_restarts.fetch_add(1, Relaxed);
            };
            let process =
                Process::start(instance.start.clone(), ears, on_restart).map_err(|error| error.to_string())?;
            let host = Arc::new(Host { instance: Arc::clone(&instance), process });
            let ended = tokio::select! {
                ended = life(&host, &intake, share) => ended,
                _ = end.wait_for(|at_once| *at_once) => Ok(End::Done),
            };
            host.process.stop().await;
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

async fn life<I: Intake>(host: &Arc<Host>, intake: &Arc<I>, share: Share) -> Result<End, String> {
    let mut state = host.process.watch();
    let is_decided = |state: &State| *state != State::Starting;
    let first = state.wait_for(is_decided).await.map(|state| state.clone());
    if let Ok(State::GaveUp(reason)) = first {
        return Err(format!("{reason}\nIt never got ready, so that starting it again would not help."));
    }
    let is_over = |state: &State| matches!(state, State::Gone | State::GaveUp(_));
    tokio::select! {
        () = Arc::clone(intake).read(Arc::clone(host), share) => Ok(End::Done),
        over = state.wait_for(is_over) => match over.as_deref() {
            Ok(State::GaveUp(reason)) => Ok(End::GaveUp(reason.clone())),
            _ => Err("the handler ended with exit code 0. The host never starts such a handler again, so that every \
                      later batch fails".into()),
        },
    }
}

/// One life of an instance's host, with the handler's process.
pub(super) struct Host {
    pub(super) instance: Arc<Instance>,
    process: Process,
}

impl Host {
    /// The function's own connection to the handler.
    pub(super) fn endpoint(&self) -> Endpoint {
        Endpoint::new(self.process.port, &self.instance.function.name)
    }

    /// One invocation, from the moment when the handler is ready: the request, the reply, the outputs.
    ///
    /// # Errors
    ///
    /// Why it failed, and is counted as a failed attempt. A host that stops for its handler cancels what is under way:
    /// then this never returns.
    pub(super) async fn invoke(
        &self,
        endpoint: &Endpoint,
        invocation_id: &str,
        request: impl FnOnce() -> Result<String, String>,
    ) -> Result<Accepted, String> {
        let failed = match self.attempt(endpoint, invocation_id, request).await {
            Ok(accepted) => return Ok(accepted),
            Err(reason) => reason,
        };
        if self.process.gave_up() {
            return std::future::pending().await;
        }
        self.instance.statistics.failed_attempts.fetch_add(1, Relaxed);
        Err(failed)
    }

    async fn attempt(
        &self,
        endpoint: &Endpoint,
        invocation_id: &str,
        request: impl FnOnce() -> Result<String, String>,
    ) -> Result<Accepted, String> {
        let Instance { name, host, function, queue, statistics, monitor, .. } = &*self.instance;
        self.process.ready().await?;
        let limit = host.function_timeout.unwrap_or(Duration::MAX);
        let answer = timeout(limit, endpoint.post(invocation_id, request()?)).await;
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
        monitor.logs(name, &function.name, invocation_id, &accepted.logs);
        // One after another, not all or none: a failure midway leaves the first ones, and a retry repeats them.
        for message in &accepted.messages {
            queue.put(message).await.map_err(|error| error.to_string())?;
        }
        Ok(accepted)
    }
}
