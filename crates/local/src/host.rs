//! A stand-in for the Functions host, as far as it is the same for every trigger: the handler's process, the invocation,
//! outputs before anything is settled. It does what the real host does, to the letter where that matters.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use devicestate_engine::{
    batch::Source,
    function_app::{Function, HostJson, TimerFunction},
    queue::DeadLetterQueue as _,
};
use devicestate_sqlite::SqliteQueue;
use tokio::time::{sleep, timeout};

use super::{
    endpoint::Endpoint,
    monitor::Monitor,
    process::{Process, Start},
    reply::{self, Accepted, Refused},
    statistics::Statistics,
};

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

/// One life of an instance's host, with the handler's process.
pub(super) struct Host {
    pub(super) instance: Arc<Instance>,
    pub(super) process: Process,
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
