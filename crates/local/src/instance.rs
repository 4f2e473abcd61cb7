//! One instance of the function app at work: it reads its share of an [`Intake`] and runs one handler. What the platform
//! would do is here, too: a host that gave up is started again.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{sync::watch, time::sleep};

use super::{
    host::{Host, Instance},
    intake::{Intake, Share},
    process::{Ears, Process, State},
};

/// How long the platform takes to start a host again that gave up.
const HOST_RESTART: Duration = Duration::from_millis(500);

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
