//! The handler's process, as the Functions host runs it: started from host.json, and restarted on the same port by the host's rules.

mod child;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    io,
    net::{Ipv4Addr, TcpListener as StdTcpListener},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};

use child::{ExitReason, Requests};
pub(super) use child::{LogSink, StartInfo};

/// The third error within this window stops the host.
const ERROR_WINDOW: Duration = Duration::from_mins(30);
const ERRORS_TO_STOP: usize = 3;

/// An exit code that requests a restart and is not an error.
const RESTART_EXIT_CODE: i32 = 200;

/// How long the host takes to restart a handler that has ended: 100 to 150 ms.
const RESTART_DELAY: Duration = Duration::from_millis(125);

/// How long it takes to restart a handler that it has killed because an invocation took too long.
const TIME_OUT_RESTART_DELAY: Duration = Duration::from_secs(2);

/// The state of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// Not ready yet.
    Starting,
    /// It answers requests.
    Ready,
    /// It exited with code 0. The host does not restart it, so every batch fails.
    Exited,
    /// It failed too often, so the host stops. With the reason and the last lines of its standard error.
    Failed(String),
}

/// The handler's process and its restarts, until [`Process::stop`].
pub(super) struct Process {
    pub(super) port: u16,
    state: Arc<watch::Sender<State>>,
    requests: Arc<Requests>,
    supervisor: Mutex<Option<JoinHandle<()>>>,
}

impl Process {
    /// Starts the process on a free port, and restarts it when it exits. `on_restart` runs before each restart.
    pub(super) fn start(
        start: StartInfo,
        log_sink: LogSink,
        on_restart: impl Fn() + Send + 'static,
    ) -> io::Result<Self> {
        let port = StdTcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let state = Arc::new(watch::Sender::new(State::Starting));
        let requests = Arc::new(Requests::default());
        let supervised = supervise(start, log_sink, port, Arc::clone(&state), Arc::clone(&requests), on_restart);
        let supervisor = Mutex::new(Some(tokio::spawn(supervised)));
        Ok(Self { port, state, requests, supervisor })
    }

    /// Returns a process that is not one of this host: a server of a test on this port, which is ready.
    #[cfg(test)]
    pub(super) fn ready(port: u16) -> Self {
        let state = Arc::new(watch::Sender::new(State::Ready));
        Self { port, state, requests: Arc::default(), supervisor: Mutex::default() }
    }

    /// Restarts a process of a test.
    #[cfg(test)]
    pub(super) fn set_ready(&self) {
        self.state.send_replace(State::Ready);
    }

    /// Kills the process, as the host does when an invocation takes longer than `functionTimeout`. It is restarted.
    pub(super) fn time_out(&self) {
        // Before the kill, so that no other batch is sent to this process.
        self.state.send_replace(State::Starting);
        self.requests.time_out.notify_waiters();
    }

    /// Kills the process, as if another program did it. It is restarted.
    pub(super) fn crash(&self) {
        self.state.send_replace(State::Starting);
        self.requests.crash.notify_waiters();
    }

    /// Kills the process and waits for its end. Without the wait, this program could exit first and leave the process running, and
    /// the state file would still be open.
    pub(super) async fn stop(&self) {
        let supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(supervisor) = supervisor {
            self.requests.stop.notify_one();
            let _ = supervisor.await;
        }
    }

    /// Returns a receiver of the process's states.
    pub(super) fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Returns whether the process has failed too often, so that the host stops.
    pub(super) fn has_failed(&self) -> bool {
        matches!(*self.state.borrow(), State::Failed(_))
    }

    /// Waits until the process answers requests.
    ///
    /// # Errors
    ///
    /// It will never be ready.
    pub(super) async fn wait_until_ready(&self) -> Result<(), String> {
        let mut state = self.watch();
        let state = state.wait_for(|state| *state != State::Starting).await;
        match state.as_deref() {
            Ok(State::Ready) => Ok(()),
            Ok(State::Exited) => Err("the handler exited with exit code 0 and is not restarted".into()),
            Ok(State::Failed(reason)) => Err(reason.clone()),
            Ok(State::Starting) | Err(_) => Err("the host is stopping".into()),
        }
    }
}

/// What the host does when a process has ended.
#[derive(Debug, PartialEq, Eq)]
enum Reaction {
    /// It starts another one on the same port.
    Restart(Duration),
    /// Nothing: every batch fails from now on.
    Nothing,
    /// It stops, because of this error.
    StopHost(String),
    /// It has stopped the process itself.
    End,
}

/// The times of a handler's errors.
#[derive(Default)]
struct Errors(VecDeque<Instant>);

impl Errors {
    fn react(&mut self, ended: ExitReason, now: Instant) -> Reaction {
        let error = match ended {
            ExitReason::Stopped => return Reaction::End,
            ExitReason::Exited(Some(0)) => return Reaction::Nothing,
            ExitReason::Exited(Some(RESTART_EXIT_CODE)) => return Reaction::Restart(RESTART_DELAY),
            ExitReason::TimedOut => return Reaction::Restart(TIME_OUT_RESTART_DELAY),
            ExitReason::Exited(Some(code)) => format!("exited with exit code {code}"),
            ExitReason::Exited(None) => "was killed by a signal".to_owned(),
            ExitReason::Failed(reason) => reason,
        };
        self.0.push_back(now);
        while self.0.front().is_some_and(|time| now - *time > ERROR_WINDOW) {
            self.0.pop_front();
        }
        if self.0.len() < ERRORS_TO_STOP { Reaction::Restart(RESTART_DELAY) } else { Reaction::StopHost(error) }
    }
}

/// Runs the process and restarts it, until it exits with 0 or has failed too often.
async fn supervise(
    start: StartInfo,
    log_sink: LogSink,
    port: u16,
    state: Arc<watch::Sender<State>>,
    requests: Arc<Requests>,
    on_restart: impl Fn() + Send,
) {
    let mut errors = Errors::default();
    loop {
        let last_lines = Arc::new(Mutex::new(VecDeque::new()));
        let on_ready = || {
            state.send_replace(State::Ready);
        };
        let ended = child::run(&start, &log_sink, port, on_ready, &requests, &last_lines).await;
        state.send_replace(State::Starting);
        let delay = match errors.react(ended, Instant::now()) {
            Reaction::Restart(delay) => delay,
            Reaction::End => return,
            Reaction::Nothing => {
                state.send_replace(State::Exited);
                return;
            }
            Reaction::StopHost(error) => {
                let lines = Vec::from(std::mem::take(&mut *last_lines.lock().unwrap_or_else(PoisonError::into_inner)));
                state.send_replace(State::Failed(format!("the handler {error}{}", in_one_line(&lines))));
                return;
            }
        };
        tokio::select! {
            () = sleep(delay) => on_restart(),
            () = requests.stop.notified() => return,
        }
    }
}

/// Returns the last lines of a standard error in one line: the error of this program's own handler, or all of them.
fn in_one_line(lines: &[String]) -> String {
    let own = lines.iter().rev().find_map(|line| line.strip_prefix("devicestate: "));
    match own {
        Some(error) => format!(": {error}"),
        None if lines.is_empty() => String::new(),
        None => format!(": {}", lines.join(" / ")),
    }
}
