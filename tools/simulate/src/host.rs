//! A Functions host: it owns partitions and has one handler process.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    select,
    time::{Instant, sleep, timeout},
};

use super::{
    World,
    handler::{End, Process},
    metrics::Fault,
    signal::Signal,
};

/// One instance of the function app.
pub(crate) struct Host {
    pub(crate) number: usize,
    pub(crate) region: usize,
    pub(crate) process: Process,
    /// The most events that it reads at once. Each host has another limit, which depends on its memory and load.
    pub(crate) batch_size: usize,
    state: Signal<State>,
    /// The number of partitions that it reads.
    pumps: Signal<usize>,
    crashes: Mutex<Crashes>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    /// It finishes the batches that it has, including retries, and accepts no more.
    Draining,
    /// It finishes the batches that it has, cancels retries, and accepts no more.
    Stopping,
    Killed,
}

/// How a host is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Through its drain mode.
    Drain,
    /// By a signal.
    Terminate,
}

/// The crashes of a host's handlers.
#[derive(Default)]
struct Crashes {
    count: u32,
    last: Option<Instant>,
}

/// A host ends after this many crashes of its handler.
const MAX_CRASHES: u32 = 3;

/// Crashes are counted together if there is no longer time between them.
const CRASH_WINDOW: Duration = Duration::from_mins(30);

/// How long a handler may outlive its host.
const MAX_ORPHAN_MS: u64 = 5_000;

impl Host {
    pub(crate) fn start(world: &Arc<World>, region: usize, number: usize) -> Arc<Self> {
        let max = world.schedule.batch_size;
        Arc::new(Self {
            number,
            region,
            process: Process::start(world),
            batch_size: world.clock.draw(|rng| if rng.bool() { max } else { rng.usize(1..=max) }),
            state: Signal::new(State::Running),
            pumps: Signal::new(0),
            crashes: Mutex::default(),
        })
    }

    /// Stops the host in order. Returns whether it finished in time: a host that is drained and waits for a retry does not.
    pub(crate) async fn stop(&self, stop: Stop, max: Duration) -> bool {
        let stopping = if stop == Stop::Drain { State::Draining } else { State::Stopping };
        self.state.change(|state| *state = if *state == State::Killed { State::Killed } else { stopping });
        timeout(max, self.pumps.until(|pumps| pumps == 0)).await.is_ok()
    }

    pub(crate) fn is_running(&self) -> bool {
        self.state.get() == State::Running
    }

    pub(crate) async fn until_stopped(&self) {
        self.state.until(|state| state != State::Running).await;
    }

    /// Waits until retries are cancelled.
    pub(crate) async fn until_cancelled(&self) {
        self.state.until(|state| state == State::Stopping).await;
    }

    /// Ends the host and its handler.
    pub(crate) fn end(&self) {
        self.state.change(|state| *state = State::Killed);
        self.process.kill();
    }

    /// Kills the host. Its handler goes on with its calls for a while: it only ends when it finds its host gone.
    pub(crate) fn kill(self: &Arc<Self>, world: &Arc<World>) {
        world.clock.metrics.count_fault(Fault::OutlivedHost);
        self.state.change(|state| *state = State::Killed);
        let (host, delay) = (Arc::clone(self), world.clock.random_millis(MAX_ORPHAN_MS));
        tokio::spawn(async move {
            sleep(delay).await;
            host.process.kill();
        });
    }

    /// Crashes the handler. The host starts it again, unless it has crashed too often: then the host ends, too.
    pub(crate) fn crash_handler(self: &Arc<Self>, world: &Arc<World>) {
        if self.state.get() == State::Killed {
            return;
        }
        world.clock.metrics.count_fault(Fault::HandlerKilled);
        let count = {
            let mut crashes = self.crashes.lock().unwrap_or_else(PoisonError::into_inner);
            let is_in_window = crashes.last.is_some_and(|last| last.elapsed() <= CRASH_WINDOW);
            *crashes = Crashes { count: if is_in_window { crashes.count + 1 } else { 1 }, last: Some(Instant::now()) };
            crashes.count
        };
        if count < MAX_CRASHES {
            return self.process.restart(world, End::Crash);
        }
        world.clock.metrics.count_fault(Fault::HostEnded);
        world.clock.trace(|| format!("host {} ends after {count} crashes of its handler", self.number));
        self.end();
        world.replace_dead_host(self);
    }

    /// Runs the reading of one partition until it ends or the host is killed.
    pub(crate) async fn run_pump(&self, pump: impl Future<Output = ()>) {
        self.pumps.change(|pumps| *pumps += 1);
        select! {
            biased;
            () = self.state.until(|state| state == State::Killed) => {}
            () = pump => {}
        }
        self.pumps.change(|pumps| *pumps -= 1);
    }
}
