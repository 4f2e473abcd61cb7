//! The stand-in for the Functions host, for every kind of trigger: the handler's process, invocations, and the outputs, which
//! are written before a batch or message is completed.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use devicestate_engine::{
    batch::Source,
    function_app::{Function, HostJson, RetryPolicy, TimerFunction},
};
use devicestate_sqlite::SqliteQueue;
use devicestate_terminal::interrupt::Shutdown;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::{
    endpoint::{Endpoint, HttpResponse},
    envelope::{Exception, Failure, Retry},
    injected_faults::{KillSwitch, LeaseSwitch},
    monitor::Monitor,
    process::{Process, StartInfo},
    reply::{self, Accepted, ReplyError},
    statistics::Statistics,
    timeline::HappeningKind,
};

/// One instance of the function app.
#[derive(Clone)]
pub(super) struct Instance {
    /// Its name in telemetry.
    pub(super) name: String,
    pub(super) host: HostJson,
    pub(super) function: Function,
    /// The functions that [`timers::call`](super::timers::call) calls.
    pub(super) timers: Vec<TimerFunction>,
    /// The source of the events, without a partition id.
    pub(super) source: Source,
    pub(super) start: StartInfo,
    pub(super) queue: SqliteQueue,
    pub(super) statistics: Arc<Statistics>,
    pub(super) monitor: Arc<Monitor>,
    /// Kills the handler of a demonstration.
    pub(super) kill_switch: Arc<KillSwitch>,
    /// Loses the lease of a partition in a demonstration.
    pub(super) lease_switch: Arc<LeaseSwitch>,
}

/// An instance's host, with the handler's process.
pub(super) struct Host {
    pub(super) instance: Arc<Instance>,
    pub(super) process: Process,
    /// When it drains, the host waits for the running invocations, cancels retries and completes nothing.
    pub(super) shutdown: watch::Receiver<Shutdown>,
}

/// Why an invocation under a retry policy failed.
pub(super) enum InvocationError {
    /// The last attempt failed.
    LastAttempt(String),
    /// An attempt failed, and the retries were cancelled.
    Cancelled(String),
}

impl Host {
    /// Returns a new connection to the function.
    pub(super) fn endpoint(&self) -> Endpoint {
        Endpoint::new(self.process.port, &self.instance.function.name)
    }

    /// Returns whether the host stops.
    pub(super) fn is_stopping(&self) -> bool {
        *self.shutdown.borrow() != Shutdown::Running
    }

    /// Waits until the host stops.
    pub(super) async fn wait_for_stop(&self) {
        let mut shutdown = self.shutdown.clone();
        if shutdown.wait_for(|shutdown| *shutdown != Shutdown::Running).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the handler is ready, sends the request, reads the reply and writes the outputs.
    ///
    /// # Errors
    ///
    /// The attempt failed, and is counted. If the host stops because its handler failed too often, this never returns: the host
    /// cancels invocations in flight.
    async fn invoke(
        &self,
        endpoint: &Endpoint,
        invocation_id: &str,
        request: impl FnOnce() -> Result<String, String>,
    ) -> Result<Accepted, Failure> {
        let Instance { name, function, monitor, .. } = &*self.instance;
        monitor.write_started(name, &function.name, invocation_id);
        let started = Instant::now();
        let result = self.attempt(endpoint, invocation_id, request).await;
        monitor.write_ended(name, &function.name, invocation_id, result.is_ok(), started.elapsed());
        let failed = match result {
            Ok(accepted) => return Ok(accepted),
            Err(reason) => reason,
        };
        if self.process.has_failed() {
            return std::future::pending().await;
        }
        self.instance.statistics.failed_attempts.fetch_add(1, Relaxed);
        self.instance.statistics.happenings.record(HappeningKind::AttemptFailed, &failed.to_string(), 1);
        Err(failed)
    }

    /// Invokes the function under the retry policy of its `function.json`. Each attempt has the same invocation id. Returns the
    /// content of the reply and how long the successful attempt took. A host that stops, or one without the lease of the events,
    /// waits for the reply and does not retry.
    ///
    /// # Errors
    ///
    /// The last attempt failed.
    pub(super) async fn invoke_with_retries(
        &self,
        endpoint: &Endpoint,
        has_lease: bool,
        request: impl Fn(Option<&Retry>) -> Result<String, String>,
    ) -> Result<(Accepted, Duration), InvocationError> {
        let invocation_id = uuid::Uuid::new_v4().to_string();
        let policy = self.instance.function.retry.as_ref();
        let max_count = policy.map_or(0, RetryPolicy::max_retry_count);
        let mut retry = Retry { max_count, ..Retry::default() };
        loop {
            let started = Instant::now();
            let retry_context = policy.map(|_| &retry);
            let failed = match self.invoke(endpoint, &invocation_id, || request(retry_context)).await {
                Ok(accepted) => return Ok((accepted, started.elapsed())),
                Err(reason) => reason,
            };
            match policy {
                Some(_) if !has_lease => return Err(InvocationError::Cancelled(failed.to_string())),
                Some(policy) if max_count < 0 || i64::from(retry.count) < max_count => {
                    retry.count += 1;
                    tokio::select! {
                        biased;
                        () = self.wait_for_stop() => return Err(InvocationError::Cancelled(failed.to_string())),
                        () = sleep(policy.delay(retry.count)) => {}
                    }
                    retry.exception = Some(Exception::new(&invocation_id, failed));
                }
                _ => return Err(InvocationError::LastAttempt(failed.to_string())),
            }
        }
    }

    async fn attempt(
        &self,
        endpoint: &Endpoint,
        invocation_id: &str,
        request: impl FnOnce() -> Result<String, String>,
    ) -> Result<Accepted, Failure> {
        let Instance { name, host, function, queue, statistics, monitor, .. } = &*self.instance;
        self.process.wait_until_ready().await?;
        let limit = host.function_timeout.unwrap_or(Duration::MAX);
        let started = Instant::now();
        let response = timeout(limit, endpoint.post(invocation_id, request()?)).await;
        let too_long = || {
            self.process.time_out();
            let reason = format!("the handler did not answer within functionTimeout ({limit:?}) and was killed");
            Failure::from_timeout(limit, reason)
        };
        // A reply that comes with the end of the time is too late.
        let Some(response) = response.ok().filter(|_| started.elapsed() < limit) else { return Err(too_long()) };
        let HttpResponse { status, content_type, body } = response?;
        if self.instance.kill_switch.disarm() {
            self.process.crash();
            statistics.happenings.record(HappeningKind::HandlerKilled, name, 1);
            return Err("the handler was killed, and its reply was lost".into());
        }
        let accepted = match reply::read(status, content_type.as_deref(), &body, &function.dead_letters.name) {
            Ok(accepted) => accepted,
            Err(ReplyError::Failed(reason)) => {
                statistics.record_failed_attempt(&body);
                return Err(Failure::from_reply(status, reason));
            }
            Err(ReplyError::Hangs) => {
                sleep(limit.saturating_sub(started.elapsed())).await;
                return Err(too_long());
            }
        };
        monitor.write_logs(name, &function.name, invocation_id, &accepted.logs);
        let encoding = host.extensions.queues.message_encoding;
        accepted.put_messages(queue, encoding).await?;
        Ok(accepted)
    }
}
