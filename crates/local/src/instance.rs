//! One running instance of the function app: it reads its part of a [`Broker`] and runs one handler. It also does what the
//! platform does: a stopped host is restarted.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use devicestate_terminal::{interrupt::Shutdown, print_message};
use tokio::{sync::watch, time::sleep};

use super::{
    broker::{Broker, PartitionAssignment},
    host::{Host, Instance},
    process::{LogSink, Process, State},
    timeline::HappeningKind,
};

/// How long the platform takes to restart a stopped host. In Azure the partitions of the host stay owned for two minutes, in which
/// no other host reads them.
const HOST_RESTART_DELAY: Duration = Duration::from_millis(500);

/// Why an instance ended before everything was processed.
#[derive(Debug)]
pub(super) enum InstanceError {
    /// No handler became ready.
    HandlerNotStarted(String),
    /// A second signal.
    Stopped,
    /// Another reason.
    Failed(String),
}

impl InstanceError {
    pub(super) fn into_reason(self) -> String {
        match self {
            Self::HandlerNotStarted(reason) | Self::Failed(reason) => reason,
            Self::Stopped => "stopped immediately: the events that were not processed are not in a document".into(),
        }
    }
}

/// Why a host ended.
enum HostEnd {
    /// Everything is processed, or the host was stopped.
    Done,
    /// The handler failed too often.
    HandlerFailed(String),
}

impl Instance {
    /// Runs until the broker is closed and everything in it is processed, or until `shutdown`: [`Shutdown::Draining`] is a stop of
    /// the host, which waits for the running invocations, [`Shutdown::Immediate`] kills it.
    ///
    /// # Errors
    ///
    /// No handler became ready, or a handler exited and must not be restarted.
    pub(super) async fn run<B: Broker>(
        self,
        broker: Arc<B>,
        assignment: PartitionAssignment,
        mut shutdown: watch::Receiver<Shutdown>,
    ) -> Result<(), InstanceError> {
        let instance = Arc::new(self);
        loop {
            let log_sink = LogSink { monitor: Arc::clone(&instance.monitor), instance: instance.name.clone() };
            let statistics = Arc::clone(&instance.statistics);
            let on_restart = move || {
                statistics.handler_restarts.fetch_add(1, Relaxed);
                statistics.happenings.record(HappeningKind::HandlerRestarted, "", 1);
            };
            let process = Process::start(instance.start.clone(), log_sink, on_restart)
                .map_err(|error| InstanceError::Failed(error.to_string()))?;
            let host = Arc::new(Host { instance: Arc::clone(&instance), process, shutdown: shutdown.clone() });
            let ended = tokio::select! {
                ended = run_host(&host, &broker, assignment) => ended,
                _ = shutdown.wait_for(|shutdown| *shutdown == Shutdown::Immediate) => Ok(HostEnd::Done),
            };
            host.process.stop().await;
            match ended? {
                HostEnd::Done => return Ok(()),
                HostEnd::HandlerFailed(_) if host.is_stopping() => return Ok(()),
                HostEnd::HandlerFailed(reason) => {
                    print_message(format_args!("devicestate: the host stopped and is restarted: {reason}"));
                    instance.statistics.host_restarts.fetch_add(1, Relaxed);
                    instance.statistics.happenings.record(HappeningKind::HostRestarted, &reason, 1);
                    sleep(HOST_RESTART_DELAY).await;
                }
            }
        }
    }
}

async fn run_host<B: Broker>(
    host: &Arc<Host>,
    broker: &Arc<B>,
    assignment: PartitionAssignment,
) -> Result<HostEnd, InstanceError> {
    let mut state = host.process.watch();
    tokio::select! {
        is_ready = host.process.wait_until_ready() => is_ready.map_err(InstanceError::HandlerNotStarted)?,
        () = host.wait_for_stop() => return Ok(HostEnd::Done),
    }
    let has_ended = |state: &State| matches!(state, State::Exited | State::Failed(_));
    tokio::select! {
        () = Arc::clone(broker).read(Arc::clone(host), assignment) => Ok(HostEnd::Done),
        ended = state.wait_for(has_ended) => match ended.as_deref() {
            Ok(State::Failed(reason)) => Ok(HostEnd::HandlerFailed(reason.clone())),
            _ => Err(InstanceError::Failed(
                "the handler exited with exit code 0. The host does not restart such a handler, so every later batch fails"
                    .into(),
            )),
        },
    }
}
